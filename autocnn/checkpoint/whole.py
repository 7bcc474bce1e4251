"""The project's own checkpoints: params, state and a small dict, with their structure."""

import json
from typing import Any, NamedTuple

from autocnn.checkpoint.files import opened, written
from autocnn.trees import leaves

__all__ = ["Checkpoint", "load", "save"]

LONGEST = (
    1 << 22
)  # characters of JSON in a header; that of a thousand layers and a million numbers of history is shorter


class Checkpoint(NamedTuple):
    """What a file holds: two trees and a small dict."""

    params: Any
    state: Any
    metadata: dict


def save(path, params, state=None, metadata=None):
    """Write params, state and a small dict of what JSON can say to a safetensors file.

    Tensors are named by their paths, as in ``params.0.w``; the structure, empty containers
    included, goes into the file's header. The file appears whole or not at all: it is written
    beside ``path``, flushed to the disk and renamed. Raises ValueError for a leaf that is no array
    of integers, truth values or floats of 16, 32 or 64 bits, a key that is no string, and metadata
    that JSON cannot say; OSError when the disk is full or the place cannot be written.
    """
    trees = {"params": params, "state": {} if state is None else state}
    try:
        about = json.dumps(
            {"trees": _structure(trees), "metadata": metadata or {}}, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a checkpoint's trees have string keys, and its metadata are what JSON can say: {error}"
        ) from None
    written(path, dict(leaves(trees)), {"autocnn": about})


def load(path):
    """Read what ``save`` wrote. Returns ``Checkpoint(params, state, metadata)``, with every
    container as it was.

    Only named tuples become plain ones, and tuples within metadata lists, since JSON has none.
    Raises ValueError for any other file, whatever is in it.
    """
    from safetensors import SafetensorError

    with opened(path) as file:
        about = (file.metadata() or {}).get("autocnn")
        if about is None:
            raise ValueError(
                f"{path} is no checkpoint of this project; a file with torchvision's names is read by load_torch"
            )
        try:
            if len(about) > LONGEST:
                raise ValueError(
                    f"its header describes the trees in {len(about):,} characters, more than {LONGEST:,}"
                )
            about = json.loads(about)
            if not isinstance(about, dict) or not isinstance(about.get("metadata"), dict):
                raise ValueError("its header does not describe trees and metadata")
            trees = _rebuilt(about.get("trees"), file, "")
            if not isinstance(trees, dict) or trees.keys() != {"params", "state"}:
                raise ValueError("it does not hold params and state")
        except (SafetensorError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is a damaged checkpoint: {error}") from error
    return Checkpoint(trees["params"], trees["state"], about["metadata"])


def _structure(tree, path=""):
    """Say a tree's containers in JSON: {"dict": {...}}, {"list": [...]}, {"tuple": [...]}; a
    leaf is null.
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


def _rebuilt(structure, file, path):
    """Put the file's tensors where ``structure`` says. No two leaves share a path, so that no
    tensor is read twice.
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
            key: _rebuilt(part, file, f"{path}.{key}" if path else key)
            for key, part in parts.items()
        }
    if kind in ("list", "tuple") and isinstance(parts, list):
        parts = [_rebuilt(part, file, f"{path}.{i}") for i, part in enumerate(parts)]
        return parts if kind == "list" else tuple(parts)
    raise ValueError(f"the structure at '{path}' is no dict, list or tuple")


def _check_key(key, path):
    if not isinstance(key, str) or not key or "." in key:
        raise ValueError(
            f"the key {key!r} at '{path}' is no string, or is empty, or has a dot, which separates keys"
        )
