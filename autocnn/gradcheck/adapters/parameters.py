"""Where an object keeps its parameters, and where their gradients appear after backward."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import places
from autocnn.gradcheck.places import Step, is_float_array

__all__ = ["Parameter", "Spot", "float_spots", "gradient_path", "is_parameter_name", "leaf_names"]

#: What a gradient of `w` may be called.
TEMPLATES = (
    "d_{}", "d{}", "grad_{}", "{}_grad", "g_{}", "{}_gradient", "g{}", "grad{}", "{}grad",
    "delta_{}", "{}_delta", "nabla_{}", "{}_d", "gradient_{}", "{}_grads", "grads_{}", "d{}s",
    "{}_error", "dL_d{}", "dL{}", "dloss_d{}",
)  # fmt: skip
_CONTAINERS = ("params", "parameters", "weights", "_params", "_parameters", "vars", "variables")
_GRADIENT_CONTAINERS = (
    "grads", "gradients", "grad", "gradient", "d", "dparams", "d_params", "derivatives", "deltas",
    "_grads", "_gradients", "grad_params", "param_grads",
)  # fmt: skip
_SLOTS = ("data", "value", "val", "values", "array", "tensor", "arr", "_data")
_GRADIENT_SLOTS = (
    "grad",
    "gradient",
    "g",
    "diff",
    "d",
    "delta",
    "derivative",
    "grads",
    "_grad",
    "dw",
)
_NAMES = frozenset(
    [
        "w",
        "b",
        "v",
        "u",
        "weight",
        "weights",
        "bias",
        "biases",
        "gamma",
        "beta",
        "kernel",
        "kernels",
        "filter",
        "filters",
        "scale",
        "shift",
        "alpha",
        "theta",
        "embedding",
        "embeddings",
        "coef",
        "coefs",
        "slope",
    ]
)


class Spot(NamedTuple):
    """A float array in an object and every path that leads to it."""

    paths: tuple[tuple[Step, ...], ...]
    array: np.ndarray

    @property
    def path(self) -> tuple[Step, ...]:
        return self.paths[0]


class Parameter(NamedTuple):
    """A parameter: its leaf's name, where it lives, and where its gradient is found after backward
    (None: nowhere in the object)."""

    name: str
    spot: Spot
    gradient: tuple[Step, ...] | None
    known: bool  # by its name or place; else it was only seen to matter


def float_spots(root: Any) -> list[Spot]:
    """Every float array in an object, with all paths to it, nearest first."""
    found: dict[int, tuple[list, np.ndarray]] = {}
    for path, value in places.visit(root):
        inside = places.children(value) if places.array_of(value) is None else []
        for step, child in inside:
            array = places.array_of(child) if is_float_array(child) else None
            if array is not None and array.size and step[0] in ("attr", "key", "index"):
                found.setdefault(id(child), ([], array))[0].append((*path, step))
    return [Spot(tuple(paths), array) for paths, array in found.values()]


def is_parameter_name(path: tuple[Step, ...]) -> bool:
    """Does a path say that it leads to a parameter: self.W, self.params[0], self.weight.data?"""
    named = [str(k).lower() for _, k in path if isinstance(k, str)]
    if not named:
        return False
    last = named[-1].strip("_").rstrip("0123456789")
    parts = last.replace(".", "_").split("_")
    inside = [n for n in named[:-1] if n in _CONTAINERS]
    slot = named[-1] in _SLOTS and len(named) > 1 and is_parameter_name(path[:-1])
    return bool(inside) or named[-1] in _CONTAINERS or slot or any(p in _NAMES for p in parts)


def _renamed(path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Paths at which the gradient of the parameter at `path` may be, likeliest first."""
    kind, key = path[-1]
    if isinstance(key, str):
        if key.lower() in _SLOTS:
            for slot in _GRADIENT_SLOTS:
                yield (*path[:-1], (kind, slot))
        for name in _spelt(key):
            yield (*path[:-1], (kind, name))
    for place in range(len(path) - 2, -1, -1):
        kind, key = path[place]
        if not isinstance(key, str):
            continue
        head, tail = path[:place], path[place + 1 :]
        names = list(_spelt(key))
        if key.lower() in _CONTAINERS:
            names = [*_GRADIENT_CONTAINERS, *names]
        for name in names:
            yield (*head, (kind, name), *tail)
            last = tail[-1][1] if tail else None
            if isinstance(last, str):
                for inner in _spelt(last):
                    yield (*head, (kind, name), *tail[:-1], (tail[-1][0], inner))
    kind, key = path[-1]
    if len(path) == 1 and isinstance(key, str):  # self.W beside self.grads["W"] or self.grads["dW"]
        for name in _GRADIENT_CONTAINERS:
            yield (("attr", name), ("key", key))
            for inner in _spelt(key):
                yield (("attr", name), ("key", inner))


def _spelt(name: str) -> Iterator[str]:
    plain = name.strip("_")
    for template in TEMPLATES:
        yield template.format(plain)
        if plain != name:
            yield "_" + template.format(plain)
    if plain.lower() != plain:
        for template in TEMPLATES:
            yield template.format(plain.lower())
    elif plain:
        for template in TEMPLATES[:4]:
            yield template.format(plain.upper() if len(plain) == 1 else plain.capitalize())


def gradient_path(
    root: Any, spot: Spot, written: list[Spot], taken: set[tuple[Step, ...]]
) -> tuple[Step, ...] | None:
    """The path of the gradient of one parameter after backward, or None.

    By its name beside the parameter, in a container beside the parameter's own, in the other slot
    of a parameter object; else an array that backward wrote, named after the parameter; else the
    only array of its shape that backward wrote.
    """
    for path in spot.paths:
        for candidate in _renamed(path):
            if candidate in spot.paths or candidate in taken:
                continue
            try:
                value = places.get(root, candidate)
            except LookupError:
                continue
            if _is_number(value):
                return candidate
    fitting = [s for s in written if s.array.shape == spot.array.shape and not set(s.paths) & taken]
    last = str(next((k for _, k in reversed(spot.path) if isinstance(k, str)), ""))
    named = [s for s in fitting if _mentions(s.path, last)]
    chosen = named if len(named) == 1 else fitting
    return chosen[0].path if len(chosen) == 1 else None


def _mentions(path: tuple[Step, ...], name: str) -> bool:
    """Is `name` one of the words of the path's last name?"""
    last = str(next((k for _, k in reversed(path) if isinstance(k, str)), ""))
    if not name:
        return False
    words = last.replace("-", "_").split("_")
    return name in words or name.strip("_").lower() in [w.lower() for w in words]


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, np.ndarray | np.floating | float) and np.asarray(value).dtype.kind == "f"
    )


def leaf_names(spots: list[Spot]) -> list[str]:
    """Short names: "W" for params["W"], "weight" for weight.data, "fc1.W" for an inner layer's."""
    short = [_short(s) for s in spots]
    return [
        n if n and short.count(n) == 1 else places.text(s.path)
        for n, s in zip(short, spots, strict=True)
    ]


def _short(spot: Spot) -> str:
    path = min(spot.paths, key=lambda p: (len(p), places.text(p)))
    if len(path) > 1 and isinstance(path[-1][1], str) and path[-1][1].lower() in _SLOTS:
        path = path[:-1]
    if len(path) > 1 and path[0][1] in _CONTAINERS and isinstance(path[1][1], str):
        path = path[1:]
    return places.text(path)
