"""IDX, the format of the MNIST files: a short header that tells type and sizes, then the values
themselves.

Big-endian: two zero bytes, the type code, the number of dimensions, one uint32 a dimension, the
values in C order. Only unsigned bytes (type code 8) occur here: images (N, H, W) and labels (N,).
Files may be gzipped, whatever their name says.

A header is a promise that must not be believed: it is held against the size of the file before
anything is allocated.
"""

import gzip
import hashlib
import math
import os
import struct
import zlib

import numpy as np

from autocnn.text import shape_text

DIMENSIONS = {"images": ("count", "height", "width"), "labels": ("count",)}
TYPES = {
    0x08: "unsigned bytes",
    0x09: "signed bytes",
    0x0B: "int16",
    0x0C: "int32",
    0x0D: "float32",
    0x0E: "float64",
}
UNSIGNED_BYTES = 0x08

BLOCK = 1 << 20  # read in blocks: gzip's readinto makes a copy of what it returns
FIRST = 1 << 16  # of a zipped file, whose size is not known
DEFLATE_LIMIT = 1032  # deflate cannot shrink anything further than this
PLAUSIBLE_RATIO, HARMLESS = 100, 1 << 26  # pictures hardly shrink tenfold; 64 MB cannot hurt


def read(path, kind):
    """The array of an IDX file, gzipped or not: uint8, (N, H, W) for kind "images", (N,) for
    "labels".

    ValueError, which names the file, if it is not an IDX file of that kind, is damaged, empty, or
    holds more or less than its header promises. A raw file takes as much memory as its size; a
    gzipped one up to three times what it unpacks to, which is refused beyond both 64 MB and 100
    times the size of the file.
    """
    with open(path, "rb") as raw:
        try:
            file, shape = _opened(raw, path, kind)
            if file is raw:
                values = np.empty(math.prod(shape), np.uint8)
                held = _fill(file, values)
            else:
                values = _grown(file, math.prod(shape))
                held = len(values)
            _check_promise(
                path, shape, held + len(file.read(1))
            )  # the read also makes gzip compare its checksum
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: damaged gzip file ({error}); fetch it again") from error
    return values.reshape(shape)


def shape(path, kind):
    """The shape that the header of an IDX file promises, read without its values; errors as in
    `read`.
    """
    with open(path, "rb") as raw:
        try:
            return _opened(raw, path, kind)[1]
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: damaged gzip file ({error}); fetch it again") from error


def write(path, array):
    """Write an array of unsigned bytes as an uncompressed IDX file."""
    with open(path, "wb") as file:
        file.write(_header(array))
        file.write(np.ascontiguousarray(array))


def digest(array):
    """The sha256, in hexadecimal, of the uncompressed IDX file that holds this array of unsigned
    bytes.
    """
    total = hashlib.sha256(_header(array))
    total.update(np.ascontiguousarray(array))
    return total.hexdigest()


def _header(array):
    if array.dtype != np.uint8:
        raise ValueError(
            f"an IDX file of this project holds uint8, got {array.dtype}: array.astype('uint8')"
        )
    return struct.pack(f">HBB{array.ndim}I", 0, UNSIGNED_BYTES, array.ndim, *array.shape)


def _opened(raw, path, kind):
    """The file, unzipped if need be and placed behind its header, and a shape that is safe to
    allocate.
    """
    size = os.fstat(raw.fileno()).st_size
    zipped = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    file = gzip.GzipFile(fileobj=raw, mode="rb") if zipped else raw
    shape = _shape(file, path, kind)
    if zipped:
        _check_zipped_promise(path, shape, size)
    else:
        _check_promise(path, shape, size - raw.tell())
    return file, shape


def _shape(file, path, kind):
    names = DIMENSIONS[kind]
    needed = f"{kind} need {len(names)} ({', '.join(names)}) of unsigned bytes: magic 00 00 08 {len(names):02x}"
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        got = f"it starts with {magic.hex(' ')}" if magic else "it is empty"
        raise ValueError(
            f"{path}: not an IDX file: {got}; an IDX file of {kind} starts with 00 00 08 {len(names):02x}"
        )
    code, rank = magic[2:]
    if code != UNSIGNED_BYTES:
        raise ValueError(
            f"{path}: holds {TYPES[code]} (type code {code:#04x}); {kind} must be unsigned bytes (0x08)"
        )
    if rank != len(names):
        looks = next(
            (f" (looks like {other})" for other, d in DIMENSIONS.items() if len(d) == rank), ""
        )
        raise ValueError(f"{path}: holds an array of {_dimensions(rank)}{looks}; {needed}")
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError(
            f"{path}: truncated: the header needs {4 + 4 * rank} bytes, the file holds {4 + len(sizes)}"
        )
    shape = struct.unpack(f">{rank}I", sizes)
    if 0 in shape:
        raise ValueError(
            f"{path}: holds no {kind}: its header says {shape_text(shape, 'x')}; every size must be at least 1"
        )
    return shape


def _check_promise(path, shape, held):
    promised = math.prod(shape)
    if held == promised:
        return
    what = "truncated" if held < promised else "longer than it says"
    raise ValueError(
        f"{path}: {what}: its header promises {shape_text(shape, 'x')} = {promised} bytes, "
        f"it holds {held if held < promised else 'more'}; fetch it again"
    )


def _check_zipped_promise(path, shape, size):
    promised = math.prod(shape)
    if promised > DEFLATE_LIMIT * size:
        why = f"no gzip file of {size} bytes can hold that"
    elif promised > max(PLAUSIBLE_RATIO * size, HARMLESS):
        why = f"too much to believe of a gzip file of {size} bytes; if it is right, unpack the file first (gunzip)"
    else:
        return
    raise ValueError(
        f"{path}: its header promises {shape_text(shape, 'x')} = {promised} bytes: {why}"
    )


def _fill(file, values):
    """Read into the array until it is full or the file ends; the number of bytes read."""
    held = 0
    while held < len(values):
        count = file.readinto(memoryview(values)[held : held + BLOCK])
        if not count:
            break
        held += count
    return held


def _grown(file, most):
    """Read at most so many bytes into an array that grows with what arrives: a zipped file's
    size proves no promise.
    """
    values = bytearray()
    # A read takes memory for all that it asks for, so that it asks for no more than has arrived so
    # far.
    while len(values) < most and (
        block := file.read(min(BLOCK, max(FIRST, len(values)), most - len(values)))
    ):
        values += block
    return np.frombuffer(values, np.uint8)


def _dimensions(rank):
    return f"{rank} dimension{'' if rank == 1 else 's'}"
