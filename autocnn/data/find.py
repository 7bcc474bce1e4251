"""Where data sets are on this machine: $AUTOCNN_DATA, the user's cache folder, Debian's package."""

import os
import re
import sys
from pathlib import Path

from autocnn.data import idx
from autocnn.data.known import FILES, KNOWN

__all__ = [
    "FILE_WORDS",
    "cache_folder",
    "find",
    "folders",
    "idx_files",
    "mismatch",
    "other_folders",
    "own_folder",
]

# (words of which one is in the file's name, kind of IDX file), in the order of FILES.
FILE_WORDS = tuple(
    (part, kind)
    for part in ({"train"}, {"t10k", "test", "val", "validation"})
    for kind in idx.DIMENSIONS
)


def own_folder() -> Path | None:
    """Return $AUTOCNN_DATA, or None if it is not set."""
    value = os.environ.get("AUTOCNN_DATA")
    return Path(value).expanduser() if value else None


def cache_folder() -> Path:
    """Return autocnn's folder in the user's cache: in $XDG_CACHE_HOME, or where the platform has
    it.
    """
    value = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(value):  # the XDG standard ignores relative paths
        return Path(value) / "autocnn"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "autocnn"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "autocnn"


def folders(name: str) -> list[Path]:
    """Return the folders where a data set of ``KNOWN`` may be, the first match counting."""
    known, own = KNOWN[name], own_folder()
    places = [own / name, own / known.torchvision / "raw", own] if own else []
    places.append(cache_folder() / name)
    return [*places, Path(known.debian_folder)] if known.debian_folder else places


def find(name: str) -> Path | None:
    """Return the first folder that holds the four files of a data set of ``KNOWN``, or None."""
    return next((folder for folder in folders(name) if mismatch(folder, name) is None), None)


def mismatch(folder: Path, name: str) -> str | None:
    """Return why a folder cannot hold a data set of ``KNOWN``, or None if it can.

    Damaged files are not a reason: reading them reports the damage.
    """
    if not folder.is_dir():
        return "no such folder"
    try:
        labels = idx_files(folder)[1]
    except (ValueError, OSError) as error:
        return str(error)
    try:
        sha256 = idx.digest(idx.read(labels, "labels"))
    except ValueError:
        return None
    for other, known in KNOWN.items():
        if other != name and sha256 == known.sha256[1]:
            return f"holds {other}"
    return None


def other_folders() -> list[Path]:
    """Return the folders of IDX files in $AUTOCNN_DATA and the cache that are not of ``KNOWN``;
    they load by path.
    """
    roots = [root for root in (own_folder(), cache_folder()) if root and root.is_dir()]
    inside = [folder for root in roots for folder in sorted(root.iterdir()) if folder.is_dir()]
    found = [find(name) for name in KNOWN]
    return [
        folder
        for folder in dict.fromkeys(roots + inside)
        if folder not in found
        and folder.name not in KNOWN
        and not folder.name.startswith(".")  # what is being fetched
        and _has_idx_files(folder)
    ]


def _has_idx_files(folder: Path) -> bool:
    try:
        return bool(idx_files(folder))
    except (ValueError, OSError):
        return False


def idx_files(folder: str | Path, like: str = "") -> tuple[Path, ...]:
    """Return the paths of a folder's four IDX files, in the order of FILES.

    like: the name of one of them, where a folder has several sets, such as EMNIST's: files count
    whose names have the same other words.

    The words of a file's name tell what it is: train, or t10k, test, val or validation; images or
    labels; idx... or ubyte. If a file is there gzipped and not, the latter counts. ValueError if a
    file is missing or there are two of a kind.
    """
    folder = Path(folder)
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and (not like or _other_words(path.name) == _other_words(like))
    )
    return tuple(
        folder / _only_match(folder, names, part, kind, usual)
        for (part, kind), usual in zip(FILE_WORDS, FILES, strict=True)
    )


def _only_match(folder: Path, names: list[str], part: set[str], kind: str, usual: str) -> str:
    """Return the one file name that contains ``kind`` and a word of ``part``."""
    matches = [name for name in names if _matches(name, part, kind)]
    matches = [
        name
        for name in matches
        if not (name.endswith(".gz") and name.removesuffix(".gz") in matches)
    ]
    if not matches:
        raise ValueError(
            f"{folder} has no {usual} (or {usual}.gz); a folder of IDX files holds "
            f"{', '.join(FILES)}"
        )
    if len(matches) > 1:
        raise ValueError(
            f"{folder} has {len(matches)} files for {usual}: {', '.join(matches)}; keep one, or "
            f"name one of a set: {folder / matches[0]}"
        )
    return matches[0]


def _other_words(name: str) -> set[str]:
    """The words of a name that do not say which of the four files it is."""
    known = {"gz", "ubyte", "idx1", "idx3", "idx4", *idx.DIMENSIONS}
    known |= {word for words, _ in FILE_WORDS for word in words}
    return set(re.split(r"[^a-z0-9]+", name.lower())) - known


def _matches(name: str, part: set[str], kind: str) -> bool:
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    is_idx = "ubyte" in words or any(word.startswith("idx") for word in words)
    return is_idx and kind in words and bool(words & part)
