"""Image files: read grey or colour images of any size and fit them to a network's input.

image = read("three.png")                            # (H, W) or (H, W, 3), in [0, 1]
x, steps = fit(image, (1, 28, 28), dark_background=True)      # (1, 28, 28), what was done
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from autocnn.deprecation import renamed_arguments, renamed_names
from autocnn.runs.config import RunConfig
from autocnn.text import shape_text

__all__ = ["fit", "read", "read_bytes", "read_for_run"]

__getattr__ = renamed_names(__name__, {"fitted": f"{__name__}.fit"})

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601: brightness of red, green, blue
MAX_PIXELS = 50_000_000

# Data sets of bright images on a dark background, and how their images were made: MNIST's digits
# were scaled to fit 20 of 28 pixels and centred by their centre of mass (LeCun et al. 1998).
DARK_BACKGROUND = ("patterns", "digits", "mnist", "fashion-mnist")
INK_FRACTION = {"mnist": 20 / 28, "digits": 1.0}


def read_for_run(
    path: str | os.PathLike, config: RunConfig, invert: bool | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read an image file and ``fit`` it to the images that a run was trained on.

    Returns (x, steps): x has the shape ``config.shape``, before ``preprocessing.prepare``. invert,
    steps and errors: as for ``fit`` and ``read``.
    """
    dark_background = config.data in DARK_BACKGROUND
    return fit(read(path), config.shape, invert, dark_background, INK_FRACTION.get(config.data))


def read(path: str | os.PathLike) -> np.ndarray:
    """Read an image file as float32 in [0, 1]: (H, W) if it is grey, (H, W, 3) if not.

    Reads any format that Pillow does, and turns the image upright as its EXIF orientation says. Of
    an animation, it reads the first frame. Transparent pixels become white if the others are dark,
    black if they are bright. ValueError that names the file when it is missing, not an image,
    damaged, or larger than 50 million pixels.
    """
    path = Path(path)
    return _read(path, path, MAX_PIXELS)


def read_bytes(file: bytes, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read the bytes of an image file, as ``read`` does. name: of the file, for errors.
    max_pixels: ValueError for a larger image, before it is decoded.
    """
    return _read(io.BytesIO(file), Path(name), max_pixels)


def _read(file: Path | io.BytesIO, path: Path, max_pixels: int) -> np.ndarray:
    from PIL import Image, ImageOps

    with _value_errors(path), Image.open(file) as image:
        if image.width * image.height > max_pixels:
            size = shape_text((image.width, image.height), "x")
            raise ValueError(
                f"{path} has {size} pixels, more than {max_pixels:,}; make it smaller first"
            )
        image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "I;16", "I;16B", "I;16L"):
            return np.clip(np.asarray(image, np.float32) / 65535, 0, 1)
        if image.mode == "F":
            raise ValueError(
                f"{path} holds floating-point numbers of an unknown range; save it as PNG first"
            )
        has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
        pixels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    is_grey = all((pixels[..., k] == pixels[..., 0]).all() for k in (1, 2))
    colours = pixels[..., 0] if is_grey else pixels[..., :3]
    result = np.divide(colours, 255, dtype=np.float32)
    return _over_background(result, pixels[..., 3]) if has_alpha else result


def _over_background(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay an image over white where what is opaque is dark, over black where it is bright. In
    place, a block of rows at a time: an image of 50 million pixels is large.
    """
    blocks = [slice(k, k + 256) for k in range(0, len(image), 256)]
    opacity = [alpha[block].astype(np.float32) / 255 for block in blocks]
    if image.ndim == 3:
        opacity = [a[..., None] for a in opacity]
    light = sum(float((image[b] * a).sum()) for b, a in zip(blocks, opacity, strict=True))
    whole = sum(float(a.sum()) for a in opacity) * (image.size / alpha.size)
    white = light / max(whole, 1e-6) < 0.5
    for block, a in zip(blocks, opacity, strict=True):
        image[block] *= a
        if white:
            image[block] += 1 - a
    return image


@renamed_arguments(dark="dark_background", box="ink_fraction")
def fit(
    image: np.ndarray,
    shape: tuple[int, int, int],
    invert: bool | None = None,
    dark_background: bool = False,
    ink_fraction: float | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Fit an image (H, W) or (H, W, 3) in [0, 1] to a ``shape`` (C, H, W), C being 1 or 3.

    Returns (x, steps): x in float32, and a short text for each change made. Colour becomes grey, or
    grey colour, as C needs. An image of another size is scaled with its proportions kept and
    centred on a background of the colour of its border.

    invert: swap bright and dark. None: do so if the network's images have a dark background and
        this one has a bright one, such as ink on paper.
    dark_background: whether the network's images have a dark border.
    ink_fraction: first cut out what differs from the background, stretch its contrast to [0, 1] on
        a background of 0, scale it to this fraction of the image, and centre it by its centre of
        mass. MNIST's images were made so, with 20/28. None: keep the image whole. An image that has
        the right size already is never cut.

    ValueError when C is not 1 or 3.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise ValueError(f"images have 1 or 3 channels, the network takes {channels}")
    steps, x = [], image
    if x.ndim == 3 and channels == 1:
        x = x @ LUMA
        steps.append("colour to grey")
    x = x[None] if x.ndim == 2 else x.transpose(2, 0, 1)  # (C, H, W)
    if len(x) != channels:
        x = np.repeat(x, channels, axis=0)
        steps.append("grey in all channels")
    if invert or (invert is None and dark_background and _background(x).mean() > 0.5):
        x = 1 - x
        steps.append("bright and dark swapped")
    size = x.shape[1:]
    if size != (height, width):
        background, centre = _background(x), None
        ink = None if ink_fraction is None else _ink_box(x)
        if ink is None:
            x = _scale(x, (height, width))
        else:
            box = max(1, round(ink_fraction * height)), max(1, round(ink_fraction * width))
            x = _scale(_contrast(x[ink], background), box)
            background, centre = np.zeros_like(background), _centre_of_mass(x)
            steps.append("ink cut out and centred")
        x = _place(x, background, (height, width), centre)
        steps.append(f"{size[1]}x{size[0]} to {width}x{height} pixels")
    return np.ascontiguousarray(x, np.float32), tuple(steps)


@contextlib.contextmanager
def _value_errors(path: Path) -> Iterator[None]:
    """Turn all that Pillow raises for a file into one ValueError."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata; ``read`` checks the size
            yield
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise ValueError(
            f"{path} is a folder; name the images in it, such as {path / '*.png'}"
        ) from None
    except Image.UnidentifiedImageError:
        raise ValueError(
            f"{path} is not an image that Pillow can read; PNG and JPEG are the usual formats"
        ) from None
    except Image.DecompressionBombError:
        raise ValueError(
            f"{path} declares more than {MAX_PIXELS:,} pixels; make it smaller first"
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
    ) as error:  # besides OSError, what Pillow's decoders raise for damaged files
        raise ValueError(f"{path} is a damaged image: {error or type(error).__name__}") from None


def _background(x: np.ndarray) -> np.ndarray:
    """The background colour (C,) of an image (C, H, W): the median of its outermost pixels."""
    border = np.concatenate([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], axis=1)
    return np.median(border, axis=1)


def _ink_box(x: np.ndarray) -> tuple[slice, ...] | None:
    """The index of the smallest box around all that differs from the background; None if nothing
    does.
    """
    distance = np.abs(x - _background(x)[:, None, None]).max(axis=0)
    ink = distance > max(0.2, 0.4 * distance.max())
    if not ink.any():
        return None
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _contrast(x: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The distance of each pixel from the background, scaled to [0, 1]."""
    distance = np.abs(x - background[:, None, None])
    return distance / distance.max()


def _scale(x: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    """Scale an image (C, H, W) to the largest size in ``box`` (height, width) that keeps its
    proportions.
    """
    from PIL import Image

    factor = min(n / size for n, size in zip(box, x.shape[1:], strict=True))
    rows, columns = (max(1, round(size * factor)) for size in x.shape[1:])
    planes = [
        Image.fromarray(plane).resize((columns, rows), Image.Resampling.BILINEAR)
        for plane in x.astype(np.float32)
    ]
    return np.clip([np.asarray(plane) for plane in planes], 0, 1)


def _centre_of_mass(x: np.ndarray) -> tuple[float, ...]:
    """The centre of mass (row, column) of an image (C, H, W)."""
    mass = x.sum(axis=0)
    total = mass.sum() or 1.0
    return tuple(
        float((mass.sum(axis=1 - axis) * np.arange(n)).sum() / total)
        for axis, n in enumerate(mass.shape)
    )


def _place(
    x: np.ndarray,
    background: np.ndarray,
    size: tuple[int, int],
    centre: tuple[float, ...] | None,
) -> np.ndarray:
    """Place an image on a background of ``size`` with its point ``centre`` in the middle, None for
    its own middle; never beyond the edges.
    """
    canvas = np.empty((len(x), *size), np.float32)
    canvas[:] = background[:, None, None]
    starts = []
    for axis, (n, room) in enumerate(zip(x.shape[1:], size, strict=True)):
        start = (room - n) // 2 if centre is None else round((room - 1) / 2 - centre[axis])
        starts.append(min(max(start, 0), room - n))
    top, left = starts
    canvas[:, top : top + x.shape[1], left : left + x.shape[2]] = x
    return canvas
