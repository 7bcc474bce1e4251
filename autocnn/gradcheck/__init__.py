"""A gradient checker that names the bug: is a hand-written backward pass right, and if not, what is
wrong with it?

# f(**arrays) -> (y, backward);  backward(dy) -> {name: gradient}
report = check(f, x=x, w=w)
print(report)
report.raise_if_wrong()

All checks take `seed`, `wrt` (the names of what is differentiated; default: every float array),
`surrogate=True` (the gradient of a flat function is not meant to be its derivative) and `timeout`,
a limit in seconds after which a CheckTimeout says what ran too long. sys.exit and the like in the
checked code are reported, and what it changes of the process (working directory, environment,
warning filters, NumPy's settings, random generators) is put back.
"""

from collections.abc import Callable
from typing import Any

from autocnn.gradcheck.kernels import KernelLeaf, KernelReport, check_kernel
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.protection import CheckTimeout, protected
from autocnn.gradcheck.report import CODES, Cause, Entry, Leaf, Report
from autocnn.gradcheck.stressing import StressReport, stress

__all__ = [
    "CODES",
    "CallError",
    "Cause",
    "CheckTimeout",
    "Entry",
    "KernelLeaf",
    "KernelReport",
    "Leaf",
    "Problem",
    "Report",
    "StressReport",
    "check",
    "check_kernel",
    "check_layer",
    "check_model",
    "check_object",
    "check_pair",
    "check_tape",
    "check_vjp",
    "stress",
]

# The checker itself is imported by the first check: the pytest plugin lives in this package and
# must cost nothing.

Names = str | tuple[str, ...] | list[str] | None


def check(
    f: Callable,
    /,
    *positional: Any,
    seed: int = 0,
    wrt: Names = None,
    surrogate: bool = False,
    timeout: float | None = None,
    quick: bool = False,
    order: int = 1,
    mode: str = "reverse",
    batched: bool = False,
    **arrays: Any,
) -> Report:
    """Check f(**arrays) -> (y, backward), where backward(dy) -> {name: gradient} (or a tuple, or
    one array).

    Also f -> (y1, y2, backward), and for a scalar loss (loss, gradients), (loss, g1, g2 ...) or
    (gradients, loss). Float arrays are differentiated, also those in dicts and lists ("params.W"),
    or those that `wrt` names; integer arrays, numbers and anything else are passed through.
    float32 arrays are checked in float64 first, then in float32. A function of torch tensors or
    jax arrays that returns y alone is checked against the library's own gradient, as is a
    torch.autograd.Function; these also take complex arguments, order=2 (the derivative of the
    gradient) and mode="forward" or "both" (the rules of forward mode).

    batched=True says that backward also takes a batch of cotangents, and compares the gradients of
    a batch with the stack of the single ones: dy with an extra leading axis in NumPy; in torch
    is_grads_batched and torch.func.vmap, in jax jax.vmap, over cotangents and over arguments.

    Raises ValueError (a CallError) when f cannot be called or returns nothing that has a gradient;
    what is wrong with backward is in the report.
    """
    from autocnn.gradcheck.dispatch import check_any, need_names

    need_names(f, positional, arrays)
    with protected(timeout):
        return check_any(f, arrays, seed, wrt, surrogate, quick, order, mode, batched)


def check_pair(
    forward: Callable,
    backward: Callable,
    /,
    *positional: Any,
    seed: int = 0,
    wrt: Names = None,
    surrogate: bool = False,
    timeout: float | None = None,
    quick: bool = False,
    batched: bool = False,
    **arrays: Any,
) -> Report:
    """Check forward(**arrays) -> (y, cache) with backward(dy, cache) -> gradients (tuple in
    order, or dict).

    Also forward -> (h, c, cache) with backward(dh, dc, cache), backward(cache, dy), and forward ->
    y with backward(dy, **arrays) or, for a scalar loss, backward(**arrays). `batched` is that of
    `check`.
    """
    from autocnn.gradcheck import adapters
    from autocnn.gradcheck.batching.check import examine_batched

    if positional:
        call = "check_pair(forward, backward, x=..., w=...)"
        raise ValueError(f"check_pair takes arrays by name: {call}")
    with protected(timeout):
        problem = adapters.pair(forward, backward, arrays, wrt)
        return examine_batched(problem, seed, surrogate, quick, batched)


def check_vjp(
    fun: Callable,
    vjp: Callable,
    /,
    *args: Any,
    seed: int = 0,
    wrt: Names = None,
    surrogate: bool = False,
    timeout: float | None = None,
    quick: bool = False,
    batched: bool = False,
) -> Report:
    """Check fun(*args) -> y with vjp(dy, *args) -> gradients of the float arguments, in order.

    For a scalar loss also loss(w) with gradient(w), as scipy.optimize.check_grad takes them.
    `batched` is that of `check`.
    """
    from autocnn.gradcheck import adapters
    from autocnn.gradcheck.batching.check import examine_batched

    with protected(timeout):
        problem = adapters.vjp(fun, vjp, args, wrt)
        return examine_batched(problem, seed, surrogate, quick, batched)


def check_object(
    layer: Any,
    x: Any = None,
    /,
    *more: Any,
    seed: int = 0,
    wrt: Names = None,
    surrogate: bool = False,
    timeout: float | None = None,
    quick: bool = False,
    batched: bool = False,
    **others: Any,
) -> Report:
    """Check layer.forward(x, *more, **others) -> y with layer.backward(dy) -> dx, and the
    parameters that the object holds, wherever it keeps them and their gradients.

    The gradient of `weights` is looked for as d_weights, weights_grad ..., in grads["weights"], as
    the .grad of a parameter object, in what backward returns and in what it writes or updates.
    forward and backward may be called backward_pass, backprop and so on, return nothing and keep
    .output and .dinputs, or be one method loss(X, y) -> (loss, gradients). `batched` is that of
    `check`.
    """
    from autocnn.gradcheck import adapters
    from autocnn.gradcheck.batching.check import examine_batched

    inputs = more if x is None else (x, *more)
    with protected(timeout):
        problem = adapters.instance(layer, inputs, others, wrt)
        return examine_batched(problem, seed, surrogate, quick, batched)


def check_tape(
    f: Callable,
    wrap: Callable,
    /,
    *,
    seed: int = 0,
    wrt: Names = None,
    surrogate: bool = False,
    timeout: float | None = None,
    quick: bool = False,
    **arrays: Any,
) -> Report:
    """Check a function of a tape's nodes: y = f(x=wrap(x)); y.backward() fills wrap(x).grad.

    `wrap` makes a node of an array, or of a number (then each entry becomes a node, as with
    micrograd's Value): check_tape(lambda x, w: F.matmul(x, w), Variable, x=x, w=w).
    """
    from autocnn.gradcheck import adapters
    from autocnn.gradcheck.examine import examine

    with protected(timeout):
        return examine(adapters.tape(f, wrap, arrays, wrt), seed, surrogate, quick)


def check_layer(layer: Any, shape: tuple[int, ...], /, **options: Any) -> Report:
    """Check one layer of a vocabulary, hygiene and all. See `autocnn.gradcheck.model`."""
    from autocnn.gradcheck.model import check_layer

    return check_layer(layer, shape, **options)


def check_model(build: Any, shape: tuple[int, ...], /, **options: Any) -> Report:
    """Compare every leaf of a vocabulary network: autograd, reference, fast and numeric. See
    `autocnn.gradcheck.model`.
    """
    from autocnn.gradcheck.model import check_model

    return check_model(build, shape, **options)
