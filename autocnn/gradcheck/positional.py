"""Functions that take some arguments by position only, called by name as every check calls them."""

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

__all__ = ["by_name", "function_of"]


def function_of(f: Any) -> Any:
    """The torch.autograd.Function of its `apply`; anything else as it is."""
    owner = getattr(f, "__self__", None)
    if getattr(f, "__name__", "") != "apply" or not isinstance(owner, type):
        return f
    return owner if hasattr(owner, "forward") and hasattr(owner, "backward") else f


def by_name(f: Any) -> Any:
    """f itself, or, where some of its arguments go by position only, a function that takes all of
    them by name. A Python function keeps its code, so that its lines are still found."""
    if isinstance(f, type) or not callable(f):
        return f
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        unreadable = (types.BuiltinFunctionType, types.MethodDescriptorType)
        return _in_order(f) if isinstance(f, unreadable) else f
    only = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
    if not only:
        return f
    if isinstance(f, types.FunctionType) and not hasattr(f, "__wrapped__"):
        code = f.__code__.replace(co_posonlyargcount=0)
        made = types.FunctionType(code, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
        made.__kwdefaults__ = f.__kwdefaults__
        functools.update_wrapper(made, f, assigned=_KEPT)
        delattr(made, "__wrapped__")  # its signature would be taken for that of made
        return made
    return _by_position(f, parameters, only)


_KEPT = ("__module__", "__qualname__", "__doc__", "__annotations__")


def _by_position(f: Callable, parameters: list[inspect.Parameter], only: list[str]) -> Callable:
    @functools.wraps(f)
    def call(**arguments: Any) -> Any:
        first = []
        for name in only:
            if name not in arguments:
                break
            first.append(arguments.pop(name))
        return f(*first, **arguments)

    named = inspect.Parameter.POSITIONAL_OR_KEYWORD
    open_ = [p.replace(kind=named) if p.name in only else p for p in parameters]
    call.__signature__ = inspect.Signature(open_)  # type: ignore[attr-defined]
    return call


def _in_order(f: Callable) -> Callable:
    """A function of C that shows no signature: by name, and where it refuses the names, its
    arrays by position in the order in which they are given."""

    def call(**arguments: Any) -> Any:
        try:
            return f(**arguments)
        except TypeError as error:
            arrays = [v for v in arguments.values() if hasattr(v, "shape")]
            others = {n: v for n, v in arguments.items() if not hasattr(v, "shape")}
            try:
                return f(*arrays, **others)
            except TypeError:
                raise error from None

    call.__name__ = getattr(f, "__name__", "function")
    call.__module__ = getattr(f, "__module__", None) or type(f).__module__
    return call
