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

    A layer of your own is two functions. ``init(key, shape, dtype)`` returns (out_shape, params,
    state) for one image of ``shape``, without the batch; the key None asks for shapes only.
    ``forward(params, state, x, train, key)`` returns (y, state) for a batch x (N, *shape), by
    functions of ``autograd.numpy``, without assignment in place. Where a function is wrong, a
    ValueError names the layer and says what helps. Swish, x / (1 + exp(-b x)), with a slope b:

    >>> import autograd.numpy as np
    >>> def swish():
    ...     def init(key, shape, dtype):
    ...         return shape, {"b": np.ones((), dtype)}, {}
    ...     def forward(params, state, x, train, key):
    ...         return x / (1 + np.exp(-params["b"] * x)), state
    ...     return Layer("swish", {}, init, forward)
    >>> from autocnn import layers as nn
    >>> model = nn.serial(nn.conv(3, 3), swish(), nn.flatten(), nn.dense(3))
    >>> out_shape, params, state = model.init(0, (1, 8, 8))

    ``train(params, data)`` trains it, and ``gradcheck.check_model(model, (1, 8, 8))`` checks it.
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
