"""A copy of somebody's forward pass in which numpy keeps the imaginary part, so that the complex
step can see through it.

Hand-written passes fill buffers (`out = np.zeros(...)`) and call functions that drop the imaginary
part (abs, var, std, norm). `lift` copies the function with `np` bound to a thin proxy whose float
buffers are complex and whose non-analytic functions are replaced by analytic ones. Nothing global
is patched. A lifted forward is only a candidate: the witness trusts it after it has agreed with a
real difference of the original.
"""

import contextlib
import math
import types
from collections.abc import Callable, Iterator

import numpy as np


def lift(function: Callable) -> Callable:
    """A copy of `function` (and of the plain Python functions that it reaches) over
    complex-keeping numpy.
    """
    return _lift(function, {})


@contextlib.contextmanager
def replacing(functions: dict[str, Callable]) -> Iterator[None]:
    """Let lifted copies call these functions for numpy's of the same names in the body of `with`.

    Copies that are to see functions imported by name (`from numpy import tanh`) are made inside.
    """
    before = dict(_REPLACED)
    _REPLACED.update(functions)
    try:
        yield
    finally:
        _REPLACED.clear()
        _REPLACED.update(before)


def _lift(function, seen: dict):
    if isinstance(function, types.MethodType):
        return types.MethodType(_lift(function.__func__, seen), function.__self__)
    if not isinstance(function, types.FunctionType) or _foreign(function):
        return function
    if id(function) in seen:
        return seen[id(function)]
    names = dict(function.__globals__)
    cells = tuple(types.CellType() for _ in function.__closure__ or ())
    copy = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, cells or None
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    seen[id(function)] = copy
    for name in _names(function.__code__):
        if name in names:
            names[name] = _lift_value(names[name], seen)
        elif name in _BUILTINS:
            names[name] = _BUILTINS[name]
    for old, new in zip(function.__closure__ or (), cells, strict=True):
        try:
            new.cell_contents = _lift_value(old.cell_contents, seen)
        except ValueError:  # not bound yet, and not bound when it is called either
            continue
    return copy


def _lift_value(value, seen):
    if value is np:
        return _PROXY
    if value is math:
        return _MATH
    if isinstance(value, types.FunctionType):
        return _lift(value, seen)
    if (
        isinstance(value, types.BuiltinFunctionType | np.ufunc)
        or getattr(value, "__module__", None) == "numpy"
    ):
        name = getattr(value, "__name__", "")  # `from numpy import zeros`
        if name in _REPLACED and getattr(np, name, None) is value:
            return _REPLACED[name]
    return value


def _foreign(function) -> bool:
    return (function.__module__ or "").split(".")[0] in {
        "numpy",
        "scipy",
        "autograd",
        "torch",
        "jax",
    }


def _names(code) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _complex_dtype(dtype):
    """complex128 where a float buffer was asked for."""
    if dtype is None or dtype is _float:
        return np.complex128
    try:
        return np.complex128 if np.dtype(dtype).kind == "f" else dtype
    except TypeError:
        return dtype


def _float(a=0.0):
    return a if np.iscomplexobj(a) else float(a)


def _buffer(make):
    return lambda shape, dtype=None, *rest, **named: make(
        shape, _complex_dtype(dtype), *rest, **named
    )


def _like(make):
    def buffer(a, *rest, dtype=None, **named):
        return make(a, *rest, dtype=_complex_dtype(dtype or np.asarray(a).dtype), **named)

    return buffer


def _full(shape, value, dtype=None, **named):
    return np.full(shape, value, _complex_dtype(dtype or np.asarray(value).dtype), **named)


def _convert(make):
    def convert(a, dtype=None, *rest, **named):
        if dtype is not None and np.asarray(a).dtype.kind == "c":
            dtype = _complex_dtype(dtype)
        return make(a, dtype, *rest, **named)

    return convert


def _cast(kind):
    return lambda a=0.0: np.complex128(a) if np.iscomplexobj(a) else kind(a)


def _negative(a: np.ndarray) -> np.ndarray:
    """a < 0 as numpy orders complex numbers: by the real part first, so that a step from a tie
    falls on its own side.
    """
    return (a.real < 0) | ((a.real == 0) & (a.imag < 0))


def _abs(a, **named):
    a = np.asarray(a)
    return np.where(_negative(a), -a, a) if a.dtype.kind == "c" else np.abs(a, **named)


def _sign(a, **named):
    a = np.asarray(a)
    return (
        np.where(_negative(a), -1.0, 1.0) * (a != 0) if a.dtype.kind == "c" else np.sign(a, **named)
    )


def _var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **named):
    a = np.asarray(a)
    mean = a.mean(axis=axis, keepdims=True)
    square = ((a - mean) ** 2).sum(axis=axis, keepdims=keepdims)
    count = a.size if axis is None else np.prod([a.shape[k] for k in np.atleast_1d(axis)])
    return square / (count - ddof)


def _norm(a, ord=None, axis=None, keepdims=False):
    if not (ord is None or ord in (2, "fro")) or not np.iscomplexobj(a):
        return np.linalg.norm(a, ord, axis, keepdims)
    return np.sqrt((np.asarray(a) ** 2).sum(axis=axis, keepdims=keepdims))


_REPLACED = {
    "zeros": _buffer(np.zeros),
    "ones": _buffer(np.ones),
    "empty": _buffer(np.empty),
    "full": _full,
    "zeros_like": _like(np.zeros_like),
    "ones_like": _like(np.ones_like),
    "empty_like": _like(np.empty_like),
    "full_like": _like(np.full_like),
    "array": _convert(np.array),
    "asarray": _convert(np.asarray),
    "ascontiguousarray": _convert(np.ascontiguousarray),
    "float64": _cast(np.float64),
    "float32": _cast(np.float32),
    "abs": _abs,
    "absolute": _abs,
    "fabs": _abs,
    "sign": _sign,
    "var": _var,
    "std": lambda a, *rest, **named: np.sqrt(_var(a, *rest, **named)),
    "vdot": lambda a, b: np.dot(np.ravel(a), np.ravel(b)),
    "logaddexp": lambda a, b: (
        np.maximum(a, b) + np.log1p(np.exp(np.minimum(a, b) - np.maximum(a, b)))
    ),
}


class _Linalg:
    norm = staticmethod(_norm)

    def __getattr__(self, name):
        return getattr(np.linalg, name)


class _Numpy:
    """numpy with the functions above in place of its own."""

    linalg = _Linalg()

    def __getattr__(self, name):
        return _REPLACED.get(name) or getattr(np, name)


_PROXY = _Numpy()


class _Math:
    """math with numpy's functions where both have one: they take complex numbers."""

    def __getattr__(self, name):
        return (
            getattr(np, name)
            if name in {"exp", "log", "sqrt", "tanh", "sin", "cos", "log1p", "expm1"}
            else getattr(math, name)
        )


_MATH = _Math()
_BUILTINS = {"float": _float, "abs": _abs}
