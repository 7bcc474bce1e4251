"""Losses for ``train``, ``evaluate`` and ``loss_and_grad``: values, not parts of a network.

    run = ac.train(params, data, model=model, loss=ac.losses.mse)
    run = ac.train(params, data, model=model, loss=ac.losses.smoothed_cross_entropy(0.1))

Each is declared once, in ``reference.loss``: its formula, from which autograd derives the
gradient, and its derivative by hand. A loss of your own is a ``Loss`` too.
"""

from reference.loss import Loss, cross_entropy, mse, smoothed_cross_entropy

__all__ = ["Loss", "cross_entropy", "mse", "smoothed_cross_entropy"]
