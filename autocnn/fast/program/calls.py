"""Single calls of a network by its program, where else Numba's kernels would be loaded."""

from typing import Any

import numpy as np

from autocnn.fast.kernels import tuning
from autocnn.fast.program import run, small_program
from reference.loss import cross_entropy

__all__ = ["apply", "loss_and_grad"]


def apply(layer: Any, params: Any, x: np.ndarray) -> np.ndarray | None:
    """Return the network's outputs in evaluation, or None where no program computes them."""
    third = -(-len(x) // 3)  # a pass forward takes a third of a step's time
    program = _program(layer, params, x, third, False)
    return None if program is None else run.outputs(program, params, x)


def loss_and_grad(
    layer: Any,
    params: Any,
    x: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None,
    loss: Any,
    train: bool,
    key: Any,
) -> tuple[np.floating, Any] | None:
    """Return (loss, grads) of a batch whose arguments have been checked, or None."""
    if loss is not cross_entropy:
        return None
    program = _program(layer, params, x, len(x), train)
    if program is None or (program.dropouts and key is None):
        return None
    return run.loss_and_grad(program, params, run.Images.of(x, targets, weights), key)


def _program(layer, params, x, size, train):
    """For less than the smallest arrays of Numba's kernels, NumPy is done before LLVM is loaded."""
    program = small_program(layer, params, x, size, train)
    if program is None:
        return None
    largest = max(len(x) * program.largest, program.heaviest)
    return program if largest >= tuning.NUMBA_MIN_SIZE else None
