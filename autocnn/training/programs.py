"""Training a small network by a program (``autocnn.fast.program``), an epoch in one call.

A program takes the steps that ``train_batches`` takes. It stops in front of a step after which a
loss or a parameter is not finite: that step is left to ``train_batches``, which says what happened.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.fast.program import load_small, run
from autocnn.keys import child
from autocnn.losses import Loss, cross_entropy
from autocnn.optim.optimizers import Optimizer, formula, rate_at
from autocnn.training.state import TrainState
from autocnn.trees import leaves
from reference import validate

__all__ = ["ProgramRun", "program_run"]

# Multiply-adds, forward, that one call of a program takes at most: about a tenth of a second, which
# is how long Ctrl-C may wait.
WORK_OF_A_CALL = 2**28

Data = tuple[np.ndarray, np.ndarray, np.ndarray | None]


class ProgramRun(NamedTuple):
    """A run's programs and data.

    training: the program with dropout. train_set: what it trains on. measured: for the training
    and the validation images, (program without dropout, images), or None for no images. rule: the
    optimizer by its name in a program. options: its own. batch_size: images in a batch.
    """

    training: Any
    train_set: Any
    measured: tuple[Any, Any]
    rule: str
    options: dict[str, Any]
    batch_size: int

    def train(
        self, now: TrainState, order: np.ndarray, seed: Any, on_step: Callable | None = None
    ) -> TrainState:
        """Take a step on each batch of ``order``, the numbers of the images; fewer where numbers
        stop being finite.

        seed: of the run, whose dropout is keyed by the step. on_step: called after each step.
        """
        work = self.batch_size * max(1, self.training.program.work)
        steps = max(1, WORK_OF_A_CALL // work) if on_step is None else 1
        for i in range(0, len(order), steps * self.batch_size):
            moved = self._steps(now, order[i : i + steps * self.batch_size], seed)
            if moved is None:
                break
            now = moved
            if on_step is not None:
                on_step(now)
        return now

    def measure(self, params: Any, validation: bool) -> tuple[float, float]:
        """Return (loss, accuracy) on the training or the validation images."""
        program, images = self.measured[validation]
        numbers, n = run.flat(params, program.dtype), len(images.labels)
        size = max(1, WORK_OF_A_CALL // max(1, program.program.work))
        loss, right = 0.0, 0
        for i in range(0, n, size):
            part = run.Images(*(a[i : i + size] for a in images))
            found = run.measure(program, numbers, part)
            loss, right = loss + found[0], right + found[1]
        return loss / n, right / n

    def _steps(self, now, order, seed):
        count, dtype = -(-len(order) // self.batch_size), self.training.dtype
        params = run.flat(now.params, dtype)
        m, v = (
            run.flat(now.opt_state[name], dtype) if name in now.opt_state else np.zeros_like(params)
            for name in ("velocity" if self.rule == "momentum" else "m", "v")
        )
        update = run.Update(
            self.rule, self._rates(now.opt_state["step"], count), self._constants(),
            self.options.get("nesterov", False), m, v,
        )  # fmt: skip
        images = self.train_set
        if self.training.program.dropouts:
            images = self._with_masks(order, now.step, seed)
            order = np.arange(len(order))
        found = run.train(self.training, params, images, order, self.batch_size, update)
        if found is None:
            return None
        opt_state = {"step": now.opt_state["step"] + count}
        for name, moved in (("velocity", m), ("m", m), ("v", v)):
            if name in now.opt_state:
                opt_state[name] = run.like(now.opt_state[name], moved)
        return now._replace(
            params=run.like(now.params, params), opt_state=opt_state, step=now.step + count,
            loss=float(found[0][-1]),
        )  # fmt: skip

    def _rates(self, step, count):
        """Each step's rate, and Adam's corrections: (steps, 3)."""
        rate, first = self.options["rate"], int(step)
        rates = np.ones((count, 3))
        rates[:, 0] = [rate_at(rate, first + i) for i in range(count)]
        if self.rule == "adam":
            beta1, beta2 = self.options["beta1"], self.options["beta2"]
            for i in range(count):
                t = first + i + 1
                rates[i, 1:] = 1 - beta1**t, math.sqrt(1 - beta2**t)
        return rates

    def _constants(self):
        o = self.options
        if self.rule == "adam":
            beta1, beta2 = o["beta1"], o["beta2"]
            return o["weight_decay"], beta1, 1 - beta1, beta2, 1 - beta2, o["eps"]
        return o["weight_decay"], o["momentum"], 0, 0, 0, 0

    def _with_masks(self, order, first, seed):
        """Return the images in the order of their batches, dropout's masks behind each."""
        x, rows = self.train_set.x, []
        for i in range(0, len(order), self.batch_size):
            key = child(seed, 0, first + i // self.batch_size)  # as the loop's steps have it
            rows.append(run.with_masks(self.training, x[order[i : i + self.batch_size]], key))
        return self.train_set._replace(
            x=np.concatenate(rows),
            labels=self.train_set.labels[order],
            weights=self.train_set.weights[order],
        )


def program_run(
    model: Any,
    optimizer: Optimizer,
    loss: Loss,
    now: TrainState,
    data: Data,
    subset: Any,
    validation: tuple[np.ndarray | None, np.ndarray | None],
    batch_size: int,
) -> ProgramRun | None:
    """Return what trains and measures by programs; None where they cannot, or are not quicker.

    data: (x, labels, weights or None), checked. subset: of its images, which metrics are taken on.
    validation: (x, labels), which nobody has checked, or (None, None).
    """
    rule = formula(optimizer)
    if rule is None or loss is not cross_entropy or leaves(now.state):
        return None
    name = "momentum" if rule[1].get("momentum") else rule[0]
    kept = {"sgd": {"step"}, "momentum": {"step", "velocity"}, "adam": {"step", "m", "v"}}[name]
    if not isinstance(now.opt_state, dict) or now.opt_state.keys() != kept:
        return None
    x, y, weights = data
    training = load_small(model, now.params, x, batch_size, True)
    measured = [(x[subset], y[subset]), validation]
    programs = [
        None
        if x is None or training is None
        else load_small(model, now.params, x, batch_size, False)
        for x, _ in measured
    ]
    if programs[0] is None or (validation[0] is not None and programs[1] is None):
        return None
    try:
        if validation[0] is not None:
            outputs = validate.call(model, now.params, now.state, validation[0], "f")
            loss.check(validation[1], len(validation[0]), outputs)
    except ValueError:  # said where the images are measured
        return None
    pairs = [
        None if program is None else (program, run.images(*images, None))
        for program, images in zip(programs, measured, strict=True)
    ]
    return ProgramRun(
        training, run.images(x, y, weights), (pairs[0], pairs[1]), name, rule[1], batch_size
    )
