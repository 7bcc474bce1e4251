"""Layer: what every vocabulary word returns, and what a whole network is.

    out_shape, params, state = layer.init(key, shape, dtype)      shapes are (C, H, W) or (D,): no batch
    y, state = layer.forward(params, state, x, train, key)        pure; x has a batch axis in front

``init`` with the key None draws nothing and returns read-only zeros that take no memory: shapes
only. ``forward`` trusts its arguments. A network meets the outside through ``apply``, ``vjp`` and
``loss_and_grad``, which check them first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from autocnn import autodiff
from autocnn.layers import checks
from autocnn.ops import cross_entropy

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
        """Compute the output for a batch x (N, *shape). Returns (y, state).

        ``train`` turns on dropout (which needs ``key``) and batch statistics. Raises ValueError
        when x or the trees are not this network's or not finite.
        """
        params = autodiff.opened(params)
        checks.call(self, params, state, x)
        return self.forward(params, state, x, train, key)

    def vjp(self, params, state, x, train=False, key=None):
        """Return (y, state, backward), where backward(dy) returns (dx, dparams): the products of
        dy with the Jacobians.
        """
        params = autodiff.opened(params)
        checks.call(self, params, state, x)
        y, state, backward = autodiff.vjp(
            lambda x, params: self.forward(params, state, x, train, key), x, params
        )
        return y, state, lambda dy: backward(checks.cotangent(dy, y))

    def loss_and_grad(self, params, state, batch, key=None, train=True):
        """Return (loss, grads, state) for a batch (x, labels): the mean cross-entropy and its
        gradient, a tree like params.

        A third part of the batch, numbers w (N,) of 0 or more and not all 0, weighs the images: the
        loss is then sum_n w_n l_n / sum_n w_n, l_n being the cross-entropy of image n.
        """
        params, (x, labels, *weights) = autodiff.opened(params), checks.batch(batch)
        checks.labels(labels, len(x), checks.call(self, params, state, x, "f"))
        share = checks.share(weights, len(x))

        def loss(params):
            logits, new_state = self.forward(params, state, x, train, key)
            if share is None:
                return cross_entropy(logits, labels), new_state
            each = cross_entropy(logits, labels, reduction="none")  # (N,)
            return (each * share.astype(each.dtype)).sum(), new_state

        value, state, backward = autodiff.vjp(loss, params)
        (grads,) = backward(value.dtype.type(1))
        return value, grads, state

    def __repr__(self):
        inside = [repr(part) for part in self.parts] + [
            f"{k}={v!r}" for k, v in self.options.items()
        ]
        return f"{self.name}({', '.join(inside)})"
