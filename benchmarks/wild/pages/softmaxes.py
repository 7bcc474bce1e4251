"""Softmax, its logarithm, and the losses on them."""

import numpy as np

from benchmarks.wild.pairs import closure, normal, pair


def softmax(x):
    e = np.exp(x - np.max(x.real, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def through_softmax(dy, x):
    p = softmax(x)
    return p * (dy - np.sum(dy * p, axis=-1, keepdims=True))


# ---- softmax: the diagonal of the Jacobian alone

pair(
    "softmax diagonal",
    kind="formula",
    link="https://github.com/deeplearning4j/libnd4j/issues/440",
    shows="always",
    buggy=closure(softmax, lambda dy, x: {"x": dy * softmax(x) * (1 - softmax(x))}),
    fixed=closure(softmax, lambda dy, x: {"x": through_softmax(dy, x)}),
    arrays={"x": normal(3, 5)},
    codes=("missing-path",),
)

# ---- softmax: a factor of two

pair(
    "softmax twice",
    kind="formula",
    link="https://github.com/markroxor/fromscratchtoml/issues/65",
    shows="always",
    buggy=closure(softmax, lambda dy, x: {"x": 2 * through_softmax(dy, x)}),
    fixed=closure(softmax, lambda dy, x: {"x": through_softmax(dy, x)}),
    arrays={"x": normal(4, 6)},
    codes=("scale",),
)

# ---- log softmax: dy added to the probabilities


def log_softmax(x):
    shifted = x - np.max(x.real, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


pair(
    "log softmax adds dy",
    kind="formula",
    link="https://github.com/mlpack/mlpack/issues/3468",
    shows="always",
    buggy=closure(log_softmax, lambda dy, x: {"x": softmax(x) + dy}),
    fixed=closure(
        log_softmax, lambda dy, x: {"x": dy - softmax(x) * np.sum(dy, axis=-1, keepdims=True)}
    ),
    arrays={"x": normal(3, 5)},
    codes=("not-linear", "additive", "missing-path"),
)

# ---- cross entropy with ignored tokens: the mean is over those that count


def cross_entropy(x, labels, smoothing=0.1):
    keep = labels != -100
    at = np.where(keep, labels, 0)
    logp = log_softmax(x)
    rows = (1 - smoothing) * logp[np.arange(len(at)), at] + smoothing * logp.mean(-1)
    return -np.sum(rows * keep) / np.sum(keep)


def cross_entropy_gradient(dy, x, labels, smoothing, mean_over, keep):
    target = np.full(x.shape, smoothing / x.shape[1])
    target[np.arange(len(x)), np.where(labels == -100, 0, labels)] += 1 - smoothing
    return {"x": dy * (softmax(x) - target) * keep[:, None] / mean_over}


def ignored_counted(dy, x, labels, smoothing=0.1):
    return cross_entropy_gradient(dy, x, labels, smoothing, len(x), labels != -100)


def ignored_smoothed(dy, x, labels, smoothing=0.1):
    keep = labels != -100
    grads = cross_entropy_gradient(dy, x, labels, smoothing, np.sum(keep), keep)
    grads["x"][~keep] = dy * smoothing * (softmax(x[~keep]) - 1 / x.shape[1]) / np.sum(keep)
    return grads


def ignored_inverted(dy, x, labels, smoothing=0.1):
    keep = labels == -100
    return cross_entropy_gradient(dy, x, labels, smoothing, np.sum(~keep), keep)


def cross_entropy_right(dy, x, labels, smoothing=0.1):
    keep = labels != -100
    return cross_entropy_gradient(dy, x, labels, smoothing, np.sum(keep), keep)


LABELLED = {"x": normal(6, 4), "labels": np.array([1, -100, 3, 0, -100, 2])}
pair(
    "cross entropy counts ignored tokens",
    kind="formula",
    link="https://github.com/huggingface/transformers/pull/5919",
    shows="where a label is ignored",
    buggy=closure(cross_entropy, ignored_counted),
    fixed=closure(cross_entropy, cross_entropy_right),
    arrays=LABELLED,
    codes=("scale",),
)
pair(
    "cross entropy smooths ignored tokens",
    kind="mask",
    link="https://github.com/pytorch/pytorch/issues/73205",
    shows="where a label is ignored and smoothing is on",
    buggy=closure(cross_entropy, ignored_smoothed),
    fixed=closure(cross_entropy, cross_entropy_right),
    arrays=LABELLED,
    codes=("mask", "additive"),
)
pair(
    "cross entropy inverts its mask",
    kind="mask",
    link="https://github.com/awslabs/sockeye/issues/200",
    shows="where a label is ignored",
    buggy=closure(cross_entropy, ignored_inverted),
    fixed=closure(cross_entropy, cross_entropy_right),
    arrays=LABELLED,
    codes=("mask", "partial"),
)

# ---- Huber: dy is not looked at


def huber(x, target):
    d = x - target
    size = np.where(d.real < 0, -d, d)
    return np.sum(np.where(size.real < 1, 0.5 * d * d, size - 0.5), axis=1)


def huber_ignores_dy(dy, x, target):
    d = np.clip(x - target, -1, 1)
    return {"x": d, "target": -d}


def huber_right(dy, x, target):
    d = dy[:, None] * np.clip(x - target, -1, 1)
    return {"x": d, "target": -d}


pair(
    "huber ignores dy",
    kind="formula",
    link="https://github.com/chainer/chainer/pull/1178",
    shows="where dy is not all ones",
    buggy=closure(huber, huber_ignores_dy),
    fixed=closure(huber, huber_right),
    arrays={"x": normal(3, 4), "target": 0.5 * normal(3, 4, seed=1)},
    codes=("not-linear",),
)

# ---- centre loss: the mean's divisor is left out


def center(features, centers, labels):
    d = features - centers[labels]
    return np.sum(d * d) / 2 / len(features)


def center_gradient(n):
    def backward(dy, features, centers, labels):
        d = dy * (features - centers[labels]) / (n or len(features))
        lookup = np.zeros_like(centers)
        np.add.at(lookup, labels, -d)
        return {"features": d, "centers": lookup}

    return backward


pair(
    "centre loss undivided",
    kind="formula",
    link="https://github.com/jxgu1016/MNIST_center_loss_pytorch/issues/9",
    shows="at more than one example",
    buggy=closure(center, center_gradient(1)),
    fixed=closure(center, center_gradient(None)),
    arrays={
        "features": normal(5, 3),
        "centers": normal(4, 3, seed=1),
        "labels": np.array([0, 2, 2, 1, 3]),
    },
    codes=("scale",),
)

# ---- the mean squared error of arrays of unequal shapes


def mse(a, b):
    return np.mean((a - b) ** 2)


def mse_unsummed(dy, a, b):
    d = dy * 2 * (a - b) / np.broadcast(a, b).size
    return {"a": d, "b": -d}


def mse_summed(dy, a, b):
    d = dy * 2 * (a - b) / np.broadcast(a, b).size
    return {"a": d, "b": -d.sum(axis=0, keepdims=True)}


pair(
    "mean squared error of unequal shapes",
    kind="broadcast",
    link="https://github.com/oreilly-japan/deep-learning-from-scratch-3/issues/20",
    shows="where one argument is broadcast",
    buggy=closure(mse, mse_unsummed),
    fixed=closure(mse, mse_summed),
    arrays={"a": normal(4, 3), "b": normal(1, 3)},
    codes=("shape", "broadcast"),
)


# ---- the log likelihood of a normal distribution in its covariance


def log_density(x, cov):
    return -0.5 * (x @ np.linalg.solve(cov, x) + np.log(np.linalg.det(cov)))


def density_right(dy, x, cov):
    inverse = np.linalg.inv(cov)
    dcov = 0.5 * (np.outer(inverse.T @ x, inverse @ x) - inverse.T)
    return {"x": -dy * 0.5 * (inverse @ x + inverse.T @ x), "cov": dy * dcov}


def density_wrong(dy, x, cov):
    grads = density_right(dy, x, cov)
    return {**grads, "cov": -grads["cov"]}


COVARIANCE = normal(3, 3)
pair(
    "normal density's covariance",
    kind="formula",
    link="https://github.com/HIPS/autograd/pull/412",
    shows="always",
    buggy=closure(log_density, density_wrong),
    fixed=closure(log_density, density_right),
    arrays={"x": normal(3), "cov": COVARIANCE @ COVARIANCE.T + 2 * np.eye(3)},
    codes=("sign",),
)
