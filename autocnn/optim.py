"""Optimizers: pairs of pure functions over trees.

    opt_state = opt.init(params)
    params, opt_state = opt.update(params, grads, opt_state)

Nothing is changed in place. A rate is a float, or a function from the step (0, 1, ...) to a float:
a schedule. ``clip`` wraps an optimizer and shortens long gradients before it sees them.
"""

import bisect
import math
import numbers
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from autocnn.ops.arguments import whole
from autocnn.trees import leaves, tree_map

__all__ = ["Optimizer", "adam", "clip", "constant", "cosine", "drops", "norm", "sgd"]


class Optimizer(NamedTuple):
    """An optimizer: ``init(params) -> opt_state`` and ``update(params, grads, opt_state) ->
    (params, opt_state)``.
    """

    init: Callable
    update: Callable


def sgd(rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    """Descend along the gradient, with velocity when there is momentum.

    g <- g + weight_decay p;  v <- momentum v + g, starting at g;  p <- p - rate v  (Nesterov: p -
    rate (g + momentum v)). Sutskever et al. 2013, On the importance of initialization and momentum,
    with the rate outside of v as in PyTorch.
    """
    _non_negative(rate=rate, weight_decay=weight_decay)
    _share(momentum=momentum)
    momentum, weight_decay = (
        float(momentum),
        float(weight_decay),
    )  # numpy's float64 would widen float32 parameters
    if nesterov and not momentum:
        raise ValueError(
            "sgd: nesterov needs momentum, for instance sgd(rate, momentum=0.9, nesterov=True)"
        )

    def init(params):
        state = {"step": np.zeros((), np.int64)}
        if momentum:
            state["velocity"] = tree_map(np.zeros_like, params)
        return state

    def update(params, grads, state):
        eta, after = _at(rate, state["step"]), {"step": state["step"] + 1}
        if weight_decay:
            grads = tree_map(lambda g, p: g + weight_decay * p, grads, params)
        if momentum:
            after["velocity"] = tree_map(lambda v, g: momentum * v + g, state["velocity"], grads)
            step = (
                tree_map(lambda g, v: g + momentum * v, grads, after["velocity"])
                if nesterov
                else after["velocity"]
            )
        else:
            step = grads
        return tree_map(lambda p, s: p - eta * s, params, step), after

    return Optimizer(init, update)


def adam(rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """Scale each step by running moments of the gradient; weight decay is decoupled from them
    (AdamW).

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;  p <- p - rate (m' / (sqrt(v') +
    eps) + weight_decay p) with m' = m / (1 - beta1^t), v' = v / (1 - beta2^t). Kingma and Ba 2015,
    algorithm 1; Loshchilov and Hutter 2019, algorithm 2.
    """
    _non_negative(rate=rate, eps=eps, weight_decay=weight_decay)
    _share(beta1=beta1, beta2=beta2)
    beta1, beta2, eps, weight_decay = float(beta1), float(beta2), float(eps), float(weight_decay)

    def init(params):
        return {
            "step": np.zeros((), np.int64),
            "m": tree_map(np.zeros_like, params),
            "v": tree_map(np.zeros_like, params),
        }

    def update(params, grads, state):
        t = int(state["step"]) + 1
        eta = _at(rate, state["step"])
        m = tree_map(lambda m, g: _settled(beta1 * m + (1 - beta1) * g), state["m"], grads)
        v = tree_map(lambda v, g: _settled(beta2 * v + (1 - beta2) * g * g), state["v"], grads)
        c1, c2 = 1 - beta1**t, math.sqrt(1 - beta2**t)

        def move(p, m, v):
            return p - eta * (m / c1 / (np.sqrt(v) / c2 + eps) + weight_decay * p)

        return tree_map(move, params, m, v), {"step": state["step"] + 1, "m": m, "v": v}

    return Optimizer(init, update)


def _settled(moment):
    """Flush subnormal numbers to zero: moments of a dead unit decay into them, where arithmetic
    is a hundred times slower.
    """
    moment = np.asarray(moment)  # a leaf of no axes has become a number
    moment[np.abs(moment) < np.finfo(moment.dtype).tiny] = 0
    return moment


def clip(optimizer, longest):
    """Shorten gradients to the norm ``longest`` before ``optimizer`` sees them: g <- g min(1,
    longest / |g|).

    |g| is the norm of the whole tree as one vector, so that the direction stays. Pascanu, Mikolov and Bengio 2013, On the
    difficulty of training recurrent neural networks, algorithm 1.
    """
    _positive(longest=longest)
    longest = float(longest)

    def update(params, grads, state):
        length = norm(grads)
        if not math.isfinite(length):
            raise ValueError(
                f"clip: the gradient's norm is {length}, so that it has no direction; lower the rate"
            )
        if length > longest:
            grads = tree_map(lambda g: g * (longest / length), grads)
        return optimizer.update(params, grads, state)

    return Optimizer(optimizer.init, update)


def norm(tree):
    """Return the Euclidean norm of a tree's numbers taken as one vector, a float; nothing
    overflows on the way.
    """
    largest = max((float(np.abs(leaf).max(initial=0)) for _, leaf in leaves(tree)), default=0.0)
    if largest == 0 or not math.isfinite(largest):
        return largest
    shrunk = (leaf / leaf.dtype.type(largest) for _, leaf in leaves(tree))
    return largest * math.sqrt(sum(float(np.vdot(part, part)) for part in shrunk))


def cosine(peak, steps, warmup=0, end=0.0):
    """Schedule: rise in a straight line to ``peak`` within ``warmup`` steps, then fall to ``end``
    along half a cosine.

    rate(t) = peak (t + 1) / warmup for t < warmup, then end + (peak - end) (1 + cos(pi u)) / 2 with
    u = (t - warmup) / (steps - warmup); from step ``steps`` on it stays at ``end``. Step 0 moves
    already, and the last step, steps - 1, is the one before the end. Loshchilov and Hutter 2017,
    SGDR, equation 5, without restarts; the warmup is Goyal et al. 2017, Accurate, large minibatch
    SGD, section 2.2.

    >>> rate = cosine(0.1, steps=8, warmup=2)
    >>> [round(rate(t), 4) for t in range(9)]
    [0.05, 0.1, 0.1, 0.0933, 0.075, 0.05, 0.025, 0.0067, 0.0]
    """
    _non_negative(**{"the peak rate": peak, "the end rate": end})
    steps, warmup = whole(steps, "cosine: steps"), whole(warmup, "cosine: warmup", least=0)
    if warmup >= steps:
        raise ValueError(
            f"cosine: warmup={warmup} must leave steps of the {steps} to fall in, such as warmup={steps // 10}"
        )

    def rate(step):
        if step < warmup:
            return peak * (step + 1) / warmup
        u = min((step - warmup) / (steps - warmup), 1.0)
        return end + (peak - end) * (1 + math.cos(math.pi * u)) / 2

    return rate


def constant(peak, warmup=0):
    """Schedule: rise in a straight line to ``peak`` within ``warmup`` steps, as ``cosine`` does,
    and stay there for ever.

    It does not depend on how long a run is to be, so that a run of ten epochs is one of five, and
    five more.

    >>> rate = constant(0.1, warmup=2)
    >>> [rate(t) for t in range(4)]
    [0.05, 0.1, 0.1, 0.1]
    """
    _non_negative(**{"the peak rate": peak})
    warmup = whole(warmup, "constant: warmup", least=0)
    return lambda step: peak * (step + 1) / warmup if step < warmup else peak


def drops(rates):
    """Schedule in stairs: ``{0: 0.1, 100: 0.01}`` is 0.1 in the first 100 steps and 0.01 from then
    on.

    >>> rate = drops({0: 0.1, 100: 0.01})
    >>> rate(99), rate(100)
    (0.1, 0.01)
    """
    starts = sorted(rates)
    if not starts or starts[0] != 0:
        raise ValueError(
            f"drops needs the rate from step 0 on, such as {{0: 0.1, 100: 0.01}}; got {rates!r}"
        )
    for start in starts:
        _non_negative(**{f"rate from step {whole(start, 'drops: a step', least=0)}": rates[start]})
    return lambda step: rates[starts[bisect.bisect_right(starts, step) - 1]]


def _at(rate, step):
    # A plain float, since a numpy float64 from a schedule would turn float32 parameters into
    # float64.
    return float(rate(int(step))) if callable(rate) else float(rate)


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _non_negative(**values):
    for name, value in values.items():
        if not callable(value) and not (_is_number(value) and 0 <= value < math.inf):
            schedule = " or a function of the step" if name == "rate" else ""
            raise ValueError(f"{name} must be a finite number, 0 or more{schedule}; got {value!r}")


def _share(**values):
    for name, value in values.items():
        if not (_is_number(value) and 0 <= value < 1):
            raise ValueError(f"{name} must lie in 0 <= {name} < 1; got {value!r}")


def _positive(**values):
    for name, value in values.items():
        if not (_is_number(value) and value > 0):
            raise ValueError(f"{name} must be a number above 0; got {value!r}")
