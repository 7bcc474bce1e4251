"""Where data sets lie: $AUTOCNN_DATA, the user's cache folder, and where Debian's package puts
them.
"""

import os
import re
import sys
from pathlib import Path

from autocnn.data import idx
from autocnn.data.known import FILES, KNOWN

# What the words of a file's name say about it, in the order of FILES.
WORDS = tuple(
    (part, kind)
    for part in ({"train"}, {"t10k", "test", "val", "validation"})
    for kind in idx.DIMENSIONS
)


def own_folder():
    """$AUTOCNN_DATA as a Path, or None."""
    named = os.environ.get("AUTOCNN_DATA")
    return Path(named).expanduser() if named else None


def cache_folder():
    """The user's cache folder for this project: $XDG_CACHE_HOME, or the platform's custom, and
    /autocnn.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):  # the XDG standard: a relative path is to be ignored
        return Path(named) / "autocnn"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "autocnn"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "autocnn"


def folders(name):
    """Where the published data set `name` is looked for, in this order. torchvision's layout is
    understood too.
    """
    known, own, cache = KNOWN[name], own_folder(), cache_folder()
    debian = [Path(known.debian_folder)] if known.debian_folder else []
    mine = [own / name, own / known.torchvision / "raw", own] if own else []
    return [*mine, cache / name, *debian]


def find(name):
    """The first folder that holds all four files of the published data set `name`, or None."""
    return next((folder for folder in folders(name) if not why_not(folder, name)), None)


def why_not(folder, name):
    """Why a folder cannot be the published data set `name`; None if it can. Its files may still
    prove damaged.
    """
    if not folder.is_dir():
        return "no such folder"
    try:
        labels = idx_files(folder)[1]
    except (ValueError, OSError) as error:
        return str(error)
    try:
        seen = idx.digest(idx.read(labels, "labels"))
    except ValueError:
        return None  # the right file, damaged: reading it will say so
    return next(
        (f"holds {other}" for other in KNOWN if other != name and seen == KNOWN[other].sha256[1]),
        None,
    )


def others():
    """Further folders of IDX files in $AUTOCNN_DATA and the cache folder; they load by their
    path.
    """
    roots = [root for root in (own_folder(), cache_folder()) if root and root.is_dir()]
    inside = [folder for root in roots for folder in sorted(root.iterdir()) if folder.is_dir()]
    found = [find(name) for name in KNOWN]
    rest = [
        folder
        for folder in dict.fromkeys(roots + inside)
        if folder not in found and folder.name not in KNOWN
    ]
    return [folder for folder in rest if _complete(folder)]


def _complete(folder):
    try:
        return bool(idx_files(folder))
    except (ValueError, OSError):
        return False


def idx_files(folder):
    """The paths of a folder's four IDX files, in the order of FILES.

    A file is known by the words of its name: train, or t10k, test, val or validation; images or
    labels; idx... or ubyte. Of a file and its gzipped twin the unzipped one is taken. ValueError if
    one is missing or there are two of a kind.
    """
    folder = Path(folder)
    names = sorted(
        path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
    )
    return tuple(
        _only(folder, names, part, kind, file)
        for (part, kind), file in zip(WORDS, FILES, strict=True)
    )


def _only(folder, names, part, kind, usual):
    """The path of the one file whose name has a word of `part` and the word `kind`; `usual` is
    what it is called.
    """
    fitting = []
    for name in names:
        words = set(re.split(r"[^a-z0-9]+", name.lower()))
        if (
            words & part
            and kind in words
            and ("ubyte" in words or any(word.startswith("idx") for word in words))
        ):
            fitting.append(name)
    fitting = [
        name
        for name in fitting
        if name.removesuffix(".gz") == name or name.removesuffix(".gz") not in fitting
    ]
    if not fitting:
        raise ValueError(
            f"{folder} has no {usual} (or {usual}.gz); a folder of IDX files holds {', '.join(FILES)}"
        )
    if len(fitting) > 1:
        raise ValueError(
            f"{folder} has {len(fitting)} files for {usual}: {', '.join(fitting)}; keep one"
        )
    return folder / fitting[0]
