"""Activations and other functions of single entries."""

import numpy as np

from benchmarks.wild.pairs import closure, normal, pair

# ---- swiglu: the two gradients are stored into one another's buffers


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def swiglu(gate, up):
    return gate * sigmoid(gate) * up


def swiglu_swapped(dy, gate, up):
    s = sigmoid(gate)
    return {"gate": dy * gate * s, "up": dy * up * s * (1 + gate * (1 - s))}


def swiglu_right(dy, gate, up):
    s = sigmoid(gate)
    return {"gate": dy * up * s * (1 + gate * (1 - s)), "up": dy * gate * s}


pair(
    "swiglu swapped",
    kind="formula",
    link="https://github.com/unslothai/unsloth/issues/3314",
    shows="always",
    buggy=closure(swiglu, swiglu_swapped),
    fixed=closure(swiglu, swiglu_right),
    arrays={"gate": normal(4, 5), "up": normal(4, 5, seed=1)},
    codes=("wrong-operand", "permuted"),
)

# ---- elu: the slope of the negative part in terms of the output, given the input


def elu(x):
    return np.where(x > 0, x, np.exp(np.where(x > 0, 0, x)) - 1)


pair(
    "elu slope of the input",
    kind="formula",
    link="https://github.com/mlpack/mlpack/pull/1540",
    shows="at negative entries",
    buggy=closure(elu, lambda dy, x: {"x": dy * np.where(x > 0, 1, x + 1)}),
    fixed=closure(elu, lambda dy, x: {"x": dy * np.where(x > 0, 1, elu(x) + 1)}),
    arrays={"x": normal(5, 6)},
    codes=("wrong-operand",),
)

# ---- leaky relu: relu's slope


def leaky(x):
    return np.where(x > 0, x, 0.3 * x)


pair(
    "leaky relu with relu's slope",
    kind="mask",
    link="https://github.com/scientific-computing/FKB/issues/15",
    shows="at negative entries",
    buggy=closure(leaky, lambda dy, x: {"x": dy * (x > 0)}),
    fixed=closure(leaky, lambda dy, x: {"x": dy * np.where(x > 0, 1, 0.3)}),
    arrays={"x": normal(5, 6)},
    codes=("mask",),
)

# ---- a limited exponential: 1 + b^2 for (1 + b)^2


def limited(x):
    return np.exp(0.6) * (1 + 2 * x) / (1 + x)


pair(
    "limited exponential",
    kind="formula",
    link="https://github.com/admb-project/admb/issues/113",
    shows="beyond the limit",
    buggy=closure(limited, lambda dy, x: {"x": dy * np.exp(0.6) / (1 + x * x)}),
    fixed=closure(limited, lambda dy, x: {"x": dy * np.exp(0.6) / (1 + x) ** 2}),
    arrays={"x": np.abs(normal(7)) + 0.2},
    codes=("wrong-operand", "axis-scale"),
)

# ---- tanh: a slope of exponentials that overflow


def tanh(x):
    return np.tanh(x)


def slope_of_exponentials(dy, x):
    return {"x": dy * 4 * np.exp(2 * x) / (np.exp(2 * x) + 1) ** 2}


pair(
    "tanh overflows",
    kind="edge",
    link="https://github.com/jax-ml/jax/issues/764",
    shows="at entries above 178, in float64 above 355",
    buggy=closure(tanh, slope_of_exponentials),
    fixed=closure(tanh, lambda dy, x: {"x": dy * (1 - np.tanh(x) ** 2)}),
    arrays={"x": np.array([0.3, -1.2, 400.0, 0.8])},
    codes=("nonfinite",),
)

# ---- a constraint's Jacobian without its minus signs, of a minimiser's tutorial


def constraints(x):
    return np.array([1 - x[0] - 2 * x[1], 1 - x[0] ** 2 - x[1], 1 - x[0] ** 2 + x[1]])


def jacobian(sign):
    def backward(dy, x):
        rows = np.array([[sign, 2 * sign], [-2 * x[0], -1.0], [-2 * x[0], 1.0]])
        return {"x": dy @ rows}

    return backward


pair(
    "constraint signs",
    kind="formula",
    link="https://github.com/scipy/scipy/issues/9122",
    shows="always",
    buggy=closure(constraints, jacobian(1.0)),
    fixed=closure(constraints, jacobian(-1.0)),
    arrays={"x": np.array([0.5, 0.3])},
    codes=("sign", "axis-scale", "partial"),
)

# ---- a linear transform returns its input in place of its slope


def standardise(x, divisor):
    return (x - 0.5) / divisor


pair(
    "normalizer returns the error",
    kind="formula",
    link="https://github.com/NervanaSystems/neon/issues/252",
    shows="where the divisor is not 1",
    buggy=closure(standardise, lambda dy, x, divisor: {"x": dy}),
    fixed=closure(standardise, lambda dy, x, divisor: {"x": dy / divisor}),
    arrays={"x": normal(4, 3), "divisor": 256},
    codes=("scale",),
)

# ---- prod and cumprod divide by entries that are zero


def product(x):
    return np.prod(x, axis=1)


def others(x):
    """Of each entry, the product of the others."""
    n = x.shape[1]
    return np.stack([np.prod(np.delete(x, k, axis=1), axis=1) for k in range(n)], axis=1)


pair(
    "prod at zero",
    kind="edge",
    link="https://github.com/tinygrad/tinygrad/pull/17404",
    shows="where an entry is 0",
    buggy=closure(product, lambda dy, x: {"x": dy[:, None] * product(x)[:, None] / x}),
    fixed=closure(product, lambda dy, x: {"x": dy[:, None] * others(x)}),
    arrays={"x": np.array([[1.5, 0.0, -0.7], [0.4, 2.0, 1.1]])},
    codes=("nonfinite",),
)


def cumprod(x):
    return np.cumprod(x)


def reverse_sum(g):
    return np.cumsum(g[::-1])[::-1]


def nan_to_zero(dy, x):
    with np.errstate(all="ignore"):
        return {"x": np.nan_to_num(reverse_sum(dy * np.cumprod(x)) / x)}


def without_division(dy, x):
    tail, grads = 0.0, np.zeros_like(x)
    before = np.concatenate([[1.0], np.cumprod(x)[:-1]])
    for i in range(x.size - 1, -1, -1):
        tail = dy[i] + (x[i + 1] * tail if i + 1 < x.size else 0.0)
        grads[i] = before[i] * tail
    return {"x": grads}


pair(
    "cumprod divides by zero",
    kind="edge",
    link="https://github.com/Theano/Theano/issues/5197",
    shows="where an entry is 0",
    buggy=closure(cumprod, lambda dy, x: {"x": reverse_sum(dy * np.cumprod(x)) / x}),
    fixed=closure(cumprod, without_division),
    arrays={"x": np.array([1.0, 0.0, 0.8])},
    codes=("nonfinite",),
)
pair(
    "cumprod hides its nan",
    kind="edge",
    link="https://github.com/tensorflow/tensorflow/issues/119430",
    shows="where an entry is 0",
    buggy=closure(cumprod, nan_to_zero),
    fixed=closure(cumprod, without_division),
    arrays={"x": np.array([2.0, 3.0, 0.0, 1.5])},
    codes=("partial", "zero", "mask"),
)

# ---- the norm of a vector of zeros


def norm(x):
    return np.sqrt(np.sum(x * x, axis=1))


def divided(dy, x):
    return {"x": dy[:, None] * x / norm(x)[:, None]}


def zero_at_zero(dy, x):
    n = norm(x)[:, None]
    return {"x": dy[:, None] * np.where(n > 0, x / np.where(n > 0, n, 1), 0)}


pair(
    "norm of zeros",
    kind="edge",
    link="https://github.com/pytorch/pytorch/issues/2421",
    shows="at a row of zeros",
    buggy=closure(norm, divided),
    fixed=closure(norm, zero_at_zero),
    arrays={"x": np.array([[0.3, -1.0], [0.0, 0.0]])},
    codes=("nonfinite",),
)

# ---- the sum of a number


def total(x):
    return np.sum(x)


pair(
    "sum of a number",
    kind="edge",
    link="https://github.com/chainer/chainer/issues/1152",
    shows="at an input without axes",
    buggy=closure(total, lambda dy, x: {"x": np.broadcast_to(dy[(None,) * 1], x.shape)[:]}),
    fixed=closure(total, lambda dy, x: {"x": np.broadcast_to(dy, x.shape).copy()}),
    arrays={"x": np.array(1.3)},
    codes=("raises", "shape"),
)
