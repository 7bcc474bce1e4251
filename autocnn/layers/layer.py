"""Layer, with gradients by autograd: the shared ``reference.layer.Layer``, differentiated."""

from functools import wraps

import autograd.numpy as np

from autocnn import autodiff
from reference import layer as declared
from reference.layer import Declaration

__all__ = ["Layer", "by_autograd"]


class Layer(declared.Layer):
    """A layer or network whose gradients autograd derives from ``forward``.

    Everything else is ``reference.layer.Layer``'s: ``init``, ``apply``, ``vjp``,
    ``loss_and_grad``. Parameters may be traced by an enclosing autograd transformation, so
    derivatives of any order nest.
    """

    is_by_hand = False

    def _open(self, params):
        return autodiff.opened(params)

    def pullback(self, params, state, x, train, key):
        """Compute (y, state, backward) by autograd, without checks."""

        def run(x, params):
            return self.forward(params, state, x, train, key)

        return autodiff.vjp(run, x, params)

    def _loss_and_grad(self, params, state, x, targets, weights, loss, train, key):
        def run(params):
            y, after = self.forward(params, state, x, train, key)
            return batch_loss(loss, y, targets, weights), after

        value, after, backward = autodiff.vjp(run, params)
        (grads,) = backward(value.dtype.type(1))
        return value, grads, after


def batch_loss(loss, y, targets, weights):
    """Return the loss of a batch of outputs y: the mean of ``loss.each``, or its weighted sum."""
    each = loss.each(np, y, targets)
    return each.sum() / len(y) if weights is None else (each * weights.astype(each.dtype)).sum()


def by_autograd(declare):
    """Make a word of this vocabulary from its declaration and its forward pass.

    The decorated function is ``f(o, params, state, x, train, key) -> (y, state)``, composed of
    functions that autograd can differentiate; o has the word's options as attributes.
    """

    def decorate(f):
        @wraps(declare)
        def word(*args, **kwargs) -> Layer:
            declaration: Declaration = declare(*args, **kwargs)
            o = declaration.arguments
            return Layer.of(declaration, word, forward=lambda *arguments: f(o, *arguments))

        word.__module__ = f.__module__
        return word

    return decorate
