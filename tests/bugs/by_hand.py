"""What the tests hold against the catalogue itself, without the checker: hygiene in a dozen
lines, and slopes.
"""

import itertools
import warnings

import numpy as np


def copies(arrays):
    return {name: a.copy() for name, a in arrays.items()}


def differentiable(arrays):
    return [name for name, a in arrays.items() if np.asarray(a).dtype.kind == "f"]


def call(f, arrays):
    """One call on copies, with numpy's warnings off: some bugs divide zero by zero on purpose."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(**copies(arrays))


def unclean(f, arrays, dy):
    """What is wrong with this backward pass apart from its values: a list of words, empty if it
    is clean.
    """
    found, names = [], differentiable(arrays)
    mine, dy_mine = copies(arrays), dy.copy()
    with np.errstate(all="ignore"):
        y, backward = f(**mine)
        y_before = np.array(y)
        first = {name: np.array(g) for name, g in backward(dy_mine).items()}
        twice = {name: np.array(g) for name, g in backward(dy.copy()).items()}
        again, back = f(**copies(arrays))
        anew = {name: np.array(g) for name, g in back(dy.copy()).items()}
        double = {name: np.array(g) for name, g in call(f, arrays)[1](2 * dy).items()}
        handed = copies(arrays)
        out = f(**handed)[1](dy_given := dy.copy())
    if missing := set(names) - set(first):
        return [f"missing {sorted(missing)}"]
    for name in names:
        g, a = first[name], arrays[name]
        same = lambda other, g=g, name=name: np.array_equal(g, other[name], equal_nan=True)  # noqa: E731
        found += ["shape"] * (g.shape != a.shape) + ["dtype"] * (g.dtype != a.dtype)
        found += ["nonfinite"] * (not np.isfinite(g).all()) + ["second call"] * (not same(twice))
        found += ["second forward"] * (not same(anew))
        found += ["not linear"] * (
            not np.allclose(double[name], 2 * g, rtol=1e-9, atol=0, equal_nan=True)
        )
        others = [*handed.values(), dy_given, *(v for k, v in out.items() if k != name)]
        found += ["aliased"] * any(np.shares_memory(out[name], other) for other in others)
    found += ["input changed"] * any(not np.array_equal(mine[k], arrays[k]) for k in arrays)
    found += ["dy changed"] * (not np.array_equal(dy, dy_mine)) + ["y changed"] * (
        not np.array_equal(y, y_before)
    )
    return found + ["forward differs"] * (not np.array_equal(y, again))


def slopes(f, arrays, name, u, dy):
    """The two one-sided derivatives of <dy, y> along u in one argument: Richardson on steps h /
    2^k, h = 1e-3.
    """

    def one_sided(sign):
        F0 = np.sum(dy * call(f, arrays)[0])
        steps = sign * 1e-3 / 2.0 ** np.arange(5)
        table = [
            (np.sum(dy * call(f, arrays | {name: arrays[name] + h * u})[0]) - F0) / h for h in steps
        ]
        for order in range(1, 5):
            table = [(2**order * b - a) / (2**order - 1) for a, b in itertools.pairwise(table)]
        return table[0]

    return one_sided(1), one_sided(-1)


def wrong_leaves(f, arrays, dy, seed=0, tries=5, relative=1e-6):
    """The arguments whose gradient lies outside the one-sided slopes along some direction, by
    `relative`.
    """
    rng, wrong = np.random.default_rng(seed), []
    gradients = call(f, arrays)[1](dy.copy())
    for name in differentiable(arrays):
        for attempt in range(
            tries
        ):  # first all ones: along it the tied maxima of a window move together
            u = rng.standard_normal(arrays[name].shape) if attempt else np.ones(arrays[name].shape)
            low, high = sorted(slopes(f, arrays, name, u, dy))
            margin = relative * np.sqrt(np.sum(gradients[name] ** 2) * np.sum(u * u)) + 1e-9
            if not low - margin <= np.sum(gradients[name] * u) <= high + margin:
                wrong.append(name)
                break
    return wrong
