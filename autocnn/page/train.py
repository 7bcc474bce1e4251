"""Training on a page: one step or one epoch at a time, with a bounded history to look back at.

trainer = Trainer(shown)
trainer.epoch(shown.nets)
trainer.history[3].params
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn import optim
from autocnn.inspection.walk import Path, named_layers, walk
from autocnn.keys import as_key, child, rng
from autocnn.page.look import Both, at
from autocnn.page.model import PageModel, Settings, prepared
from autocnn.training import TrainState, evaluate
from autocnn.training.step import train_batches
from autocnn.trees import leaves
from reference.loss import Loss

__all__ = ["MAX_BYTES", "MAX_MOMENTS", "OPTIMIZERS", "History", "Moment", "Trainer", "checked"]

MAX_MOMENTS = 240  # that a history keeps
MAX_BYTES = 48 * 2**20  # of their parameters
EVALUATED = 500  # images on which the curves are taken

OPTIMIZERS: dict[str, Callable[[float], optim.Optimizer]] = {
    "sgd": optim.sgd,
    "momentum": lambda rate: optim.sgd(rate, momentum=0.9, nesterov=True),
    "adam": optim.adam,
}


class Moment(NamedTuple):
    """The network after ``step`` steps.

    epoch: steps by steps an epoch. loss: of the last batch. norms: the gradient's size by layer,
    the root of the mean square of dL/dw. losses, accuracies: of the training and the validation
    images, or None between two epochs.
    """

    step: int
    epoch: float
    loss: float | None
    norms: dict[str, float]
    losses: tuple[float, float] | None
    accuracies: tuple[float, float] | None
    params: Any
    state: Any


class History(list):
    """Moments in order, of which every second is dropped when there are too many."""

    def __init__(self, moments: tuple[Moment, ...] = ()):
        super().__init__(moments)
        self.every = 1  # steps or epochs, of which one is kept
        self._skipped = 0

    def add(self, moment: Moment) -> None:
        """Keep a moment; the last one is always kept."""
        if self._skipped and len(self) > 1:
            self[-1] = moment
        else:
            self.append(moment)
        self._skipped = (self._skipped + 1) % self.every
        size = sum(leaf.nbytes for _, leaf in leaves(moment.params))
        limit = int(np.clip(MAX_BYTES // max(size, 1), 4, MAX_MOMENTS))
        if len(self) > limit:
            self[:] = self[:-1:2] + self[-1:]
            self.every *= 2


class Trainer:
    """A network in training. Attributes: ``now``, a ``TrainState``; ``history``; ``settings``."""

    def __init__(self, shown: PageModel):
        self.shown, self.settings = shown, shown.settings
        self.names = _names(shown)
        self.history = History()
        self._place(shown.params, shown.state)
        if shown.data is not None:
            n = min(EVALUATED, len(shown.data.x_train))
            chosen = np.arange(n) * len(shown.data.x_train) // n
            dtype = shown.dtype
            self.x, self.y = self._cast(shown.data.x_train, dtype), shown.data.y_train
            self.x_val, self.y_val = self._cast(shown.data.x_val, dtype), shown.data.y_val
            self.chosen = chosen
        self.history.add(self._moment({}, shown.nets.automatic))

    def fork(self) -> "Trainer":
        """Return a trainer that goes on from here by itself."""
        other = object.__new__(Trainer)
        vars(other).update(vars(self))
        other._order = copy.deepcopy(self._order)  # a generator, which drawing changes
        other.history = History(tuple(self.history))
        other.history.every, other.history._skipped = self.history.every, self.history._skipped
        return other

    @property
    def per_epoch(self) -> int:
        """Steps an epoch."""
        return -(-len(self.x) // self.settings.batch_size)

    def set(self, settings: Settings) -> None:
        """Go on with other settings. A new batch size or seed starts a new order of the images, a
        new optimizer a new state of it.
        """
        before, self.settings = self.settings, settings
        if before.optimizer != settings.optimizer:
            fresh = self._optimizer().init(self.now.params)
            self.now = self.now._replace(opt_state=fresh)
        if (before.batch_size, before.seed) != (settings.batch_size, settings.seed):
            self._order = None

    def restart(self, model: Any) -> None:
        """Go back to new parameters and forget the history."""
        self.history = History()
        self._place(*self.shown.initial())
        self.history.add(self._moment({}, model))

    def step(self, nets: Both, keep: bool = True) -> bool:
        """Take one step; ``Diverged`` when numbers stop being finite. Returns whether an epoch
        ended. keep: put the moment into the history; the end of an epoch always is.
        """
        if self._order is None:
            self._begin_order()
        within = (self.now.step - self._first) % self.per_epoch
        if within == 0:
            self._permutation = self._order.permutation(len(self.x))
        size = self.settings.batch_size
        chosen = self._permutation[within * size : (within + 1) * size]
        grads: list[Any] = []
        model = _Kept(nets.by_hand, nets.loss, grads)
        key = child(child(as_key(self.settings.seed), 0), self.now.step)
        batch = f"step {self.now.step + 1}", (self.x[chosen], self.y[chosen]), key
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self.now = train_batches(model, self._optimizer(), self.now, [batch])
        ended = within + 1 == self.per_epoch
        self.norms = self._norms(grads[-1])
        if keep or ended:
            self.history.add(self._moment(self.norms, nets.automatic if ended else None))
        return ended

    def epoch(self, nets: Both) -> None:
        """Take the steps up to the end of the epoch."""
        while not self.step(nets, keep=False):
            pass

    def _place(self, params: Any, state: Any) -> None:
        opt_state = self._optimizer().init(params)
        self.now = TrainState(params, state, opt_state, 0, np.nan, {})
        self.norms: dict[str, float] = {}
        self._order: Any = None

    def _begin_order(self) -> None:
        self._order, self._first = rng(self.settings.seed), self.now.step

    def _optimizer(self) -> optim.Optimizer:
        return OPTIMIZERS[self.settings.optimizer](self.settings.rate)

    def _cast(self, x: np.ndarray, dtype: str) -> np.ndarray:
        return prepared(self.shown, x.astype(dtype, copy=False))

    def _norms(self, grads: Any) -> dict[str, float]:
        found = {}
        for path, name in self.names:
            parts = [leaf for _, leaf in leaves(at(grads, path))]
            size = sum(leaf.size for leaf in parts)
            total = sum(float(np.vdot(leaf, leaf)) for leaf in parts)
            found[name] = (total / size) ** 0.5
        return found

    def _moment(self, norms: dict[str, float], model: Any) -> Moment:
        """model: evaluates the network where an epoch ends; None between two epochs."""
        now, losses, accuracies = self.now, None, None
        if model is not None and self.shown.data is not None:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                pairs = [
                    evaluate(model, now.params, now.state, x, y)
                    for x, y in (
                        (self.x[self.chosen], self.y[self.chosen]),
                        (self.x_val, self.y_val),
                    )
                ]
            losses = tuple(float(loss) for loss, _ in pairs)
            accuracies = tuple(float(accuracy) for _, accuracy in pairs)
        loss = None if np.isnan(now.loss) else now.loss
        epoch = now.step / self.per_epoch if self.shown.data is not None else 0.0
        return Moment(now.step, epoch, loss, norms, losses, accuracies, now.params, now.state)


class _Kept:
    """A network that keeps its last gradients, and computes them from another loss."""

    def __init__(self, model: Any, loss: Loss, grads: list):
        self.model, self.loss, self.grads = model, loss, grads

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def loss_and_grad(self, params: Any, state: Any, batch: tuple, key: Any = None) -> tuple:
        value, grads, state = self.model.loss_and_grad(params, state, batch, key, loss=self.loss)
        self.grads.append(grads)
        return value, grads, state


def _names(shown: PageModel) -> list[tuple[Path, str]]:
    """The layers that have parameters of their own."""
    pairs = zip(named_layers(shown.model), walk(shown.model), strict=True)
    return [
        (path, name)
        for (path, name), (_, layer) in pairs
        if not layer.parts and leaves(at(shown.params, path))
    ]


def checked(values: dict[str, Any], before: Settings) -> Settings:
    """Return the settings that a message asks for. ValueError, one line, for those that make no
    sense.
    """
    rate = values.get("rate", before.rate)
    batch_size = values.get("batch_size", before.batch_size)
    optimizer = values.get("optimizer", before.optimizer)
    seed = values.get("seed", before.seed)
    if type(rate) not in (int, float) or not 0 <= rate <= 1e6:
        raise ValueError(f"the rate is a number from 0 to 1,000,000, got {rate!r:.40}")
    if type(batch_size) is not int or not 1 <= batch_size <= 10_000:
        raise ValueError(f"the batch is a whole number from 1 to 10,000, got {batch_size!r:.40}")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"the optimizer is {', '.join(OPTIMIZERS)}, got {optimizer!r:.40}")
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise ValueError(f"the seed is a whole number from 0 to 2,147,483,647, got {seed!r:.40}")
    return Settings(float(rate), batch_size, optimizer, seed)
