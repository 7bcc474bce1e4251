"""Safetensors files with sums: any bit that changes on the disk is found when the file is read.

The metadata of a file have an entry "sums", JSON of {"sha256": header, "tensors": {name: sum}}. A
tensor's sum is the SHA-256 of its bytes. The header's sum is the SHA-256 of the whole header, its
padding included, with 64 zeros in the place of that sum. Every other reader of safetensors ignores
the entry.
"""

import contextlib
import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autocnn.files import atomic_write

__all__ = ["ZEROS", "DamagedError", "Tensors", "is_sealed", "open_tensors", "seal", "write_tensors"]

ZEROS = b"0" * 64
SUM = re.compile(rb'"sha256\\?": \\?"([0-9a-f]{64})')
DTYPES = {"float16": "F16", "float32": "F32", "float64": "F64", "bool": "BOOL"}


class DamagedError(ValueError):
    """A file is not as it was written. tensors: the names of those whose values have changed."""

    def __init__(self, message: str, tensors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.tensors = tensors


def seal(content: bytes) -> bytes:
    """Put the SHA-256 of ``content`` into it, in the place of its first 64 zeros."""
    return content.replace(ZEROS, hashlib.sha256(content).hexdigest().encode(), 1)


def is_sealed(content: bytes) -> bool:
    """Whether every bit of ``content`` is as ``seal`` returned it."""
    found = SUM.search(content)
    if found is None:
        return False
    zeroed = content[: found.start(1)] + ZEROS + content[found.end(1) :]
    return hashlib.sha256(zeroed).hexdigest().encode() == found[1]


class Tensors:
    """An open safetensors file, whose tensors are compared with their sums as they are read."""

    def __init__(self, path: Path, file: Any, sums: dict[str, str] | None) -> None:
        self.path, self.sums = path, sums
        self.metadata: dict[str, str] = dict(file.metadata() or {})
        self.keys, self.get_slice, self._read = file.keys, file.get_slice, file.get_tensor

    def get_tensor(self, name: str) -> np.ndarray:
        """Return a tensor. ``DamagedError`` when it does not match its sum."""
        tensor = self._read(name)
        if self.sums is not None and _tensor_sum(tensor) != self.sums.get(name):
            raise DamagedError(
                f"{self.path} is damaged: the tensor '{name}' does not match its SHA-256", (name,)
            )
        return tensor

    def damaged(self) -> list[str]:
        """Return the names of all tensors that do not match their sums."""
        sums = {} if self.sums is None else self.sums
        return [name for name in sums if _tensor_sum(self._read(name)) != sums[name]]


@contextlib.contextmanager
def open_tensors(path: str | Path) -> Iterator[Tensors]:
    """Open a safetensors file, to read it tensor by tensor in a ``with`` block.

    FileNotFoundError if there is no such file, ValueError if it is of another format,
    ``DamagedError``, a ValueError, if its header does not match its sum. A file without sums is
    opened as it is: ``sums`` is then None.
    """
    from safetensors import SafetensorError

    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file; remove it, or name a file")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not path.is_file():
        raise ValueError(f"{path} is a pipe or a device, not a file; remove it, or name a file")
    try:
        header, file = _open_unreplaced(path)
    except SafetensorError as error:
        raise DamagedError(
            f"{path} is damaged, or not a safetensors file ({error}); convert a pickled file of "
            "torch where torch is installed, by "
            "safetensors.torch.save_file(torch.load(path, weights_only=True), new_path)"
        ) from None
    with file:
        yield Tensors(path, file, _header_sums(path, header, file.metadata() or {}))


def write_tensors(
    path: str | Path, tensors: Mapping[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Write named arrays and metadata with sums to a safetensors file, by ``files.atomic_write``.

    The same arrays give the same bytes. ValueError for an array that is not of integers, bools or
    floats of 16, 32 or 64 bits; FileNotFoundError for a missing folder; OSError when the file
    cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {path.parent} to write {path.name} to; make it first"
        )
    atomic_write(path, _serialize({name: _plain(name, a) for name, a in tensors.items()}, metadata))


def _plain(name: str, array: Any) -> np.ndarray:
    # asarray, since ascontiguousarray would give arrays of shape () an axis.
    a = np.asarray(array, order="C")
    if a.dtype.kind not in "iu" and a.dtype.name not in DTYPES:
        raise ValueError(
            f"the leaf '{name}' is {a.dtype}; a checkpoint holds integers, bools and floats of "
            "16, 32 or 64 bits: convert it, such as by astype('float64')"
        )
    return a.astype(a.dtype.newbyteorder("<"), copy=False)


def _serialize(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    # The largest items first: each tensor then begins at a multiple of its item size.
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    sums = {name: _tensor_sum(arrays[name]) for name in names}
    about = json.dumps({"sha256": ZEROS.decode(), "tensors": sums})
    header: dict[str, Any] = {"__metadata__": {"sums": about, **metadata}}
    end = 0
    for name in names:
        a, start = arrays[name], end
        end += a.nbytes
        kind = DTYPES.get(a.dtype.name, f"{a.dtype.kind}{8 * a.itemsize}".upper())
        header[name] = {"dtype": kind, "shape": a.shape, "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = seal(text + b" " * (-len(text) % 8))
    body = b"".join(arrays[name].tobytes() for name in names)
    return struct.pack("<Q", len(text)) + text + body


def _tensor_sum(a: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(a).reshape(-1).view(np.uint8)).hexdigest()


def _open_unreplaced(path: Path) -> tuple[bytes, Any]:
    """Return the raw header and the open file, both of one file: a run that is being trained may
    replace it in between.
    """
    from safetensors import safe_open

    while True:
        before = os.stat(path)
        with open(path, "rb") as raw:
            size = min(int.from_bytes(raw.read(8), "little"), before.st_size)
            header = raw.read(size)
        file = safe_open(path, framework="numpy")
        after = os.stat(path)
        if (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns):
            return header, file


def _header_sums(path: Path, header: bytes, metadata: dict[str, str]) -> dict[str, str] | None:
    """Return {tensor: sum}, None for a file that was written without sums."""
    if "sums" not in metadata:
        if any(value.startswith('{"sha256"') for value in metadata.values()):
            raise DamagedError(f"{path} is damaged: the name of its sums has changed")
        return None
    if not is_sealed(header):
        raise DamagedError(f"{path} is damaged: its header does not match its SHA-256")
    return dict(json.loads(metadata["sums"])["tensors"])
