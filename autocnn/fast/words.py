"""The words with a fast interpretation. Names, arguments, initial weights and checks are those
of ``autocnn.layers``.
"""

import numpy as np

from autocnn import layers as plain
from autocnn.fast import pool
from autocnn.fast.arrays import supports, to_nchw, to_nhwc, to_rows
from autocnn.fast.fuse import conv_block, dense_block
from autocnn.fast.layer import derived, fast_layer
from autocnn.fast.norm import batch_norm as normalise
from autocnn.fast.norm import local_response_norm as response_norm

__all__ = [
    "avg_pool",
    "batch_norm",
    "conv",
    "dense",
    "dropout",
    "flatten",
    "global_avg_pool",
    "identity",
    "local_response_norm",
    "max_pool",
    "relu",
]


def _word(layer, pull):
    """Make the fast layer of a pull that takes float32 or float64 only; anything else goes the
    plain way.
    """
    slow = derived(layer.forward)

    def either(params, state, x, train, key, need):
        way = pull if supports(x, *params.values()) else slow
        return way(params, state, x, train, key, need)

    return fast_layer(layer, either)


def _pointwise(layer, f):
    """Make a fast layer without parameters from ``f(x, need) -> (y, back)``."""

    def pull(params, state, x, train, key, need):
        y, back = f(x, need)
        return y, state, lambda dy: (back(dy), {})

    return _word(layer, pull)


def conv(filters, kernel, stride=1, padding=0, dilation=1, groups=1, bias=True):
    """Convolve with learned kernels: ``autocnn.layers.conv``."""
    layer = plain.conv(filters, kernel, stride, padding, dilation, groups, bias)
    block = conv_block([layer])

    def pull(params, state, x, train, key, need):
        y, _, back = block([params], [state], x, train, key, need)
        return y, state, lambda dy: _single(back(dy))

    return _word(layer, pull)


def dense(units, bias=True):
    """Map linearly: ``autocnn.layers.dense``."""
    layer = plain.dense(units, bias)
    block = dense_block([layer])

    def pull(params, state, x, train, key, need):
        y, _, back = block([params], [state], x, train, key, need)
        return y, state, lambda dy: _single(back(dy))

    return _word(layer, pull)


def _single(pair):
    dx, (dparams,) = pair
    return dx, dparams


def relu():
    """Clip below at zero: ``autocnn.layers.relu``."""

    def f(x, need):
        y = np.maximum(x, 0)
        return y, lambda dy: dy * (y > 0)

    return _pointwise(plain.relu(), f)


def identity():
    """Return the input: ``autocnn.layers.identity``."""
    return _pointwise(plain.identity(), lambda x, need: (x, lambda dy: dy))


def flatten():
    """Lay out each example's numbers in one row: ``autocnn.layers.flatten``."""

    def f(x, need):
        shape = x.shape
        return x.reshape(len(x), -1), lambda dy: dy.reshape(shape)

    return _pointwise(plain.flatten(), f)


def dropout(p):
    """Drop numbers at random in training: ``autocnn.layers.dropout``, with the same masks."""
    layer = plain.dropout(p)

    def pull(params, state, x, train, key, need):
        if not train or p == 0:
            return x, state, lambda dy: (dy, {})
        mask, _ = layer.forward(
            params, state, np.broadcast_to(x.dtype.type(1), x.shape), train, key
        )
        return x * mask, state, lambda dy: (dy * mask, {})

    return _word(layer, pull)


def max_pool(size, stride=None, padding=0):
    """Take each window's maximum: ``autocnn.layers.max_pool``."""
    layer = plain.max_pool(size, stride, padding)
    o = layer.options
    window = o["size"], o["stride"], o["padding"]
    slow = derived(layer.forward)

    def pull(params, state, x, train, key, need):
        if o["size"][0] * o["size"][1] > 255 or any(
            2 * p > k for p, k in zip(o["padding"], o["size"], strict=True)
        ):
            return slow(params, state, x, train, key, need)
        x = to_nhwc(x)
        shape = x.shape
        y, indices = pool.max_pool(x, *window, return_indices=bool(need))

        def back(dy):
            return to_nchw(
                pool.max_pool_backward(to_nhwc(dy), indices, shape, *window)
            ) if need else None, {}

        return to_nchw(y), state, back

    return _word(layer, pull)


def avg_pool(size, stride=None, padding=0):
    """Average each window: ``autocnn.layers.avg_pool``."""
    layer = plain.avg_pool(size, stride, padding)
    o = layer.options
    window = o["size"], o["stride"], o["padding"]
    slow = derived(layer.forward)

    def pull(params, state, x, train, key, need):
        if any(2 * p > k for p, k in zip(o["padding"], o["size"], strict=True)):
            return slow(params, state, x, train, key, need)
        x = to_nhwc(x)
        shape = x.shape
        return (
            to_nchw(pool.avg_pool(x, *window)),
            state,
            lambda dy: (to_nchw(pool.avg_pool_backward(to_nhwc(dy), shape, *window)), {}),
        )

    return _word(layer, pull)


def global_avg_pool():
    """Average each channel over the whole image: ``autocnn.layers.global_avg_pool``."""

    def f(x, need):
        x = to_nhwc(x)
        shape, share = x.shape, x.dtype.type(1 / (x.shape[1] * x.shape[2]))

        def back(dy):
            return to_nchw(np.broadcast_to((dy * share)[:, None, None], shape))

        return x.sum(axis=(1, 2)) * share, back

    return _pointwise(plain.global_avg_pool(), f)


def local_response_norm(size, alpha=1e-4, beta=0.75, k=1.0):
    """Divide each number by its neighbours' strength across channels:
    ``autocnn.layers.local_response_norm``.
    """
    layer = plain.local_response_norm(size, alpha, beta, k)

    def f(x, need):
        rows, undo = to_rows(x)
        y, back = response_norm(rows, size, alpha, beta, k)
        return undo(y), lambda dy: undo(back(to_rows(dy)[0]))

    return _pointwise(layer, f)


def batch_norm(momentum=0.1, eps=1e-5):
    """Normalise each channel over the batch: ``autocnn.layers.batch_norm``."""
    layer = plain.batch_norm(momentum, eps)
    momentum, eps = layer.options["momentum"], layer.options["eps"]
    slow = derived(layer.forward)

    def pull(params, state, x, train, key, need):
        rows, undo = to_rows(x)
        if len(rows) == 1 or not supports(x, *state.values()):
            return slow(params, state, x, train, key, need)
        y, after, back = normalise(rows, params, state, train, momentum, eps, False, need)

        def backward(dy):
            dx, grads = back(to_rows(dy)[0])
            return undo(dx), grads

        return undo(y), after, backward

    return _word(layer, pull)
