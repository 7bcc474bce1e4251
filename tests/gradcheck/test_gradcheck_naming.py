"""The checker's names, on mistakes that people make in layers of many kinds: each function here
has one.
"""

import numpy as np
import pytest

from autocnn import gradcheck
from tests.gradcheck.cases import (
    naming_dy,
    naming_indices,
    naming_recurrent,
    naming_sizes,
    naming_slopes,
)


def normal(seed=0, **shapes):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


def conv1d(x, w, stride=1, wrong=""):
    """(N, C, T) * (F, C, k) -> (N, F, To); `wrong` names what backward does."""
    k, To = w.shape[2], (x.shape[2] - w.shape[2]) // stride + 1
    at = [slice(t * stride, t * stride + k) for t in range(To)]
    y = np.stack([np.einsum("nck,fck->nf", x[:, :, s], w) for s in at], axis=2)

    def backward(dy):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for t, s in enumerate(at):
            part = np.einsum("nf,fck->nck", dy[:, :, t], w[:, :, ::-1] if wrong == "flipped" else w)
            place = slice(t, t + k) if wrong == "stride" else s
            if wrong == "assign":
                dx[:, :, place] = part
            elif wrong == "filters":
                dx[:, :, place] += dy[:, -1:, t, None] * w[-1]
            else:
                dx[:, :, place] += part
            if not (wrong == "edge" and t == To - 1):
                dw += np.einsum("nf,nck->fck", dy[:, :, t], x[:, :, s])
        dw = {
            "mean": dw / (len(x) * To),
            "reverse": dw[:, :, ::-1],
            "minus": -dw,
            "C": dw / x.shape[1],
        }.get(wrong, dw)
        return {"x": dx, "w": dw}

    return y, backward


def grouped(x, w, groups=3):
    """Dense on channel groups, (N, g * C) -> (N, g * F), as a convolution of one pixel; dw reads
    group 0's x.
    """
    N, C, F = len(x), x.shape[1] // groups, w.shape[0] // groups
    parts = x.reshape(N, groups, C)
    y = np.einsum("ngc,gfc->ngf", parts, w.reshape(groups, F, C)).reshape(N, -1)

    def backward(dy):
        d = dy.reshape(N, groups, F)
        first = np.repeat(parts[:, :1], groups, axis=1)
        dw = np.einsum("ngf,ngc->gfc", d, first).reshape(w.shape)
        return {
            "x": np.einsum("ngf,gfc->ngc", d, w.reshape(groups, F, C)).reshape(x.shape),
            "w": dw,
        }

    return y, backward


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def elementwise(f, slope):
    return lambda x: (f(x), lambda dy: {"x": dy * slope(x)})


def softplus(x):
    return np.log1p(np.exp(x))


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def log_softmax_without_sum(z):
    p = softmax(z)
    return np.log(p), lambda dy: {"z": dy - p * dy}


def cumulative_sum_forwards(x):
    return np.cumsum(x, axis=1), lambda dy: {"x": np.cumsum(dy, axis=1)}


def rolled_further(x):
    return np.roll(x, 1, axis=1), lambda dy: {"x": np.roll(dy, 1, axis=1)}


def upsampled(x):
    return x.repeat(2, axis=1), lambda dy: {"x": dy[:, ::2].copy()}


def recurrent_without_time(x, w):
    """h_t = tanh(x_t + h_{t-1} w); the gradient does not go back in time."""
    hs = [np.zeros(x.shape[1:])]
    for x_t in x:
        hs.append(np.tanh(x_t + hs[-1] @ w))
    hs = np.stack(hs)

    def backward(dy):
        dw, dh = np.zeros_like(w), 0
        for t in reversed(range(len(x))):
            da = (dy[t] + dh) * (1 - hs[t + 1] ** 2)
            dw += hs[t].T @ da
            dh = da @ w.T
        return {"x": dy * (1 - hs[1:] ** 2), "w": dw}

    return hs[1:].copy(), backward


def scaled_residual(x, w, alpha=0.3):
    """x + alpha tanh(x w): alpha is forgotten."""
    h = np.tanh(x @ w)
    return x + alpha * h, lambda dy: {
        "x": dy + (dy * (1 - h * h)) @ w.T,
        "w": x.T @ (alpha * dy * (1 - h * h)),
    }


def layer_norm_without_scale(x, scale):
    centred = x - x.mean(axis=1, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    hat = centred / std

    def backward(dy):
        dx = (
            dy - dy.mean(axis=1, keepdims=True) - hat * (dy * hat).mean(axis=1, keepdims=True)
        ) / std
        return {"x": dx, "scale": (dy * hat).sum(axis=0)}

    return hat * scale, backward


def norm_not_divided(x):
    length = np.sqrt((x * x).sum(axis=1))
    return length, lambda dy: {"x": dy[:, None] * x}


def attention_values_not_transposed(p, v):
    weights = softmax(p)

    def backward(dy):
        dw = dy @ v.T
        return {"p": weights * (dw - (dw * weights).sum(axis=1, keepdims=True)), "v": weights @ dy}

    return weights @ v, backward


def fortran_order(x, w):
    flat = x.reshape(len(x), -1)
    return flat @ w, lambda dy: {
        "x": (dy @ w.T).reshape(len(x), *x.shape[:0:-1]).transpose(0, 2, 1),
        "w": flat.T @ dy,
    }


def prelu_slope_everywhere(x, a):
    return np.where(x > 0, x, a * x), lambda dy: {
        "x": dy * np.where(x > 0, 1, a),
        "a": (dy * x).sum(axis=0),
    }


def weighted_loss(z, weights):
    """A sum of weighted squares; the weights are forgotten."""
    return (weights[:, None] * z * z).sum(), lambda dy: {
        "z": dy * 2 * z,
        "weights": dy * (z * z).sum(axis=1),
    }


def scale_shift(x, a, b):
    return x * a + b, lambda dy: {
        "x": dy * a,
        "a": (dy * x).sum(axis=0) + 0.01 * a,
        "b": dy.sum(axis=0),
    }


def penalised(x, w):
    """A loss with the penalty's factor 2 missing."""
    y = x @ w
    return (y * y).sum() / 2 + 0.1 * (w * w).sum(), lambda dy: {
        "x": dy * y @ w.T,
        "w": dy * (x.T @ y + 0.1 * w),
    }


def min_pool_as_max(x):
    cut = x.reshape(len(x), -1, 2)
    hit = cut == cut.max(axis=2, keepdims=True)
    return cut.min(axis=2), lambda dy: {"x": (hit * dy[:, :, None]).reshape(x.shape)}


def mask_from_output_of_next(x, w):
    h = x @ w
    a = np.maximum(h, 0)

    def backward(dy):
        dh = dy * (x[:, : w.shape[1]] > 0)
        return {"x": dh @ w.T, "w": x.T @ dh}

    return a, backward


def smooth_l1_sum(x, t):
    """Quadratic within 0.7 of t, straight beyond; the quadratic slope everywhere."""
    d = x - t
    y = np.where(np.abs(d) < 0.7, d * d / 1.4, np.abs(d) - 0.35).sum()
    return y, lambda dy: {
        "x": dy * d / 0.7,
        "t": -dy * np.where(np.abs(d) < 0.7, d / 0.7, np.sign(d)),
    }


def hinge_rows(a, b, w):
    """Rows under the margin count 0; their gradient is there all the same."""
    s = ((a - b) * w).sum(axis=1)
    g = np.ones_like(s)[:, None] * w

    def backward(dy):
        on = (s > -0.5)[:, None]
        return {"a": dy * g, "b": -dy * g * on, "w": dy * ((a - b) * on).sum(axis=0)}

    return np.maximum(s + 0.5, 0).sum(), backward


def two_terms(x):
    return x * x + np.tanh(x), lambda dy: {"x": dy * 2 * x}


def highway_carry_missing(x, w, g):
    """s(g) x + (1 - s(g)) tanh(x w) without the first route to x."""
    s, h = 1 / (1 + np.exp(-g)), np.tanh(x @ w)

    def backward(dy):
        dh = dy * (1 - s) * (1 - h * h)
        return {"x": dh @ w.T, "w": x.T @ dh, "g": dy * s * (1 - s) * (x - h)}

    return s * x + (1 - s) * h, backward


def wrong_slope_before_a_product(x, w):
    h = np.sin(x @ w)
    return h, lambda dy: {"x": (dy * (1 - h * h)) @ w.T, "w": x.T @ (dy * np.cos(x @ w))}


def reshaped_for_transposed(a, b):
    return a @ b, lambda dy: {
        "a": dy @ b.reshape(b.shape[0], b.shape[2], b.shape[1]),
        "b": a.transpose(0, 2, 1) @ dy,
    }


def stale_matrix(x, w):
    """dx with the matrix of another time."""
    return x @ w, lambda dy: {"x": dy @ M.T, "w": x.T @ dy}


def perceptron(x, w, v, wrong=""):
    """tanh(x w) v, with mistakes at the hidden units."""
    h = x @ w
    a = np.tanh(h)
    slope = a * (1 - a) if wrong == "slope" else 1 - a * a

    def backward(dy):
        d = (dy @ v.T) * slope
        return {
            "x": dy @ v.T * (1 - a * a) @ w.T,
            "w": x.T @ d,
            "v": (h if wrong == "operand" else a).T @ dy,
        }

    return a @ v, backward


def absolute_error_without_sign(x, t):
    d = x - t
    return np.abs(d).mean(), lambda dy: {"x": dy * d / d.size, "t": -dy * np.sign(d) / d.size}


CONV = {"x": (3, 2, 9), "w": (5, 2, 4)}
CASES = [
    ("assign", conv1d, CONV, {"wrong": "assign"}, {"overwritten"}),
    (
        "stride",
        conv1d,
        CONV,
        {"wrong": "stride", "stride": 2},
        {"permuted", "shifted", "wrong-operand"},
    ),
    ("kernel flipped", conv1d, CONV, {"wrong": "flipped"}, {"wrong-operand", "flipped"}),
    ("last filter only", conv1d, CONV, {"wrong": "filters"}, {"partial"}),
    ("last window lost", conv1d, CONV, {"wrong": "edge"}, {"partial"}),
    ("mean", conv1d, CONV, {"wrong": "mean"}, {"scale"}),
    ("dw reversed", conv1d, CONV, {"wrong": "reverse"}, {"flipped"}),
    ("minus", conv1d, CONV, {"wrong": "minus"}, {"sign"}),
    ("over channels", conv1d, CONV, {"wrong": "C"}, {"scale"}),
    ("group 0", grouped, {"x": (4, 6), "w": (9, 2)}, {}, {"group", "wrong-operand"}),
    (
        "softplus",
        elementwise(softplus, lambda x: 1 / (1 + np.exp(x))),
        {"x": (5, 7)},
        {},
        {"wrong-operand"},
    ),
    ("leaky", elementwise(leaky, lambda x: np.where(x > 0, 1, 0.01)), {"x": (5, 7)}, {}, {"mask"}),
    ("arctan", elementwise(np.arctan, lambda x: 1 + x * x), {"x": (5, 7)}, {}, {"wrong-operand"}),
    ("cos sign", elementwise(np.cos, np.sin), {"x": (5, 7)}, {}, {"sign"}),
    ("cube", elementwise(lambda x: x**3, lambda x: x**2), {"x": (5, 7)}, {}, {"scale"}),
    ("log softmax", log_softmax_without_sum, {"z": (5, 4)}, {}, {"missing-path"}),
    ("cumsum", cumulative_sum_forwards, {"x": (3, 5)}, {}, {"transposed", "wrong-operand"}),
    ("roll", rolled_further, {"x": (3, 5)}, {}, {"shifted"}),
    ("upsample", upsampled, {"x": (3, 5)}, {}, {"partial"}),
    ("bptt", recurrent_without_time, {"x": (5, 3, 4), "w": (4, 4)}, {}, {"missing-path"}),
    ("residual alpha", scaled_residual, {"x": (5, 4), "w": (4, 4)}, {}, {"scale"}),
    (
        "layer norm scale",
        layer_norm_without_scale,
        {"x": (5, 7), "scale": (7,)},
        {},
        {"axis-scale"},
    ),
    ("norm", norm_not_divided, {"x": (5, 4)}, {}, {"axis-scale"}),
    (
        "attention v",
        attention_values_not_transposed,
        {"p": (5, 5), "v": (5, 3)},
        {},
        {"transposed", "wrong-operand"},
    ),
    ("fortran", fortran_order, {"x": (4, 3, 5), "w": (15, 2)}, {}, {"permuted"}),
    ("prelu", prelu_slope_everywhere, {"x": (6, 4), "a": (4,)}, {}, {"mask"}),
    ("weights", weighted_loss, {"z": (5, 4), "weights": (5,)}, {}, {"axis-scale"}),
    ("decay", scale_shift, {"x": (5, 4), "a": (4,), "b": (4,)}, {}, {"additive"}),
    ("penalty", penalised, {"x": (5, 4), "w": (4, 3)}, {}, {"additive"}),
    ("min pool", min_pool_as_max, {"x": (3, 8)}, {}, {"permuted", "mask", "wrong-operand"}),
    ("another mask", mask_from_output_of_next, {"x": (7, 4), "w": (4, 3)}, {}, {"mask"}),
    ("smooth l1", smooth_l1_sum, {"x": (6, 4), "t": (6, 4)}, {}, {"mask"}),
    ("satisfied rows", hinge_rows, {"a": (9, 4), "b": (9, 4), "w": (4,)}, {}, {"mask"}),
    ("a sum's term", two_terms, {"x": (5, 4)}, {}, {"missing-path"}),
    ("carry", highway_carry_missing, {"x": (5, 4), "w": (4, 4), "g": (5, 4)}, {}, {"missing-path"}),
    (
        "slope inside",
        wrong_slope_before_a_product,
        {"x": (5, 4), "w": (4, 3)},
        {},
        {"wrong-operand"},
    ),
    ("reshape", reshaped_for_transposed, {"a": (3, 4, 5), "b": (3, 5, 4)}, {}, {"wrong-operand"}),
    ("stale matrix", stale_matrix, {"x": (5, 4), "w": (4, 3)}, {}, {"wrong-operand"}),
    (
        "hidden slope",
        perceptron,
        {"x": (5, 4), "w": (4, 3), "v": (3, 2)},
        {"wrong": "slope"},
        {"wrong-operand"},
    ),
    (
        "hidden operand",
        perceptron,
        {"x": (5, 4), "w": (4, 3), "v": (3, 2)},
        {"wrong": "operand"},
        {"wrong-operand"},
    ),
    (
        "sign forgotten",
        absolute_error_without_sign,
        {"x": (5, 4), "t": (5, 4)},
        {},
        {"wrong-operand"},
    ),
]


@pytest.mark.parametrize(
    ("f", "shapes", "fixed", "codes"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_names(f, shapes, fixed, codes):
    report = gradcheck.check(f, **normal(**shapes), **fixed)
    assert not report.ok
    assert report.causes[0].code in codes, str(report)


M, N = (
    np.random.default_rng(5).standard_normal((4, 3)),
    np.random.default_rng(6).standard_normal((5, 4)),
)
NAMELESS = {
    "weighted at random": lambda x, w: (x @ w, lambda dy: {"x": dy @ w.T, "w": (x.T @ dy) * M}),
    "random term": lambda x, w: (x @ w, lambda dy: {"x": dy @ w.T, "w": x.T @ dy + M * dy.sum()}),
    "random slopes": lambda x: (np.tanh(x), lambda dy: {"x": dy * N}),
    "nearly": lambda x: (np.tanh(x), lambda dy: {"x": dy * (1 - np.tanh(x) ** 2) ** 1.5}),
    "power series": lambda x: (np.exp(x), lambda dy: {"x": dy * (1 + x + x * x / 2)}),
    "random in a loss": lambda x: ((x * x).sum(), lambda dy: {"x": dy * (2 * x + N)}),
    "a product's other half": lambda x: (
        (np.exp(-x) * np.log1p(np.exp(x))).sum(axis=0),
        lambda dy: {"x": -dy * np.exp(-x) * np.log1p(np.exp(x))},
    ),
    "a vector's own factors": lambda x: (
        (x[:, 0] ** 4 * np.cos(x[:, 0])).sum(),
        lambda dy: {"x": dy * np.eye(1, 4) * N},
    ),
    "a millionth of a percent": lambda x: (
        np.exp(x),
        lambda dy: {"x": dy * np.exp(x) * (1 + 1e-8 * N)},
    ),
}


@pytest.mark.parametrize("name", NAMELESS)
def test_what_fits_no_rule_is_not_named(name):
    arrays = normal(x=(5, 4), w=(4, 3)) if name in list(NAMELESS)[:2] else normal(x=(5, 4))
    report = gradcheck.check(NAMELESS[name], **arrays)
    assert [c.code for c in report.causes] == ["unclassified"], str(report)


OWN = [
    pytest.param(*(*case, ())[:4], id=case[0].__name__)
    for module in (naming_recurrent, naming_indices, naming_dy, naming_slopes, naming_sizes)
    for case in module.CASES
]


@pytest.mark.parametrize(("case", "codes", "said", "not_said"), OWN)
def test_names_in_code_as_people_write_it(case, codes, said, not_said):
    """Every wrong leaf gets one of the codes."""
    report = case()
    text = " ".join(str(report).split())
    assert report.errors
    assert {cause.code for cause in report.errors} <= codes, text
    assert all(words in text for words in said), text
    assert not any(words in text for words in not_said), text


@pytest.mark.parametrize(
    ("case", "words"), [pytest.param(*c, id=c[0].__name__) for c in naming_slopes.WARNED]
)
def test_a_small_constant_is_a_warning_that_names_it(case, words):
    report = case()
    assert report.ok, str(report)
    assert [(c.code, c.level) for c in report.causes] == [("eps", "warning")]
    assert words in report.causes[0].message


def test_a_mean_over_windows_is_named_though_some_sizes_leave_one_window():
    """At other sizes Ho may be 1: 1 / (N Ho Wo) is the factor there all the same."""

    def conv(x, w):
        (n, _, h, width), (_, _, kh, kw) = x.shape, w.shape
        ho, wo = (h - kh) // 2 + 1, (width - kw) // 2 + 1

        def cells(a, i, j):
            return a[:, :, 2 * i : 2 * i + kh, 2 * j : 2 * j + kw]

        y = np.zeros((n, len(w), ho, wo), np.result_type(x, w))
        for i, j in np.ndindex(ho, wo):
            y[:, :, i, j] = np.tensordot(cells(x, i, j), w, ([1, 2, 3], [1, 2, 3]))

        def backward(dy):
            dx, dw = np.zeros_like(x), np.zeros_like(w)
            for i, j in np.ndindex(ho, wo):
                part = np.tensordot(dy[:, :, i, j], cells(x, i, j), ([0], [0]))
                dw += part / (n * ho * wo)
                dx[:, :, 2 * i : 2 * i + kh, 2 * j : 2 * j + kw] += np.tensordot(
                    dy[:, :, i, j], w, ([1], [0])
                )
            return {"x": dx, "w": dw}

        return y, backward

    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(3, 4, 9, 8)), "w": rng.normal(size=(6, 4, 3, 2))}
    report = gradcheck.check(conv, **arrays, quick=True)
    (cause,) = report.causes
    assert cause.code == "scale" and "= 1 / (N Ho Wo): divided once too often" in cause.message
