"""CIFAR-10 and CIFAR-100 in their binary version (Krizhevsky 2009, Learning multiple layers of
features from tiny images): a record is one or two bytes of labels and 3 x 32 x 32 of an image.
"""

from pathlib import Path

import numpy as np

from autocnn.data.parts import Pair, Parts

__all__ = ["CIFAR_PAGE", "has_cifar", "has_cifar_pickles", "read_cifar"]

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
CIFAR_PAGE = "Alex Krizhevsky's page of CIFAR"


def has_cifar(folder: Path) -> bool:
    """Return whether a folder has data_batch_1.bin (CIFAR-10), or train.bin and fine_label_names
    (CIFAR-100).
    """
    return bool(_batches(folder)) or (
        (folder / "train.bin").is_file() and (folder / "fine_label_names.txt").is_file()
    )


def has_cifar_pickles(folder: Path) -> bool:
    """Return whether a folder holds the Python version, which is never read."""
    return (folder / "data_batch_1").is_file() or (
        (folder / "meta").is_file() and (folder / "train").is_file()
    )


def read_cifar(folder: Path) -> Parts:
    """Read a folder of the binary version; of CIFAR-100, the 100 fine labels.

    ValueError for a file whose size is not that of whole records.
    """
    batches = _batches(folder)
    labels = 1 if batches else 2
    train = batches or [folder / "train.bin"]
    test = folder / ("test_batch.bin" if batches else "test.bin")
    names = folder / ("batches.meta.txt" if batches else "fine_label_names.txt")
    classes = None
    if names.is_file():
        classes = [name for name in names.read_text("utf-8", "replace").split("\n") if name.strip()]
    pairs = [_records(path, labels) for path in train]
    x, y = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return Parts((x, y), None, _records(test, labels) if test.is_file() else None, classes)


def _batches(folder: Path) -> list[Path]:
    return sorted(folder.glob("data_batch_*.bin"))


def _records(path: Path, labels: int) -> Pair:
    values, record = np.fromfile(path, np.uint8), labels + PIXELS
    if not len(values) or len(values) % record:
        raise ValueError(
            f"{path} has {len(values)} bytes, no whole number of records of {record}; fetch it "
            "again"
        )
    rows = values.reshape(-1, record)
    return rows[:, labels:].reshape(-1, *SHAPE), rows[:, labels - 1].astype(np.int64)
