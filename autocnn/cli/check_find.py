"""What `autocnn check` finds in a file: pairs, functions and layers, by their names."""

import inspect
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck.adapters.methods import BACKWARD, FORWARD
from autocnn.gradcheck.devices import is_jax_function, is_jax_rule

__all__ = ["Target", "all_targets", "find", "is_from", "parameters_of"]


class Target(NamedTuple):
    """A backward pass: its name, "pair", "vjp", "object" or "closure", and its functions."""

    name: str
    kind: str
    functions: tuple[Any, ...]

    @property
    def stems(self) -> tuple[str, ...]:
        """The names that NAME_inputs and NAME_shapes may begin with."""
        short = _without_forward(self.name)
        return tuple(dict.fromkeys((self.name, short, short.removesuffix("_naive"))))


def is_from(value: Any, module: Any) -> bool:
    """True where the module defines the function or class (rather than imports it)."""
    return getattr(value, "__module__", None) == module.__name__


def _without_forward(name: str) -> str:
    """conv of conv_forward and forward_conv, conv_naive of conv_forward_naive."""
    words = [w for w in name.split("_") if w.lower() not in ("forward", "fwd")]
    return "_".join(words) or name


def _replaced(name: str, words: tuple[tuple[str, str], ...]) -> list[str]:
    found = [name.replace(old, new) for old, new in words if old in name]
    return [n for n in found if n != name]


def _forward_names(name: str) -> list[str]:
    """The names that the forward pass of `name` may have: itself, or built from it."""
    if "backward" in name.lower() or "forward" in name.lower():
        back = _replaced(name, (("backward", "forward"), ("Backward", "Forward")))
        return [n + tail for n in back or [name] for tail in ("", "_naive")]
    stem = name.removesuffix("_naive")
    built = [f"{name}_forward", f"{name}_fwd", f"{stem}_forward_naive", f"forward_{name}"]
    return [name, *built]


def _names_backward(name: str) -> bool:
    return "backward" in name.lower()


def _backward_of(module: Any, forward: str) -> Any:
    """The function beside `forward` whose name says backward where that says forward."""
    words = (("forward", "backward"), ("Forward", "Backward"), ("fwd", "bwd"))
    candidates = _replaced(forward, words)
    if "forward" not in forward.lower() and "fwd" not in forward:
        candidates = [f"{forward}_backward", f"backward_{forward}", f"{forward}_bwd"]
    return next((f for n in candidates if callable(f := getattr(module, n, None))), None)


def find(module: Any, name: str, path: str) -> Target:
    """The backward pass called `name`. Raises ValueError that says what the file has."""
    named = getattr(module, name, None)
    is_function = inspect.isfunction(named) or is_jax_function(named)
    for forward_name in _forward_names(name):
        if forward_name != name and is_function and not _names_backward(name):
            break
        forward = getattr(module, forward_name, None)
        backward = _backward_of(module, forward_name)
        if inspect.isfunction(forward) and backward is not None:
            return Target(name, "pair", (forward, backward))
    value = getattr(module, name, None)
    if is_jax_function(value):
        return Target(name, "closure", (value,))
    if value is None:
        has = [t.name for t in all_targets(module)] or [
            n
            for n, v in vars(module).items()
            if callable(v) and not n.startswith("_") and is_from(v, module)
        ]
        failed = getattr(module, "__failed_cells__", [])
        why = f" ({failed[0]})" if failed else ""
        raise ValueError(
            f"there is no {name} in {path}{why}; it has {', '.join(has) or 'no functions'}"
        )
    if inspect.isclass(value) and _is_torch_function(value):
        return Target(name, "closure", (value,))
    if _is_layer(value):
        return Target(name, "object", (value,))
    vjp = getattr(module, f"{name}_vjp", None)
    if callable(vjp):
        return Target(name, "vjp", (value, vjp))
    if not callable(value) or inspect.isclass(value):
        raise ValueError(
            f"{name} in {path} is a {type(value).__name__}: it needs forward and backward, or "
            "must be a function"
        )
    return Target(name, "closure", (value,))


def _is_torch_function(value: type) -> bool:
    return any(c.__module__.startswith("torch.autograd") for c in value.__mro__)


def _is_layer(value: Any) -> bool:
    if inspect.isfunction(value):
        return hasattr(value, "forward") and hasattr(value, "backward")
    return _method(value, FORWARD) is not None and _method(value, BACKWARD) is not None


def _method(value: Any, names: tuple[str, ...]) -> Any:
    """The first method of these names; `__call__` counts where a class defines it."""
    kind = value if inspect.isclass(value) else type(value)
    for name in names:
        if name == "__call__" and not any("__call__" in c.__dict__ for c in kind.__mro__):
            continue
        if callable(found := getattr(value, name, None)):
            return found
    return None


def all_targets(module: Any) -> list[Target]:
    """Every backward pass that the file defines, in the order of its lines."""
    found: list[Target] = []
    taken: set[int] = set()

    def add(name: str, kind: str, *functions: Any) -> None:
        if not any(id(f) in taken for f in functions):
            taken.update(id(f) for f in functions)
            found.append(Target(name, kind, functions))

    own = [
        (n, v)
        for n, v in vars(module).items()
        if not n.startswith("_") and callable(v) and is_from(v, module)
    ]
    own.sort(key=lambda item: not is_jax_rule(item[1]))  # their two functions are no pair
    for name, value in own:
        if is_jax_rule(value):
            taken.update(id(getattr(value, part, None)) for part in ("fwd", "bwd", "jvp"))
            add(name, "closure", value)
        elif inspect.isclass(value):
            if not inspect.isabstract(value) and (
                _is_torch_function(value) or _defines_backward(value)
            ):
                add(name, "closure" if _is_torch_function(value) else "object", value)
        elif inspect.isfunction(value):
            backward, vjp = _backward_of(module, name), getattr(module, f"{name}_vjp", None)
            if backward is not None:
                add(name, "pair", value, backward)
            elif callable(vjp):
                add(name, "vjp", value, vjp)
            elif _has_arrays(module, name) or _has_array_defaults(value):
                add(name, "closure", value)
    return found


def _defines_backward(kind: type) -> bool:
    """A layer whose backward is written: a base class's only raises NotImplementedError."""
    if not _is_layer(kind):
        return False
    code = getattr(_method(kind, BACKWARD), "__code__", None)
    return code is None or "NotImplementedError" not in code.co_names


def _has_arrays(module: Any, name: str) -> bool:
    return any(hasattr(module, f"{name}_{what}") for what in ("inputs", "shapes"))


def _has_array_defaults(function: Any) -> bool:
    return any(isinstance(p.default, np.ndarray) for p in parameters_of(function))


def parameters_of(function: Any) -> list[inspect.Parameter]:
    """The named parameters of a function, or of an object's forward, without self and ctx."""
    if not inspect.isfunction(function):
        function = _method(function, FORWARD[:-4]) or function
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []
    return [
        p
        for p in found
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in ("self", "ctx")
    ]
