"""A gradient checker that names the bug: is a hand-written backward pass right, and if not, what is
wrong with it?

# f(**arrays) -> (y, backward);  backward(dy) -> {name: gradient}
report = check(f, x=x, w=w)
print(report)
report.raise_if_wrong()
"""

from typing import Any

import numpy as np

from autocnn.gradcheck.kernel import check_kernel
from autocnn.gradcheck.kernel_report import KernelLeaf, KernelReport
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.report import CODES, Cause, Entry, Leaf, Report

__all__ = [
    "CODES",
    "CallError",
    "Cause",
    "Entry",
    "KernelLeaf",
    "KernelReport",
    "Leaf",
    "Problem",
    "Report",
    "check",
    "check_kernel",
    "check_layer",
    "check_model",
    "check_object",
    "check_pair",
    "check_vjp",
]

# The checker itself is imported by the first check: the pytest plugin lives in this package and
# must cost nothing.


def check(f, /, *, seed: int = 0, **arrays: Any) -> Report:
    """Check f(**arrays) -> (y, backward), where backward(dy) -> {name: gradient} (or a tuple, or
    one array).

    Float arrays are differentiated; integer arrays, numbers, dicts and anything else are passed
    through. float32 arrays are checked in float64 first, then in float32. A function of torch
    tensors or jax arrays that returns y alone is checked against the library's own gradient, as is
    a torch.autograd.Function. Raises ValueError (a CallError) when f cannot be called or returns
    nothing that has a gradient; what is wrong with backward is in the report.
    """
    from autocnn.gradcheck import adapters
    from autocnn.gradcheck.examine import examine
    from autocnn.gradcheck.frameworks import framework_problem

    return examine(framework_problem(f, arrays) or adapters.closure(f, arrays), seed)


def check_pair(forward, backward, /, *, seed: int = 0, **arrays: Any) -> Report:
    """Check forward(**arrays) -> (y, cache) with backward(dy, cache) -> gradients (tuple in
    order, or dict).
    """
    from autocnn.gradcheck import adapters
    from autocnn.gradcheck.examine import examine

    return examine(adapters.pair(forward, backward, arrays), seed)


def check_vjp(fun, vjp, /, *args: Any, seed: int = 0) -> Report:
    """Check fun(*args) -> y with vjp(dy, *args) -> gradients of the float arguments, in order."""
    from autocnn.gradcheck import adapters
    from autocnn.gradcheck.examine import examine

    return examine(adapters.vjp(fun, vjp, args), seed)


def check_object(layer, x: np.ndarray, /, *, seed: int = 0, **others: Any) -> Report:
    """Check layer.forward(x, **others) -> y with layer.backward(dy) -> dx, and the parameters that
    are its attributes.

    The gradient of `weights` is looked for as d_weights, dweights, grad_weights, weights_grad or
    grads["weights"].
    """
    from autocnn.gradcheck import adapters
    from autocnn.gradcheck.examine import examine

    return examine(adapters.instance(layer, x, others), seed)


def check_layer(layer, shape, /, **options: Any) -> Report:
    """Check one layer of a vocabulary, hygiene and all. See `autocnn.gradcheck.model`."""
    from autocnn.gradcheck.model import check_layer

    return check_layer(layer, shape, **options)


def check_model(build, shape, /, **options: Any):
    """Compare every leaf of a vocabulary network: autograd, reference, fast and numeric. See
    `autocnn.gradcheck.model`.
    """
    from autocnn.gradcheck.model import check_model

    return check_model(build, shape, **options)
