"""NumPy's .npy and .npz files from anywhere, read without trust.

``numpy.load`` allocates whatever a header declares and does not look behind an array, so that a zip
archive's checksum may never be compared. Here a header must declare as many bytes as there are
before anything is allocated, every checksum is compared, and no Python object is unpickled.
"""

import contextlib
import math
import os
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

__all__ = ["Member", "check_sums", "is_npz", "open_npz", "read_npy"]

BLOCK = 1 << 20  # bytes that are read at a time
DEFLATE_LIMIT = 1032  # the largest compression ratio that deflate can reach
LENGTHS = 26  # of a member's name and extra field: where its own header has them
DESCRIPTORS = (0, 12, 16, 20, 24)  # bytes that may follow a member: its sum and sizes
MAGIC = b"\x93NUMPY"
MAX_DIMENSIONS = 32
READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Member(NamedTuple):
    """An array of an archive that is not read yet: its shape, its dtype, and ``read()``."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


class _Header(NamedTuple):
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype
    size: int  # of the array, in bytes


def read_npy(path: str | Path) -> np.ndarray:
    """Read a .npy file. ValueError, which names the file, where it is damaged, longer or shorter
    than declared, or holds Python objects.
    """
    with open(path, "rb") as file:
        header = _header(file, str(path), os.fstat(file.fileno()).st_size)
        return _array(file, header, str(path))


@contextlib.contextmanager
def open_npz(path: str | Path) -> Iterator[dict[str, Member]]:
    """Open a .npz file for a ``with`` block: {name: ``Member``}.

    ValueError, which names the file, where it or a member is damaged, is no array, or holds Python
    objects; of a member when it is read.
    """
    with _damage(path):
        archive = zipfile.ZipFile(path)
    with archive:
        yield {info.filename.removesuffix(".npy"): _member(archive, info, path)
               for info in _infos(archive, path)}  # fmt: skip


def is_npz(path: str | Path) -> bool:
    """Whether a zip archive holds arrays only; if it is damaged, whether its name ends in .npz."""
    try:
        with _damage(path), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except ValueError:
        return Path(path).suffix == ".npz"
    return bool(names) and all(name.endswith(".npy") for name in names)


def check_sums(path: str | Path) -> None:
    """Compare the checksums of all members of a zip archive. ValueError for a damaged one."""
    with _damage(path), zipfile.ZipFile(path) as archive:
        _check_complete(archive, path)
        for info in archive.infolist():
            _check_size(info, path)
            with archive.open(info) as file:
                while file.read(BLOCK):
                    pass


@contextlib.contextmanager
def _damage(path: str | Path) -> Iterator[None]:
    """Turn what ``zipfile`` raises for damaged archives into ValueError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        OverflowError,
        UnicodeError,
    ) as error:
        raise ValueError(f"{path} is damaged: {error or type(error).__name__}") from None


def _infos(archive: zipfile.ZipFile, path: str | Path) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    for info in infos:
        if not info.filename.endswith(".npy"):
            raise ValueError(f"{path} is damaged: {info.filename!r} in it is not an array (.npy)")
        if names.count(info.filename) > 1:
            raise ValueError(f"{path} is damaged: it holds {info.filename!r} twice")
        _check_size(info, path)
    _check_complete(archive, path)
    return infos


def _check_complete(archive: zipfile.ZipFile, path: str | Path) -> None:
    """Refuse an archive that holds more than what its directory lists: the directory has no
    checksum, and a changed byte in it can hide members.
    """
    with _damage(path), open(path, "rb") as file:
        end = 0
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            if info.header_offset - end not in DESCRIPTORS:
                break
            file.seek(info.header_offset + LENGTHS)
            name, extra = file.read(2), file.read(2)
            lengths = int.from_bytes(name, "little") + int.from_bytes(extra, "little")
            end = info.header_offset + LENGTHS + 4 + lengths + info.compress_size
        else:
            if archive.start_dir - end in DESCRIPTORS:
                return
    raise ValueError(f"{path} is damaged: its directory does not list all that it holds")


def _check_size(info: zipfile.ZipInfo, path: str | Path) -> None:
    """Refuse a member that declares a size that it cannot have."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{path} is compressed in another way than numpy.savez_compressed's")
    most = DEFLATE_LIMIT if info.compress_type == zipfile.ZIP_DEFLATED else 1
    if info.file_size > most * min(info.compress_size, os.path.getsize(path)):
        raise ValueError(
            f"{path} is damaged: {info.filename!r} declares {info.file_size:,} bytes, which its "
            f"{info.compress_size:,} bytes cannot hold"
        )


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str | Path) -> Member:
    what = f"{info.filename.removesuffix('.npy')} in {path}"
    with _damage(path), archive.open(info) as file:
        header = _header(file, what, info.file_size)

    def read() -> np.ndarray:
        with _damage(path), archive.open(info) as file:
            _header(file, what, info.file_size)
            return _array(file, header, what)

    return Member(header.shape, header.dtype, read)


def _header(file: IO[bytes], what: str, size: int) -> _Header:
    """Read a header. ValueError unless what follows, in a file of ``size`` bytes, fits it."""
    begin = file.read(len(MAGIC) + 2)
    if begin[: len(MAGIC)] != MAGIC:
        raise ValueError(f"{what} is damaged: it does not begin as a .npy file does")
    reader: Any = READERS.get(tuple(begin[len(MAGIC) :]))  # type: ignore[arg-type]
    if reader is None:
        raise ValueError(f"{what} is damaged, or has a version of .npy that plain arrays never do")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that Python 2 wrote it
            shape, is_fortran, dtype = reader(file)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError,
            IndexError, tokenize.TokenError):  # fmt: skip
        raise ValueError(f"{what} is damaged: its header cannot be read") from None
    if dtype.hasobject:
        raise ValueError(
            f"{what} holds Python objects, which are not read, since they can run code; save "
            "arrays of numbers: numpy.savez(file, name=array, ...)"
        )
    if dtype.kind == "V" or not dtype.itemsize:
        raise ValueError(f"{what} holds {dtype!s:.40}, neither numbers nor words")
    is_shape = all(type(n) is int and n >= 0 for n in shape) and len(shape) <= MAX_DIMENSIONS
    declared, held = math.prod(shape) * dtype.itemsize if is_shape else -1, size - file.tell()
    if declared != held:
        shown = f"{shape} {dtype}" if len(str(shape)) < 200 else "more"
        raise ValueError(f"{what} is damaged: its header declares {shown}; it holds {held:,} bytes")
    return _Header(shape, bool(is_fortran), dtype, declared)


def _array(file: IO[bytes], header: _Header, what: str) -> np.ndarray:
    """Read an array in steps: how much a compressed file holds is not known before."""
    values = bytearray()
    while block := file.read(min(BLOCK, max(header.size - len(values), 1))):  # 1: to see the end
        values += block
        if len(values) > header.size:
            break
    if len(values) != header.size:
        raise ValueError(f"{what} is damaged: it holds {len(values):,} of {header.size:,} bytes")
    array = np.frombuffer(values, header.dtype) if values else np.empty(0, header.dtype)
    return array.reshape(header.shape, order="F" if header.is_fortran else "C")
