"""The learning rate range test: train a little at growing rates, and see where the loss falls."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn import optim
from autocnn.inspection.diagnose import Diverged
from autocnn.keys import as_key, child, rng
from autocnn.losses import Loss, cross_entropy
from autocnn.ops.arguments import integer
from autocnn.training import arguments
from autocnn.training.data import training_data
from autocnn.training.network import network_of
from autocnn.training.state import TrainState
from autocnn.training.step import train_batches
from autocnn.trees import tree_map
from reference import validate

__all__ = ["RateSearch", "lr_find"]

SMOOTHING = 0.9  # share of the mean so far in the smoothed loss
DIVERGED = 4.0  # times the best loss: from there on nothing is learned
LEAST_FALL = 0.05  # of the loss at the start: less is noise


class RateSearch(NamedTuple):
    """What ``lr_find`` measured. It prints as a table.

    rates: of each step. losses: of each step's batch, before the step. smoothed: their mean with
    weights that fall by ``SMOOTHING`` a step. steepest: the rate at which the smoothed loss falls
    fastest by the logarithm of the rate. tenth: a tenth of the rate at which it is least.
    suggestion: the smaller of both, None where the loss did not fall. stopped: why the sweep ended
    before its last rate, None where it did not.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    steepest: float | None
    tenth: float | None
    suggestion: float | None
    stopped: str | None

    def __str__(self) -> str:
        return self.text()

    def text(self, rows: int = 16, width: int = 60) -> str:
        """Return a table of at most ``rows`` rates with bars as long as the smoothed loss."""
        n = len(self.rates)
        chosen = sorted(
            {round(i * (n - 1) / max(1, min(rows, n) - 1)) for i in range(min(rows, n))}
        )
        top = max((self.smoothed[i] for i in chosen), default=1.0) or 1.0
        lines = ["    rate      loss"]
        for i in chosen:
            bar = "#" * round(max(0, width - 20) * min(1.0, self.smoothed[i] / top))
            lines.append(f"{self.rates[i]:8.2g}  {self.smoothed[i]:8.4g}  {bar}".rstrip())
        return "\n".join([*lines, "", self.advice()])

    def advice(self) -> str:
        """Return what follows from the test, in a sentence or two."""
        end = f"; the sweep stopped at rate {self.rates[-1]:.2g}: {self.stopped}"
        end = end if self.stopped else ""
        if self.suggestion is None:
            return f"the loss fell at none of these rates{end}; look at the data and the network"
        return (
            f"suggested rate {self.suggestion:.2g}: the loss falls fastest at {self.steepest:.2g}, "
            f"and a tenth of the rate with the least loss is {self.tenth:.2g}{end}"
        )


def lr_find(
    params: Any,
    data: Any,
    model: Any = None,
    state: Any = None,
    optimizer: Callable[[Callable[[int], float]], optim.Optimizer] = optim.adam,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 64,
    seed: Any = 0,
    loss: Loss = cross_entropy,
    on_step: Callable[[TrainState], None] | None = None,
) -> RateSearch:
    """Train for ``steps`` batches at rates that grow from ``low`` to ``high``, each by one factor.

    params, data, model, state, loss: as for ``ac.train``; nothing is changed. optimizer: a function
    of the schedule, such as ``optim.adam`` or ``functools.partial(optim.sgd, momentum=0.9)``.
    The sweep ends early where the smoothed loss is four times its least, or not finite.

    Smith 2017, Cyclical learning rates for training neural networks, section 3.3, whose rates grow
    linearly; the exponential sweep and the smoothed loss are Howard and Gugger's (2020, fastai).
    A suggestion is where to begin, not the best rate: with a schedule and more epochs, try a few
    around it. Raises ValueError for arguments that make no sense.
    """
    steps, batch_size = integer(steps, "steps"), integer(batch_size, "batch_size")
    if not (0 < low < high < math.inf):
        raise ValueError(f"lr_find needs 0 < low < high; got low={low!r} and high={high!r}")
    if steps < 10:
        raise ValueError(f"lr_find needs 10 steps or more; got {steps}")
    rates = [low * (high / low) ** (i / (steps - 1)) for i in range(steps)]
    arguments.check_methods(model, None)
    x, y, *_ = training_data(params, data, None)
    model = network_of(params) if model is None else model
    if state is None:
        state = tree_map(np.array, model.init(None, x.shape[1:])[2])
    outputs = validate.call(model, params, state, x)
    y = loss.check(y, len(x), outputs)
    chosen = optimizer(lambda step: rates[min(int(step), steps - 1)])
    now = TrainState(params, state, chosen.init(params), 0, math.nan, {})
    losses: list[float] = []
    smoothed: list[float] = []
    mean, best, stopped = 0.0, math.inf, None
    with arguments.limit_threads(params, batch_size), np.errstate(all="ignore"):
        for i, batch, key in _batches(x, y, batch_size, steps, seed):
            try:
                named = [(f"rate {rates[i]:.3g}", batch, key)]
                now = train_batches(model, chosen, now, named, on_step, loss)
            except Diverged:
                stopped = "numbers stopped being finite"
                break
            losses.append(now.loss)
            mean = SMOOTHING * mean + (1 - SMOOTHING) * now.loss
            smoothed.append(mean / (1 - SMOOTHING ** (i + 1)))
            best = min(best, smoothed[-1])
            if smoothed[-1] > DIVERGED * best:
                stopped = "the loss is four times its least"
                break
    steepest, tenth, suggestion = _suggest(rates, losses, smoothed)
    seen = rates[: len(losses)]
    return RateSearch(seen, losses, smoothed, steepest, tenth, suggestion, stopped)


def _batches(x, y, batch_size, steps, seed):
    """Yield (i, (x, y), key) of so many batches, of one permutation after the other."""
    shuffle, i = rng(seed), 0
    while i < steps:
        order = shuffle.permutation(len(x))
        for begin in range(0, len(x), batch_size):
            if i == steps:
                return
            part = order[begin : begin + batch_size]
            yield i, (x[part], y[part]), child(as_key(seed), i)
            i += 1


def _suggest(rates, losses, smoothed):
    """Return (steepest, tenth, suggestion), of Nones where the loss did not fall.

    Slopes are taken across a twentieth of the sweep to each side, and not in its first tenth: the
    differences of single batches are noise.
    """
    reach, first = max(2, len(rates) // 20), len(rates) // 10
    if len(smoothed) <= first + 2 * reach:
        return None, None, None
    least = int(np.argmin(smoothed))
    # At the lowest rates nothing is learned: what the loss varies by there is the batches' noise,
    # of which the smoothed loss has a quarter.
    quiet = losses[: max(5, first)]
    fall = max(LEAST_FALL * np.mean(quiet), np.std(quiet))
    if smoothed[least] > np.mean(quiet) - fall or least <= first + reach:
        return None, None, None
    middle = range(first + reach, max(first + reach + 1, least - reach + 1))
    steepest = min(
        middle, key=lambda i: smoothed[min(i + reach, len(smoothed) - 1)] - smoothed[i - reach]
    )
    tenth = rates[least] / 10
    return rates[steepest], tenth, min(rates[steepest], tenth)
