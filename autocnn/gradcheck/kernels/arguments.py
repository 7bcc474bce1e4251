"""What `check_kernel` was given: the library, dtypes, device and leaves of the target, and the
library of the reference.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from autocnn.gradcheck.kernels import backends
from autocnn.gradcheck.kernels.backends import Backend
from autocnn.gradcheck.kernels.libraries import candidates, module_function
from autocnn.gradcheck.kernels.setup import Setup
from autocnn.gradcheck.positional import by_name, function_of

__all__ = ["make_setup", "need_names"]


def need_names(target: Any, reference: Any, positional: tuple, arguments: dict[str, Any]) -> Any:
    """The reference, also where it is given by name. Raises ValueError with the call that works
    for arrays by position."""
    name = getattr(target, "__name__", type(target).__name__)
    if not callable(target):
        raise ValueError(
            f"check_kernel needs a function, got {name}: check_kernel(f, reference, x=x)"
        )
    if reference is None and callable(arguments.get("reference")):
        reference = arguments.pop("reference")
    if positional or not (reference is None or callable(reference)):
        arrays = positional if reference is None or callable(reference) else (0, *positional)
        try:
            code = getattr(target, "forward", target)
            names = [n for n in inspect.signature(code).parameters if n != "ctx"]
        except (TypeError, ValueError):
            names = []
        names = [n for n in names if n not in arguments][: len(arrays)]
        names += [f"x{k}" for k in range(len(names), len(arrays))]
        given = ", ".join(f"{n}=..." for n in [*names, *arguments])
        raise ValueError(
            f"check_kernel takes arrays by name: check_kernel({name}, reference, {given})"
        )
    return reference


def make_setup(
    target: Callable,
    reference: Callable | None,
    dtype: Any,
    wrt: Any,
    library: str | None,
    timeout: float,
    arguments: dict[str, Any],
) -> Setup:
    """Decide library, dtypes, device and leaves. Raises ValueError in one line for bad input."""
    target, reference = by_name(function_of(target)), by_name(function_of(reference))
    label = getattr(target, "__name__", type(target).__name__)
    library = library or _library(target, arguments, dtype)
    backend = backends.get(library)
    arrays = {n: v for n, v in arguments.items() if hasattr(v, "dtype") and hasattr(v, "shape")}
    if reference is None and library == "numpy":
        raise ValueError(
            f"{label} takes NumPy arrays, which nothing differentiates: pass reference=, a "
            "plain function of NumPy, torch or jax that returns y, or (y, backward)"
        )
    device = _device(backend, arrays, label)
    dtypes, values = {}, {}
    for name, array in arrays.items():
        home = backends.get(backends.backend_of({name: array}))
        read = np.array(home.read(array))
        values[name] = read
        if read.dtype.kind == "c":
            raise ValueError(
                f"{name} is complex: check_kernel takes real arrays (gradcheck.check takes complex)"
            )
        if read.dtype.kind == "f":
            wanted = dtype.get(name) if isinstance(dtype, dict) else dtype
            dtypes[name] = backends.dtype_name(array.dtype if wanted is None else wanted)
            if not np.all(np.isfinite(read)):
                raise ValueError(f"{name} holds inf or nan: give finite values")
            if not read.size:
                raise ValueError(f"{name} is empty (shape {read.shape})")
    if not dtypes:
        got = ", ".join(f"{n}: {type(v).__name__}" for n, v in arguments.items()) or "no arguments"
        raise ValueError(f"{label}: nothing to differentiate, give a float array (got {got})")
    if dtype is None and len(set(dtypes.values())) > 1:
        raise ValueError(
            f"dtypes differ: {', '.join(f'{n} {d}' for n, d in dtypes.items())}; pass dtype='bf16' "
            f"for all, or dtype={{{', '.join(f'{n!r}: {d!r}' for n, d in dtypes.items())}}} to mix"
        )
    leaves = tuple(dtypes) if wrt is None else ((wrt,) if isinstance(wrt, str) else tuple(wrt))
    for name in leaves:
        if name not in dtypes:
            raise ValueError(f"wrt names {name!r}; the float arguments are {', '.join(dtypes)}")
    options = {n: v for n, v in arguments.items() if n not in arrays}
    order = tuple(arguments)
    chosen = (target, reference, backend, values, options, order, leaves, dtypes, device, timeout)
    setup = Setup(label, *chosen)
    rounded = setup.rounded(values)
    for name, v in rounded.items():
        if not np.all(np.isfinite(v)):
            top = float(np.max(np.abs(values[name])))
            raise ValueError(
                f"{name} reaches {top:.3g}, which {dtypes[name]} does not hold: scale it down"
            )
    values.update(rounded)
    return setup if reference is None else _with_reference(setup, library)


def _with_reference(setup: Setup, library: str) -> Setup:
    """The setup with its reference in the library that it is written for."""
    reference = setup.reference
    if hasattr(reference, "named_parameters"):  # a torch.nn.Module
        setup = replace(setup, reference=module_function(reference))
    first: Exception | None = None
    found = candidates(reference, library) or [library]
    for name in found:
        trial = replace(setup, other=None if name == library else backends.get(name))
        if len(found) == 1:
            return trial
        try:
            trial.shapes()
        except Exception as error:
            first = first or error
            continue
        return trial
    assert first is not None
    raise first


def _library(target: Callable, arguments: dict[str, Any], dtype: Any) -> str:
    found = backends.backend_of(arguments)
    if found != "numpy":
        return found
    wanted = dtype.values() if isinstance(dtype, dict) else (dtype,)
    if any(str(d).startswith("torch.") for d in wanted):
        return "torch"
    kinds = {c.__module__.split(".")[0] for c in type(target).__mro__}
    if isinstance(target, type):
        kinds |= {c.__module__.split(".")[0] for c in target.__mro__}
    if "torch" in kinds:
        return "torch"
    return "jax" if kinds & {"jax", "jaxlib"} else "numpy"


def _device(backend: Backend, arrays: dict[str, Any], label: str) -> Any:
    native = {n: a for n, a in arrays.items() if backends.backend_of({n: a}) == backend.name}
    if backend.name == "numpy" or not native:
        return None
    places = {n: backend.device(a) for n, a in native.items()}
    if len(set(places.values())) > 1:
        raise ValueError(
            f"{label}: devices differ: {', '.join(f'{n} on {p}' for n, p in places.items())}"
        )
    return next(iter(places.values())) if backend.name == "torch" else None
