"""Networks from layers, with the chain rule by hand."""

from functools import wraps

import numpy as np

from reference import vocabulary as declare
from reference.elementwise import identity
from reference.keys import child
from reference.layer import by_hand

__all__ = ["concat", "residual", "serial"]


@by_hand(declare.serial)
def serial(o, params, state, x, train, key):
    """The chain rule: the backward passes in reverse order."""
    after, backwards = [], []
    for i, part in enumerate(o.parts):
        part_key = child(key, i) if part.draws else None
        x, s, back = part.pullback(params[i], state[i], x, train, part_key)
        after.append(s)
        backwards.append(back)

    def backward(dy):
        grads = []
        for back in reversed(backwards):
            dy, g = back(dy)
            grads.append(g)
        return dy, _like(params, grads[::-1])

    return x, after, backward


@by_hand(declare.residual)
def _residual(o, params, state, x, train, key):
    """Both paths get dy, and their dx add up."""
    (main, shortcut), p, s = o.parts, params, state
    y, s_main, back = main.pullback(p["main"], s["main"], x, train, child(key, 0))
    z, s_shortcut, back_ = shortcut.pullback(p["shortcut"], s["shortcut"], x, train, child(key, 1))

    def backward(dy):
        dx, g = back(dy)
        dx_, g_ = back_(dy)
        return dx + dx_, {"main": g, "shortcut": g_}

    return y + z, {"main": s_main, "shortcut": s_shortcut}, backward


@wraps(_residual)
def residual(main, shortcut=None):
    return _residual(main, identity() if shortcut is None else shortcut)


@by_hand(declare.concat)
def concat(o, params, state, x, train, key):
    """Each path gets its own channels of dy, and their dx add up."""
    ys, after, backwards = zip(
        *(
            path.pullback(params[i], state[i], x, train, child(key, i))
            for i, path in enumerate(o.parts)
        ),
        strict=True,
    )
    edges = np.cumsum([y.shape[1] for y in ys])[:-1]

    def backward(dy):
        parts = [back(d) for back, d in zip(backwards, np.split(dy, edges, axis=1), strict=True)]
        return sum(dx for dx, _ in parts), _like(params, [g for _, g in parts])

    return np.concatenate(ys, axis=1), list(after), backward


def _like(params, grads):
    """The list of gradients as a list or a tuple, as the parameters are."""
    return tuple(grads) if isinstance(params, tuple) else grads
