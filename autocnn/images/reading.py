"""Image files of every kind as arrays: grey or colour, upright, in [0, 1]."""

import contextlib
import io
import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from autocnn.text import shape_text, visible

__all__ = ["MAX_PIXELS", "check_png", "deep_values", "read", "read_bytes", "read_with_steps"]

MAX_PIXELS = 50_000_000
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")

# Pillow logs some of what it raises too; without any handler Python would print that on stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read(path: str | os.PathLike) -> np.ndarray:
    """Read an image file as float32 in [0, 1]: (H, W) if it is grey, (H, W, 3) if not.

    Reads any format that Pillow does, and turns the image upright as its EXIF orientation says. Of
    an animation, it reads the first frame. Transparent pixels become white if the others are dark,
    black if they are bright. Grey values of more than 8 bits are divided by the range that they
    use, 255, 511, 1023, ... 65535: the values of a 12-bit camera in a 16-bit file by 4095.

    ValueError that names the file when it is missing, not an image, damaged, or larger than 50
    million pixels.
    """
    return read_with_steps(path)[0]


def read_with_steps(path: str | os.PathLike) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read an image file as ``read`` does. Returns (image, what was done that is worth saying)."""
    return _read(Path(path), Path(path), MAX_PIXELS)


def read_bytes(file: bytes, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read the bytes of an image file, as ``read`` does. name: of the file, for errors.
    max_pixels: ValueError for a larger image, before it is decoded.
    """
    return _read(io.BytesIO(file), Path(name), max_pixels)[0]


def _read(
    file: Path | io.BytesIO, path: Path, max_pixels: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    from PIL import Image, ImageOps

    with _value_errors(path), Image.open(file) as image:
        if image.format == "PNG":
            check_png(file)
        if image.width * image.height > max_pixels:
            size = shape_text((image.width, image.height), "x")
            raise ValueError(
                f"{path} has {size} pixels, more than {max_pixels:,}; make it smaller first"
            )
        image = ImageOps.exif_transpose(image)
        if image.mode in DEEP_MODES:
            return deep_values(np.asarray(image, np.float32))
        if image.mode == "F":
            raise ValueError(
                f"{path} holds floating-point numbers of an unknown range; save it as PNG first"
            )
        has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
        pixels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    is_grey = all((pixels[..., k] == pixels[..., 0]).all() for k in (1, 2))
    colours = pixels[..., 0] if is_grey else pixels[..., :3]
    result = np.divide(colours, 255, dtype=np.float32)
    return (_over_background(result, pixels[..., 3]) if has_alpha else result), ()


def check_png(file: Path | io.BytesIO) -> None:
    """Compare the checksums of a PNG's chunks, of which Pillow skips those of the pixels, and their
    lengths with the file: Pillow would reserve the memory that a chunk declares.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(file, Path):
            stream: IO[bytes] = stack.enter_context(open(file, "rb"))
        else:
            stream, place = file, file.tell()
            stack.callback(file.seek, place)
        stream.seek(8)
        while len(head := stream.read(8)) == 8 and head[4:] != b"IEND":
            left, total = int.from_bytes(head[:4], "big"), zlib.crc32(head[4:])
            while left and (block := stream.read(min(left, 1 << 20))):
                left, total = left - len(block), zlib.crc32(block, total)
            if left:
                raise SyntaxError("it cannot be read beyond one of its parts, where the file ends")
            stored = stream.read(4)
            if len(stored) == 4 and int.from_bytes(stored, "big") != total:
                kind = head[4:].decode("latin1")
                raise SyntaxError(f"the checksum of its part {kind} does not match")


def deep_values(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Scale grey values of up to 32 bits by the smallest range of whole bits that holds them."""
    largest = float(values.max(initial=0))
    bits = next((bits for bits in range(8, 17) if largest < 2**bits), 32)
    image = np.clip(values / np.float32(2**bits - 1), 0, 1)
    return image, (() if bits in (8, 16) else (f"values read as {bits} bits",))


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


@contextlib.contextmanager
def _value_errors(path: Path) -> Iterator[None]:
    """Turn all that Pillow raises for a file into one ValueError, a printable line."""
    try:
        with _pillow_errors(path):
            yield
    except ValueError as error:
        text = visible(error)
        if visible(path) not in text:
            text = f"{visible(path)} is a damaged image: {text}"
        if text == str(error):
            raise
        raise ValueError(text) from None


@contextlib.contextmanager
def _pillow_errors(path: Path) -> Iterator[None]:
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
        struct.error,
        zlib.error,
    ) as error:  # besides OSError, what Pillow's decoders raise for damaged files
        raise ValueError(f"{path} is a damaged image: {error or type(error).__name__}") from None
