"""Blocks: a convolution or a dense map with what stands behind it, computed and differentiated as
one.

    conv [-> batch_norm] [-> relu] [-> max_pool]        dense [-> relu]

Bias, scale and ReLU are applied while a block of outputs is in the cache. A ReLU's derivative needs
its output only, and a maximum commutes with a ReLU: behind a pool neither the convolution's output
nor the mask is kept.

A block is a pull over lists: params, state and gradients have one entry for each layer that it is
made of.
"""

from autocnn.fast import pool as pooling
from autocnn.fast.arrays import supports, to_nchw, to_nhwc
from autocnn.fast.convolution import convolve, relu_bias_backward
from autocnn.fast.dense import linear
from autocnn.fast.layer import derived
from autocnn.fast.norm import batch_norm, fold_batch_norm
from autocnn.layers import serial

__all__ = ["conv_block", "dense_block", "groups"]


def groups(parts):
    """Cut a list of layers into (start, stop, block) where layers can be computed together;
    block None for one layer alone.
    """
    names = [part.name if hasattr(part.forward, "pull") else "" for part in parts] + [""] * 3
    found, i = [], 0
    while i < len(parts):
        stop, block = i + 1, None
        if names[i] == "conv":
            for follower in ("batch_norm", "relu", "max_pool"):
                stop += names[stop] == follower and (
                    follower != "max_pool" or _poolable(parts[stop], names[stop - 1])
                )
            block = conv_block(parts[i:stop])
        elif names[i] == "dense" and names[i + 1] == "relu":
            stop = i + 2
            block = dense_block(parts[i:stop])
        found.append((i, stop, block))
        i = stop
    return found


def _poolable(part, before):
    (kh, kw), padding = part.options["size"], part.options["padding"]
    return before == "relu" and kh * kw <= 255 and 2 * padding[0] <= kh and 2 * padding[1] <= kw


def conv_block(parts):
    """Make the pull of a convolution and the layers behind it."""
    by_name = {part.name: i for i, part in enumerate(parts)}
    o = parts[0].options
    geometry = o["stride"], o["padding"], o["dilation"], o["groups"]
    norm, relu = by_name.get("batch_norm"), "relu" in by_name
    normal = parts[norm].options if norm is not None else None
    pool = parts[by_name["max_pool"]].options if "max_pool" in by_name else None
    window = (pool["size"], pool["stride"], pool["padding"]) if pool else None
    slow = derived(serial(*parts).forward) if len(parts) > 1 else _listed(derived(parts[0].forward))

    def pull(params, state, x, train, key, need):
        w, b = params[0]["w"], params[0].get("b")
        others = [*params[norm].values(), *state[norm].values()] if normal else []
        if not supports(x, w, b, *others):
            return slow(params, state, x, train, key, need)
        x = to_nhwc(x)
        after = state
        if not normal:
            z, conv_backward = convolve(x, w, b, *geometry, relu)
        elif need is None and not train:
            scale, shift = fold_batch_norm(b, params[norm], state[norm], normal["eps"])
            z, conv_backward = convolve(x, w, shift, *geometry, relu, scale)
        else:
            z, conv_backward = convolve(x, w, b, *geometry)
            if z.size == z.shape[3]:
                return slow(params, state, to_nchw(x), train, key, need)
            rows = z.reshape(-1, z.shape[3])
            rows, moved, back_norm = batch_norm(
                rows, params[norm], state[norm], train, **normal, relu=relu, need=need
            )
            z = rows.reshape(z.shape)
            after = [*state[:norm], moved, *state[norm + 1 :]]
        y, indices, shape = z, None, z.shape
        if window:
            y, indices = pooling.max_pool(z, *window, return_indices=need is not None)
        if need is None:
            return to_nchw(y), after, None

        def back(dy):
            dy = to_nhwc(dy)
            grads = [{} for _ in parts]
            if window:
                # the ReLU's derivative and the bias's sum are taken where there are fewer numbers
                if not normal:
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
            dx, dw = conv_backward(dy, need)
            grads[0] = {"w": dw} if b is None else {"w": dw, "b": db}
            return to_nchw(dx) if need else None, grads

        return to_nchw(y), after, back

    return pull


def dense_block(parts):
    """Make the pull of a dense map, with the ReLU behind it if there is one."""
    relu = len(parts) > 1
    slow = derived(serial(*parts).forward) if relu else _listed(derived(parts[0].forward))

    def pull(params, state, x, train, key, need):
        w, b = params[0]["w"], params[0].get("b")
        if not supports(x, w, b):
            return slow(params, state, x, train, key, need)
        y, backward = linear(x, w, b, relu)

        def back(dy):
            dx, *gradients = backward(dy, need)
            return dx, [dict(zip("wb", gradients, strict=False)), {}][: len(parts)]

        return y, state, back

    return pull


def _listed(pull):
    """Turn one layer's pull into one over lists of length 1."""

    def listed(params, state, x, train, key, need):
        y, after, back = pull(params[0], state[0], x, train, key, need)

        def backward(dy):
            dx, grads = back(dy)
            return dx, [grads]

        return y, [after], backward

    return listed
