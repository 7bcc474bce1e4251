"""More correct layers, for false alarms only: the layers of the second list of bugs, and habits
of other codebases.
"""

import numpy as np

from . import normal
from .twins import (
    Twin,
    conv1d_dx,
    conv1d_forward,
    depthwise,
    depthwise_arrays,
    depthwise_dw,
    matrix_arrays,
    normalise,
    picture_arrays,
    signal_arrays,
    stable_sigmoid,
    stable_softmax,
    with_integers,
)


def conv1d(x, w):
    def backward(dy):
        T = dy.shape[2]
        dw = np.stack(
            [np.einsum("not,nct->oc", dy, x[:, :, i : i + T]) for i in range(w.shape[2])], axis=2
        )
        return {"x": conv1d_dx(x, dy, w), "w": dw}

    return conv1d_forward(x, w), backward


def depthwise_conv(x, w):
    def backward(dy):
        kh, kw = w.shape[1:]
        padded = np.pad(dy, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
        return {"x": depthwise(padded, w[:, ::-1, ::-1]), "w": depthwise_dw(x, dy, w)}

    return depthwise(x, w), backward


def upsample(x):
    N, C, H, W = x.shape
    return x.repeat(2, axis=2).repeat(2, axis=3), lambda dy: {
        "x": dy.reshape(N, C, H, 2, W, 2).sum(axis=(3, 5))
    }


def flatten(x):
    """A view of dy, as everybody returns it."""
    return x.reshape(len(x), -1), lambda dy: {"x": dy.reshape(x.shape)}


def softplus(x):
    return np.logaddexp(0, x).astype(x.dtype), lambda dy: {"x": dy * stable_sigmoid(x)}


def elu(x):
    low = np.exp(np.minimum(x, 0))
    return np.where(x > 0, x, low - 1), lambda dy: {"x": np.where(x > 0, dy, dy * low)}


def prelu(x, a):
    low = x <= 0
    return np.where(low, a * x, x), lambda dy: {
        "x": np.where(low, a * dy, dy),
        "a": (dy * x * low).sum(axis=0),
    }


def row_maximum(x):
    """np.max forward; in backward the first of equal maxima takes all."""
    first = np.arange(x.shape[1]) == x.argmax(axis=1)[:, None]
    return x.max(axis=1), lambda dy: {"x": dy[:, None] * first}


def glu(a, b):
    s = stable_sigmoid(b)
    return a * s, lambda dy: {"a": dy * s, "b": dy * a * s * (1 - s)}


def absolute_error(x, t):
    d = np.sign(x - t) / np.asarray(x.size, x.real.dtype)
    return np.abs(x - t).mean(), lambda dy: {"x": dy * d, "t": -dy * d}


def huber(x):
    a = np.abs(x)
    y = np.where(a < 0.5, 0.5 * x * x, 0.5 * (a - 0.25)).sum()
    return y, lambda dy: {"x": dy * np.clip(x, -0.5, 0.5)}


def triplet(a, p, n):
    loss = ((a - p) ** 2).sum(axis=1) - ((a - n) ** 2).sum(axis=1) + 1
    on = (loss > 0)[:, None]

    def backward(dy):
        d = 2 * dy * on / len(a)
        return {
            "a": (d * (n - p)).astype(a.dtype),
            "p": (-d * (a - p)).astype(a.dtype),
            "n": (d * (a - n)).astype(a.dtype),
        }

    return np.maximum(loss, 0).mean(), backward


def log_softmax(z):
    shifted = z - z.max(axis=1, keepdims=True)
    p = stable_softmax(z)
    y = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return y, lambda dy: {"z": dy - p * dy.sum(axis=1, keepdims=True)}


def l2_norm(x):
    """Rows' lengths by np.linalg.norm, which takes absolute values of complex numbers; 0 / 0 is
    avoided.
    """
    length = np.linalg.norm(x, axis=1)
    safe = np.where(length == 0, 1, length)
    return length, lambda dy: {"x": (dy / safe)[:, None] * x}


def instance_norm(x):
    x_hat, std = normalise(x, axis=(2, 3))

    def backward(dy):
        m1, m2 = dy.mean(axis=(2, 3), keepdims=True), (dy * x_hat).mean(axis=(2, 3), keepdims=True)
        return {"x": (dy - m1 - x_hat * m2) / std}

    return x_hat, backward


def weight_norm(v, g):
    length = np.sqrt((v * v).sum(axis=0))
    unit = v / length

    def backward(dy):
        along = (dy * unit).sum(axis=0)
        return {"v": (dy - unit * along) * g / length, "g": along}

    return g * unit, backward


def gather_columns(x, chosen):
    def backward(dy):
        dx = np.zeros_like(x)
        for place, column in enumerate(chosen):
            dx[:, column] += dy[:, place]
        return {"x": dx}

    return x[:, chosen], backward


def squeeze_gate(x, w):
    s = stable_sigmoid(x @ w)

    def backward(dy):
        da = dy * x * s * (1 - s)
        return {"x": dy * s + da @ w.T, "w": x.T @ da}

    return x * s, backward


def two_outputs(x):
    """A tuple of outputs, a tuple of cotangents."""
    return (np.sin(x), x.sum(axis=1)), lambda dy: {"x": dy[0] * np.cos(x) + dy[1][:, None]}


def loops_in_python(x, w):
    """Scalar code: one float at a time, written into a buffer."""
    y = np.zeros((x.shape[0], w.shape[1]), x.dtype)
    for n in range(x.shape[0]):
        for m in range(w.shape[1]):
            for d in range(x.shape[1]):
                y[n, m] += x[n, d] * w[d, m]

    def backward(dy):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for n in range(x.shape[0]):
            for m in range(w.shape[1]):
                dx[n] += dy[n, m] * w[:, m]
                dw[:, m] += dy[n, m] * x[n]
        return {"x": dx, "w": dw}

    return y, backward


def unused_argument(x, spare):
    """An argument that the function ignores has a gradient of zero."""
    return x * x, lambda dy: {"x": 2 * x * dy, "spare": np.zeros_like(spare)}


def summed_over_rows(x):
    """A gradient that is a read-only broadcast view, as np.broadcast_to gives it."""
    return x.sum(axis=0), lambda dy: {"x": np.broadcast_to(dy, x.shape)}


def sorted_rows(x):
    order = x.argsort(axis=1, kind="stable")

    def backward(dy):
        dx = np.zeros_like(x)
        np.put_along_axis(dx, order, dy, axis=1)
        return {"x": dx}

    return np.take_along_axis(x, order, axis=1), backward


OTHER_TWINS = [
    Twin(f.__name__, f, arrays)
    for f, arrays in [
        (conv1d, signal_arrays),
        (depthwise_conv, depthwise_arrays),
        (upsample, picture_arrays),
        (flatten, picture_arrays),
        (softplus, matrix_arrays),
        (elu, matrix_arrays),
        (prelu, normal(x=(6, 5), a=(5,))),
        (row_maximum, matrix_arrays),
        (glu, normal(a=(6, 5), b=(6, 5))),
        (absolute_error, normal(x=(7, 3), t=(7, 3))),
        (huber, normal(x=(7, 3))),
        (triplet, normal(a=(6, 4), p=(6, 4), n=(6, 4))),
        (log_softmax, normal(z=(6, 4))),
        (l2_norm, matrix_arrays),
        (instance_norm, normal(x=(3, 4, 2, 5))),
        (weight_norm, normal(v=(7, 4), g=(4,))),
        (gather_columns, with_integers(matrix_arrays, chosen=[4, 1, 4, 0])),
        (squeeze_gate, normal(x=(4, 6), w=(6, 6))),
        (two_outputs, matrix_arrays),
        (loops_in_python, normal(x=(4, 3), w=(3, 5))),
        (unused_argument, normal(x=(4, 3), spare=(2, 5))),
        (summed_over_rows, matrix_arrays),
        (sorted_rows, matrix_arrays),
    ]
]
