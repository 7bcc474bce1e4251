"""dy summed, averaged, read along another axis or in part; sums that vanish; a scale outside."""

import numpy as np

from autocnn import gradcheck


def normal(seed=0, **shapes):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


def squared_errors(x, w, t, how="sum"):
    """One loss for each example."""
    r = x @ w - t

    def backward(dy):
        g = dy.sum() if how == "sum" else dy.mean()
        d = 2 * r * g
        return {"x": d @ w.T, "w": x.T @ d, "t": -d}

    return (r * r).sum(axis=1), backward


ERRORS = {"x": (4, 3), "w": (3, 2), "t": (4, 2)}


def summed_over_examples():
    return gradcheck.check(squared_errors, **normal(**ERRORS))


def averaged_over_examples():
    return gradcheck.check(squared_errors, **normal(**ERRORS), how="mean")


def summed_over_time():
    def layer(x, w):
        y = np.tanh(x @ w)  # (N, T, K)

        def backward(dy):
            d = dy.sum(axis=1, keepdims=True) * (1 - y * y)
            return {"x": d @ w.T, "w": np.einsum("ntd,ntk->dk", x, d)}

        return y, backward

    return gradcheck.check(layer, **normal(x=(2, 3, 4), w=(4, 5)))


def log_sum_exp_square():
    def layer(x):
        p = np.exp(x)
        s = p.sum(axis=1)
        return np.log(s), lambda dy: {"x": dy * p / s[:, None]}

    return gradcheck.check(layer, **normal(x=(5, 5)))


def energies_square():
    def layer(x, w):
        h = np.tanh(x @ w)

        def backward(dy):
            d = dy * 2 * h * (1 - h * h)
            return {"x": d @ w.T, "w": x.T @ d}

        return (h * h).sum(axis=1), backward

    return gradcheck.check(layer, **normal(x=(4, 3), w=(3, 4)))


def column_norms_square():
    def layer(x):
        n = np.sqrt((x * x).sum(axis=0))
        return n, lambda dy: {"x": dy[:, None] * x / n}

    return gradcheck.check(layer, **normal(x=(6, 6)))


def returns_in_the_loop():
    def layer(x, w):
        y = x @ w

        def backward(dy):
            for i, row in enumerate(dy):
                if np.any(row):
                    d = np.zeros_like(dy)
                    d[i] = row
                    return {"x": d @ w.T, "w": x.T @ d}
            return {"x": 0 * x, "w": 0 * w}

        return y, backward

    return gradcheck.check(layer, **normal(x=(4, 3), w=(3, 2)))


def assigned_in_the_loop():
    def layer(x):
        e = np.exp(x - x.max())
        p = e / e.sum()

        def backward(dy):
            dx = np.zeros_like(x)
            for i, g in enumerate(dy):
                if g:
                    dx = g * p[i] * ((np.arange(len(p)) == i) - p)
            return {"x": dx}

        return p, backward

    return gradcheck.check(layer, **normal(x=(5,)))


def largest_only():
    def layer(x):
        return x * x, lambda dy: {"x": np.where(np.abs(dy) == np.abs(dy).max(), 2 * x * dy, 0.0)}

    return gradcheck.check(layer, **normal(x=(6,)))


def rms_norm():
    def layer(x, g):
        r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)
        h = x * r

        def backward(dy):
            dx = g * r * (dy - h * (dy * h).mean(axis=-1, keepdims=True))
            return {"x": dx, "g": (dy * h).sum(axis=0)}

        return g * h, backward

    return gradcheck.check(layer, **normal(x=(3, 6), g=(6,)))


def layer_norm_of_sequences():
    def layer(x, scale, shift):
        m, v = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        s = 1 / np.sqrt(v + 1e-5)
        h = (x - m) * s

        def backward(dy):
            d = dy - dy.mean(-1, keepdims=True) - h * (dy * h).mean(-1, keepdims=True)
            return {"x": scale * s * d, "scale": (dy * h).sum((0, 1)), "shift": dy.sum((0, 1))}

        return scale * h + shift, backward

    return gradcheck.check(layer, **normal(x=(2, 3, 5), scale=(5,), shift=(5,)))


def temperature_outside():
    """softmax(x) * g for each class; the factor g is put in front of softmax's backward."""

    def layer(x, g):
        p = np.exp(x)
        p = p / p.sum(axis=1, keepdims=True)

        def backward(dy):
            return {"x": g * p * (dy - (dy * p).sum(1, keepdims=True)), "g": (dy * p).sum(0)}

        return g * p, backward

    return gradcheck.check(layer, **normal(x=(3, 4), g=(4,)))


def classifier_bias(reduce):
    y = np.eye(4)[[0, 3, 2, 2, 1]]

    def loss(X, W, b):
        z = X @ W + b
        p = np.exp(z - z.max(1, keepdims=True))
        p = p / p.sum(1, keepdims=True)
        d = (p - y) / len(y)
        return -(y * np.log(p)).sum() / len(y), {"X": d @ W.T, "W": X.T @ d, "b": reduce(d)}

    return gradcheck.check(loss, **normal(seed=3, X=(5, 3), W=(3, 4), b=(4,)))


def bias_by_full_sum():
    return classifier_bias(lambda d: np.full(4, d.sum()))


def bias_by_row_sums():
    return classifier_bias(lambda d: d.sum(axis=1)[:4])


def bias_by_two_sums():
    return classifier_bias(lambda d: np.zeros(4) + d.sum(axis=0).sum())


CASES = [
    (summed_over_examples, {"broadcast"}, ("sum of dy",)),
    (averaged_over_examples, {"broadcast"}, ("mean of dy",)),
    (summed_over_time, {"broadcast"}, ("sum of dy",)),
    (log_sum_exp_square, {"wrong-operand", "permuted", "transposed"}, ("dy", "axis")),
    (energies_square, {"wrong-operand", "permuted", "transposed"}, ("dy", "axis")),
    (column_norms_square, {"wrong-operand", "permuted", "transposed"}, ("dy", "axis")),
    (returns_in_the_loop, {"partial", "not-linear"}, ("first",)),
    (assigned_in_the_loop, {"partial", "not-linear"}, ("last",)),
    (largest_only, {"partial", "not-linear"}, ()),
    (rms_norm, {"missing-path"}, ("g belongs",)),
    (layer_norm_of_sequences, {"missing-path"}, ("scale",)),
    (temperature_outside, {"missing-path"}, ("g belongs",)),
    (bias_by_full_sum, {"broadcast", "zero"}, ()),
    (bias_by_row_sums, {"broadcast", "zero"}, ()),
    (bias_by_two_sums, {"broadcast", "zero"}, ()),
]
