"""Fusion: layers that follow one another, computed and differentiated as one block.

    conv [-> batch_norm] [-> relu] [-> max_pool]        dense [-> relu]

Bias, scale and ReLU are applied while a block of outputs is in the cache. A ReLU's derivative
needs its output only, and a maximum commutes with a ReLU: behind a pool neither the convolution's
output nor the mask is kept.

A block is a fast word over lists: params, state and gradients have one entry for each layer.
"""

from autocnn.fast import pool as pooling
from autocnn.fast.arrays import supports, to_nchw, to_nhwc
from autocnn.fast.convolution import convolve, relu_bias_backward
from autocnn.fast.dense import linear
from autocnn.fast.layer import by_autograd
from autocnn.fast.norm import batch_norm, fold_batch_norm
from autocnn.layers import serial

__all__ = ["conv_block", "dense_block", "fused"]


def fused(parts):
    """Cut a list of layers into (start, stop, block) where layers can be computed together.

    block is None for a layer that stays alone.
    """
    names = [part.name if part.backprop is not None else "" for part in parts]
    cuts, start = [], 0
    while start < len(parts):
        stop, block = start + 1, None
        if names[start] == "conv":
            stop = _end_of_conv_block(parts, names, start)
            block = conv_block(parts[start:stop])
        elif names[start] == "dense":
            stop += names[start + 1 : start + 2] == ["relu"]
            block = dense_block(parts[start:stop])
        cuts.append((start, stop, block))
        start = stop
    return cuts


def _end_of_conv_block(parts, names, start):
    stop = start + 1
    for follower in ("batch_norm", "relu", "max_pool"):
        if stop == len(parts) or names[stop] != follower:
            continue
        if follower == "max_pool" and not (names[stop - 1] == "relu" and _is_small(parts[stop])):
            continue
        stop += 1
    return stop


def _is_small(pool):
    """Whether a window's winner fits into one byte, as the kernels keep it."""
    kh, kw = pool.options["size"]
    return kh * kw <= 255


def conv_block(parts):
    """Make the block of a convolution and the layers behind it."""
    by_name = {part.name: i for i, part in enumerate(parts)}
    o = parts[0].options
    geometry = o["stride"], o["padding"], o["dilation"], o["groups"]
    norm, relu = by_name.get("batch_norm"), "relu" in by_name
    normal = parts[norm].options if norm is not None else None
    pool = parts[by_name["max_pool"]].options if "max_pool" in by_name else None
    window = (pool["size"], pool["stride"], pool["padding"]) if pool else None
    plain = serial(*parts).forward

    def run(params, state, x, train, key, keep):
        w, b = params[0]["w"], params[0].get("b")
        others = [*params[norm].values(), *state[norm].values()] if normal else []
        if not supports(x, *params[0].values(), *others):
            return by_autograd(plain, params, state, x, train, key, keep)
        x = to_nhwc(x)
        after = state
        if not normal:
            z, conv_backward = convolve(x, w, b, *geometry, relu)
        elif not keep and not train:
            scale, shift = fold_batch_norm(b, params[norm], state[norm], normal["eps"])
            z, conv_backward = convolve(x, w, shift, *geometry, relu, scale)
        else:
            z, conv_backward = convolve(x, w, b, *geometry)
            if z.size == z.shape[3]:  # one value a channel
                return by_autograd(plain, params, state, to_nchw(x), train, key, keep)
            rows = z.reshape(-1, z.shape[3])
            rows, moved, back_norm = batch_norm(
                rows, params[norm], state[norm], train, **normal, relu=relu, keep=keep
            )
            z = rows.reshape(z.shape)
            after = [*state[:norm], moved, *state[norm + 1 :]]
        y, indices, shape = z, None, z.shape
        if window:
            y, indices = pooling.max_pool(z, *window, return_indices=keep)
        if not keep:
            return to_nchw(y), after, None

        def backward(dy, need_dx=True, consume=False):
            dy = to_nhwc(dy)
            grads = [{} for _ in parts]
            if window:
                if not normal:  # ReLU's derivative and the bias's sum, where numbers are fewer
                    dy, db = relu_bias_backward(dy, y)
                dy = pooling.max_pool_backward(dy, indices, shape, *window)
            if normal:
                dz, grads[norm] = back_norm(dy.reshape(-1, dy.shape[3]))
                dy = dz.reshape(shape)
                db = relu_bias_backward(dy, None)[1] if b is not None else None
            elif not window:
                dy, db = (
                    relu_bias_backward(dy, y if relu else None)
                    if relu or b is not None
                    else (dy, None)
                )
            dx, dw = conv_backward(dy, need_dx)
            grads[0] = {"w": dw} if b is None else {"w": dw, "b": db}
            return to_nchw(dx) if need_dx else None, grads

        return to_nchw(y), after, backward

    return run


def dense_block(parts):
    """Make the block of a dense map, with the ReLU behind it if there is one."""
    relu = len(parts) > 1
    plain = serial(*parts).forward

    def run(params, state, x, train, key, keep):
        w, b = params[0]["w"], params[0].get("b")
        if not supports(x, *params[0].values()):
            return by_autograd(plain, params, state, x, train, key, keep)
        y, back = linear(x, w, b, relu)

        def backward(dy, need_dx=True, consume=False):
            dx, *gradients = back(dy, need_dx)
            return dx, [dict(zip("wb", gradients, strict=False)), {}][: len(parts)]

        return y, state, backward

    return run
