"""Steps: one batch, its gradient, one move of the parameters; and who is to blame when a number
is no longer finite.
"""

import contextlib

import numpy as np

from autocnn.inspection import diagnose as divergence
from autocnn.inspection.diagnose import Diverged
from autocnn.training import sample_weight as weights

__all__ = ["ADVICE", "Steps", "once"]

ADVICE = "lower the rate or clip gradients"


class Steps:
    """Takes steps with a model and an optimizer, and remembers the last one's place and
    gradients, to tell who is to blame.
    """

    def __init__(self, model, optimizer):
        """Nothing has been done yet."""
        self.model, self.optimizer = model, optimizer
        self.where, self.grads = "the start", None

    def take(self, params, state, opt_state, batch, key, where):
        """Return (loss, params, opt_state, state) after the step on a batch (x, labels[, weights]);
        ``where`` is its name.

        ``Diverged``, naming ``where`` and a layer, when the loss is not finite.
        """
        loss, grads, after = self.model.loss_and_grad(params, state, batch, key)
        if not np.isfinite(loss):
            why = divergence.of_loss(self.model, params, state, batch[0], True, key)
            raise Diverged(f"the loss became {loss} at {where}: {why}; {ADVICE}")
        self.where, self.grads = where, grads
        return loss, *self.optimizer.update(params, grads, opt_state), after

    @contextlib.contextmanager
    def blamed(self, now):
        """Turn a ValueError within ``with`` into ``Diverged`` where what ``now()`` returns,
        (params, state), is not finite.

        A network refuses such trees at the next step, and so costs nothing to ask; the step to name
        is the last one taken.
        """
        try:
            yield
        except Diverged:
            raise
        except ValueError as error:
            self.check(*now(), error)
            raise

    def check(self, params, state, error=None):
        """Raise ``Diverged``, because of ``error``, if params, state or the last gradients are
        not finite.
        """
        why = divergence.of_update(params, state, self.grads)
        if why is not None:
            raise Diverged(f"at {self.where}, {why}; {ADVICE}") from error


def once(model, params, state, optimizer, opt_state, data, batch_size, seed):
    """Go once through ``data``, (x, labels, weights or None), in its order. Returns (params, state,
    opt_state).

    The key of a step is (seed, number of the step). ``Diverged`` when the loss, the parameters or
    the state do.
    """
    parts = [part for part in weights.present(*data) if part is not None]
    steps = Steps(model, optimizer)
    with steps.blamed(lambda: (params, state)):
        for start in range(0, len(parts[0]), batch_size):
            batch, step = (
                tuple(part[start : start + batch_size] for part in parts),
                int(opt_state["step"]),
            )
            _, params, opt_state, state = steps.take(
                params, state, opt_state, batch, (seed, step), f"step {step + 1}"
            )
    steps.check(params, state)
    return params, state, opt_state
