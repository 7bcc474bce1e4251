"""Slopes: forgotten in a chain, of the activated value, of the wrong operand, of another formula;
an eps or a rounded constant; the same mistakes in float32."""

import math

import numpy as np

from autocnn import gradcheck


def normal(seed=0, **shapes):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


X, T = normal(seed=7, X=(6, 3))["X"], normal(seed=8, T=(6, 2))["T"]


def regression(W1, W2, W3, slope1, slope2):
    """Three layers, tanh and sigmoid, mean squared error."""
    a = np.tanh(X @ W1)
    b = sigmoid(a @ W2)
    e = b @ W3 - T
    d3 = 2 * e / len(X)
    d2 = d3 @ W3.T * slope2(b)
    d1 = d2 @ W2.T * slope1(a)
    return (e * e).sum() / len(X), {"W1": X.T @ d1, "W2": a.T @ d2, "W3": b.T @ d3}


NET = {"W1": (3, 4), "W2": (4, 5), "W3": (5, 2)}


def sigmoid_forgotten():
    def net(W1, W2, W3):
        return regression(W1, W2, W3, lambda a: 1 - a * a, lambda b: 1.0)

    return gradcheck.check(net, **normal(**NET))


def sigmoid_of_the_activated():
    def net(W1, W2, W3):
        return regression(W1, W2, W3, lambda a: 1 - a * a, lambda b: sigmoid(b) * (1 - sigmoid(b)))

    return gradcheck.check(net, **normal(**NET))


def tanh_of_the_activated():
    def net(W1, W2, W3):
        return regression(W1, W2, W3, lambda a: 1 - np.tanh(a) ** 2, lambda b: b * (1 - b))

    return gradcheck.check(net, **normal(**NET))


def relu_forgotten():
    def net(W1, b1, W2):
        h = np.maximum(X @ W1 + b1, 0)
        e = h @ W2 - T
        d = e @ W2.T
        return 0.5 * (e * e).sum(), {"W1": X.T @ d, "b1": d.sum(0), "W2": h.T @ e}

    return gradcheck.check(net, **normal(W1=(3, 7), b1=(7,), W2=(7, 2)))


def silu_by_output():
    def silu(x):
        s = sigmoid(x)
        y = x * s
        return y, lambda dy: {"x": dy * s * (1 + y * (1 - s))}

    return gradcheck.check(silu, **normal(x=(4, 5)))


def elu_of_input():
    def elu(x):
        y = np.where(x > 0, x, np.exp(x) - 1)
        return y, lambda dy: {"x": dy * np.where(x > 0, 1, x + 1)}

    return gradcheck.check(elu, **normal(x=(4, 5)))


def tanh_times_x():
    def f(x):
        t = np.tanh(x)
        y = x * t
        return y, lambda dy: {"x": dy * (t + y * (1 - t * t))}

    return gradcheck.check(f, **normal(x=(7,)))


def weights_of_labels():
    """Weighted binary cross-entropies: the label's weight is used for every class."""
    y = np.array([2, 0, 1, 1])
    hot = np.eye(3)[y]

    def loss(z, w):
        s = sigmoid(z)
        per = -(hot * np.log(s) + (1 - hot) * np.log(1 - s))
        return (w * per).sum(), {"z": w[y][:, None] * (s - hot), "w": per.sum(axis=0)}

    return gradcheck.check(loss, **normal(z=(4, 3)), w=np.array([0.5, 1.5, 3.0]))


def exact_gelu_with_tanh_slope():
    c = math.sqrt(2 / math.pi)
    erf = np.vectorize(math.erf)

    def cdf(x):  # complex-safe to first order
        x = np.asarray(x)
        p = 0.5 * (1 + erf(x.real / math.sqrt(2)))
        slope = np.exp(-(x.real**2) / 2) / math.sqrt(2 * math.pi)
        return p + 1j * x.imag * slope if np.iscomplexobj(x) else p

    def gelu(x):
        t = np.tanh(c * (x + 0.044715 * x**3))
        slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)
        return x * cdf(x), lambda dy: {"x": dy * slope}

    return gradcheck.check(gelu, **normal(x=(4, 5)))


def softplus_by_a_hard_slope():
    """A smooth function with the slope of its approximation of high degree."""

    def f(x):
        return np.exp(x), lambda dy: {"x": dy * sum(x**k / math.factorial(k) for k in range(9))}

    return gradcheck.check(f, **{k: 0.5 * v for k, v in normal(x=(4, 5)).items()})


def eps_in_binary_cross_entropy():
    y = np.array([1.0, 0, 1, 1, 0])

    def loss(x):
        s = sigmoid(x)
        return -(y * np.log(s + 1e-8) + (1 - y) * np.log(1 - s + 1e-8)).mean(), {"x": (s - y) / 5}

    return gradcheck.check(loss, **normal(x=(5,)))


EPS = 1e-6


def eps_in_a_norm():
    def normalise(x):
        n = np.sqrt((x * x).sum(axis=1, keepdims=True)) + EPS
        y = x / n
        return y, lambda dy: {"x": (dy - y * (dy * y).sum(axis=1, keepdims=True)) / n}

    return gradcheck.check(normalise, **normal(x=(3, 4)))


def rounded_pi():
    def density(x):
        y = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
        return y, lambda dy: {"x": -dy * x * np.exp(-x * x / 2) / np.sqrt(2 * 3.1416)}

    return gradcheck.check(density, **normal(x=(3, 4)))


def rounded_gelu():
    class Gelu:
        def forward(self, x):
            self.x = x
            return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

        def backward(self, dy):
            x, c = self.x, 0.79788456
            t = np.tanh(c * (x + 0.044715 * x**3))
            return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x))

    return gradcheck.check_object(Gelu(), normal(x=(3, 4))["x"])


def small_decay():
    """A regulariser of 1e-6 in backward only is no eps: it is added."""

    def loss(w):
        return (w**3).sum(), {"w": 3 * w * w + 1e-6 * w}

    return gradcheck.check(loss, **normal(w=(4, 3)))


def single(f):
    """f with everything in float32."""
    return lambda *a: np.asarray(f(*(np.asarray(z, dtype=np.float32) for z in a)), dtype=np.float32)


def dense_in_single_averaged():
    def dense(x, w):
        x32, w32 = np.asarray(x, np.float32), np.asarray(w, np.float32)
        y = x32 @ w32

        def backward(dy):
            d = np.asarray(dy, np.float32)
            return {"x": d @ w32.T, "w": (x32.T @ d / np.float32(len(x))).astype(np.float32)}

        return y, backward

    return gradcheck.check(dense, **normal(x=(5, 3), w=(3, 4)))


def dense_in_single_transposed():
    def dense(x, w):
        x32, w32 = np.asarray(x, np.float32), np.asarray(w, np.float32)
        y = np.tanh(x32 @ w32)

        def backward(dy):
            d = np.asarray(dy, np.float32) * (1 - y * y)
            return {"x": d @ w32, "w": x32.T @ d}

        return y, backward

    return gradcheck.check(dense, **normal(x=(5, 4), w=(4, 4)))


def bias_in_single_negated():
    def layer(x, b):
        y = np.asarray(x + b, np.float32)
        return y, lambda dy: {"x": dy.astype(np.float32), "b": -dy.sum(0).astype(np.float32)}

    return gradcheck.check(layer, **normal(x=(5, 4), b=(4,)))


CASES = [
    (sigmoid_forgotten, {"missing-path", "wrong-operand"}, ("sigmoid",)),
    (sigmoid_of_the_activated, {"missing-path", "wrong-operand"}, ("sigmoid",)),
    (tanh_of_the_activated, {"missing-path", "wrong-operand"}, ("tanh",)),
    (relu_forgotten, {"missing-path", "wrong-operand", "mask"}, ()),
    (silu_by_output, {"wrong-operand"}, ()),
    (elu_of_input, {"wrong-operand", "mask"}, ()),
    (tanh_times_x, {"wrong-operand"}, ()),
    (weights_of_labels, {"wrong-operand", "axis-scale"}, ()),
    (exact_gelu_with_tanh_slope, {"unclassified", "wrong-operand"}, ("another formula",)),
    (softplus_by_a_hard_slope, {"unclassified", "wrong-operand", "eps"}, ()),
    (dense_in_single_averaged, {"scale"}, ("1 / N",)),
    (dense_in_single_transposed, {"wrong-operand", "transposed"}, ()),
    (bias_in_single_negated, {"sign"}, ()),
    (small_decay, {"additive"}, ()),
]

#: (function, words): right but for a constant, which is a warning
WARNED = [
    (eps_in_binary_cross_entropy, "1e-08"),
    (eps_in_a_norm, "1e-06"),
    (rounded_pi, "pi"),
    (rounded_gelu, "sqrt(2 / pi)"),
]
