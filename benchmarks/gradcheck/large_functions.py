"""Functions of arguments with many entries, right and wrong, for `cost --large`."""

import math
from collections.abc import Callable

import numpy as np

__all__ = ["NAMES", "case"]


def relu(x, wrong):
    return np.maximum(x, 0), lambda dy: {"x": dy * ((dy if wrong else x) > 0)}


def tanh(x, wrong):
    y = np.tanh(x)
    return y, lambda dy: {"x": dy * (1 - (y if wrong else y * y))}


def sum_of_squares(x, wrong):
    return np.sum(x * x), lambda dy: {"x": (1 if wrong else 2) * dy * x}


def dense(x, W, b, wrong):
    def backward(dy):
        return {"x": dy @ (W if wrong else W.T), "W": x.T @ dy, "b": dy.sum(0)}

    return x @ W + b, backward


def embedding(table, idx, wrong):
    def backward(dy):
        g = np.zeros_like(table)
        if wrong:
            g[idx] += dy  # one contribution of a repeated index
        else:
            np.add.at(g, idx, dy)
        return {"table": g}

    return table[idx], backward


def layer_norm(x, gamma, beta, wrong):
    n = x.shape[-1]
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    h = x - x.mean(-1, keepdims=True)
    h *= rstd

    def backward(dy):
        dgamma, dbeta = np.einsum("ij,ij->j", dy, h), dy.sum(0)
        dx = dy * gamma
        mean, product = dx.mean(-1, keepdims=True), np.einsum("ij,ij->i", dx, h)[:, None] / n
        dx -= mean
        if not wrong:
            dx -= h * product
        dx *= rstd
        return {"x": dx, "gamma": dgamma, "beta": dbeta}

    return h * gamma + beta, backward


_FUNCTIONS = {f.__name__: f for f in (relu, tanh, sum_of_squares, dense, embedding, layer_norm)}
NAMES = tuple(n for name in _FUNCTIONS for n in (name, f"{name}, wrong"))


def case(name: str, entries: int) -> tuple[Callable, dict[str, np.ndarray]]:
    """(the function, its arguments), of which the largest has about `entries` entries."""
    kind, _, rest = name.partition(", ")
    wrong, rng, side = rest == "wrong", np.random.default_rng(0), math.isqrt(entries)
    if kind == "dense":

        def checked(x, W, b):
            return dense(x, W, b, wrong)

        x, W = rng.standard_normal((8, side)), rng.standard_normal((side, side))
        return checked, {"x": x, "W": W, "b": rng.standard_normal(side)}
    if kind == "embedding":

        def checked(table, idx):
            return embedding(table, idx, wrong)

        rows = entries // 64
        table = rng.standard_normal((rows, 64))
        return checked, {"table": table, "idx": rng.integers(0, rows, 4096)}
    if kind == "layer_norm":

        def checked(x, gamma, beta):
            return layer_norm(x, gamma, beta, wrong)

        x = rng.standard_normal((side, side))
        return checked, {"x": x, "gamma": rng.random(side), "beta": rng.random(side)}
    function = _FUNCTIONS[kind]

    def checked(x):
        return function(x, wrong)

    return checked, {"x": rng.standard_normal(entries)}
