"""Which form of data a file or folder holds, by its content, and the function that reads it."""

import contextlib
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autocnn.data.cifar import CIFAR_PAGE, has_cifar, has_cifar_pickles, read_cifar
from autocnn.data.dataset import Dataset
from autocnn.data.folders import read_folder
from autocnn.data.idx_sets import load_folder
from autocnn.data.layouts import SUFFIXES, layout
from autocnn.data.named_arrays import read_mat, read_npy_folder, read_npz
from autocnn.data.parts import Parts, dataset, split_dataset
from autocnn.data.tables import is_table, read_table, read_table_folder
from autocnn.numpy_files import is_npz
from autocnn.ops.arguments import integer
from autocnn.text import visible

__all__ = ["FORMS", "form_of", "load_path"]

FORMS = (
    "a folder of image folders (cat/1.png or train/cat/1.png), four IDX files, CIFAR's binary "
    "version, .npz, .npy, SVHN's train_32x32.mat, or a .csv of pixels"
)
# How files begin that hold data, but not in a form that is read: what to do about them.
OTHERS = (
    (b"PK\x03\x04", "is a zip archive; unpack it first (unzip), and name the folder"),
    (b"BZh", "is a bzip2 archive; unpack it first (tar xjf), and name the folder"),
    (b"\xfd7zXZ", "is an xz archive; unpack it first (tar xJf), and name the folder"),
    (b"\x89HDF", "is an HDF5 file; save its arrays by numpy.savez(file, x_train=..., y_train=...)"),
    (b"PAR1", "is a Parquet file; save its arrays by numpy.savez(file, x_train=..., y_train=...)"),
    (b"\x80", "is a pickle, which can run code when it is read; save its arrays by numpy.savez"),
)
IDX_MAGIC = b"\0\0\x08"
HEAD = 512  # bytes by which a file is recognised; a tar archive has its mark at 257

Read = Callable[..., Any]


def load_path(
    path: Path,
    dtype: DTypeLike,
    validation: float | None = None,
    size: Any = None,
    grey: bool | None = None,
    transpose: bool | None = None,
    seed: Any = 0,
) -> Dataset:
    """Load a file or folder in any of ``FORMS``; see ``autocnn.data.load``.

    Whatever is wrong with it is a ValueError in one printable line that names it.
    """
    with _one_line(path):
        return _load(path, dtype, validation, size, grey, transpose, seed)


def _load(
    path: Path,
    dtype: DTypeLike,
    validation: float | None,
    size: Any,
    grey: bool | None,
    transpose: bool | None,
    seed: Any,
) -> Dataset:
    form = form_of(path)
    for name, value, takes in (
        ("size", size, ("images", "table", "tables")),
        ("grey", grey, ("images",)),
        ("transpose", transpose, ("idx",)),
    ):
        if value is not None and form not in takes:
            raise ValueError(f"{path}: {name} is not for data of this form; leave it away")
    if form == "idx":
        data = load_folder(path, np.dtype(dtype), transpose)
        return data if validation is None else split_dataset(data, validation, seed)
    parts = _read(form, path, size, grey)
    return dataset(parts, str(path), validation, seed, dtype)


@contextlib.contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Make a ValueError in one printable line, which names the path, of what reading it raises."""
    try:
        yield
    except ValueError as error:
        text = visible(error)
        if visible(path) not in text:
            text = f"{visible(path)}: {text}"
        if text == str(error):
            raise
        raise ValueError(text) from error
    except OSError as error:
        name = error.filename if isinstance(error.filename, str) else path
        where = "" if Path(name) == path else f"{visible(path)}: "
        reason = error.strerror or error
        raise ValueError(f"{where}{visible(name)} cannot be read: {visible(reason)}") from error
    except MemoryError as error:
        raise ValueError(f"{visible(path)} needs more memory than is free") from error


def form_of(path: Path) -> str:
    """Return the form of what is in a file or folder: "idx", "images", "cifar", "npz", "npy",
    "mat", "table" or "tables". ValueError in one line that says what it holds, and which forms
    there are, when it is none of them.
    """
    return _folder_form(path) if path.is_dir() else _file_form(path)


def _read(form: str, path: Path, size: Any, grey: bool | None) -> Parts:
    if form == "images":
        return read_folder(path, size, grey)
    if form == "cifar":
        return read_cifar(path)
    if form == "npz":
        return read_npz(path if path.is_file() else _only(path, "*.npz"))
    if form == "npy":
        return read_npy_folder(path if path.is_dir() else path.parent)
    if form == "mat":
        return read_mat(_mat_files(path), path)
    rows = (
        None
        if size is None
        else tuple(integer(n, "size") for n in (size if not isinstance(size, int) else (size,) * 2))
    )
    return (read_table if form == "table" else read_table_folder)(path, rows)  # type: ignore[arg-type]


def _file_form(path: Path) -> str:
    if not path.is_file():  # reading a pipe or a device may never end
        raise ValueError(f"{path} is neither a file nor a folder; a data set is {FORMS}")
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as inside:
                head = inside.read(HEAD)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file ({error})") from None
    if head.startswith(IDX_MAGIC):
        return "idx"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK\x03\x04") and is_npz(path):
        return "npz"
    if head.startswith(b"MATLAB"):
        return "mat"
    if b"ustar" in head[257:265]:
        raise ValueError(f"{path} is a tar archive; unpack it first (tar xf), and name the folder")
    if head.startswith(b"PK") and b"/data.pkl" in head:
        raise ValueError(
            f"{path} is a file of torch.save; save its arrays by numpy.savez(file, "
            "x_train=images.numpy(), y_train=labels.numpy())"
        )
    for magic, what in OTHERS:
        if head.startswith(magic):
            raise ValueError(f"{path} {what}")
    if path.suffix.lower() in SUFFIXES:
        raise ValueError(
            f"{path} is one image; a data set is {FORMS}. For its class: autocnn predict RUN IMAGE"
        )
    if is_table(path):
        return "table"
    raise ValueError(f"{path} begins with {head[:4].hex(' ') or 'nothing'}; a data set is {FORMS}")


def _folder_form(folder: Path) -> str:
    files = sorted(one for one in folder.iterdir() if one.is_file() and one.name[0] != ".")
    names = [one.name.lower() for one in files]
    if any(re.search(r"idx(\d|\.gz|$)|ubyte", name) for name in names):  # not class_to_idx.json
        return "idx"
    if has_cifar(folder):
        return "cifar"
    if has_cifar_pickles(folder):
        raise ValueError(
            f"{folder} is CIFAR's Python version, pickles, which can run code when they are read; "
            f"fetch the binary version from {CIFAR_PAGE}"
        )
    for pattern, form in (
        (r".*\.npz", "npz"),
        (r".*\.npy", "npy"),
        (r"(train|test).*\.mat", "mat"),
        (r"train\.csv", "tables"),
    ):
        if any(re.fullmatch(pattern, name) for name in names):
            return form
    try:
        layout(folder)
    except ValueError as error:
        if any(name.endswith(".csv") for name in names):
            return "tables"
        kinds = sorted({one.suffix.lower() or one.name for one in files})
        if any(kind in SUFFIXES for kind in kinds) or any(p.is_dir() for p in folder.iterdir()):
            raise
        holds = (
            f"{len(files)} file{'s' * (len(files) > 1)} ({', '.join(kinds[:5])})"
            if files
            else "nothing"
        )
        raise ValueError(f"{folder} holds {holds}; a data set is {FORMS}") from error
    return "images"


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise ValueError(f"{folder} holds {names}; name one of them: {found[0]}")
    return found[0]


def _mat_files(path: Path) -> dict[str, Path]:
    """{part: file} of SVHN's train_32x32.mat and test_32x32.mat."""
    folder = path if path.is_dir() else path.parent
    files = sorted(folder.glob("*.mat"))
    return {part: one for part in ("train", "test") for one in files if one.name.startswith(part)}
