"""Generations of a file: the versions before it stay, and the newest whole one is read.

    last.safetensors      what was saved last
    last-1.safetensors    what was there before
    last-2.safetensors    what was there before that

While generations move, each of the names leads to a whole file at every moment. A program killed in
between, or a power cut that keeps any part of it, costs the newest version at most.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from autocnn.checkpoint.format import open_tensors
from autocnn.files import atomic_write, partial_path, remove, replace, sync_folder

__all__ = ["COUNT", "drop", "generations", "read_newest", "shift"]

COUNT = 3


def generations(path: str | os.PathLike) -> list[Path]:
    """Return the paths of all generations of ``path``, the newest first."""
    path = Path(path)
    return [path, *(path.with_stem(f"{path.stem}-{n}") for n in range(1, COUNT))]


def shift(path: str | os.PathLike) -> None:
    """Keep the file at ``path`` as a generation, before a new one is written over it.

    The file stays at ``path`` as well. Does nothing when it has been kept already, by a program
    that was killed before it wrote the new one.
    """
    paths = generations(path)
    if _is_same(paths[0], paths[1]):
        return
    for older, newer in reversed(list(zip(paths[1:], paths, strict=False))):
        if newer.is_file() and not _is_same(older, newer):
            _put(older, newer)
            sync_folder(older.parent)  # a disk may store two steps in any order, and lose the first


def drop(
    path: str | os.PathLike, damaged: Iterable[Path], order: Iterable[Path] | None = None
) -> None:
    """Remove damaged generations of ``path``; those before them take their places.

    order: the files that become the generations, the newest first; None for the generations.
    """
    damaged, paths = {*damaged}, generations(path)
    order = dict.fromkeys(paths if order is None else order)
    whole = [p for p in order if p not in damaged and p.is_file()]
    contents = [p.read_bytes() for p in whole]
    for place, source, content in zip(paths, whole, contents, strict=False):
        if place != source:
            atomic_write(place, content)
    for place in paths[len(whole) :]:
        remove(place)
    sync_folder(paths[0].parent)


def read_newest(
    paths: Iterable[Path], read: Callable[[Path], Any]
) -> tuple[Path, Any, dict[Path, ValueError]]:
    """Read the first of ``paths`` that ``read`` accepts.

    Returns (path, what was read, {path that was refused: why}). A ValueError of ``read`` refuses a
    file; a file that does not exist is passed over. Raises the ValueError of the first when all are
    refused, and FileNotFoundError when there is none.
    """
    refused: dict[Path, ValueError] = {}
    for path in paths:
        try:
            return path, read(path), refused
        except FileNotFoundError:
            continue
        except ValueError as error:
            refused[path] = error
    if refused:
        raise next(iter(refused.values()))
    raise FileNotFoundError("there is no such file")


def _put(place: Path, source: Path) -> None:
    """Let ``place`` lead to the content of ``source``, in one step."""
    partial = partial_path(place)
    try:
        os.link(source, partial)
        replace(partial, place)
    except OSError:  # a file system without links
        atomic_write(place, source.read_bytes())
    finally:
        remove(partial)


def _is_same(one: Path, other: Path) -> bool:
    """Whether two checkpoints have the same content: their headers hold the sums of it."""
    try:
        if os.path.samefile(one, other):
            return True
        with open_tensors(one) as a, open_tensors(other) as b:
            return a.sums is not None and a.metadata == b.metadata and a.sums == b.sums
    except (OSError, ValueError):
        return False
