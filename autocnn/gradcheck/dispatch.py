"""Which kind of check a function and its arguments ask for, and the call that works where none
does.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import adapters
from autocnn.gradcheck.batching.check import batched_function, examine_batched
from autocnn.gradcheck.devices import dtypes_named
from autocnn.gradcheck.frameworks import framework_problem
from autocnn.gradcheck.modules.functions import check_function
from autocnn.gradcheck.modules.torch_module import check_module, is_module
from autocnn.gradcheck.orders import check_orders
from autocnn.gradcheck.positional import by_name
from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.pytrees import flat_function
from autocnn.gradcheck.report import Report

__all__ = ["check_any", "need_names"]


def check_any(
    f: Callable,
    arrays: dict[str, Any],
    seed: int,
    wrt: Any,
    surrogate: bool,
    quick: bool,
    order: int,
    mode: str,
    batched: bool,
) -> Report:
    """`check` of a function of NumPy, torch or jax arrays, or of a torch.nn.Module."""
    if is_module(f):
        if order != 1 or mode != "reverse" or batched:
            raise ValueError(
                "a module is checked at order 1, in reverse mode; for others pass a function: "
                "check(lambda x: module(x), x=x, order=2)"
            )
        return check_module(f, arrays, wrt, seed, surrogate, quick)
    whole = f = by_name(f)
    f, arrays = flat_function(f, arrays)
    nested = f is not whole
    complex_names = [n for n, a in arrays.items() if "complex" in str(getattr(a, "dtype", ""))]
    in_framework = any(not isinstance(arrays[n], np.ndarray) for n in complex_names)
    if order != 1 or mode != "reverse" or in_framework:
        report = check_orders(f, arrays, order, mode, wrt, seed)
        return batched_function(report, f, arrays, wrt, seed) if batched else report
    problem = framework_problem(f, arrays, wrt)
    if problem is not None:
        with dtypes_named(arrays):
            report = check_function(f, problem, seed, surrogate, quick, nested)
        return batched_function(report, f, arrays, wrt, seed) if batched else report
    if inspect.ismethod(f) and not isinstance(f.__self__, type):
        problem = _method_problem(f, arrays, wrt)
    problem = problem or adapters.closure(f, arrays, wrt)
    return examine_batched(problem, seed, surrogate, quick, batched)


def _method_problem(f: Callable, arrays: dict[str, Any], wrt: Any) -> Problem | None:
    """net.loss of an object with parameters: the object is checked, by this method."""
    from autocnn.gradcheck.adapters.parameters import float_spots

    if not float_spots(f.__self__):
        return None
    first, *rest = arrays
    return adapters.instance(
        f.__self__, (), {first: arrays[first], **{n: arrays[n] for n in rest}}, wrt, f.__name__
    )


def need_names(f: Any, positional: tuple, arrays: dict[str, Any]) -> None:
    """Raise ValueError with the call that works, for arrays by position and for other entry
    points."""
    name = getattr(f, "__name__", type(f).__name__)
    if positional and callable(positional[0]) and callable(f):
        given = ", ".join(f"{n}={n}" for n in arrays) or "x=x"
        other = getattr(positional[0], "__name__", "backward")
        raise ValueError(
            f"check takes one function; a pair is checked by check_pair({name}, {other}, {given})"
        )
    if not callable(f) and hasattr(f, "forward") and hasattr(f, "backward"):
        raise ValueError(f"{name} is an object: check_object({name}(...), x) checks it")
    if hasattr(f, "forward") and hasattr(f, "backward") and not isinstance(f, type):
        raise ValueError(f"{name} is an object: check_object({name}(...), x) checks it")
    if positional:
        try:
            names = list(inspect.signature(getattr(f, "forward", f)).parameters)
        except (TypeError, ValueError):
            names = []
        names += [f"x{k}" for k in range(len(names), len(positional))]
        call = ", ".join(f"{n}=..." for n in [*names[: len(positional)], *arrays])
        raise ValueError(
            f"check takes arrays by name: check({name}, {call}), so that the report can name them"
        )
