"""dense, flatten and dropout."""

import autograd.numpy as np

from autocnn import ops
from autocnn.keys import rng
from autocnn.layers.layer import by_autograd
from reference import vocabulary as declare

__all__ = ["dense", "dropout", "flatten"]


@by_autograd(declare.dense)
def dense(o, params, state, x, train, key):
    y = np.dot(x, params["w"])  # (N, D) . (D, units)
    return (y + params["b"] if o.bias else y), state


@by_autograd(declare.flatten)
def flatten(o, params, state, x, train, key):
    return ops.flatten(x, 1), state


@by_autograd(declare.dropout)
def dropout(o, params, state, x, train, key):
    if not train or o.p == 0:
        return x, state
    if key is None:
        raise ValueError(
            "dropout needs a key in training; pass one: loss_and_grad(params, state, batch, key=0)"
        )
    return x * ops.dropout_mask(rng(key), x.shape, o.p).astype(x.dtype), state
