"""Weights from elsewhere for a network here: by name, all of them or those that fit.

    found = load_weights("vgg16.pth", model, (3, 224, 224), strict=False)
    found.params, found.state                # the network's trees
    print(found)                             # what was taken, what was not found, what was left out

Names may carry a prefix that the network does not have, such as "module." of DataParallel or
"model." of Lightning, or lack one, as those of ``torchvision_model.features`` do.
"""

import collections
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autocnn.checkpoint.tensor_files import FLOATS, Entry, open_named
from autocnn.checkpoint.torch_names import UNKNOWN, torch_names
from autocnn.inspection.walk import walk
from autocnn.trees import Tree, leaves, unflatten

__all__ = ["Weights", "load_torch", "load_weights"]

LISTED = 12  # tensors that an error names
LOG = logging.getLogger("autocnn.checkpoint")


class Weights(NamedTuple):
    """What ``load_weights`` found. It prints as a sentence for each thing to know.

    params, state: the network's trees. taken: how many tensors of them are the file's. missing: the
    names of those that the file lacks, which are as the network starts. misfits: {name: (shape in
    the file, shape needed)}, which are so too. unexpected: names in the file that the network does
    not have. prefix: what was taken off the file's names, or with a "+" put before them. converted:
    the kinds of numbers that became float32, "BF16" or "F16".
    """

    params: Tree
    state: Tree
    taken: int
    missing: tuple[str, ...]
    misfits: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unexpected: tuple[str, ...]
    prefix: str
    converted: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.taken} of {self.taken + len(self.missing) + len(self.misfits)} tensors"]
        if self.prefix:
            is_added = self.prefix.startswith("+")
            parts.append(
                f"the prefix {self.prefix.lstrip('+')!r} was "
                f"{'put before' if is_added else 'taken off'} the names"
            )
        names = {"BF16": "bfloat16", "F16": "float16"}
        parts += [f"{names[kind]} was converted to float32" for kind in self.converted]
        if self.missing:
            parts.append(f"not in the file, so as the network starts: {_few(self.missing)}")
        if self.misfits:
            shapes = [f"{n} {got}, not {need}" for n, (got, need) in self.misfits.items()]
            parts.append(f"of another shape, so as the network starts: {_few(shapes)}")
        if self.unexpected:
            parts.append(f"left out, since the network has no such name: {_few(self.unexpected)}")
        return "; ".join(parts)


def load_torch(
    path: str | Path, model: Any, shape: tuple[int, int, int], strict: bool = True
) -> tuple[Tree, Tree]:
    """Read weights with torchvision's names. Returns (params, state) of ``model``.

    The file is a safetensors file, .npz, or torch's own, .pth or .pt. See ``load_weights``, which
    also returns what was not found and what was left out; here, with ``strict=False``, the log says
    so.
    """
    found = load_weights(path, model, shape, strict)
    if found.missing or found.misfits or found.unexpected or found.prefix or found.converted:
        LOG.log(logging.INFO if strict else logging.WARNING, "%s: %s", path, found)
    return found.params, found.state


def load_weights(
    path: str | Path,
    model: Any,
    shape: tuple[int, int, int],
    strict: bool = True,
    start: tuple[Tree, Tree] | None = None,
) -> Weights:
    """Read weights of another program, or of another run, for a network.

    path: a safetensors file, .npz, or a file of torch (.pth, .pt), plain or within
        {"state_dict": ...}, {"model": ...} and the like; or a checkpoint of autocnn.
    model: the network, of any interpretation: one with torchvision's names (``torch_names``), or
        whose parts stand in one row, as in torch's Sequential. It may be the trunk of one, without
        its classifier.
    shape: (C, H, W) of one image, such as (3, 224, 224).
    strict: refuse a file that does not fit in every tensor. False takes the tensors that fit, and
        leaves the rest as the network starts.
    start: (params, state) that the rest is taken from; of ``model.init`` with key 0 for None.

    Dense weights, (out, in) in torch, become (in, out). ``num_batches_tracked`` is ignored. Numbers
    keep their dtype, but bfloat16 and float16 become float32. Raises ValueError that lists the
    tensors that are missing, unexpected, of a wrong shape, or not of floats, and where nothing
    fits; ImportError where torch is needed.
    """
    if start is None:
        start = model.init(0, tuple(shape), "float32")[1:] if not strict else None
    trees = dict(zip(("params", "state"), start or model.init(None, tuple(shape))[1:], strict=True))
    with open_named(path) as tensors:
        entries = _without_optimizer(tensors)
        scheme = _best_scheme(model, trees, entries)
        need = {name: _shape(leaf, scheme) for name, leaf in scheme.named(trees)}
        prefix = _prefix(need, entries)
        found = _renamed(entries, prefix)
        wrong = _mismatches(need, found)
        taken = {
            name: found[name]
            for name, size in need.items()
            if name in found and found[name].shape == size and found[name].kind in FLOATS
        }
        if wrong and (strict or not taken):
            raise ValueError(_refusal(path, shape, wrong, prefix, len(taken), len(need), strict))
        arrays = {name: _array(entry, scheme) for name, entry in taken.items()}
    dtype = next(iter(arrays.values())).dtype if arrays else np.dtype("float32")
    filled = [
        arrays[name] if name in arrays else np.array(leaf, dtype)
        for name, leaf in scheme.named(trees)
    ]
    loaded = unflatten(trees, filled)
    misfits = {
        name: (found[name].shape, size)
        for name, size in need.items()
        if name in found and name not in taken
    }
    kinds = {entry.kind for entry in taken.values()} & {"BF16", "F16"}
    return Weights(
        loaded["params"],
        loaded["state"],
        len(taken),
        tuple(name for name in need if name not in found),
        misfits,
        tuple(name for name in found if name not in need and not _is_counter(name)),
        prefix,
        tuple(sorted(kinds)),
    )


def _without_optimizer(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The network's own tensors of a run's checkpoint, which also holds the optimizer's."""
    return {
        name.replace("state.network.", "state.", 1): entry
        for name, entry in entries.items()
        if not name.startswith("state.optimizer.")
    }


class _Scheme(NamedTuple):
    """A way to name a network's leaves: {leaf's path: name}; does it transpose dense weights?"""

    names: dict[str, str]
    transposes: bool

    def named(self, trees: Tree) -> list[tuple[str, np.ndarray]]:
        return [(self.names[path], leaf) for path, leaf in leaves(trees)]


def _best_scheme(model: Any, trees: Tree, entries: Mapping[str, Entry]) -> _Scheme:
    """Choose the scheme in which the most names are the file's."""
    paths = [path for path, _ in leaves(trees)]
    schemes = [_Scheme({path: path for path in paths}, False)]  # a checkpoint of autocnn
    if (names := _sequential_names(model)) and names.keys() >= set(paths):
        schemes.append(_Scheme(names, True))
    try:
        schemes.append(_Scheme(torch_names(model), True))
    except ValueError:
        if len(schemes) == 1 and not any(name.startswith("params.") for name in entries):
            raise
    schemes = [scheme for scheme in schemes if scheme.names.keys() >= set(paths)]
    if len(schemes) == 1 and not any(name.startswith("params.") for name in entries):
        raise ValueError(UNKNOWN)

    def matches(scheme: _Scheme) -> int:
        need = {name: _shape(leaf, scheme) for name, leaf in scheme.named(trees)}
        found = _renamed(entries, _prefix(need, entries))
        return sum(name in found and found[name].shape == size for name, size in need.items())

    return max(reversed(schemes), key=matches)  # the last of equals: torchvision's names


def _sequential_names(model: Any) -> dict[str, str]:
    """{leaf's path: name} of torch's Sequential with the same parts in a row; {} where there are
    parts of parts.
    """
    from autocnn.checkpoint.torch_names import LEAVES

    names = {}
    for path, layer in walk(model):
        for tree, leaf, theirs in LEAVES.get(layer.name, ()):
            if leaf != "b" or layer.options.get("bias", True):
                place = ".".join(map(str, path))
                names[".".join(map(str, (tree, *path, leaf)))] = f"{place}.{theirs}".lstrip(".")
    return names


def _shape(leaf: np.ndarray, scheme: _Scheme) -> tuple[int, ...]:
    return leaf.shape[::-1] if leaf.ndim == 2 and scheme.transposes else leaf.shape


def _array(entry: Entry, scheme: _Scheme) -> np.ndarray:
    """Read a tensor; dense weights, the leaves with two axes, are (in, out) here."""
    a = entry.read()
    return np.ascontiguousarray(a.T) if a.ndim == 2 and scheme.transposes else a


def _prefix(need: Mapping[str, tuple], found: Mapping[str, Entry]) -> str:
    """Return the prefix that most of the file's names have before the network's, "" for none; with
    a "+" before it, one that the network's names have before the file's.
    """
    votes: collections.Counter[str] = collections.Counter()
    for longer, shorter, sign in ((found, need, ""), (need, found, "+")):
        for name in longer:
            for i in [i + 1 for i, c in enumerate(name) if c == "."]:
                if name[i:] in shorter:
                    size = need[name[i:]] if sign == "" else need[name]
                    entry = found[name] if sign == "" else found[name[i:]]
                    votes[sign + name[:i]] += 2 if entry.shape == size else 1
    direct = sum(2 if found[n].shape == size else 1 for n, size in need.items() if n in found)
    prefix, count = max(votes.items(), key=lambda item: item[1], default=("", 0))
    return prefix if count > direct else ""


def _renamed(entries: Mapping[str, Entry], prefix: str) -> dict[str, Entry]:
    """{name in the network: entry}; names without the prefix stay as they are."""
    if prefix.startswith("+"):
        return {prefix[1:] + name: entry for name, entry in entries.items()}
    return {name.removeprefix(prefix): entry for name, entry in entries.items()}


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _mismatches(need: Mapping[str, tuple[int, ...]], found: Mapping[str, Entry]) -> list[str]:
    """Describe each wrong tensor. need: {name: shape}."""
    wrong = [f"missing: {name} {shape}" for name, shape in need.items() if name not in found]
    for name, entry in found.items():
        if name not in need:
            if not _is_counter(name):
                wrong.append(f"unexpected: {name} {entry.shape}")
        elif entry.shape != need[name]:
            wrong.append(f"wrong shape: {name} {entry.shape}, the network needs {need[name]}")
        elif entry.kind not in FLOATS:
            wrong.append(f"not of floats: {name} {entry.kind}")
    return wrong


def _refusal(
    path: str | Path,
    shape: tuple,
    wrong: list[str],
    prefix: str,
    taken: int,
    need: int,
    strict: bool,
) -> str:
    """Say why a file is refused: its wrong tensors, and what would load."""
    names = f", whose names begin with {prefix!r}," if prefix and prefix[0] != "+" else ""
    listed = "; ".join(wrong[:LISTED])
    more = f"; and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
    text = f"{path}{names} does not fit this network for images {tuple(shape)}: {listed}{more}"
    if not taken:
        return f"{text}; none of its tensors fits"
    return f"{text}; strict=False takes the {taken} of {need} that fit" if strict else text


def _few(items: Iterable[str], most: int = 6) -> str:
    items = list(items)
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
