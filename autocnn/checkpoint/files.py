"""Safetensors files: opened with clear errors, and written so that they appear whole or not at
all.
"""

import contextlib
import os
import pathlib
import re
import secrets

import numpy as np

__all__ = ["opened", "tidy", "write", "written"]

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
            f"{path} is no safetensors file ({error}); a pickled file of torch is converted where torch is installed, by "
            "safetensors.torch.save_file(torch.load(path, weights_only=True), new_path)"
        ) from None
    with file:
        yield file


def written(path, tensors, metadata):
    """Write named arrays and a dict of strings to a safetensors file, by ``write``.

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
                f"the leaf '{name}' is {a.dtype}; a checkpoint holds integers, truth values and floats of 16, 32 or 64 bits: "
                "convert it, such as by astype('float64')"
            )
    write(path, save(tensors, metadata))


def write(path, content):
    """Write bytes to a file so that whoever reads it, at any moment, finds the old content or the
    new one, whole.

    They go to a new file beside it, which is flushed to the disk and then renamed over it.
    """
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(beside, "xb") as file:  # never through a link that someone has put there
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(
            error.errno, error.strerror, str(path)
        ) from error  # the caller does not know of the file beside
    finally:
        beside.unlink(missing_ok=True)


def tidy(folder):
    """Remove what a process that was killed while it wrote into a folder has left half-written
    there, beside the files.
    """
    for path in pathlib.Path(folder).iterdir():
        if re.fullmatch(r"\..+\.[0-9a-f]{8}\.part", path.name):
            path.unlink(missing_ok=True)
