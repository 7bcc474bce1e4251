"""Normalisations and dropout."""

import numpy as np

from autocnn import gradcheck
from benchmarks.wild.pairs import closure, normal, pair

EPS = 1e-5


def normalised(x, axis):
    centred = x - x.mean(axis=axis, keepdims=True)
    rstd = 1 / np.sqrt((centred * centred).mean(axis=axis, keepdims=True) + EPS)
    return centred * rstd, rstd


def through(g, xhat, rstd, axis, means=1):
    """From the gradient of the normalised values to that of the values."""
    along = {"axis": axis, "keepdims": True}
    return rstd * (g - means * g.mean(**along) - xhat * (g * xhat).mean(**along))


# ---- layer norm: the mean of dy gamma is subtracted twice


def layer_norm(x, gamma, beta):
    return normalised(x, -1)[0] * gamma + beta


def layer_norm_gradient(means):
    def backward(dy, x, gamma, beta):
        xhat, rstd = normalised(x, -1)
        return {
            "x": through(dy * gamma, xhat, rstd, -1, means),
            "gamma": (dy * xhat).sum(0),
            "beta": dy.sum(0),
        }

    return backward


LAYER = {"x": normal(4, 6), "gamma": 1 + 0.3 * normal(6), "beta": normal(6, seed=1)}
pair(
    "layer norm subtracts its mean twice",
    kind="formula",
    link="https://github.com/tenstorrent/tt-metal/issues/53204",
    shows="where dy gamma has a mean",
    buggy=closure(layer_norm, layer_norm_gradient(2)),
    fixed=closure(layer_norm, layer_norm_gradient(1)),
    arrays=LAYER,
    codes=("missing-path", "additive"),
)


# ---- layer norm: rows of one block are summed together


def rows_mixed(dy, x, gamma, beta):
    xhat, rstd = normalised(x, -1)
    dx, g = np.zeros_like(x), dy * gamma
    for start in range(0, len(x), 2):
        rows = slice(start, start + 2)
        m1 = g[rows].sum() / x.shape[1]
        m2 = (g[rows] * xhat[rows]).sum() / x.shape[1]
        dx[rows] = rstd[rows] * (g[rows] - m1 - xhat[rows] * m2)
    return {"x": dx, "gamma": (dy * xhat).sum(0), "beta": dy.sum(0)}


pair(
    "layer norm mixes the rows of a block",
    kind="setting",
    link="https://github.com/flagos-ai/FlagGems/pull/59",
    shows="where a block has more than one row",
    buggy=closure(layer_norm, rows_mixed),
    fixed=closure(layer_norm, layer_norm_gradient(1)),
    arrays=LAYER,
    codes=("broadcast", "wrong-operand", "missing-path"),
)

# ---- layer norm: a backward pass for rank 2


def plain_norm(x):
    return normalised(x, -1)[0]


def first_axis_is_rows(dy, x):
    rows = dy.reshape(len(x), -1), x.reshape(len(x), -1)
    xhat, rstd = normalised(rows[1], -1)
    return {"x": through(rows[0], xhat, rstd, -1).reshape(x.shape)}


def last_axis_is_columns(dy, x):
    xhat, rstd = normalised(x, -1)
    return {"x": through(dy, xhat, rstd, -1)}


pair(
    "layer norm of rank 2",
    kind="setting",
    link="https://github.com/flagos-ai/FlagGems/issues/5392",
    shows="at inputs of rank 3",
    buggy=closure(plain_norm, first_axis_is_rows),
    fixed=closure(plain_norm, last_axis_is_columns),
    arrays={"x": normal(2, 3, 4)},
    codes=("wrong-operand", "missing-path", "broadcast", "axis-scale"),
    call=lambda f: gradcheck.stress(f, x=("N", "T?", "D")),
)

# ---- two layer norms side by side: the second gradient lacks its row scale


def parallel(x0, x1, rowscale):
    return plain_norm(x0 * rowscale[:, :1]) + plain_norm(x1 * rowscale[:, 1:]) * 0.5


def parallel_gradient(scaled):
    def backward(dy, x0, x1, rowscale):
        grads = {}
        for name, x, g, s in (
            ("x0", x0, dy, rowscale[:, :1]),
            ("x1", x1, 0.5 * dy, rowscale[:, 1:]),
        ):
            xhat, rstd = normalised(x * s, -1)
            dz = through(g, xhat, rstd, -1)
            grads[name] = dz * s if scaled or name == "x0" else dz
        return grads

    return backward


pair(
    "layer norm without its row scale",
    kind="formula",
    link="https://github.com/state-spaces/mamba/pull/1023",
    shows="where a row's scale is not 1",
    buggy=closure(parallel, parallel_gradient(False)),
    fixed=closure(parallel, parallel_gradient(True)),
    arrays={
        "x0": normal(4, 5),
        "x1": normal(4, 5, seed=1),
        "rowscale": 1 + np.arange(8).reshape(4, 2) % 3,
    },
    codes=("axis-scale", "scale", "wrong-operand"),
)

# ---- batch norm: dx from the variable in which gamma is not yet


def batch_norm(x, gamma, beta):
    return normalised(x, 0)[0] * gamma + beta


def batch_norm_gradient(with_gamma):
    def backward(dy, x, gamma, beta):
        xhat, rstd = normalised(x, 0)
        g = dy * gamma if with_gamma else dy
        return {"x": through(g, xhat, rstd, 0), "gamma": (dy * xhat).sum(0), "beta": dy.sum(0)}

    return backward


pair(
    "batch norm without gamma",
    kind="formula",
    link="https://github.com/denizyuret/Knet.jl/issues/288",
    shows="where gamma is not 1",
    buggy=closure(batch_norm, batch_norm_gradient(False)),
    fixed=closure(batch_norm, batch_norm_gradient(True)),
    arrays={"x": normal(5, 4), "gamma": 1 + 0.3 * normal(4), "beta": normal(4, seed=2)},
    codes=("axis-scale", "missing-path", "wrong-operand"),
)

# ---- x / (|x| + eps): the formula of eps = 0


def normalize(x, eps=0.1):
    n = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
    return x / (n + eps)


def normalize_without_eps(dy, x, eps=0.1):
    y = normalize(x, eps)
    n = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
    return {"x": (dy - y * np.sum(y * dy, axis=1, keepdims=True)) / (n + eps)}


def normalize_right(dy, x, eps=0.1):
    n = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
    along = x * np.sum(x * dy, axis=1, keepdims=True) / (n * (n + eps))
    return {"x": (dy - along) / (n + eps)}


pair(
    "normalize forgets eps",
    kind="formula",
    link="https://github.com/chainer/chainer/pull/4190",
    shows="where eps is not small beside the norm",
    buggy=closure(normalize, normalize_without_eps),
    fixed=closure(normalize, normalize_right),
    arrays={"x": normal(4, 3)},
    codes=("eps", "missing-path", "wrong-operand", "axis-scale"),
)

# ---- rms norm: the weight's gradient is None


def rms_norm(x, w):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * w


def rms_gradient(with_weight):
    def backward(dy, x, w):
        r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + EPS)
        g = dy * w
        dx = r * (g - x * r * r * (g * x).mean(-1, keepdims=True))
        return {"x": dx, "w": (dy * x * r).sum(0) if with_weight else None}

    return backward


pair(
    "rms norm's weight gets None",
    kind="path",
    link="https://github.com/unslothai/unsloth/issues/4533",
    shows="where the weight is trained",
    buggy=closure(rms_norm, rms_gradient(False)),
    fixed=closure(rms_norm, rms_gradient(True)),
    arrays={"x": normal(4, 6), "w": 1 + 0.2 * normal(6)},
    codes=("missing", "zero"),
)

# ---- dropout: the mask is left out, or guessed from the values

MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]])


def dropout(x, mask, p=0.25):
    return x * mask / (1 - p)


pair(
    "dropout without its mask",
    kind="mask",
    link="https://github.com/ddbourgin/numpy-ml/issues/94",
    shows="always",
    buggy=closure(dropout, lambda dy, x, mask, p=0.25: {"x": dy / (1 - p)}),
    fixed=closure(dropout, lambda dy, x, mask, p=0.25: {"x": dy * mask / (1 - p)}),
    arrays={"x": normal(3, 4), "mask": MASK},
    codes=("mask",),
)


def from_ratio(dy, x, mask, p=0.25):
    y = dropout(x, mask, p)
    return {"x": np.where(x == 0, dy, dy * y / np.where(x == 0, 1, x))}


WITH_ZEROS = np.where(MASK * (np.arange(12).reshape(3, 4) % 3), normal(3, 4), 0.0)
pair(
    "dropout's mask from a ratio",
    kind="edge",
    link="https://github.com/kaldi-asr/kaldi/issues/3890",
    shows="where an entry is 0",
    buggy=closure(dropout, from_ratio),
    fixed=closure(dropout, lambda dy, x, mask, p=0.25: {"x": dy * mask / (1 - p)}),
    arrays={"x": WITH_ZEROS, "mask": MASK},
    codes=("mask", "axis-scale", "partial"),
)

# ---- dropout: backward draws the mask again from the seed, in another order


def seeded(shape, seed):
    return np.random.default_rng(seed).random(shape) > 0.3


def seeded_dropout(x, seed=5):
    return x * seeded(x.shape, seed) / 0.7


def in_another_order(dy, x, seed=5):
    return {"x": dy * seeded(x.shape[::-1], seed).T / 0.7}


pair(
    "dropout draws again",
    kind="randomness",
    link="https://github.com/state-spaces/mamba/pull/1023",
    shows="where the two kernels draw in unlike orders",
    buggy=closure(seeded_dropout, in_another_order),
    fixed=closure(seeded_dropout, lambda dy, x, seed=5: {"x": dy * seeded(x.shape, seed) / 0.7}),
    arrays={"x": normal(4, 5)},
    codes=("mask", "permuted"),
)
