"""Safetensors files: opened with clear errors, and written so that they appear whole or not at
all.
"""

import contextlib
import pathlib

import numpy as np

from autocnn.files import atomic_write

__all__ = ["opened", "written"]

FLOATS = ("float16", "float32", "float64")


@contextlib.contextmanager
def opened(path):
    """Open a safetensors file to be read tensor by tensor; ValueError or FileNotFoundError when
    that is not what it is.
    """
    from safetensors import SafetensorError, safe_open

    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        file = safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no safetensors file ({error}); a pickled file of torch is converted where "
            "torch is installed, by safetensors.torch.save_file(torch.load(path, "
            "weights_only=True), new_path)"
        ) from None
    with file:
        yield file


def written(path, tensors, metadata):
    """Write named arrays and a dict of strings to a safetensors file, by ``files.atomic_write``.

    ValueError for a leaf that is no array of integers, truth values or floats of 16, 32 or 64 bits,
    OSError when the disk is full or the place cannot be written.
    """
    from safetensors.numpy import save

    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {path.parent} to write {path.name} to; make it first"
        )
    tensors = {
        name: np.asarray(a, order="C") for name, a in tensors.items()
    }  # asarray keeps ascontiguousarray's 0-d trap shut
    for name, a in tensors.items():
        if a.dtype.kind not in "biu" and a.dtype.name not in FLOATS:
            raise ValueError(
                f"the leaf '{name}' is {a.dtype}; a checkpoint holds integers, truth values and "
                "floats of 16, 32 or 64 bits: convert it, such as by astype('float64')"
            )
    atomic_write(path, save(tensors, metadata))
