"""Pictures from files: read grey or colour of any size, and make of them what a network was trained
on.

picture = images.read("three.png")                                # (H, W) or (H, W, 3) in [0, 1]
# (1, 28, 28), and what was done, in words
x, steps = images.fitted(picture, (1, 28, 28), dark=True)
"""

import contextlib
import pathlib
import warnings

import numpy as np

__all__ = ["fitted", "read"]

LUMA = np.array(
    [0.299, 0.587, 0.114], np.float32
)  # ITU-R BT.601: how bright red, green and blue look
PIXELS = 50_000_000


def read(path):
    """Read a picture file as float32 in [0, 1]: (H, W) when it is grey, (H, W, 3) when it is not.

    Any format that Pillow reads; the first frame, turned upright as its EXIF says. Transparent
    parts become white behind dark ink and black behind bright ink. ValueError that names the file
    when it is missing, no picture, damaged, or of more than 50 million pixels.
    """
    from PIL import Image, ImageOps

    path = pathlib.Path(path)
    with _told(path, Image), Image.open(path) as image:
        if image.width * image.height > PIXELS:
            raise ValueError(
                f"{path} has {image.width}x{image.height} pixels, more than {PIXELS:,}; make it smaller first"
            )
        image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "I;16", "I;16B", "I;16L"):
            return np.clip(np.asarray(image, np.float32) / 65535, 0, 1)
        if image.mode == "F":
            raise ValueError(
                f"{path} holds floating-point numbers of an unknown range; save it as PNG first"
            )
        rgba = np.asarray(image.convert("RGBA"), np.float32) / 255
    colours, alpha = rgba[..., :3], rgba[..., 3:]
    if (alpha < 1).any():
        ink = float((colours * alpha).sum() / max(3 * alpha.sum(), 1e-6))
        colours = colours * alpha + (1 - alpha) * (ink < 0.5)
    grey = (colours == colours[..., :1]).all()
    return np.ascontiguousarray(colours[..., 0]) if grey else colours


@contextlib.contextmanager
def _told(path, Image):
    """Turn whatever Pillow raises about a file into one ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata; a bomb's size is checked above
            yield
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise ValueError(
            f"{path} is a folder; name the pictures in it, such as {path / '*.png'}"
        ) from None
    except Image.UnidentifiedImageError:
        raise ValueError(
            f"{path} is no picture that Pillow reads; PNG and JPEG are the usual formats"
        ) from None
    except Image.DecompressionBombError:
        raise ValueError(
            f"{path} promises more than {PIXELS:,} pixels; make it smaller first"
        ) from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except (
        SyntaxError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        OverflowError,
        MemoryError,
        AttributeError,
    ) as error:
        # What Pillow's decoders raise for damaged files besides OSError.
        raise ValueError(f"{path} is a damaged picture: {error or type(error).__name__}") from None


def fitted(picture, shape, invert=None, dark=False, box=None):
    """Fit a picture (H, W) or (H, W, 3) to images of ``shape`` (C, H, W), C being 1 or 3. Returns
    (x, steps).

    Colour becomes grey, or grey colour, as the channels need. A picture of another size is scaled
    with its proportions kept, each pixel an average of those that it stands for, and set on a
    ground of the colour of its border. ``invert`` swaps bright and dark; None does so where the
    network's pictures are ``dark`` at their border and this one is bright, such as ink on paper for
    a network that knows white digits on black. ``box`` first cuts out the ink, stretches it from 0
    to 1 on a ground of 0, fits it into that share of the image and puts its centre of mass in the
    middle: MNIST's pictures were made so, with a box of 20/28. A picture that has the right size
    already is left as it is.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, the network takes {channels}")
    steps, x = [], picture
    if x.ndim == 3 and channels == 1:
        x = x @ LUMA
        steps.append("colour to grey")
    x = x[None] if x.ndim == 2 else x.transpose(2, 0, 1)  # (C, H, W)
    if len(x) != channels:
        x = np.repeat(x, channels, axis=0)
        steps.append("grey in all channels")
    if invert or (invert is None and dark and _ground(x).mean() > 0.5):
        x = 1 - x
        steps.append("bright and dark swapped")
    size = x.shape[1:]
    if size != (height, width):
        ground, room, middle = _ground(x), (height, width), None
        ink = None if box is None else _ink(x)
        if ink is not None:
            x, ground, room = (
                _stretched(x[ink], ground),
                0 * ground,
                [max(1, round(box * n)) for n in room],
            )
            steps.append("ink cut out and centred")
        x = _scaled(x, room)
        if ink is not None:
            middle = _middle(x)
        x = _placed(x, ground, (height, width), middle)
        steps.append(f"{size[1]}x{size[0]} to {width}x{height} pixels")
    return np.ascontiguousarray(x, np.float32), tuple(steps)


def _ground(x):
    """The colour (C,) of the border: the median of the outermost pixels."""
    border = np.concatenate([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], axis=1)
    return np.median(border, axis=1)


def _ink(x):
    """The index of the smallest rectangle that holds what differs from the ground; None when
    nothing does.
    """
    away = np.abs(x - _ground(x)[:, None, None]).max(axis=0)
    marked = away > max(0.2, 0.4 * away.max())
    if not marked.any():
        return None
    rows, columns = (np.flatnonzero(marked.any(axis=axis)) for axis in (1, 0))
    return np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(x, room):
    """Scale images (C, H, W) with their proportions kept, so that they just fit into ``room``
    (height, width).
    """
    from PIL import Image

    factor = min(n / size for n, size in zip(room, x.shape[1:], strict=True))
    rows, columns = (max(1, round(size * factor)) for size in x.shape[1:])
    planes = [
        Image.fromarray(plane).resize((columns, rows), Image.Resampling.BILINEAR)
        for plane in x.astype(np.float32)
    ]
    return np.clip([np.asarray(plane) for plane in planes], 0, 1)


def _stretched(x, ground):
    """How far each pixel is from the ground, from 0 to 1."""
    away = np.abs(x - ground[:, None, None])
    return away / away.max()


def _middle(x):
    """The centre of mass (row, column) of images (C, H, W)."""
    mass = x.sum(axis=0)
    total = mass.sum() or 1.0
    return tuple(
        float((mass.sum(axis=1 - axis) * np.arange(n)).sum() / total)
        for axis, n in enumerate(mass.shape)
    )


def _placed(x, ground, size, middle=None):
    """Set images on a ground of ``size``, their point ``middle`` in the middle of it; None
    stands for their own middle.
    """
    canvas = np.empty((len(x), *size), np.float32)
    canvas[:] = ground[:, None, None]
    at = []
    for axis, (n, room) in enumerate(zip(x.shape[1:], size, strict=True)):
        start = (room - n) // 2 if middle is None else round((room - 1) / 2 - middle[axis])
        at.append(min(max(start, 0), room - n))
    canvas[:, at[0] : at[0] + x.shape[1], at[1] : at[1] + x.shape[2]] = x
    return canvas
