"""Which array library a reference is written for, where it need not be the target's."""

import inspect
import sys
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

__all__ = ["candidates", "module_function"]

_LIBRARIES = ("numpy", "torch", "jax")
_ALIASES = {
    "weight": ("w", "W", "gamma", "g", "scale"),
    "bias": ("b", "B", "beta"),
}


def candidates(function: Any, target: str) -> list[str]:
    """The libraries to try a function with, the likeliest first: those that its code mentions, then
    the target's."""
    kinds = {c.__module__.split(".")[0] for c in type(function).__mro__}
    if isinstance(function, type):
        kinds |= {c.__module__.split(".")[0] for c in function.__mro__}
    for name in ("torch", "jax"):
        if name in kinds:
            return [name]
    found = _mentioned(function)
    order = [n for n in (target, *_LIBRARIES) if n in found]
    if not order:  # it may import them inside: whatever is there already
        others = [n for n in _LIBRARIES if n != target and n in sys.modules]
        return [target, *others]
    return order if target in order else [*order, target]


def _mentioned(function: Any) -> set[str]:
    """The libraries whose modules, or functions, the code of a function names."""
    try:
        code = inspect.unwrap(function).__code__
        seen = inspect.getclosurevars(inspect.unwrap(function))
    except (AttributeError, TypeError, ValueError):
        return set(_LIBRARIES[:1]) if not callable(function) else set()
    values = list(seen.globals.values()) + list(seen.nonlocals.values())
    names = _names(code)
    values += [v for n, v in getattr(function, "__globals__", {}).items() if n in names]
    homes = set()
    for value in values:
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        homes.add(str(name or "").split(".")[0])
    return (homes | names) & set(_LIBRARIES)  # `import torch` inside it is a name, too


def _names(code: CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*(_names(c) for c in inner))


def module_function(module: Any) -> Callable:
    """A torch.nn.Module as a function of its inputs and of its parameters, by their names (or w, b,
    gamma, beta for a weight and a bias)."""
    import torch

    parameters = {n: p.detach() for n, p in module.named_parameters()}
    parameters |= {n: b.detach() for n, b in module.named_buffers()}

    def parameter(name: str) -> str | None:
        if name in parameters:
            return name
        found = [
            p
            for p in parameters
            if p.replace(".", "_") == name or name in _ALIASES.get(p.rpartition(".")[2], ())
        ]
        return found[0] if len(found) == 1 else None

    def call(**arguments: Any) -> Any:
        own = {parameter(n): a for n, a in arguments.items() if parameter(n)}
        inputs = [a for n, a in arguments.items() if not parameter(n)]
        dtype = next(
            (a.dtype for a in arguments.values() if torch.is_tensor(a) and a.is_floating_point()),
            None,
        )
        held = {n: p.to(dtype) if p.is_floating_point() else p for n, p in parameters.items()}
        return torch.func.functional_call(module, {**held, **own}, tuple(inputs))

    call.__name__ = type(module).__name__
    return call
