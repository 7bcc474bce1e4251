"""Networks from layers: one after another, added, or side by side along the channels."""

from functools import wraps

import autograd.numpy as np

from autocnn.keys import child
from autocnn.layers.elementwise import identity
from autocnn.layers.layer import by_autograd
from reference import vocabulary as declare

__all__ = ["concat", "residual", "serial"]


@by_autograd(declare.serial)
def serial(o, params, state, x, train, key):
    after = []
    for i, part in enumerate(o.parts):
        part_key = child(key, i) if part.draws else None
        x, s = part.forward(params[i], state[i], x, train, part_key)
        after.append(s)
    return x, after


@by_autograd(declare.residual)
def _residual(o, params, state, x, train, key):
    (main, shortcut), p, s = o.parts, params, state
    y, s_main = main.forward(p["main"], s["main"], x, train, child(key, 0))
    z, s_shortcut = shortcut.forward(p["shortcut"], s["shortcut"], x, train, child(key, 1))
    return y + z, {"main": s_main, "shortcut": s_shortcut}


@wraps(_residual)
def residual(main, shortcut=None):
    return _residual(main, identity() if shortcut is None else shortcut)


@by_autograd(declare.concat)
def concat(o, params, state, x, train, key):
    pairs = [
        path.forward(params[i], state[i], x, train, child(key, i)) for i, path in enumerate(o.parts)
    ]
    return np.concatenate([y for y, _ in pairs], axis=1), [s for _, s in pairs]
