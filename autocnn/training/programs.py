"""Training a small network by a program (``autocnn.fast.program``), an epoch in one call.

A program takes the steps that ``train_batches`` takes. It stops in front of a step after which a
loss or a parameter is not finite: that step is left to ``train_batches``, which says what happened.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.fast.program import small_program
from autocnn.fast.program.run import Images, Runner, with_masks
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

# What an optimizer's state holds beside "step": {update of a program: {leaf: the runner's array}}.
MOMENTS = {"sgd": {}, "momentum": {"velocity": "m"}, "adam": {"m": "m", "v": "v"}}


class ProgramRun:
    """A run of ``train`` by programs."""

    def __init__(
        self,
        program: Any,
        images: Images,
        measured: list[Runner],
        update: str,
        options: dict[str, Any],
        batch_size: int,
    ):
        """Train by ``program`` on ``images``, and measure by the runners ``measured``.

        update: the optimizer by its name in a program. options: its own.
        """
        self.images, self.measured, self.batch_size = images, measured, batch_size
        self.update, self.options = update, options
        n = len(images.labels)
        if program.dropouts:  # the masks lie behind the images, which lie in the order of batches
            shuffled = np.empty((n, program.features), images.x.dtype)
            images = Images(shuffled, np.empty_like(images.labels), np.empty_like(images.weights))
        self.batches, steps = images, -(-n // batch_size)
        self.runner = Runner(program, images.x.dtype, images, steps)
        self.runner.constants[:] = self._constants()

    def train(
        self, now: TrainState, order: np.ndarray, seed: Any, on_step: Callable | None = None
    ) -> TrainState:
        """Take a step on each batch of ``order``, the numbers of the images; fewer where numbers
        stop being finite.

        seed: of the run, whose dropout is keyed by the step. on_step: called after each step.
        """
        work = self.batch_size * max(1, self.runner.program.work)
        steps = max(1, WORK_OF_A_CALL // work) if on_step is None else 1
        for i in range(0, len(order), steps * self.batch_size):
            moved = self._steps(now, order[i : i + steps * self.batch_size], seed)
            if moved is None:
                break
            now = moved
            if on_step is not None:
                on_step(now)
        return now

    def measure(self, params: Any, which: int) -> tuple[float, float]:
        """Return (loss, accuracy) on the images of ``measured[which]``."""
        runner = self.measured[which]
        runner.put(runner.params, params)
        n = len(runner.images.labels)
        size = max(1, WORK_OF_A_CALL // max(1, runner.program.work))
        parts = [runner.measure(i, min(n, i + size)) for i in range(0, n, size)]
        return sum(loss for loss, _ in parts) / n, sum(right for _, right in parts) / n

    def _steps(self, now, order, seed):
        runner, count = self.runner, -(-len(order) // self.batch_size)
        moments = {name: getattr(runner, of) for name, of in MOMENTS[self.update].items()}
        for name, numbers in moments.items():
            runner.put(numbers, now.opt_state[name])
        runner.put(runner.params, now.params)
        self._set_rates(int(now.opt_state["step"]), count)
        if runner.program.dropouts:
            self._shuffle(order, now.step, seed)
            order = np.arange(len(order))
        if not runner.train(
            order, self.batch_size, self.update, self.options.get("nesterov", False)
        ):
            return None
        opt_state = {"step": now.opt_state["step"] + count}
        for name, numbers in moments.items():
            opt_state[name] = runner.take(numbers, now.opt_state[name])
        return now._replace(
            params=runner.take(runner.params, now.params),
            opt_state=opt_state,
            step=now.step + count,
            loss=float(runner.losses[count - 1]),
        )

    def _set_rates(self, first, count):
        rate, rates = self.options["rate"], self.runner.rates
        rates[:count, 0] = [rate_at(rate, first + i) for i in range(count)]
        if self.update == "adam":
            beta1, beta2 = self.options["beta1"], self.options["beta2"]
            for i in range(count):
                t = first + i + 1
                rates[i, 1:] = 1 - beta1**t, math.sqrt(1 - beta2**t)

    def _constants(self):
        o = self.options
        if self.update == "adam":
            beta1, beta2 = o["beta1"], o["beta2"]
            return o["weight_decay"], beta1, 1 - beta1, beta2, 1 - beta2, o["eps"]
        return o["weight_decay"], o["momentum"], 0, 0, 0, 0

    def _shuffle(self, order, first, seed):
        """Lay out the images in ``order``, dropout's masks behind each."""
        x, labels, weights = self.batches
        n = len(order)
        labels[:n], weights[:n] = self.images.labels[order], self.images.weights[order]
        for i in range(0, n, self.batch_size):
            chosen = order[i : i + self.batch_size]
            key = child(seed, 0, first + i // self.batch_size)  # as the loop's batches have it
            x[i : i + len(chosen)] = with_masks(self.runner.program, self.images.x[chosen], key)


def program_run(
    model: Any,
    optimizer: Optimizer,
    loss: Loss,
    now: TrainState,
    data: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    measured: list[tuple[str, np.ndarray, np.ndarray]],
    batch_size: int,
) -> ProgramRun | None:
    """Return what trains and measures by programs; None where they cannot, or are not quicker.

    data: (x, labels, weights or None), checked. measured: (name, x, labels) of the sets that
    metrics are taken on, of which nobody has checked the second.
    """
    rule = formula(optimizer)
    if rule is None or loss is not cross_entropy or leaves(now.state):
        return None
    update = "momentum" if rule[1].get("momentum") else rule[0]
    kept = {"step", *MOMENTS[update]}
    if not isinstance(now.opt_state, dict) or now.opt_state.keys() != kept:
        return None
    program = small_program(model, now.params, data[0], batch_size, True)
    if program is None:
        return None
    runners = []
    for _, x, labels in measured:
        try:
            out_shape = validate.call(model, now.params, now.state, x, "f")
            loss.check(labels, len(x), out_shape)
        except ValueError:  # said where the images are measured
            return None
        without = small_program(model, now.params, x, batch_size, False)
        if without is None:
            return None
        runners.append(Runner(without, x.dtype, Images.of(x, labels)))
    return ProgramRun(program, Images.of(*data), runners, update, rule[1], batch_size)
