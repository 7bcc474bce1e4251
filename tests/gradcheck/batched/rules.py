"""Backward passes that are right for one cotangent. WRONG: name -> (function, arguments, words of
the report); they are wrong for a batch. RIGHT: their twins.
"""

import numpy as np

RNG = np.random.default_rng(5)
X, W, B = RNG.standard_normal((3, 5)), RNG.standard_normal((5, 2)), RNG.standard_normal(2)
V = RNG.standard_normal(5)


def dense(backward):
    def f(x, w, b):
        return x @ w + b, lambda dy: backward(dy, x, w)

    return f, {"x": X, "w": W, "b": B}


def right_dense(dy, x, w):
    return dy @ w.T, x.T @ dy, dy.sum(-2)


def elementwise(backward):
    def f(x):
        return np.tanh(x), lambda dy: backward(dy, 1 - np.tanh(x) ** 2)

    return f, {"x": X}


def softmax(backward):
    def f(x):
        p = np.exp(x - x.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        return p, lambda dy: backward(dy, p)

    return f, {"x": X}


def layer_norm(axis):
    def f(x):
        mean, std = x.mean(-1, keepdims=True), x.std(-1, keepdims=True)
        h = (x - mean) / std

        def backward(dy):
            first = dy.mean(axis, keepdims=True)
            return (dy - first - h * (dy * h).mean(axis, keepdims=True)) / std

        return h, backward

    return f, {"x": X}


def first_branch(dy, slope):
    return dy * slope if np.abs(dy).sum() < 40 else (dy * slope) - 1e-3 * dy.std() * (dy.ndim > 2)


def into_buffer(dy, slope):
    out = np.empty_like(slope)
    out[...] = (dy * slope).reshape(-1, *slope.shape)[0]
    return out


def norm_of_all(dy, slope):
    return dy * slope * (1.0 if dy.ndim == 2 else 1 / (1 + np.abs(dy).max()))


NUMPY_WRONG = {
    "bias summed over the first axis": (
        *dense(lambda dy, x, w: (dy @ w.T, x.T @ dy, dy.sum(0))),
        "where (4, 2) is expected",
    ),
    "weights by tensordot": (
        *dense(
            lambda dy, x, w: (dy @ w.T, np.tensordot(x, dy, ([0], [-2])), dy.sum(-2)),
        ),
        "the batch is axis 1",
    ),
    "weights summed over all rows": (
        *dense(
            lambda dy, x, w: (
                dy @ w.T,
                np.einsum("kni,nj->ji", dy.reshape(-1, len(x), w.shape[1]), x),
                dy.sum(-2),
            ),
        ),
        "the sum over the batch",
    ),
    "a buffer of the shape of x": (*elementwise(into_buffer), "that of cotangent 0"),
    "a branch for the whole batch": (*elementwise(first_branch), "the others"),
    "a scale of the whole batch": (*elementwise(norm_of_all), "a row changes with"),
    "softmax over axis 1": (
        *softmax(lambda dy, p: p * (dy - (dy * p).sum(1, keepdims=True))),
        "counted from the wrong side",
    ),
    "statistics over axis 1": (*layer_norm(1), "counted from the wrong side"),
    "without keepdims": (
        *softmax(lambda dy, p: p * (dy - (dy * p).sum(-1).reshape(-1, 1)[: len(p)])),
        "rows",
    ),
    "transposed batch": (
        *elementwise(lambda dy, s: np.moveaxis(dy * s, 0, -1) if dy.ndim > 2 else dy * s),
        "the batch is axis 2",
    ),
    "rows reversed": (
        *elementwise(lambda dy, s: (dy * s)[::-1] if dy.ndim > 2 else dy * s),
        "another order",
    ),
    "averaged": (*elementwise(lambda dy, s: dy.reshape(-1, *s.shape).mean(0) * s), "the mean over"),
    "raises": (
        *softmax(lambda dy, p: p * (dy - np.einsum("ij,ij->i", dy, p)[:, None])),
        "fails for a batch of them",
    ),
}
NUMPY_RIGHT = {
    "dense": dense(right_dense),
    "tanh": elementwise(lambda dy, s: dy * s),
    "softmax": softmax(lambda dy, p: p * (dy - (dy * p).sum(-1, keepdims=True))),
    "layer norm": layer_norm(-1),
    "buffer": elementwise(lambda dy, s: np.multiply(dy, s, out=np.empty_like(dy))),
    "einsum": dense(
        lambda dy, x, w: (
            np.einsum("...ni,ji->...nj", dy, w),
            np.einsum("...ni,nj->...ji", dy, x),
            np.einsum("...ni->...i", dy),
        )
    ),
}
