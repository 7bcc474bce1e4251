"""Run a program on arrays: train on batches, or measure loss and accuracy."""

import threading
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from autocnn import ops
from autocnn.fast.program.layout import ARRAYS, LANES, ROW, TASK, UPDATES
from autocnn.fast.program.lower import Program
from autocnn.keys import child
from autocnn.trees import untracked_tree_map

__all__ = ["Images", "Runner", "loss_and_grad", "outputs", "with_masks"]

_scratch = threading.local()  # each thread's values and slopes, written before they are read


class Images(NamedTuple):
    """x (N, features) of the program's dtype, labels (N,) int64 and weights (N,) float64, all
    contiguous.
    """

    x: ndarray
    labels: ndarray
    weights: ndarray

    @classmethod
    def of(cls, x: ndarray, labels: ndarray, weights: ndarray | None = None) -> "Images":
        """Make them of images (N, ...), labels, and weights, None for equal ones."""
        return cls(
            np.ascontiguousarray(x.reshape(len(x), -1)),
            np.ascontiguousarray(labels, np.int64),
            np.ones(len(x)) if weights is None else np.ascontiguousarray(weights, np.float64),
        )


class Runner:
    """A program in a dtype, the images that it runs on, and the arrays of its calls.

    params, grads, m, v: a number for each parameter, in the order of leaves, then zeros up to whole
    vectors; they are the runner's own, set by ``put`` and taken by ``take``. rates: (steps, 3), the
    rate of each step and Adam's two corrections. constants: weight decay; momentum or beta1; 1 -
    beta1; beta2; 1 - beta2; eps. losses: of each step, (steps,). One thread uses it at a time.
    """

    def __init__(self, program: Program, dtype: np.dtype, images: Images, steps: int = 1):
        """Make a runner for up to so many steps a call."""
        self.program, self.dtype, self.images = program, dtype, images
        self.machine, table = _load(dtype.char), _table(program, dtype.char)
        size = -(-program.numbers // LANES) * LANES
        self.params, self.grads, self.m, self.v = np.zeros((4, size), dtype)
        self.rates, self.constants = np.zeros((steps, 3), dtype), np.zeros(6, dtype)
        self.losses, self._task = np.zeros(steps), np.zeros(len(TASK), np.int64)
        self._order = np.arange(len(images.labels))
        parts = {
            "table": table, "task": self._task, "params": self.params, "grads": self.grads,
            "m": self.m, "v": self.v, **images._asdict(), "order": self._order,
            "rates": self.rates, "constants": self.constants, "results": self.losses,
            "outputs": self.losses,
        }  # fmt: skip
        self._arrays = parts  # which the addresses belong to
        self._addresses = {name: a.ctypes.data for name, a in parts.items()}
        self._set(
            rows=len(table), features=program.features, logits=program.logits,
            classes=program.classes, numbers=size,
        )  # fmt: skip

    def put(self, numbers: ndarray, tree: Any) -> None:
        """Set ``numbers``, one of the four arrays, to those of a tree."""
        np.concatenate(
            [leaf.reshape(-1) for leaf in _leaves(tree)], out=numbers[: self.program.numbers]
        )

    def take(self, numbers: ndarray, tree: Any) -> Any:
        """Return them as a tree like ``tree``, whose leaves are arrays of their own."""
        at = 0

        def part(leaf):
            nonlocal at
            at += leaf.size
            return numbers[at - leaf.size : at].reshape(leaf.shape).copy()

        return untracked_tree_map(part, tree)

    def train(
        self, order: ndarray, batch_size: int, update: str = "none", nesterov: bool = False
    ) -> bool:
        """Take a step on each batch of ``order``, the numbers of the images, and return whether all
        losses and parameters stayed finite.

        update: of ``layout.UPDATES``; "none" leaves the parameters. ``grads`` is of the last batch.
        """
        steps = -(-len(order) // batch_size)
        self._set(
            images=len(order), batch_size=batch_size, steps=steps, update=UPDATES.index(update),
            nesterov=nesterov,
        )  # fmt: skip
        return self._call(self.machine.train, np.ascontiguousarray(order)) == steps

    def measure(self, first: int, stop: int) -> tuple[float, int]:
        """Return the sum of the losses of images first to stop, and how many answers are right."""
        self._set(images=stop - first)
        right = self._call(self.machine.measure, self._order[first:stop])
        return float(self.losses[0]), right

    def predict(self) -> ndarray:
        """Return the outputs of all images, (N, classes)."""
        n = len(self.images.labels)
        outputs = np.empty((n, self.program.classes), self.dtype)
        self._addresses["outputs"] = outputs.ctypes.data
        self._set(images=n)
        self._call(self.machine.predict, self._order)
        return outputs

    def _set(self, **ints):
        for name, value in ints.items():
            self._task[TASK.index(name)] = value

    def _call(self, function, order):
        found = self._addresses
        found["order"] = order.ctypes.data
        found["values"], found["slopes"] = _scratch_addresses(
            self.program.cells * LANES * self.dtype.itemsize
        )
        return function(*(found[name] for name in ARRAYS))


def with_masks(program: Program, x: ndarray, key: Any) -> ndarray:
    """Return a batch of images x (N, D) with the masks of dropout behind each, (N, features).

    key: of the batch, as ``Layer.loss_and_grad`` takes it.
    """
    parts = [x]
    for path, p, shape in program.dropouts:
        ones = np.ones((len(x), *shape), x.dtype)
        mask = ops.dropout(ones, p, True, child(key, *path))
        parts.append(mask.reshape(len(x), -1))
    return np.concatenate(parts, axis=1)


def loss_and_grad(
    program: Program, params: Any, batch: Images, key: Any = None
) -> tuple[np.floating, Any] | None:
    """Return (loss, grads) of a batch; None where a number is not finite."""
    n, dtype = len(batch.labels), batch.x.dtype
    if program.dropouts:
        batch = batch._replace(x=with_masks(program, batch.x, key))
    runner = Runner(program, dtype, batch)
    runner.put(runner.params, params)
    if not runner.train(np.arange(n), n):
        return None
    return dtype.type(runner.losses[0]), runner.take(runner.grads, params)


def outputs(program: Program, params: Any, x: ndarray) -> ndarray:
    """Return the outputs (N, classes) of images x (N, ...), without dropout."""
    runner = Runner(program, x.dtype, Images.of(x, np.zeros(len(x), np.int64)))
    runner.put(runner.params, params)
    return runner.predict()


def _leaves(tree):
    """The arrays of a tree in order; quicker than ``trees.leaves``, which finds their paths."""
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return [tree]
    return [leaf for branch in tree for leaf in _leaves(branch)]


def _load(char):
    from autocnn.fast.program.machine import machine  # LLVM takes a tenth of a second to load

    return machine(char)


def _table(program, char):
    kernels = _load(char).kernels
    table = np.zeros((len(program.rows), len(ROW)), np.int64)
    for row, (name, ints) in zip(table, program.rows, strict=True):
        row[:2] = kernels[name]
        for key, value in ints.items():
            row[ROW.index(key)] = value
    return table


def _scratch_addresses(size):
    """The addresses of two arrays of so many bytes, this thread's, made anew if too small."""
    if getattr(_scratch, "size", 0) < size:
        _scratch.arrays, _scratch.size = np.empty((2, size), np.uint8), size
        _scratch.addresses = [part.ctypes.data for part in _scratch.arrays]
    return _scratch.addresses
