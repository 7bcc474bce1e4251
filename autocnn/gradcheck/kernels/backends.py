"""One interface to NumPy (with ml_dtypes), torch and jax: make arrays in a given dtype, call a
differentiable function, pull cotangents back, and read the results as float64.

A function of any of them may return `(y, backward)`, with `backward(dy) -> gradients` (a dict by
name, a tuple in the order of the arguments, or one array). A function of torch tensors or jax
arrays may return y alone: the framework then differentiates it, custom rules included.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck.problem import CallError

__all__ = [
    "DTYPES",
    "Backend",
    "Call",
    "backend_of",
    "dtype_name",
    "explicit",
    "get",
    "is_pair",
    "needs_backward",
    "split",
]

#: dtype name -> (unit roundoff, smallest positive number, largest number)
DTYPES = {
    "float64": (2.0**-53, 5e-324, 1.8e308),
    "float32": (2.0**-24, 2.0**-149, 3.4e38),
    "bfloat16": (2.0**-8, 2.0**-133, 3.38e38),
    "float16": (2.0**-11, 2.0**-24, 65504.0),
}
_SHORT = {
    "double": "float64",
    "fp64": "float64",
    "f64": "float64",
    "float": "float32",
    "fp32": "float32",
    "f32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "f16": "float16",
    "half": "float16",
}


class Call(NamedTuple):
    """One forward call: the float outputs, and `backward(cotangents) -> {name: gradient}` for
    cotangents in the outputs' order.
    """

    outputs: list[Any]
    backward: Callable[[list[Any]], dict[str, Any]]


class Backend(NamedTuple):
    """What the checker asks of an array library."""

    name: str
    #: (float64 or integer array, dtype name or None, device) -> an array of the library
    make: Callable[[np.ndarray, str | None, Any], Any]
    #: an array of the library -> float64 (integers keep their dtype)
    read: Callable[[Any], np.ndarray]
    #: (function, named arguments, names to differentiate) -> Call
    run: Callable[[Callable, dict[str, Any], tuple[str, ...]], Call]
    device: Callable[[Any], str]
    #: disables custom rules, so that a framework differentiates the forward pass itself;
    #: True drops traces of compiled functions, which hold the rules of other calls like this one
    plain: Callable[[bool], contextlib.AbstractContextManager]
    #: full float32 precision in matrix products
    precise: Callable[[], contextlib.AbstractContextManager]


def dtype_name(dtype: Any) -> str:
    """The canonical name of a float dtype given as "bf16", np.float32, torch.float16 ..."""
    text = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    text = text.removeprefix("torch.").lower()
    text = _SHORT.get(text, text)
    if text not in DTYPES:
        raise ValueError(
            f"dtype {dtype!r} is not supported: pass one of {', '.join(DTYPES)} (or bf16, fp16)"
        )
    return text


def backend_of(values: dict[str, Any]) -> str:
    """ "torch" or "jax" where any value is an array of it, else "numpy"."""
    homes = {type(v).__module__.split(".")[0] for v in values.values()}
    if "torch" in homes:
        return "torch"
    return "jax" if homes & {"jax", "jaxlib"} else "numpy"


def get(name: str) -> Backend:
    """The backend called `name`; ImportError names the extra to install."""
    try:
        return {"numpy": _numpy, "torch": _torch, "jax": _jax}[name]()
    except KeyError:
        raise ValueError(f"library {name!r} is not one of numpy, torch, jax") from None
    except ImportError as error:
        raise ImportError(f"{name} is not installed: pip install autocnn[{name}]") from error


def is_pair(out: Any) -> bool:
    """Is it (y, backward)?"""
    return isinstance(out, tuple) and len(out) == 2 and callable(out[1])


def split(y: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The arrays of an output, and the function that gives cotangents its structure."""
    if isinstance(y, dict):
        keys = list(y)
        return list(y.values()), lambda dys: dict(zip(keys, dys, strict=True))
    if isinstance(y, tuple | list):
        return list(y), tuple
    return [y], lambda dys: dys[0]


def _by_name(grads: Any, wrt: tuple[str, ...], names: list[str]) -> dict[str, Any]:
    """Gradients by argument name, from a dict, a tuple or one array."""
    if isinstance(grads, dict):
        found = {}
        for key, value in grads.items():
            short = key.lower().removesuffix("_grad")
            short = short if short in wrt else short.removeprefix("grad_").removeprefix("d_")
            found[key if key in wrt else short if short in wrt else short.removeprefix("d")] = value
        return {n: found.get(n) for n in wrt}
    if isinstance(grads, tuple | list):
        order = list(wrt) if len(grads) == len(wrt) else names
        return {n: g for n, g in zip(order, grads, strict=False) if n in wrt}
    return {wrt[0]: grads}


def explicit(out: tuple, wrt: tuple[str, ...], names: list[str], is_float: Callable) -> Call:
    """The Call of a function that returned (y, backward)."""
    parts, rebuild = split(out[0])
    floats = [k for k, p in enumerate(parts) if is_float(p)]

    def backward(dys: list[Any]) -> dict[str, Any]:
        full: list[Any] = [None] * len(parts)
        for k, dy in zip(floats, dys, strict=True):
            full[k] = dy
        return _by_name(out[1](rebuild(full)), wrt, names)

    return Call([parts[k] for k in floats], backward)


# NumPy --------------------------------------------------------------------------------------


def _numpy_dtype(name: str) -> np.dtype:
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError("bfloat16 in NumPy needs ml_dtypes: pip install autocnn[kernels]") from (
            error
        )
    return np.dtype(ml_dtypes.bfloat16)


def _numpy() -> Backend:
    def make(array, dtype, device=None):
        return np.array(array, dtype=None if dtype is None else _numpy_dtype(dtype))

    def read(array):
        array = np.asarray(array)
        return array.astype(np.float64) if array.dtype.kind not in "iub" else array

    def is_float(part):
        return np.asarray(part).dtype.kind not in "iubOUS"

    def run(function, arguments, wrt):
        with np.errstate(all="ignore"):
            out = function(**arguments)
        if not is_pair(out):
            return Call(split(out)[0], needs_backward)
        call = explicit(out, wrt, list(arguments), is_float)

        def backward(dys):
            with np.errstate(all="ignore"):
                return call.backward(dys)

        return Call(call.outputs, backward)

    nothing = contextlib.nullcontext
    return Backend("numpy", make, read, run, lambda a: "cpu", lambda fresh: nothing(), nothing)


def needs_backward(dys: list[Any]) -> dict[str, Any]:
    """The backward of a NumPy function that returned y alone."""
    raise CallError(
        "a NumPy function must return (y, backward), with backward(dy) -> gradients: it returned "
        "y alone"
    )


# torch --------------------------------------------------------------------------------------


def _torch() -> Backend:
    import torch

    def make(array, dtype, device=None):
        tensor = torch.from_numpy(np.ascontiguousarray(array).copy()).reshape(np.shape(array))
        return tensor.to(device=device, dtype=getattr(torch, dtype) if dtype else None)

    def read(tensor):
        tensor = torch.as_tensor(tensor).detach().cpu()
        return (tensor.double() if tensor.is_floating_point() else tensor).numpy()

    def run(function, arguments, wrt):
        inputs = {
            n: a.detach().requires_grad_(n in wrt) if isinstance(a, torch.Tensor) else a
            for n, a in arguments.items()
        }
        custom = isinstance(function, type) and issubclass(function, torch.autograd.Function)
        out = function.apply(*inputs.values()) if custom else function(**inputs)
        if is_pair(out):
            return explicit(out, wrt, list(arguments), lambda p: p.is_floating_point())
        outputs = [p for p in split(out)[0] if p is not None and p.is_floating_point()]
        if not any(p.requires_grad for p in outputs):
            raise CallError(
                "the output does not depend on any differentiated argument: it has no grad_fn "
                "(was it computed under torch.no_grad, or detached?)"
            )

        def backward(dys):
            pairs = [(p, d) for p, d in zip(outputs, dys, strict=True) if p.requires_grad]
            grads = torch.autograd.grad(
                [p for p, _ in pairs],
                [inputs[n] for n in wrt],
                [d for _, d in pairs],
                retain_graph=True,
                allow_unused=True,
            )
            return dict(zip(wrt, grads, strict=True))

        return Call([p.detach() for p in outputs], backward)

    @contextlib.contextmanager
    def precise() -> Iterator[None]:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)

    return Backend("torch", make, read, run, lambda t: str(t.device), _torch_plain, precise)


@contextlib.contextmanager
def _torch_plain(fresh: bool) -> Iterator[None]:
    """Every torch.autograd.Function runs its forward under autograd, its backward unused."""
    import torch

    original = torch.autograd.Function.__dict__["apply"]

    def apply(cls, *args, **kwargs):
        if cls.setup_context is not torch.autograd.Function.setup_context:
            return cls.forward(*args, **kwargs)
        return cls.forward(_Context(), *args, **kwargs)

    torch.autograd.Function.apply = classmethod(apply)
    try:
        yield
    finally:
        torch.autograd.Function.apply = original


class _Context:
    """Stands in for ctx while a forward runs without its Function."""

    needs_input_grad = (True,) * 64

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Any) -> None: ...

    def mark_non_differentiable(self, *tensors: Any) -> None: ...

    def mark_dirty(self, *tensors: Any) -> None: ...

    def set_materialize_grads(self, value: bool) -> None: ...


def _jax() -> Backend:
    from autocnn.gradcheck.kernels.jax_backend import jax_backend

    return jax_backend()
