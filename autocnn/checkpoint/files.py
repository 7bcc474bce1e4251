"""Read and write safetensors files: clear errors, and a file that appears whole or not at all."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autocnn.files import atomic_write

__all__ = ["open_tensors", "write_tensors"]

FLOATS = ("float16", "float32", "float64")


@contextlib.contextmanager
def open_tensors(path: str | Path) -> Iterator[Any]:
    """Open a safetensors file, to read it tensor by tensor in a ``with`` block.

    FileNotFoundError if there is no such file, ValueError if it is of another format.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        file = safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a safetensors file ({error}); convert a pickled file of torch where "
            "torch is installed, by "
            "safetensors.torch.save_file(torch.load(path, weights_only=True), new_path)"
        ) from None
    with file:
        yield file


def write_tensors(
    path: str | Path, tensors: Mapping[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Write named arrays and metadata to a safetensors file, by ``files.atomic_write``.

    ValueError for an array that is not of integers, bools or floats of 16, 32 or 64 bits;
    FileNotFoundError for a missing folder; OSError when the file cannot be written.
    """
    from safetensors.numpy import save

    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {path.parent} to write {path.name} to; make it first"
        )
    # asarray, since ascontiguousarray would give arrays of shape () an axis.
    arrays = {name: np.asarray(a, order="C") for name, a in tensors.items()}
    for name, a in arrays.items():
        if a.dtype.kind not in "biu" and a.dtype.name not in FLOATS:
            raise ValueError(
                f"the leaf '{name}' is {a.dtype}; a checkpoint holds integers, bools and floats of "
                "16, 32 or 64 bits: convert it, such as by astype('float64')"
            )
    atomic_write(path, save(arrays, metadata))
