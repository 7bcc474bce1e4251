"""Layer: a vocabulary word with its backward pass.

    out_shape, params, state = layer.init(key, shape, dtype)
    y, state, backward = layer.forward(params, state, x, train, key)
    dx, dparams = backward(dy)

``backward`` is a closure: what it needs from the forward pass, it has, so that nothing can be
called in the wrong order or overwritten in between. dy has the shape of y; dx = sum_j dy_j dy_j/dx
has the shape of x, dparams that of params.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from reference import checks
from reference.loss import softmax_cross_entropy

__all__ = ["Layer"]


class Fields(NamedTuple):
    """What a layer consists of: its vocabulary word, the word's arguments, its parts, and two
    pure functions.
    """

    name: str
    options: dict[str, Any]
    init: Callable
    forward: Callable
    parts: tuple["Layer", ...] = ()


class Layer(Fields):
    """A layer or network. Its ``init`` is the one it is made of behind a check of the shape and
    the dtype.
    """

    __slots__ = ()

    def __new__(cls, name, options, init, forward, parts=()):
        return super().__new__(cls, name, options, checks.checked_init(init), forward, parts)

    def apply(self, params, state, x, train=False, key=None):
        """Compute the output for a batch x (N, *shape). Returns (y, state); ValueError for bad
        arguments.
        """
        checks.call(self, params, state, x)
        y, state, _ = self.forward(params, state, x, train, key)
        return y, state

    def vjp(self, params, state, x, train=False, key=None):
        """Return (y, state, backward), where backward(dy) returns (dx, dparams): the products of
        dy with the Jacobians.
        """
        checks.call(self, params, state, x)
        y, state, backward = self.forward(params, state, x, train, key)
        return y, state, lambda dy: backward(checks.cotangent(dy, y))

    def loss_and_grad(self, params, state, batch, key=None, train=True):
        """Return (loss, grads, state) for a batch (x, labels): the mean cross-entropy and its
        gradient, a tree like params.

        A third part of the batch, numbers w (N,) of 0 or more and not all 0, weighs the images: the
        loss is then sum_n w_n l_n / sum_n w_n, l_n being the cross-entropy of image n.
        """
        x, labels, *weights = checks.batch(batch)
        checks.labels(labels, len(x), checks.call(self, params, state, x, "f"))
        share = checks.share(weights, len(x))
        logits, state, backward = self.forward(params, state, x, train, key)
        loss, dlogits = softmax_cross_entropy(logits, labels, share)
        _, grads = backward(dlogits)
        return loss, grads, state

    def __repr__(self):
        inside = [repr(part) for part in self.parts] + [
            f"{k}={v!r}" for k, v in self.options.items()
        ]
        return f"{self.name}({', '.join(inside)})"
