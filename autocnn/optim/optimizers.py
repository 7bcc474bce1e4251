"""Optimizers: pairs of pure functions over parameter trees."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from autocnn.deprecation import renamed_arguments
from autocnn.optim.schedules import Schedule, call_text, check_non_negative, is_number
from autocnn.trees import Tree, leaves
from autocnn.trees import untracked_tree_map as tree_map

__all__ = ["Optimizer", "adam", "clip_by_global_norm", "formula", "global_norm", "rate_at", "sgd"]

OptState = dict[str, Any]


class Optimizer(NamedTuple):
    """A pair of pure functions.

    init: params -> opt_state, the state before the first step.
    update: (params, grads, opt_state) -> (new params, new opt_state). ``grads`` has the structure
    of ``params``. New parameters keep the dtypes of the old ones.

    ``opt_state`` is a dict of trees; its "step", an int64 array of shape (), counts the updates.
    text: the call that made it, its repr. Those of this module can be pickled.
    """

    init: Callable[[Tree], OptState]
    update: Callable[[Tree, Tree, OptState], tuple[Tree, OptState]]
    text: str = ""

    def __repr__(self) -> str:
        return self.text or f"Optimizer(init={self.init!r}, update={self.update!r})"


def sgd(
    rate: float | Schedule,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Stochastic gradient descent, with momentum if it is not 0.

        g <- g + weight_decay p
        v <- momentum v + g                    (v starts at 0)
        p <- p - rate v                        (nesterov: p - rate (g + momentum v))

    This is ``torch.optim.SGD``: the rate multiplies v, it is not part of v.

    rate: 0 or more, or a schedule. momentum: in [0, 1). weight_decay: 0 or more. ValueError for
    anything else, and for ``nesterov`` without momentum.

    Source: Sutskever, Martens, Dahl and Hinton 2013, On the importance of initialization and
    momentum in deep learning, section 2.

    >>> opt = sgd(0.5)
    >>> params = {"w": np.array([1.0, 2.0])}
    >>> opt.update(params, {"w": np.array([1.0, -1.0])}, opt.init(params))[0]
    {'w': array([0.5, 2.5])}
    """
    _check_rate(rate)
    check_non_negative(weight_decay=weight_decay)
    _check_fraction(momentum=momentum)
    # Plain floats: a NumPy float64 would turn float32 parameters into float64.
    momentum, weight_decay = float(momentum), float(weight_decay)
    if nesterov and not momentum:
        raise ValueError(
            "sgd: nesterov needs momentum, for instance sgd(rate, momentum=0.9, nesterov=True)"
        )

    options: dict[str, Any] = dict(momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    text = call_text("sgd", rate, **options)
    return Optimizer(
        partial(_sgd_init, momentum=momentum), partial(_sgd_update, rate=rate, **options), text
    )


def _sgd_init(params: Tree, momentum: float) -> OptState:
    state: OptState = {"step": np.zeros((), np.int64)}
    if momentum:
        state["velocity"] = tree_map(np.zeros_like, params)
    return state


def _sgd_update(
    params: Tree,
    grads: Tree,
    state: OptState,
    *,
    rate: float | Schedule,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> tuple[Tree, OptState]:
    eta = rate_at(rate, int(state["step"]))
    new_state: OptState = {"step": state["step"] + 1}
    if weight_decay:
        grads = tree_map(lambda g, p: g + weight_decay * p, grads, params)
    direction = grads
    if momentum:
        v = tree_map(lambda v, g: momentum * v + g, state["velocity"], grads)
        direction = tree_map(lambda g, v: g + momentum * v, grads, v) if nesterov else v
        new_state["velocity"] = v
    return tree_map(lambda p, d: p - eta * d, params, direction), new_state


def adam(
    rate: float | Schedule = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam with bias correction, and with decoupled weight decay (AdamW) if it is not 0.

        m <- beta1 m + (1 - beta1) g           m' = m / (1 - beta1^t)
        v <- beta2 v + (1 - beta2) g^2         v' = v / (1 - beta2^t)
        p <- p - rate (m' / (sqrt(v') + eps) + weight_decay p)

    with m and v starting at 0 and t = 1 in the first step. This is ``torch.optim.AdamW``. Subnormal
    moments are set to zero.

    rate, eps, weight_decay: 0 or more; the rate may be a schedule. beta1, beta2: in [0, 1).
    ValueError for anything else.

    Source: Kingma and Ba 2015, Adam, algorithm 1; Loshchilov and Hutter 2019, Decoupled weight
    decay regularization, algorithm 2.
    """
    _check_rate(rate)
    check_non_negative(eps=eps, weight_decay=weight_decay)
    _check_fraction(beta1=beta1, beta2=beta2)
    beta1, beta2, eps, weight_decay = float(beta1), float(beta2), float(eps), float(weight_decay)

    options: dict[str, Any] = dict(beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)
    usual = dict(beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0)
    told = {name: value for name, value in options.items() if value != usual[name]}
    return Optimizer(
        _adam_init, partial(_adam_update, rate=rate, **options), call_text("adam", rate, **told)
    )


def _adam_init(params: Tree) -> OptState:
    return {
        "step": np.zeros((), np.int64),
        "m": tree_map(np.zeros_like, params),
        "v": tree_map(np.zeros_like, params),
    }


def _adam_update(
    params: Tree,
    grads: Tree,
    state: OptState,
    *,
    rate: float | Schedule,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> tuple[Tree, OptState]:
    t = int(state["step"]) + 1
    eta = rate_at(rate, int(state["step"]))
    c1, c2 = 1 - beta1**t, math.sqrt(1 - beta2**t)

    def first(m, g):
        return _flush_subnormals(beta1 * m + (1 - beta1) * g)

    def second(v, g):
        return _flush_subnormals(beta2 * v + (1 - beta2) * g * g)

    def move(p, m, v):
        return p - eta * (m / c1 / (np.sqrt(v) / c2 + eps) + weight_decay * p)

    m = tree_map(first, state["m"], grads)
    v = tree_map(second, state["v"], grads)
    return tree_map(move, params, m, v), {"step": state["step"] + 1, "m": m, "v": v}


@renamed_arguments(longest="max_norm")
def clip_by_global_norm(optimizer: Optimizer, max_norm: float) -> Optimizer:
    """Limit the norm of the gradients that ``optimizer`` sees.

        g <- g min(1, max_norm / |g|)

    |g| is ``global_norm(grads)``, so the direction of the gradient stays the same.

    max_norm: above 0; ValueError otherwise. ``update`` raises ValueError when |g| is not finite.

    Source: Pascanu, Mikolov and Bengio 2013, On the difficulty of training recurrent neural
    networks, algorithm 1.
    """
    if not (is_number(max_norm) and max_norm > 0):
        raise ValueError(f"max_norm must be a number above 0; got {max_norm!r}")
    max_norm = float(max_norm)

    return Optimizer(
        optimizer.init,
        partial(_clipped_update, optimizer=optimizer, max_norm=max_norm),
        f"clip_by_global_norm({optimizer!r}, {max_norm:g})",
    )


def _clipped_update(
    params: Tree, grads: Tree, state: OptState, *, optimizer: Optimizer, max_norm: float
) -> tuple[Tree, OptState]:
    norm = global_norm(grads)
    if not math.isfinite(norm):
        raise ValueError(
            f"clip_by_global_norm: the gradient's norm is {norm}, so it cannot be scaled; "
            "lower the rate"
        )
    if norm > max_norm:
        grads = tree_map(lambda g: g * (max_norm / norm), grads)
    return optimizer.update(params, grads, state)


def global_norm(tree: Tree) -> float:
    """Return the Euclidean norm sqrt(sum x^2) over all numbers of a tree; 0.0 for an empty tree.

    The numbers are scaled by the largest of them first, so squares do not overflow.

    >>> global_norm([{"w": np.array([3.0])}, {"b": np.array([4.0])}])
    5.0
    """
    largest = max((float(np.abs(leaf).max(initial=0)) for _, leaf in leaves(tree)), default=0.0)
    if largest == 0 or not math.isfinite(largest):
        return largest
    scaled = (leaf / leaf.dtype.type(largest) for _, leaf in leaves(tree))
    return largest * math.sqrt(sum(float(np.vdot(part, part)) for part in scaled))


def formula(optimizer: Optimizer) -> tuple[str, dict[str, Any]] | None:
    """Return ("sgd" or "adam", the options), rate included, of an optimizer that ``sgd`` or
    ``adam`` made; None for any other.
    """
    made = optimizer.update
    names = {_sgd_update: "sgd", _adam_update: "adam"}
    if not isinstance(made, partial) or made.func not in names:
        return None
    return names[made.func], made.keywords


def rate_at(rate: float | Schedule, step: int) -> float:
    """Return the rate of a step, the first of which is 0, as a plain float: a NumPy float64 from a
    schedule would turn float32 parameters into float64.
    """
    return float(rate(step)) if callable(rate) else float(rate)


def _flush_subnormals(moment: np.ndarray) -> np.ndarray:
    """Set subnormal numbers to zero: the moments of a unit without gradient decay into them, where
    arithmetic is a hundred times slower.
    """
    moment = np.asarray(moment)  # arithmetic turns an array of shape () into a NumPy scalar
    moment[np.abs(moment) < np.finfo(moment.dtype).tiny] = 0
    return moment


def _check_rate(rate: float | Schedule) -> None:
    if not callable(rate) and not (is_number(rate) and 0 <= rate < math.inf):
        raise ValueError(
            f"rate must be a finite number, 0 or more, or a function of the step; got {rate!r}"
        )


def _check_fraction(**values: Any) -> None:
    for name, value in values.items():
        if not (is_number(value) and 0 <= value < 1):
            raise ValueError(f"{name} must lie in 0 <= {name} < 1; got {value!r}")
