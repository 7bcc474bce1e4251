"""The words with kernels of their own. What is declared of them is declared once, in
``reference.vocabulary``; words that are not here are derived by autograd.
"""

import numpy as np

from autocnn import layers as plain
from autocnn.fast import pool
from autocnn.fast.arrays import to_nchw, to_nhwc, to_rows
from autocnn.fast.fuse import conv_block, dense_block
from autocnn.fast.layer import by_autograd, by_kernels, fast_layer
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
    "relu6",
    "tanh",
]


def _elementwise(word):
    """Make the fast word of ``f(o, x) -> (y, slope)``: dx = dy slope()."""

    def decorate(f):
        @by_kernels(word)
        def layer(o, params, state, x, train, key, keep):
            y, slope = f(o, x)
            return y, state, lambda dy, need_dx=True, consume=False: (dy * slope(), {})

        layer.__module__ = __name__
        return layer

    return decorate


@_elementwise(plain.relu)
def relu(o, x):
    y = np.maximum(x, 0)
    return y, lambda: y > 0


@_elementwise(plain.relu6)
def relu6(o, x):
    y = np.clip(x, 0, 6)
    return y, lambda: (y > 0) & (y < 6)


@_elementwise(plain.tanh)
def tanh(o, x):
    y = np.tanh(x)
    return y, lambda: 1 - y * y


@_elementwise(plain.identity)
def identity(o, x):
    return x, lambda: 1


@by_kernels(plain.flatten)
def flatten(o, params, state, x, train, key, keep):
    shape = x.shape
    back = lambda dy, need_dx=True, consume=False: (dy.reshape(shape), {})  # noqa: E731
    return x.reshape(len(x), -1), state, back


def _block_word(word, make_block):
    """Make a fast word of a block of one layer."""

    def fast_word(*args, **kwargs):
        base = word(*args, **kwargs)
        block = make_block([base])

        def run(params, state, x, train, key, keep):
            y, _, back = block([params], [state], x, train, key, keep)

            def backward(dy, need_dx=True, consume=False):
                dx, (grads,) = back(dy, need_dx, consume)
                return dx, grads

            return y, state, backward

        return fast_layer(base, run, fast_word)

    fast_word.__name__, fast_word.__doc__ = word.__name__, word.__doc__
    fast_word.__wrapped__ = word
    return fast_word


conv = _block_word(plain.conv, conv_block)
dense = _block_word(plain.dense, dense_block)


@by_kernels(plain.dropout)
def dropout(o, params, state, x, train, key, keep):
    if not train or o.p == 0:
        return x, state, lambda dy, need_dx=True, consume=False: (dy, {})
    ones = np.broadcast_to(x.dtype.type(1), x.shape)
    mask, _ = plain.dropout(o.p).forward(params, state, ones, train, key)
    return x * mask, state, lambda dy, need_dx=True, consume=False: (dy * mask, {})


@by_kernels(plain.max_pool)
def max_pool(o, params, state, x, train, key, keep):
    window = o.size, o.stride, o.padding
    if o.size[0] * o.size[1] > 255:  # the kernels keep a window's winner in one byte
        slow = plain.max_pool(*window).forward
        return by_autograd(slow, params, state, x, train, key, keep)
    x = to_nhwc(x)
    shape = x.shape
    y, indices = pool.max_pool(x, *window, return_indices=keep)

    def backward(dy, need_dx=True, consume=False):
        return to_nchw(pool.max_pool_backward(to_nhwc(dy), indices, shape, *window)), {}

    return to_nchw(y), state, backward


@by_kernels(plain.avg_pool)
def avg_pool(o, params, state, x, train, key, keep):
    window = o.size, o.stride, o.padding
    x = to_nhwc(x)
    shape = x.shape

    def backward(dy, need_dx=True, consume=False):
        return to_nchw(pool.avg_pool_backward(to_nhwc(dy), shape, *window)), {}

    return to_nchw(pool.avg_pool(x, *window)), state, backward


@by_kernels(plain.global_avg_pool)
def global_avg_pool(o, params, state, x, train, key, keep):
    x = to_nhwc(x)
    shape, share = x.shape, x.dtype.type(1 / (x.shape[1] * x.shape[2]))

    def backward(dy, need_dx=True, consume=False):
        return to_nchw(np.broadcast_to((dy * share)[:, None, None], shape)), {}

    return x.sum(axis=(1, 2)) * share, state, backward


@by_kernels(plain.local_response_norm)
def local_response_norm(o, params, state, x, train, key, keep):
    rows, undo = to_rows(x)
    y, back = response_norm(rows, o.size, o.alpha, o.beta, o.k)

    def backward(dy, need_dx=True, consume=False):
        return undo(back(to_rows(dy)[0])), {}

    return undo(y), state, backward


@by_kernels(plain.batch_norm)
def batch_norm(o, params, state, x, train, key, keep):
    rows, undo = to_rows(x)
    if len(rows) == 1:  # an error in training, said by the plain word
        slow = plain.batch_norm(o.momentum, o.eps).forward
        return by_autograd(slow, params, state, x, train, key, keep)
    y, after, back = normalise(rows, params, state, train, o.momentum, o.eps, False, keep)

    def backward(dy, need_dx=True, consume=False):
        dx, grads = back(to_rows(dy)[0])
        return undo(dx), grads

    return undo(y), after, backward
