"""Tables of pixels: CSV files as Kaggle's digits, a row for each image with its label."""

import collections
import csv
import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autocnn.data.labels import LARGEST
from autocnn.data.parts import Pair, Parts, as_bytes, check_memory

__all__ = ["is_table", "read_table", "read_table_folder"]

LABELS = {"label", "labels", "class", "classes", "target", "y", "digit", "category", "species"}
INDICES = {"", "id", "index", "imageid", "unnamed0"}
DELIMITERS = ",;\t "
MOST = 1 << 18  # columns: images of 512x512, or 3x256x256
FEWEST = 4  # columns of the smallest table of images
HEAD = 1 << 22  # bytes in which the first lines are
FLOAT_BYTES = 4


class _Columns(NamedTuple):
    """The columns of a table: which hold pixels, which the label (None for none), a note."""

    delimiter: str
    has_header: bool
    pixels: list[int]
    label: int | None
    note: str = ""


def is_table(path: Path) -> bool:
    """Return whether a file's first line has delimiters, and all of it is text."""
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
        line = head.decode("utf-8-sig", "strict" if len(head) < 1 << 16 else "ignore")
    except (OSError, UnicodeDecodeError):
        return False
    first = line.split("\n", 1)[0]
    return "\0" not in line and any(first.count(d) >= FEWEST - 1 for d in DELIMITERS)


def read_table(path: Path, size: tuple[int, int] | None = None) -> Parts:
    """Read a table (path.csv) with a label and the pixels of an image in each row.

    The label's column is one named label, class, target or y, or else, without a header, the first
    or the last: whichever has few values. Columns named id or index are left out. size: (H, W) of
    images that are not square. ValueError for a table without labels, cells that are not numbers,
    and rows of different lengths.
    """
    columns = _columns(path)
    if columns.label is None:
        raise ValueError(
            f"{path} has {len(columns.pixels)} columns of pixels and no label, which training "
            "needs; is there a train.csv beside it?"
        )
    return Parts(_read(path, columns, size), notes=(columns.note,) if columns.note else ())


def read_table_folder(folder: Path, size: tuple[int, int] | None = None) -> Parts:
    """Read a folder with train.csv and, if they have labels, val.csv and test.csv."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.csv")):
        words = re.split(r"[^a-z0-9]+", path.stem.lower())
        for part, names in (
            ("train", {"train", "training"}),
            ("val", {"val", "valid", "validation"}),
            ("test", {"test", "testing"}),
        ):
            if names & set(words):
                found.setdefault(part, []).append(path)
    for part, paths in found.items():
        if len(paths) > 1:
            raise ValueError(
                f"{folder} has {len(paths)} tables for {part}: "
                f"{', '.join(path.name for path in paths)}; name one file"
            )
    if "train" not in found:
        raise ValueError(
            f"{folder} has no train.csv; name the table itself, such as {folder / 'x.csv'}"
        )
    train = read_table(found["train"][0], size)
    notes = [*train.notes]
    pairs: dict[str, Pair | None] = {"val": None, "test": None}
    for part in pairs:
        for path in found.get(part, ()):
            columns = _columns(path)
            if columns.label is None or len(columns.pixels) != train.train[0][0].size:
                notes.append(f"{path.name} has no labels and was left out")
            else:
                pairs[part] = _read(path, columns, size)
    return Parts(train.train, pairs["val"], pairs["test"], notes=tuple(notes))


def _read(path: Path, columns: _Columns, size: tuple[int, int] | None) -> Pair:
    check_memory(path.stat().st_size, f"{path}: its images", "keep fewer rows")
    options: dict[str, Any] = {
        "delimiter": None if columns.delimiter == " " else columns.delimiter,
        "skiprows": int(columns.has_header),
        "encoding": "utf-8-sig",
        "quotechar": '"',
        "comments": None,
    }
    assert columns.label is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about blank lines, which do no harm
            x = np.loadtxt(path, np.float32, usecols=columns.pixels, ndmin=2, **options)
            y = np.loadtxt(path, str, usecols=[columns.label], ndmin=1, **options)
    except ValueError as error:
        text = re.sub(r"; use `usecols`.*", "", str(error))
        raise ValueError(f"{path}: {text}: every row needs {len(columns.pixels)} numbers") from None
    if not len(x):
        raise ValueError(f"{path} has no rows of images")
    if size is not None:
        if math.prod(size) != x.shape[1]:
            raise ValueError(
                f"{path} has {x.shape[1]} pixels an image, and size {size[0]}x{size[1]} has "
                f"{math.prod(size)}"
            )
        x = x.reshape(len(x), 1, *size)
    return as_bytes(x), _labels(y)


def _labels(y: np.ndarray) -> np.ndarray:
    """Labels as integers where all are."""
    y = np.char.strip(y)
    try:
        numbers = y.astype(np.float64)
    except ValueError:
        return y
    whole = (np.abs(numbers) <= LARGEST).all() and (numbers == np.rint(numbers)).all()
    return numbers.astype(np.int64) if whole else y


def _columns(path: Path) -> _Columns:
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        text = file.read(HEAD)
    lines = [line for line in text.splitlines()[:200] if line.strip()]
    if not lines:
        raise ValueError(f"{path} is empty")
    if len(text) == HEAD and len(lines) > 1:
        lines.pop()  # may be cut
    delimiter = max(DELIMITERS, key=lines[0].count)
    if len(lines[0]) >= HEAD or lines[0].count(delimiter) >= MOST:
        raise ValueError(
            f"{path} has more than {MOST:,} columns, or more than {HEAD:,} characters in a line; "
            "save such images as .npz, or as image files in a folder for each class"
        )
    rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter == " "))
    first, body = rows[0], rows[1:]
    has_header = any(not _is_number(cell) for cell in first) and all(
        len(row) == len(first) for row in body[:1]
    )
    if has_header and body and _looks_like_data(first, body[0]):
        has_header = False
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in first] if has_header else []
    if not has_header:
        body = rows
    if len(first) < FEWEST:
        raise ValueError(
            f"{path} has {len(first)} columns, {', '.join(first)[:60]}: a table of images has a "
            "label and the numbers of all pixels in each row; for image files, make a folder for "
            "each class"
        )
    label = next((k for k, name in enumerate(names) if name in LABELS), None)
    if names:
        pixels = [k for k, name in enumerate(names) if name not in INDICES and k != label]
        if label is None:  # one column that is not called as the others are
            stems = [re.sub(r"\d+", "", names[k]) for k in pixels]
            counts = collections.Counter(stems)
            odd = [k for k, stem in zip(pixels, stems, strict=True) if counts[stem] == 1]
            if len(odd) == 1 and len(pixels) > FEWEST:
                label = odd[0]
                pixels.remove(label)
        return _Columns(delimiter, True, pixels, label)
    label, note = _label_by_values(body)
    pixels = [k for k in range(len(first)) if k != label]
    return _Columns(delimiter, False, pixels, label, note)


def _looks_like_data(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether a first line with one word, a label, is a row as the next one is."""
    words = [k for k, cell in enumerate(first) if not _is_number(cell)]
    return len(words) == 1 and not _is_number(second[words[0]]) and len(first) > FEWEST


def _label_by_values(rows: list[list[str]]) -> tuple[int | None, str]:
    """Return the column of the labels in a table without a header, None for none, and a note."""
    width = len(rows[0])
    if math.isqrt(width) ** 2 == width and math.isqrt(width - 1) ** 2 != width - 1:
        return None, ""  # the pixels of square images, and nothing else
    kinds = []
    for column in (0, width - 1):
        cells = [row[column].strip() for row in rows if len(row) == width]
        different = set(cells)
        words = any(not _is_number(cell) for cell in different)
        whole = all(_is_number(cell) and float(cell) == int(float(cell)) for cell in different)
        varies = len(different) > 1 or len(cells) == 1
        kinds.append(2 if words else int(whole and varies))
    column = 0 if kinds[0] >= kinds[1] else width - 1
    place = "first" if column == 0 else "last"
    note = "" if kinds[0] != kinds[1] else f"the {place} column was taken for the labels"
    return column, note


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
