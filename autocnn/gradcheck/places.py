"""Where arrays live inside Python objects: attributes, dicts, lists, tuples, inner objects,
closures."""

import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "Place",
    "array_of",
    "arrays_in",
    "get",
    "globals_of",
    "is_float_array",
    "put",
    "walk",
]

Step = tuple[str, Any]
DEPTH = 7
MOST = 3000  # values looked at before the walk gives up: a data set is not a layer


class Place(NamedTuple):
    """One array and the steps that lead to it from the root."""

    path: tuple[Step, ...]
    array: np.ndarray

    @property
    def name(self) -> str:
        """The path as one would write it, without the root: "layers[0].W", "params.W"."""
        return text(self.path)


# Modules whose objects hold no arrays of the author's.
_NO_ARRAYS = {
    "numpy", "scipy", "random", "threading", "logging", "torch", "jax", "jaxlib", "matplotlib",
    "re", "pathlib", "_io", "io", "typing", "abc", "weakref", "inspect",
}  # fmt: skip


def text(path: tuple[Step, ...]) -> str:
    """Return a path in words: attributes and string keys with dots, positions in brackets."""
    words = ""
    for kind, key in path:
        if kind == "index" or not isinstance(key, str):
            words += f"[{key!r}]"
        else:
            words += f".{key}" if words else str(key)
    return words


def array_of(value: Any) -> np.ndarray | None:
    """An array itself, a torch tensor as an array on the same memory (where it is on the CPU);
    None for anything else."""
    if isinstance(value, np.ndarray):
        return value
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return None
    try:
        return value.detach().cpu().resolve_neg().resolve_conj().numpy()
    except (TypeError, RuntimeError):  # bfloat16, meta tensors
        return None


def is_float_array(value: Any) -> bool:
    """True for arrays and tensors of floats, numpy's float scalars excluded."""
    array = array_of(value)
    return array is not None and array.dtype.kind == "f"


def _skipped(value: Any) -> bool:
    """Values that hold no state of the checked code, or too much of others'."""
    if isinstance(value, str | bytes | int | float | complex | type | types.ModuleType):
        return True
    if value is None or isinstance(value, np.generic | types.BuiltinFunctionType | np.ufunc):
        return True
    if isinstance(value, np.ndarray | np.random.Generator | np.random.RandomState):
        return False
    home = (type(value).__module__ or "").split(".")[0]
    return home in _NO_ARRAYS and array_of(value) is None


def children(value: Any) -> list[tuple[Step, Any]]:
    """The values one step inside `value`."""
    if isinstance(value, dict):
        return [(("key", k), v) for k, v in list(value.items())]
    if isinstance(value, list | tuple | set | frozenset):
        return [(("index", i), v) for i, v in enumerate(list(value))]
    if isinstance(value, types.MethodType):
        return [(("self", "self"), value.__self__), *children(value.__func__)]
    if isinstance(value, types.FunctionType):
        return [(("cell", n), v) for n, v in cells_of(value)]
    found: list[tuple[Step, Any]] = []
    if hasattr(value, "__dict__"):
        found += [(("attr", n), v) for n, v in list(vars(value).items())]
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if isinstance(name, str) and hasattr(value, name) and not name.startswith("__"):
                found.append((("attr", name), getattr(value, name)))
    return found


def cells_of(function: types.FunctionType) -> list[tuple[str, Any]]:
    """Names and values that a function closes over, those not bound yet excluded."""
    found = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:
            continue
    return found


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def globals_of(function: Any) -> dict[str, Any]:
    """The global variables that a function, or one that it calls in the same module, reads."""
    found: dict[str, Any] = {}
    todo, seen = [function], set()
    while todo:
        f = todo.pop()
        f = getattr(f, "__func__", f)
        if not isinstance(f, types.FunctionType) or id(f) in seen or len(seen) > 100:
            continue
        seen.add(id(f))
        todo += [v for _, v in cells_of(f) if isinstance(v, types.FunctionType)]
        for name in _names(f.__code__):
            if name not in f.__globals__:
                continue
            value = f.__globals__[name]
            if isinstance(value, types.FunctionType):
                if value.__module__ == f.__module__:
                    todo.append(value)
            elif not _skipped(value):
                found[name] = value
    return found


def visit(root: Any, depth: int = DEPTH) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """(path, value) of everything reachable, each object once, nearest first."""
    seen: set[int] = set()
    level: list[tuple[tuple[Step, ...], Any]] = [((), root)]
    count = 0
    for _ in range(depth + 1):
        deeper = []
        for path, value in level:
            if _skipped(value) or id(value) in seen:
                continue
            seen.add(id(value))
            count += 1
            if count > MOST:
                return
            yield path, value
            if array_of(value) is None:
                deeper += [((*path, step), child) for step, child in children(value)]
        level = deeper


def walk(root: Any, depth: int = DEPTH) -> list[Place]:
    """Every array that can be reached from `root`, each once, nearest first."""
    found = ((path, array_of(value)) for path, value in visit(root, depth))
    return [Place(path, array) for path, array in found if array is not None]


def arrays_in(value: Any, name: str) -> dict[str, np.ndarray]:
    """Every array that `value` holds, and every number that is an attribute, by name; `name`
    stands for `value` itself."""
    found = {}
    for path, item in visit(value):
        array = array_of(item)
        if array is not None:
            inside = text(path)
            key = inside if path and path[0][0] in ("cell", "attr") else name + inside
            found[key] = array
        elif hasattr(item, "__dict__") or hasattr(item, "__slots__"):
            for (kind, attribute), number in children(item):
                if kind == "attr" and isinstance(number, float):
                    found[f"{text(path)}.{attribute}"] = np.asarray(number)
    return found


def get(root: Any, path: tuple[Step, ...]) -> Any:
    """The value at a path, a tensor as an array. Raises LookupError where there is none."""
    value = _at(root, path)
    array = array_of(value)
    return value if array is None else array


def _at(root: Any, path: tuple[Step, ...]) -> Any:
    value = root
    for kind, key in path:
        try:
            if kind == "attr":
                value = getattr(value, key)
            elif kind in ("key", "index"):
                value = value[key]
            elif kind == "self":
                value = value.__self__
            else:
                value = dict(cells_of(getattr(value, "__func__", value)))[key]
        except (AttributeError, KeyError, IndexError, TypeError) as error:
            raise LookupError(text(path)) from error
    return value


def put(root: Any, path: tuple[Step, ...], value: Any) -> None:
    """Put `value` at a path, replacing tuples on the way; as a tensor where one was."""
    holder, (kind, key) = _at(root, path[:-1]), path[-1]
    if isinstance(value, np.ndarray) and not isinstance(_at(root, path), np.ndarray):
        before = _at(root, path)
        if array_of(before) is not None:
            value = sys.modules["torch"].tensor(value, device=before.device)
    if kind == "attr":
        setattr(holder, key, value)
    elif isinstance(holder, tuple):
        items = list(holder)
        items[key] = value
        kind_of = type(holder)
        put(root, path[:-1], kind_of(*items) if hasattr(holder, "_fields") else kind_of(items))
    else:
        holder[key] = value
