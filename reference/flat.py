"""dense, flatten and dropout, each with its backward pass by hand."""

from reference import vocabulary as declare
from reference.keys import rng
from reference.layer import by_hand

__all__ = ["dense", "dropout", "flatten"]


@by_hand(declare.dense)
def dense(o, params, state, x, train, key):
    """dx = dy w', dw = x' dy, db = sum over the batch of dy."""
    w = params["w"]
    y = x @ w  # (N, D) . (D, units)

    def backward(dy):
        grads = {"w": x.T @ dy}
        if o.bias:
            grads["b"] = dy.sum(axis=0)
        return dy @ w.T, grads

    return (y + params["b"] if o.bias else y), state, backward


@by_hand(declare.flatten)
def flatten(o, params, state, x, train, key):
    """dx is dy in the old shape."""
    return x.reshape(len(x), -1), state, lambda dy: (dy.reshape(x.shape), {})


@by_hand(declare.dropout)
def dropout(o, params, state, x, train, key):
    """dx = dy times the same mask."""
    if not train or o.p == 0:
        return x, state, lambda dy: (dy, {})
    if key is None:
        raise ValueError(
            "dropout needs a key in training; pass one: loss_and_grad(params, state, batch, key=0)"
        )
    mask = ((rng(key).random(x.shape) >= o.p) / (1.0 - o.p)).astype(x.dtype)
    return x * mask, state, lambda dy: (dy * mask, {})
