"""Run a program on arrays: train on batches, or measure loss and accuracy."""

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from autocnn import ops
from autocnn.fast.program.layout import LANES, ROW, TASK, UPDATES
from autocnn.fast.program.lower import Program
from autocnn.keys import child
from autocnn.trees import leaves, unflatten

__all__ = [
    "Images",
    "Loaded",
    "Update",
    "flat",
    "images",
    "like",
    "load",
    "loss_and_grad",
    "measure",
    "train",
    "with_masks",
]

_NOTHING = np.zeros(LANES)
_scratch = threading.local()  # each thread's values and slopes, written before they are read


class Loaded(NamedTuple):
    """A program with the machine that runs it, and the table of its rows."""

    program: Program
    machine: Any
    table: ndarray
    dtype: np.dtype


class Images(NamedTuple):
    """x (N, features) of the program's dtype, labels (N,) int64 and weights (N,) float64, all
    contiguous.
    """

    x: ndarray
    labels: ndarray
    weights: ndarray


class Update(NamedTuple):
    """How parameters move; the formulas are those of ``autocnn.optim``.

    name: of ``machine.UPDATES``; "none" leaves them. rates: (steps, 3), the rate and Adam's two
    corrections for each step. constants: weight decay; momentum or beta1; 1 - beta1; beta2; 1 -
    beta2; eps. m, v: what is kept of each parameter, as ``flat`` makes them; they are overwritten.
    """

    name: str = "none"
    rates: ndarray = _NOTHING
    constants: Sequence[float] = (0, 0, 0, 0, 0, 0)
    nesterov: bool = False
    m: ndarray = _NOTHING
    v: ndarray = _NOTHING


_STAY = Update()


def load(program: Program, dtype: np.dtype) -> Loaded:
    """Make a program ready to run in a dtype, float32 or float64."""
    from autocnn.fast.program.machine import machine  # LLVM takes a tenth of a second to load

    loaded = machine(dtype.char)
    table = np.zeros((len(program.rows), len(ROW)), np.int64)
    for row, (name, ints) in zip(table, program.rows, strict=True):
        row[:2] = loaded.kernels[name]
        for key, value in ints.items():
            row[ROW.index(key)] = value
    return Loaded(program, loaded, table, dtype)


def flat(tree: Any, dtype: np.dtype) -> ndarray:
    """Return the numbers of a tree in one array, with zeros up to whole vectors."""
    arrays = [leaf for _, leaf in leaves(tree)]
    n = sum(a.size for a in arrays)
    numbers = np.zeros(-(-n // LANES) * LANES, dtype)
    if arrays:
        np.concatenate([a.reshape(-1) for a in arrays], out=numbers[:n])
    return numbers


def like(tree: Any, numbers: ndarray) -> Any:
    """Return the numbers of ``flat`` as a tree like ``tree``, each leaf an array of its own."""
    values, at = [], 0
    for _, leaf in leaves(tree):
        values.append(numbers[at : at + leaf.size].reshape(leaf.shape).copy())
        at += leaf.size
    return unflatten(tree, values)


def images(x: ndarray, labels: ndarray, weights: ndarray | None) -> Images:
    """Return images x (N, ...) with labels and weights, None for equal ones, as the machine takes
    them.
    """
    return Images(
        np.ascontiguousarray(x.reshape(len(x), -1)),
        np.ascontiguousarray(labels, np.int64),
        np.ones(len(x)) if weights is None else np.ascontiguousarray(weights, np.float64),
    )


def with_masks(loaded: Loaded, x: ndarray, key: Any) -> ndarray:
    """Return a batch of images x (N, D) with the masks of dropout behind each, (N, features).

    key: of the batch, as ``loss_and_grad`` takes it.
    """
    parts = [x]
    for path, p, shape in loaded.program.dropouts:
        ones = np.ones((len(x), *shape), x.dtype)
        mask = ops.dropout(ones, p, True, child(key, *path))
        parts.append(mask.reshape(len(x), -1))
    return np.concatenate(parts, axis=1)


def loss_and_grad(
    loaded: Loaded, params: Any, batch: Images, key: Any = None
) -> tuple[np.floating, Any] | None:
    """Return (loss, grads) of a batch; None where a number is not finite."""
    n, numbers = len(batch.labels), flat(params, loaded.dtype)
    if loaded.program.dropouts:
        batch = batch._replace(x=with_masks(loaded, batch.x, key))
    found = train(loaded, numbers, batch, np.arange(n), n, _STAY)
    if found is None:
        return None
    losses, grads = found
    return loaded.dtype.type(losses[0]), like(params, grads)


def train(
    loaded: Loaded,
    params: ndarray,
    images: Images,
    order: ndarray,
    batch_size: int,
    update: Update,
) -> tuple[ndarray, ndarray] | None:
    """Take a step on each batch of ``order`` (M,), int64: the numbers of the images.

    params, as ``flat`` makes them, and the update's moments are overwritten. Returns the loss of
    each batch, (steps,), and the gradient of the last, as params; None where a loss or a parameter
    stopped being finite.
    """
    steps = -(-len(order) // batch_size)
    losses, grads = np.empty(steps), np.zeros_like(params)
    done = _call(loaded, loaded.machine.train, params, images, order, losses, grads, batch_size,
                 steps, update)  # fmt: skip
    return (losses, grads) if done == steps else None


def measure(loaded: Loaded, params: ndarray, images: Images) -> tuple[float, int]:
    """Return the sum of the losses of all images and how many answers are right."""
    loss, order = np.empty(1), np.arange(len(images.labels))
    right = _call(loaded, loaded.machine.measure, params, images, order, loss, _NOTHING)
    return float(loss[0]), right


def _call(loaded, function, params, images, order, results, grads, batch_size=1, steps=1,
          update=_STAY):  # fmt: skip
    program, dtype = loaded.program, loaded.dtype
    ints = {
        "rows": len(program.rows),
        "features": program.features,
        "logits": program.logits,
        "classes": program.classes,
        "images": len(order),
        "batch_size": batch_size,
        "steps": steps,
        "numbers": len(params),
        "update": UPDATES.index(update.name),
        "nesterov": update.nesterov,
    }
    arrays = (
        loaded.table,
        np.array([ints[name] for name in TASK], np.int64),
        params,
        grads,
        update.m,
        update.v,
        *_values_and_slopes(program.cells * LANES, dtype),
        images.x,
        images.labels,
        images.weights,
        order,
        np.ascontiguousarray(update.rates, dtype),
        np.array(update.constants, dtype),
        results,
    )
    return function(*(a.ctypes.data for a in arrays))


def _values_and_slopes(n, dtype):
    """Two arrays of n numbers: this thread's, made anew where they are too small."""
    if getattr(_scratch, "arrays", np.empty((2, 0))).nbytes < 2 * n * dtype.itemsize:
        _scratch.arrays = np.empty((2, n * dtype.itemsize), np.uint8)
    return [part[: n * dtype.itemsize].view(dtype) for part in _scratch.arrays]
