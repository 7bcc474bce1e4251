"""MATLAB files of versions 5 to 7 (save(..., '-v7')), the arrays of numbers in them.

The format is MathWorks' "MAT-File Format", Level 5. It is read here because SciPy's reader can
crash the interpreter on a damaged file and does not compare the checksums of compressed arrays.
"""

import math
import struct
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autocnn.data.parts import check_memory

__all__ = ["read_matlab"]

HEADER, VERSION_5, VERSION_7_3 = 128, 0x0100, 0x0200
MATRIX, COMPRESSED = 14, 15
NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8",
           15: "u8"}  # fmt: skip
COMPLEX = 0x0800
DIMENSIONS = 32
BLOCK = 1 << 20


class _Part(NamedTuple):
    kind: int
    content: memoryview


def read_matlab(path: Path, names: Container[str]) -> dict[str, np.ndarray]:
    """Read the arrays of these names, in the dtypes that MATLAB had them in.

    ValueError, which names the file, where it is damaged or of another version, and where an array
    of these names holds anything but real numbers.
    """
    check_memory(path.stat().st_size, f"{path}: its arrays", "save fewer images")
    content = memoryview(path.read_bytes())
    order = _order(path, content)
    found: dict[str, np.ndarray] = {}
    try:
        for part in _parts(content[HEADER:], order, is_padded=False):
            if part.kind == COMPRESSED:
                (part,) = _parts(memoryview(_unpacked(path, part.content, order)), order, False)
            if part.kind != MATRIX:
                raise ValueError(f"an element of type {part.kind} is no array")
            read = _matrix(part.content, order, names)
            if read is not None:
                if read[0] in found:
                    raise ValueError(f"it holds {read[0]} twice")
                found[read[0]] = read[1]
    except (ValueError, struct.error, zlib.error) as error:
        text = str(error)
        raise ValueError(text if str(path) in text else f"{path} is damaged: {error}") from None
    return found


def _order(path: Path, content: memoryview) -> str:
    """Check the version; return the byte order, "<" or ">"."""
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]), "")
    version = struct.unpack(order + "H", content[124:126])[0] if order else 0
    if version == VERSION_7_3 or content[:4] == b"\x89HDF":
        raise ValueError(
            f"{path} is a MATLAB file of version 7.3 (HDF5); save it by save(..., '-v7')"
        )
    if version != VERSION_5:
        raise ValueError(f"{path} is damaged, or not a MATLAB file of version 5 to 7: save it by "
                         "save(..., '-v7')")  # fmt: skip
    return order


def _parts(content: memoryview, order: str, is_padded: bool = True) -> Iterator[_Part]:
    """The elements that follow each other: a type and a size in 8 bytes, or in 4 if the content is
    no longer than that; each begins at a multiple of 8 bytes inside of an array.
    """
    while len(content):
        if len(content) < 8:
            raise ValueError(f"{len(content)} bytes are left over")
        kind, size = struct.unpack(order + "II", content[:8])
        start, length = 8, 8 + size
        if kind >> 16:
            kind, size, start, length = kind & 0xFFFF, kind >> 16, 4, 8
            if size > 4:
                raise ValueError(f"a short element declares {size} bytes")
        elif is_padded:
            length = 8 + -(-size // 8) * 8
        if start + size > len(content):
            raise ValueError(f"an element declares {size:,} bytes, and {len(content):,} are left")
        yield _Part(kind, content[start : start + size])
        content = content[length:]


def _unpacked(path: Path, content: memoryview, order: str) -> bytearray:
    """Unpack a compressed element, as far as it declares, and compare its checksum."""
    unzip, values, most, rest = zlib.decompressobj(), bytearray(), 0, bytes(content)
    while rest and not unzip.eof:
        block = unzip.decompress(rest, max(1 << 12, min(BLOCK, len(values))))
        rest = unzip.unconsumed_tail
        values += block
        if not most and len(values) >= 8:
            most = 8 + struct.unpack(order + "II", values[:8])[1]
            check_memory(min(most, 1032 * len(content)), f"{path}: its arrays", "save fewer images")
        if len(values) >= 8 and len(values) > most:
            raise ValueError("an array unpacks to more than it declares")
    if not unzip.eof or unzip.unused_data:
        raise ValueError("a compressed array is cut, or longer than its data")
    if len(values) != most:
        raise ValueError(f"an array declares {most:,} bytes and unpacks to {len(values):,}")
    return values


def _matrix(
    content: memoryview, order: str, names: Container[str]
) -> tuple[str, np.ndarray] | None:
    """Return the name and the values of an array of ``names``, None for another."""
    parts = _parts(content, order)
    try:
        flags, sizes, title = (next(parts) for _ in range(3))
    except RuntimeError:  # a generator that ends
        raise ValueError("an array is cut") from None
    name = bytes(title.content).decode("latin1")
    if name not in names:
        return None
    if len(flags.content) != 8 or len(sizes.content) % 4:
        raise ValueError(f"the header of {name} is cut")
    word = struct.unpack(order + "II", flags.content)[0]
    shape = struct.unpack(f"{order}{len(sizes.content) // 4}i", sizes.content)
    dtype = CLASSES.get(word & 0xFF)
    if dtype is None or word & COMPLEX:
        raise ValueError(f"{name} is not an array of real numbers")
    values = next(parts, None)
    if values is None or values.kind not in NUMBERS or next(parts, None) is not None:
        raise ValueError(f"the values of {name} are not numbers")
    stored = np.dtype(order + NUMBERS[values.kind])
    declared = math.prod(shape) * stored.itemsize
    if min(shape, default=-1) < 0 or len(shape) > DIMENSIONS or declared != len(values.content):
        raise ValueError(f"{name} declares {declared:,} bytes, it holds {len(values.content):,}")
    array = np.frombuffer(values.content, stored)
    if not _fits(array, dtype):
        raise ValueError(f"{name} holds numbers that its type, {np.dtype(dtype)}, does not have")
    return name, array.astype(dtype).reshape(shape, order="F")


def _fits(array: np.ndarray, dtype: str) -> bool:
    """Whether an array may become one of ``dtype``; MATLAB stores it in a smaller type or that."""
    return np.dtype(dtype).kind == "f" or np.can_cast(array.dtype, dtype) or (
        array.dtype.kind in "iu" and bool(array.size)
        and np.iinfo(dtype).min <= int(array.min()) and int(array.max()) <= np.iinfo(dtype).max
    )  # fmt: skip
