"""autocnn's own checkpoints: params, state and metadata, with the structure of the trees."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

from autocnn.checkpoint.format import DamagedError, Tensors, open_tensors, write_tensors
from autocnn.trees import Tree, leaves

__all__ = ["Checkpoint", "load", "read", "read_metadata", "save"]

# Characters of JSON in a header. A thousand layers with a history of a million numbers need less.
MAX_HEADER = 1 << 22


NO_SUMS = "%s has no sums, as an earlier version wrote it: damage to it cannot be seen"


class Checkpoint(NamedTuple):
    """The contents of a file: two trees, and a dict of JSON values."""

    params: Tree
    state: Tree
    metadata: dict


def save(
    path: str | Path, params: Tree, state: Tree = None, metadata: dict[str, Any] | None = None
) -> None:
    """Write params, state and metadata to a safetensors file.

    Tensors are named by their paths, such as ``params.0.w``. The structure of the trees, including
    empty containers, goes into the file's header, and so do sums of all tensors and of the header,
    by which ``load`` finds damage. The file appears whole or not at all: it is written beside
    ``path``, flushed to the disk, read back and renamed.

    ValueError for a leaf that is not an array of integers, bools or floats of 16, 32 or 64 bits,
    for a dict key that is not a string, and for metadata that JSON cannot express; OSError when the
    file cannot be written.
    """
    trees = {"params": params, "state": {} if state is None else state}
    try:
        about = json.dumps(
            {"trees": _structure(trees), "metadata": metadata or {}}, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a checkpoint's trees need string keys, and its metadata must be JSON values: {error}"
        ) from None
    write_tensors(path, dict(leaves(trees)), {"autocnn": about})


def load(path: str | Path) -> Checkpoint:
    """Read a file written by ``save``. Returns ``Checkpoint(params, state, metadata)``.

    Containers are as they were, except that named tuples become plain tuples, and tuples in
    metadata become lists. Raises ``format.DamagedError``, a ValueError that names the tensor, when
    a bit has changed since it was written; ValueError for any other file, and FileNotFoundError if
    there is none. A file of an earlier version, which has no sums, is read with a logged warning.
    """
    found, has_sums = read(path)
    if not has_sums:
        logging.getLogger(__name__).warning(NO_SUMS, path)
    return found


def read(path: str | Path) -> tuple[Checkpoint, bool]:
    """Read a file as ``load`` does, without a word. Returns (checkpoint, whether it has sums)."""
    from safetensors import SafetensorError

    with open_tensors(path) as file:
        try:
            about = _about(file)
            trees = _rebuild(about.get("trees"), file, "")
            if not isinstance(trees, dict) or trees.keys() != {"params", "state"}:
                raise ValueError("it does not hold params and state")
        except DamagedError:
            raise
        except (SafetensorError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is a damaged checkpoint: {error}") from error
        has_sums = file.sums is not None
    return Checkpoint(trees["params"], trees["state"], about["metadata"]), has_sums


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read the metadata only. Raises as ``load``, but does not look at the tensors."""
    with open_tensors(path) as file:
        try:
            return dict(_about(file)["metadata"])
        except (RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is a damaged checkpoint: {error}") from error


def _about(file: Tensors) -> dict[str, Any]:
    """Return what the header says of trees and metadata."""
    text = file.metadata.get("autocnn")
    if text is None:
        raise DamagedError(
            f"{file.path} is not a checkpoint of autocnn; load_torch reads a file with "
            "torchvision's names"
        )
    if len(text) > MAX_HEADER:
        raise ValueError(
            f"its header describes the trees in {len(text):,} characters, more than {MAX_HEADER:,}"
        )
    about = json.loads(text)
    if not isinstance(about, dict) or not isinstance(about.get("metadata"), dict):
        raise ValueError("its header does not describe trees and metadata")
    return about


def _structure(tree: Tree, path: str = "") -> Any:
    """Return a tree's containers as JSON values: {"dict": {...}}, {"list": [...]}, {"tuple":
    [...]}, and None for a leaf.
    """
    if isinstance(tree, dict):
        for key in tree:
            _check_key(key, path)
        return {
            "dict": {
                key: _structure(part, f"{path}.{key}" if path else key)
                for key, part in tree.items()
            }
        }
    if isinstance(tree, (list, tuple)):
        kind = "list" if isinstance(tree, list) else "tuple"
        return {kind: [_structure(part, f"{path}.{i}") for i, part in enumerate(tree)]}
    return None


def _rebuild(structure: Any, file: Any, path: str) -> Tree:
    """Return the tree that ``structure`` describes, with the tensors of the file as leaves.

    No two leaves can have the same path, so no tensor is read twice.
    """
    if structure is None:
        return file.get_tensor(path)
    kind, parts = (
        next(iter(structure.items()))
        if isinstance(structure, dict) and len(structure) == 1
        else (None, None)
    )
    if kind == "dict" and isinstance(parts, dict):
        for key in parts:
            _check_key(key, path)
        return {
            key: _rebuild(part, file, f"{path}.{key}" if path else key)
            for key, part in parts.items()
        }
    if kind in ("list", "tuple") and isinstance(parts, list):
        parts = [_rebuild(part, file, f"{path}.{i}") for i, part in enumerate(parts)]
        return parts if kind == "list" else tuple(parts)
    raise ValueError(f"the structure at '{path}' is not a dict, list or tuple")


def _check_key(key: Any, path: str) -> None:
    if not isinstance(key, str) or not key or "." in key:
        raise ValueError(f"the key {key!r} at '{path}' must be a non-empty string without dots")
