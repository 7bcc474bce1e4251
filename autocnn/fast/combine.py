"""Networks from fast layers: serial fuses neighbours, residual and concat run several paths."""

from functools import wraps

import numpy as np

from autocnn import layers as plain
from autocnn.fast.elementwise import add_relu, relu_backward
from autocnn.fast.fuse import fused
from autocnn.fast.layer import Layer, fast_layer
from autocnn.keys import child

__all__ = ["concat", "residual", "serial"]


def _run(part):
    """Return the function ``run(params, state, x, train, key, keep)`` of a part."""

    def run(params, state, x, train, key, keep):
        if not keep:
            return *part.forward(params, state, x, train, key), None
        y, after, back = part.pullback(params, state, x, train, key)
        if isinstance(part, Layer):
            return y, after, back
        return y, after, lambda dy, need_dx=True, consume=False: back(dy)

    return run


@wraps(plain.serial)
def serial(*layers):
    base = plain.serial(*_fast(layers))
    steps = [
        (i, j, block or _run(base.parts[i]), block is not None) for i, j, block in _plan(base.parts)
    ]
    draws = [part.draws for part in base.parts]

    def run(params, state, x, train, key, keep):
        after, backs = [], []
        for i, j, step, is_block in steps:
            if is_block:
                x, s, back = step(params[i:j], state[i:j], x, train, None, keep)
                after += s
            else:
                part_key = child(key, i) if draws[i] else None
                x, s, back = step(params[i], state[i], x, train, part_key, keep)
                after.append(s)
            backs.append((i, j, back, is_block))
        # Nothing in front of the first parameters is differentiated, unless dx is asked for.
        first = next((n for n, (i, j, *_) in enumerate(backs) if any(params[i:j])), len(backs))

        def backward(dy, need_dx=True, consume=False):
            rest, grads = backs if consume else list(backs), [{} for _ in params]
            while rest:
                i, j, back, is_block = rest.pop()
                if len(rest) < first and not need_dx:
                    return None, _like(params, grads)
                dy, g = back(dy, need_dx or len(rest) > first, consume)
                grads[i:j] = g if is_block else [g]
                back = None  # with ``consume`` this frees what the layer has kept
            return dy, _like(params, grads)

        return x, after, backward if keep else None

    return fast_layer(base, run, serial)


def _like(params, grads):
    return tuple(grads) if isinstance(params, tuple) else grads


def _fast(layers):
    """Check the layers; those of ``autocnn.layers`` are differentiated by autograd."""
    for layer in layers:
        Layer._check_part("serial", layer)
    return layers


def _plan(parts):
    """Cut layers into (start, stop, block): fused neighbours, and single layers with None."""
    cuts = fused(parts)
    for at, (i, j, block) in enumerate(cuts):
        names = [part.name for part in parts[i : j + 1] if part.backprop is not None]
        if block is None and names == ["residual", "relu"]:
            cuts[at : at + 2] = [(i, j + 1, _residual_relu_block(parts[i]))]
    return cuts


@wraps(plain.residual)
def residual(main, shortcut=None):
    base = plain.residual(main, *([] if shortcut is None else [shortcut]))
    return fast_layer(base, _sum(*map(_run, base.parts), relu=False), residual)


def _residual_relu_block(layer):
    """Make the block of a residual and the ReLU behind it."""
    both = _sum(*map(_run, layer.parts), relu=True)

    def run(params, state, x, train, key, keep):
        y, after, back = both(params[0], state[0], x, train, key, keep)

        def backward(dy, need_dx=True, consume=False):
            dx, grads = back(dy, need_dx, consume)
            return dx, [grads, {}]

        return y, [after, state[1]], backward

    return run


def _sum(main, shortcut, relu):
    """Make the run of main(x) + shortcut(x); with ``relu``, of its positive part."""

    def run(params, state, x, train, key, keep):
        p, s = params, state
        y, s_main, back = main(p["main"], s["main"], x, train, child(key, 0), keep)
        z, s_short, back_ = shortcut(p["shortcut"], s["shortcut"], x, train, child(key, 1), keep)
        y = add_relu(y, z) if relu else y + z

        def backward(dy, need_dx=True, consume=False):
            g = relu_backward(dy, y) if relu else dy
            dx, grads = back(g, need_dx, consume)
            dx_, grads_ = back_(g, need_dx, consume)
            return dx + dx_ if need_dx else None, {"main": grads, "shortcut": grads_}

        return y, {"main": s_main, "shortcut": s_short}, backward

    return run


@wraps(plain.concat)
def concat(*paths):
    base = plain.concat(*paths)
    runs = [_run(part) for part in base.parts]

    def run(params, state, x, train, key, keep):
        found = [
            path(params[i], state[i], x, train, child(key, i), keep) for i, path in enumerate(runs)
        ]
        ys, after, backs = zip(*found, strict=True)
        edges = np.cumsum([y.shape[1] for y in ys])[:-1]

        def backward(dy, need_dx=True, consume=False):
            parts = np.split(dy, edges, axis=1)
            pairs = [back(d, need_dx, consume) for back, d in zip(backs, parts, strict=True)]
            dx = sum(dx for dx, _ in pairs) if need_dx else None
            return dx, _like(params, [grads for _, grads in pairs])

        return np.concatenate(ys, axis=1), list(after), backward

    return fast_layer(base, run, concat)
