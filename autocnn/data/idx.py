"""IDX, the format of the MNIST files: a short header with type and sizes, then the values.

Big-endian: two zero bytes, the type code, the number of dimensions, a uint32 for each dimension,
the values in C order. Only unsigned bytes (type code 8) occur here: images (N, H, W), or in colour
(N, H, W, C) or (N, C, H, W), and labels (N,). Files may be gzipped, whatever their name is.

The header of a damaged or hostile file may declare any size. It is compared with the size of the
file before anything is allocated.
"""

import gzip
import hashlib
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Literal

import numpy as np

from autocnn.text import shape_text

__all__ = ["DIMENSIONS", "digest", "read", "shape", "write"]

Kind = Literal["images", "labels"]
Shape = tuple[int, ...]

DIMENSIONS = {"images": ("count", "height", "width"), "labels": ("count",)}
COLOUR_RANK = {"images": 4}
TYPES = {
    0x08: "unsigned bytes",
    0x09: "signed bytes",
    0x0B: "int16",
    0x0C: "int32",
    0x0D: "float32",
    0x0E: "float64",
}
UNSIGNED_BYTES = 0x08

BLOCK = 1 << 20  # read in blocks: gzip's readinto copies what it returns
FIRST_BLOCK = 1 << 16  # of a gzipped file, whose true size is not known
DEFLATE_LIMIT = 1032  # the largest compression ratio that deflate can reach
# Images hardly compress tenfold, and 64 MB do no harm.
PLAUSIBLE_RATIO, HARMLESS = 100, 1 << 26


def read(path: str | Path, kind: Kind) -> np.ndarray:
    """Read an IDX file, gzipped or not: uint8, (N,) for "labels", (N, H, W) for "images", and for
    those in colour the four axes that it has.

    ValueError that names the file if it is not an IDX file of that kind, is damaged or empty, or
    holds more or less than its header declares. A raw file needs as much memory as its size. A
    gzipped one needs up to three times its uncompressed size, and is refused if that is above both
    64 MB and 100 times the size of the file.
    """
    with open(path, "rb") as raw:
        try:
            file, shape = _open(raw, path, kind)
            if file is raw:
                values = np.empty(math.prod(shape), np.uint8)
                held = _fill(file, values)
            else:
                values = _read_growing(file, math.prod(shape))
                held = len(values)
            extra = len(file.read(1))  # this read also makes gzip compare its checksum
            _check_size(path, shape, held + extra)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: damaged gzip file ({error}); fetch it again") from error
    return values.reshape(shape)


def shape(path: str | Path, kind: Kind) -> Shape:
    """Return the shape that an IDX file's header declares, without reading the values; errors as
    in ``read``.
    """
    with open(path, "rb") as raw:
        try:
            return _open(raw, path, kind)[1]
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: damaged gzip file ({error}); fetch it again") from error


def write(path: str | Path, array: np.ndarray) -> None:
    """Write a uint8 array as an uncompressed IDX file; ValueError for another dtype."""
    with open(path, "wb") as file:
        file.write(_header(array))
        file.write(np.ascontiguousarray(array))


def digest(array: np.ndarray) -> str:
    """Return the sha256, in hexadecimal, of the uncompressed IDX file of a uint8 array."""
    total = hashlib.sha256(_header(array))
    total.update(np.ascontiguousarray(array))
    return total.hexdigest()


def _header(array: np.ndarray) -> bytes:
    if array.dtype != np.uint8:
        raise ValueError(
            f"an IDX file of autocnn holds uint8, got {array.dtype}: array.astype('uint8')"
        )
    return struct.pack(f">HBB{array.ndim}I", 0, UNSIGNED_BYTES, array.ndim, *array.shape)


def _open(raw: IO[bytes], path: str | Path, kind: Kind) -> tuple[IO[bytes], Shape]:
    """Return the uncompressed file, positioned behind its header, and a shape that is safe to
    allocate.
    """
    size = os.fstat(raw.fileno()).st_size
    gzipped = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    file = gzip.GzipFile(fileobj=raw, mode="rb") if gzipped else raw
    shape = _shape(file, path, kind)
    if gzipped:
        _check_gzip_size(path, shape, size)
    else:
        _check_size(path, shape, size - raw.tell())
    return file, shape


def _shape(file: IO[bytes], path: str | Path, kind: Kind) -> Shape:
    names = DIMENSIONS[kind]
    signature = f"00 00 08 {len(names):02x}"
    needed = f"{kind} need {len(names)} ({', '.join(names)}) of unsigned bytes: magic {signature}"
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        got = f"it starts with {magic.hex(' ')}" if magic else "it is empty"
        raise ValueError(
            f"{path}: not an IDX file: {got}; an IDX file of {kind} starts with {signature}"
        )
    code, rank = magic[2:]
    if code != UNSIGNED_BYTES:
        raise ValueError(
            f"{path}: holds {TYPES[code]} (type code {code:#04x}); {kind} must be unsigned bytes "
            "(0x08)"
        )
    if rank not in (len(names), COLOUR_RANK.get(kind)):
        looks = next(
            (f" (looks like {other})" for other, d in DIMENSIONS.items() if len(d) == rank), ""
        )
        raise ValueError(f"{path}: holds an array of {_dimensions(rank)}{looks}; {needed}")
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError(
            f"{path}: truncated: the header needs {4 + 4 * rank} bytes, the file holds "
            f"{4 + len(sizes)}"
        )
    shape = struct.unpack(f">{rank}I", sizes)
    if 0 in shape:
        raise ValueError(
            f"{path}: holds no {kind}: its header declares {shape_text(shape, 'x')}; every size "
            "must be at least 1"
        )
    return shape


def _check_size(path: str | Path, shape: Shape, held: int) -> None:
    declared = math.prod(shape)
    if held == declared:
        return
    what = "truncated" if held < declared else "longer than declared"
    raise ValueError(
        f"{path}: {what}: its header declares {shape_text(shape, 'x')} = {declared} bytes, "
        f"it holds {held if held < declared else 'more'}; fetch it again"
    )


def _check_gzip_size(path: str | Path, shape: Shape, size: int) -> None:
    declared = math.prod(shape)
    if declared > DEFLATE_LIMIT * size:
        why = f"no gzip file of {size} bytes can hold that"
    elif declared > max(PLAUSIBLE_RATIO * size, HARMLESS):
        why = (
            f"implausible for a gzip file of {size} bytes; if it is right, unpack the file first "
            "(gunzip)"
        )
    else:
        return
    raise ValueError(
        f"{path}: its header declares {shape_text(shape, 'x')} = {declared} bytes: {why}"
    )


def _fill(file: IO[bytes], values: np.ndarray) -> int:
    """Read until the array is full or the file ends; return the number of bytes read."""
    held = 0
    while held < len(values):
        count = file.readinto(memoryview(values)[held : held + BLOCK])
        if not count:
            break
        held += count
    return held


def _read_growing(file: IO[bytes], max_bytes: int) -> np.ndarray:
    """Read at most ``max_bytes`` into an array that grows as they arrive: the size of a gzipped
    file does not prove what its header declares.
    """
    values = bytearray()
    while len(values) < max_bytes:
        # A read allocates all that it asks for, so it asks for no more than has arrived so far.
        block = file.read(min(BLOCK, max(FIRST_BLOCK, len(values)), max_bytes - len(values)))
        if not block:
            break
        values += block
    return np.frombuffer(values, np.uint8)


def _dimensions(rank: int) -> str:
    return f"{rank} dimension{'' if rank == 1 else 's'}"
