"""Sizes that are equal or match by chance, and gradients returned in another order."""

import numpy as np

from autocnn import gradcheck


def normal(seed=0, **shapes):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q, k, v):
    """softmax(q k' / sqrt(d)) v; the division is missing in dq."""
    s = 1 / np.sqrt(q.shape[1])
    p = softmax(q @ k.T * s)

    def backward(dy):
        dp = dy @ v.T
        da = p * (dp - (dp * p).sum(axis=1, keepdims=True))
        return {"q": da @ k, "k": s * da.T @ q, "v": p.T @ dy}

    return p @ v, backward


def root_of_four():
    return gradcheck.check(attention, **normal(q=(2, 4), k=(3, 4), v=(3, 5)))


def average_pool(x, k=2):
    N, H, W = x.shape
    y = x.reshape(N, H // k, k, W // k, k).mean(axis=(2, 4))
    return y, lambda dy: {"x": dy.repeat(k, axis=1).repeat(k, axis=2)}


def window_of_four():
    return gradcheck.check(average_pool, **normal(x=(2, 4, 4)))


def bias_of_a_square():
    def dense(x, w, b):
        y = x @ w + b
        return y, lambda dy: {"x": dy @ w.T, "w": x.T @ dy, "b": dy.sum(axis=1)}

    return gradcheck.check(dense, **normal(x=(4, 3), w=(3, 4), b=(4,)))


def softmax_of_a_square():
    def layer(x):
        p = softmax(x)
        return p, lambda dy: {"x": p * (dy - (dy * p).sum(axis=0))}

    return gradcheck.check(layer, **normal(x=(4, 4)))


def transpose_forgotten():
    def dense(x, w):
        return x @ w, lambda dy: {"x": dy @ w, "w": x.T @ dy}

    return gradcheck.check(dense, **normal(x=(4, 4), w=(4, 4)))


def outer_without_transpose():
    def dense(x, w):
        return x @ w, lambda dy: {"x": dy @ w.T, "w": x @ dy}

    return gradcheck.check(dense, **normal(x=(3, 3), w=(3, 3)))


def batch_norm_order():
    def layer(x, gamma, beta):
        s = 1 / np.sqrt(x.var(axis=0) + 1e-5)
        h = (x - x.mean(axis=0)) * s

        def backward(dy):
            d = dy * gamma
            dx = s * (d - d.mean(axis=0) - h * (d * h).mean(axis=0))
            return dx, dy.sum(axis=0), (dy * h).sum(axis=0)

        return gamma * h + beta, backward

    return gradcheck.check(layer, **normal(x=(5, 3), gamma=(3,), beta=(3,)))


def dense_order():
    def layer(x, w, b):
        return x @ w + b, lambda dy: (x.T @ dy, dy.sum(axis=0), dy @ w.T)

    return gradcheck.check(layer, **normal(x=(5, 3), w=(3, 4), b=(4,)))


def query_and_key_order():
    def layer(q, k):
        return q * np.tanh(k), lambda dy: (dy * q * (1 - np.tanh(k) ** 2), dy * np.tanh(k))

    return gradcheck.check(layer, **normal(q=(3, 4), k=(3, 4)))


def hidden_by_defaults():
    """dx without gamma: right at gamma = 1, where layers start."""

    def layer(x, gamma, beta):
        h = x / np.sqrt((x * x).mean(axis=1, keepdims=True))

        def backward(dy):
            r = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True))
            dx = r * (dy - h * (dy * h).mean(axis=1, keepdims=True))
            return {"x": dx, "gamma": (dy * h).sum(0), "beta": dy.sum(0)}

        return gamma * h + beta, backward

    return gradcheck.check(layer, **normal(x=(4, 3)), gamma=np.ones(3), beta=np.zeros(3))


#: (function, codes, words that the report has, words that it has not)
CASES = [
    (root_of_four, {"scale"}, ("sqrt(",), ("= N",)),
    (window_of_four, {"scale"}, (), ("N^2 or", "Ho^2")),
    (bias_of_a_square, {"broadcast", "wrong-operand", "permuted"}, ("axis",), ()),
    (softmax_of_a_square, {"missing-path", "wrong-operand"}, ("axes",), ("window origin",)),
    (transpose_forgotten, {"wrong-operand", "transposed"}, ("w'",), ("reduced too far",)),
    (outer_without_transpose, {"wrong-operand", "transposed"}, ("x'",), ("reduced too far",)),
    (batch_norm_order, {"permuted", "wrong-operand"}, ("you return dx, dbeta, dgamma",), ()),
    (dense_order, {"permuted", "wrong-operand"}, ("you return dw, db, dx",), ()),
    (query_and_key_order, {"permuted", "wrong-operand"}, ("you return dk, dq",), ()),
    (hidden_by_defaults, {"axis-scale", "missing-path"}, ("gamma",), ()),
]
