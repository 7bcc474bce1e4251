"""Training steps: one batch, its gradient, and one update of the parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from autocnn.deprecation import renamed_names
from autocnn.inspection.diagnose import Diverged, explain_loss, explain_update
from autocnn.losses import Loss, cross_entropy
from autocnn.optim import Optimizer
from autocnn.training.sample_weight import drop_zero_weights
from autocnn.training.state import TrainState
from reference.origin import remember

__all__ = ["ADVICE", "diagnose", "step", "train_batches", "train_one_pass"]

ADVICE = "lower the rate or clip gradients"


def step(
    model: Any,
    optimizer: Optimizer,
    params: Any,
    state: Any,
    opt_state: Any,
    batch: tuple,
    key: Any = None,
    loss: Loss = cross_entropy,
) -> tuple[Any, Any, Any, float, Any]:
    """Take one step on a batch (x, labels) or (x, labels, weights).

    loss: what is minimised; the batch's targets are what it takes in place of labels.

    Returns (params, state, opt_state, loss, grads): the trees after the step, the batch's mean loss
    before it, and its gradients. Where the loss is not finite, params and opt_state stay as they
    are. Changes no argument.
    """
    value, grads, state = model.loss_and_grad(params, state, batch, key, **_other(loss))
    if np.isfinite(value):
        params, opt_state = optimizer.update(params, grads, opt_state)
    return params, state, opt_state, value, grads


def _other(loss: Loss) -> dict[str, Loss]:
    """The argument for a loss other than the default, which a model of your own need not take."""
    return {} if loss is cross_entropy else {"loss": loss}


def train_batches(
    model: Any,
    optimizer: Optimizer,
    start: TrainState,
    batches: Iterable[tuple[str, tuple, Any]],
    on_step: Callable[[TrainState], None] | None = None,
    loss: Loss = cross_entropy,
) -> TrainState:
    """Take one step for each (name, batch, key) and return the ``TrainState`` after the last.

    name: what an error calls the step, such as "epoch 1, step 5". on_step: called with the
    ``TrainState`` after each step. loss: what is minimised.

    Raises ``Diverged`` when the loss, the parameters or the state stop being finite; it names the
    step and the layer or leaf in which that began.
    """
    now, last, grads = start, None, None
    for name, batch, key in batches:
        try:
            params, state, opt_state, value, grads_now = step(
                model, optimizer, now.params, now.state, now.opt_state, batch, key, loss
            )
        except ValueError as error:
            cause = diagnose(model, now, grads, last, batch, key, name, loss)
            if cause:
                raise Diverged(f"{cause}; {ADVICE}") from error
            raise
        if not np.isfinite(value):
            cause = explain_loss(model, now.params, now.state, batch[0], True, key)
            raise Diverged(f"the loss became {value} at {name}: {cause}; {ADVICE}")
        now = now._replace(
            params=params, state=state, opt_state=opt_state, step=now.step + 1, loss=float(value)
        )
        last, grads = name, grads_now
        if on_step is not None:
            on_step(now)
    cause = None if last is None else explain_update(now.params, now.state, grads)
    if cause:
        raise Diverged(f"at {last}, {cause}; {ADVICE}")
    return now


def diagnose(
    model: Any,
    now: TrainState,
    grads: Any,
    last: str | None,
    batch: tuple,
    key: Any,
    name: str,
    loss: Loss = cross_entropy,
) -> str | None:
    """Say where numbers stopped being finite, after the step ``name`` raised a ValueError.

    now, grads: the ``TrainState`` before that step and the gradients of the step ``last`` before
    it, both None at the first. A network refuses parameters that are not finite, which the last
    step made; clipping refuses such gradients, which are computed again here.

    Returns None when all is finite: the error then has another cause.
    """
    cause = None if last is None else explain_update(now.params, now.state, grads)
    if cause:
        return f"at {last}, {cause}"
    try:
        _, grads, _ = model.loss_and_grad(now.params, now.state, batch, key, **_other(loss))
    except ValueError:
        return None
    cause = explain_update(now.params, now.state, grads)
    return f"at {name}, {cause}" if cause else None


def train_one_pass(
    model: Any,
    params: Any,
    state: Any,
    optimizer: Optimizer,
    opt_state: Any,
    data: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    batch_size: int,
    seed: Any,
) -> tuple[Any, Any, Any]:
    """Train for one pass over ``data`` (x, labels, weights or None), in its order.

    Returns (params, state, opt_state). The key of a step is (seed, number of the step), which the
    optimizer's state counts. Raises ``Diverged`` as ``train_batches`` does.
    """
    parts = [part for part in drop_zero_weights(*data) if part is not None]
    first = int(opt_state["step"])

    def batches():
        for i, begin in enumerate(range(0, len(parts[0]), batch_size), first):
            batch = tuple(part[begin : begin + batch_size] for part in parts)
            yield f"step {i + 1}", batch, (seed, i)

    start = TrainState(params, state, opt_state, first, np.nan, {})
    end = train_batches(model, optimizer, start, batches())
    remember(end.params, model)
    return end.params, end.state, end.opt_state


__getattr__ = renamed_names(__name__, {"once": "autocnn.training.step.train_one_pass"})
