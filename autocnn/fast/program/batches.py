"""What the machine does with a batch besides its layers: the loss and its slopes, the number of
right answers, the update.
"""

import numpy as np
from llvmlite import ir

from autocnn.fast.loss import NEGLIGIBLE
from autocnn.fast.program.layout import LANES, UPDATES
from autocnn.fast.program.vectors import Value

__all__ = ["answers", "least", "loss_and_slopes", "update"]


def softmax(k, o, a, l):
    """Return (largest logit, its class, sum of exp(z), place) for lane l; exp(z) is in ``slopes``
    at the logits' place. The first of equal logits counts.
    """
    place = o.logits * LANES + l
    start = a.values[place]

    def compare(c, best, which):
        z = a.values[place + c * LANES]
        better = z.compare(">", best)
        return better.choose(z, best), better.choose(c, which)

    best, which = k.loop(o.classes, compare, start, k.value(0))

    def power(c, total):
        z = a.values[place + c * LANES] - best
        e = k.call("exp" if k.itemsize == 8 else "expf", z)
        a.slopes[place + c * LANES] = e
        return total + e

    return best, which, k.loop(o.classes, power, k.value(0.0, k.number)), place


def loss_of(k, a, best, total, place, label):
    """Return log sum exp z - z[label], in double precision."""
    log = k.call("log" if k.itemsize == 8 else "logf", total)
    return double(k, log - (a.values[place + label * LANES] - best))


def loss_and_slopes(k, o, a, begin, count, loss, weigh):
    """Add the block's loss to ``loss``, and write the gradient of the logits to ``slopes``."""

    def lane(l, loss):
        is_there = l.compare("<", count)
        image = a.order[begin + is_there.choose(l, k.value(0))]
        weight = is_there.choose(weigh(image), k.value(0.0, ir.DoubleType()))
        best, _, total, place = softmax(k, o, a, l)
        label = a.labels[image]
        factor = number(k, weight)

        def slope(c):
            at = place + c * LANES
            p = a.slopes[at] / total
            if k.itemsize == 4:  # products with smaller numbers would be subnormal, and slow
                p = p.compare("<", NEGLIGIBLE).choose(k.value(0.0, k.number), p)
            hot = c.compare("==", label).choose(k.value(1.0, k.number), k.value(0.0, k.number))
            a.slopes[at] = (p - hot) * factor

        k.loop(o.classes, slope)
        return loss + weight * loss_of(k, a, best, total, place, label)

    return k.loop(k.value(LANES), lane, loss)


def answers(k, o, a, begin, count, loss, right):
    """Add the block's losses to ``loss``, and its number of right answers to ``right``."""

    def lane(l, loss, right):
        best, which, total, place = softmax(k, o, a, l)
        label = a.labels[a.order[begin + l]]
        is_right = which.compare("==", label).choose(k.value(1), k.value(0))
        return loss + loss_of(k, a, best, total, place, label), right + is_right

    return k.loop(count, lane, loss, right)


def update(k, o, a, s):
    """Move the parameters by their gradients, with the roundings of ``autocnn.optim``."""
    decay, beta1, rest1, beta2, rest2, eps = (a.constants[i].splat() for i in range(6))
    eta, c1, c2 = (a.rates[s * 3 + i].splat() for i in range(3))
    is_nesterov = o.nesterov.compare(">", 0)

    def sgd(i):
        p = a.params.lanes(i)
        a.params.put(i, p - eta * (a.grads.lanes(i) + decay * p))

    def momentum(i):
        p = a.params.lanes(i)
        g = a.grads.lanes(i) + decay * p
        v = beta1 * a.m.lanes(i) + g
        a.m.put(i, v)
        a.params.put(i, p - eta * is_nesterov.choose(g + beta1 * v, v))

    def adam(i):
        p, g = a.params.lanes(i), a.grads.lanes(i)
        m = _without_subnormals(k, beta1 * a.m.lanes(i) + rest1 * g)
        v = _without_subnormals(k, beta2 * a.v.lanes(i) + rest2 * g * g)
        a.m.put(i, m)
        a.v.put(i, v)
        root = k.call("llvm.sqrt.v8f64" if k.itemsize == 8 else "llvm.sqrt.v8f32", v)
        a.params.put(i, p - eta * (m / c1 / (root / c2 + eps) + decay * p))

    for name, move in (("sgd", sgd), ("momentum", momentum), ("adam", adam)):
        chosen = o.update.compare("==", UPDATES.index(name))
        k.when(chosen, lambda move=move: k.loop(o.numbers / LANES, move))


def _without_subnormals(k, x):
    tiny = float(np.finfo("f8" if k.itemsize == 8 else "f4").tiny)
    name = "llvm.fabs.v8f64" if k.itemsize == 8 else "llvm.fabs.v8f32"
    return k.call(name, x).compare("<", tiny).choose(k.zero, x)


def least(a, b):
    """Return the smaller of two Values."""
    return a.compare("<", b).choose(a, b)


def double(k, x):
    """Return a number in double precision."""
    return x if k.itemsize == 8 else Value(k, k.builder.fpext(x.of, ir.DoubleType()))


def number(k, x):
    """Return a number of double precision in the machine's own."""
    return x if k.itemsize == 8 else Value(k, k.builder.fptrunc(x.of, k.number))
