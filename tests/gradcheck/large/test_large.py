"""Arguments with many entries: right functions pass, wrong ones are caught and named, and the
report says what was looked at where."""

import numpy as np
import pytest

from autocnn import gradcheck

N = 270_000


def _x(n: int = N) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(n)


def tanh(x):
    y = np.tanh(x)
    return y, lambda dy: {"x": dy * (1 - y * y)}


def relu(x):
    return np.maximum(x, 0), lambda dy: {"x": dy * (x > 0)}


def log(x):
    return np.log(x), lambda dy: {"x": dy / x}


def clip(x):
    return np.clip(x, -1, 1), lambda dy: {"x": dy * ((x > -1) & (x < 1))}


def dense(x, W, b):
    return x @ W + b, lambda dy: {"x": dy @ W.T, "W": x.T @ dy, "b": dy.sum(0)}


def gather(table, idx):
    def backward(dy):
        g = np.zeros_like(table)
        np.add.at(g, idx, dy)
        return {"table": g}

    return table[idx], backward


def cross_entropy(logits, labels):
    z = logits - logits.max(1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    rows = np.arange(len(labels))

    def backward(dy):
        g = p.copy()
        g[rows, labels] -= 1
        return {"logits": dy * g / len(labels)}

    return -np.log(p[rows, labels]).mean(), backward


def layer_norm(x, gamma, beta, through_variance=True):
    mean, rstd = x.mean(1, keepdims=True), 1 / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    h = (x - mean) * rstd

    def backward(dy):
        d = dy * gamma
        route = h * (d * h).mean(1, keepdims=True) if through_variance else 0
        dx = (d - d.mean(1, keepdims=True) - route) * rstd
        return {"x": dx, "gamma": (dy * h).sum(0), "beta": dy.sum(0)}

    return h * gamma + beta, backward


def shifted_norm(x, b):
    z = x + b
    s = z.std(0)
    h = (z - z.mean(0)) / s

    def backward(dy):
        g = (dy - dy.mean(0) - h * (dy * h).mean(0)) / s
        return {"x": g, "b": g.sum(0)}

    return h, backward


def _norm_arguments():
    rng = np.random.default_rng(2)
    return {"x": _x().reshape(900, 300), "gamma": rng.random(300), "beta": rng.random(300)}


def _dense_arguments():
    rng = np.random.default_rng(3)
    return {
        "x": rng.standard_normal((4, 600)),
        "W": rng.standard_normal((600, 500)),
        "b": np.zeros(500),
    }


RIGHT = {
    "elementwise": (tanh, {"x": _x()}),
    "a kink": (relu, {"x": _x()}),
    "ties in half of the entries": (relu, {"x": np.maximum(_x(), 0)}),
    "single precision": (tanh, {"x": _x().astype("float32")}),
    "an open domain": (log, {"x": np.random.default_rng(4).random(N)}),
    "kinks on the way": (clip, {"x": _x()}),
    "dense": (dense, _dense_arguments()),
    "rows of a table": (
        gather,
        {"table": _x().reshape(-1, 30), "idx": np.random.default_rng(5).integers(0, 9000, 99)},
    ),
    "labels": (
        cross_entropy,
        {"logits": _x().reshape(-1, 90), "labels": np.random.default_rng(6).integers(0, 90, 3000)},
    ),
    "layer norm": (layer_norm, _norm_arguments()),
}


@pytest.mark.parametrize("case", RIGHT)
def test_right_functions_pass(case):
    f, arguments = RIGHT[case]
    report = gradcheck.check(f, **arguments)
    assert report.ok, report
    assert all(leaf.verdict == "agree" for leaf in report.leaves.values())
    assert set(report.leaves) == {n for n, a in arguments.items() if a.dtype.kind == "f"}
    for leaf in report.leaves.values():
        assert "real differences at full size" in leaf.witnesses
        assert leaf.shape == arguments[leaf.name].shape


def test_report_says_what_was_compared_where():
    text = gradcheck.check(tanh, x=_x()).text(200)
    assert "x: compared at full size along 3 directions" in text
    assert "layouts, linearity and ties were looked at on a smaller copy: x (31,)" in text


def test_gradient_that_vanishes_is_left_open():
    report = gradcheck.check(shifted_norm, x=_x().reshape(3000, 90), b=np.ones(90))
    assert report.ok, report
    assert report.leaves["x"].verdict == "agree"
    assert report.leaves["b"].verdict == "unresolved"


def test_pairs_and_objects():
    def forward(x, w):
        return x @ w, (x, w)

    def backward(dy, cache):
        x, w = cache
        return dy @ w.T, x.T @ dy

    class Layer:
        def __init__(self):
            self.W = _x(300_000).reshape(600, 500)

        def forward(self, x):
            self.x = x
            return x @ self.W

        def backward(self, dy):
            self.dW = self.x.T @ dy / 2
            return dy @ self.W.T

    x = _x(2400).reshape(4, 600)
    assert gradcheck.check_pair(forward, backward, x=x, w=_x(300_000).reshape(600, 500)).ok
    report = gradcheck.check_object(Layer(), x)
    assert [n for n, leaf in report.leaves.items() if leaf.verdict == "wrong"] == ["W"]
    assert report.causes[0].code == "scale"


# ---- wrong functions


def test_wrong_slope_is_named():
    def wrong(x):
        y = np.tanh(x)
        return y, lambda dy: {"x": dy * (1 - y)}

    report = gradcheck.check(wrong, x=_x(), quick=True)
    assert report.leaves["x"].verdict == "wrong"
    assert report.errors[0].code == "wrong-operand"


def test_wrong_leaf_of_several_is_named():
    def wrong(x, gamma, beta):
        return layer_norm(x, gamma, beta, through_variance=False)

    report = gradcheck.check(wrong, **_norm_arguments(), quick=True)
    verdicts = {n: leaf.verdict for n, leaf in report.leaves.items()}
    assert verdicts == {"x": "wrong", "gamma": "agree", "beta": "agree"}


def test_assigned_rows_of_a_table_are_named():
    def wrong(table, idx):
        def backward(dy):
            g = np.zeros_like(table)
            g[idx] += dy  # where an index is repeated, one contribution is kept
            return {"table": g}

        return table[idx], backward

    report = gradcheck.check(wrong, **RIGHT["rows of a table"][1], quick=True)
    assert [c.code for c in report.errors] == ["overwritten"]


def test_one_wrong_entry_is_caught():
    def wrong(x):
        def backward(dy):
            g = dy * np.cos(x)
            g[123_456] *= 1.1
            return {"x": g}

        return np.sin(x), backward

    report = gradcheck.check(wrong, x=_x(), quick=True)
    assert not report.ok


def test_remainder_that_is_wrong_at_full_size_alone_is_located():
    def wrong(x):
        def backward(dy):
            g = 2 * dy * x
            g[262_144:] = 0  # the last, incomplete tile
            return {"x": g}

        return x * x, backward

    report = gradcheck.check(wrong, x=_x(), quick=True)
    (cause,) = report.errors
    assert "at full size alone" in cause.message
    assert "between x[262144] and x[269999]" in cause.message


def test_zero_of_the_copy_is_not_claimed_at_full_size():
    def wrong(x):
        def backward(dy):
            g = np.zeros_like(x)
            whole = len(x) // 4096 * 4096
            g[:whole] = 2 * dy[:whole] * x[:whole]
            return {"x": g}

        return x * x, backward

    report = gradcheck.check(wrong, x=_x())
    assert [c.code for c in report.errors] == ["unclassified"]
    assert "x[269999]" in report.errors[0].message
    assert report.place is None and report.fix is None


def test_right_at_its_own_size_alone_is_a_warning():
    def mean(x):
        return x.mean(), lambda dy: {"x": np.full(x.shape, dy / N)}

    report = gradcheck.check(mean, x=_x(), quick=True)
    assert report.ok and report.leaves["x"].verdict == "agree"
    assert "right at the given size" in report.warnings[0].message


def test_writing_into_an_argument_is_reported_once_and_spares_the_caller():
    def forward_writes(x):
        x *= 2
        return x, lambda dy: {"x": 2 * dy}

    def backward_writes(x):
        def backward(dy):
            x[...] = 0
            return {"x": dy}

        return x + 1, backward

    x = _x()
    before = x.copy()
    for f in (forward_writes, backward_writes):
        report = gradcheck.check(f, x=x, quick=True)
        assert [c.code for c in report.errors] == ["mutates-input"]
        assert np.array_equal(x, before)


def test_code_that_refuses_read_only_arrays_is_checked_on_copies():
    def picky(x):
        if not x.flags.writeable:
            raise TypeError("need a writeable array")
        return tanh(x)

    assert gradcheck.check(picky, x=_x()).ok


def test_shapes_and_inf_are_said_at_full_size():
    def reduced(x, W, b):
        y, back = dense(x, W, b)
        return y, lambda dy: {**back(dy), "b": dy.sum()}

    def infinite(x):
        return x * x, lambda dy: {"x": np.where(np.arange(len(x)) == 200_000, np.inf, 2 * dy * x)}

    report = gradcheck.check(reduced, **_dense_arguments(), quick=True)
    (cause,) = report.errors
    assert (cause.code, cause.leaf) == ("shape", "b") and "(500,)" in cause.message
    report = gradcheck.check(infinite, x=_x(), quick=True)
    (cause,) = report.errors
    assert cause.code == "nonfinite" and "x[200000]" in cause.message


def test_function_of_one_size_is_compared_at_full_size_alone():
    mask = np.random.default_rng(7).random(N) < 0.5

    def masked(x):
        return x * mask, lambda dy: {"x": dy * mask}

    report = gradcheck.check(masked, x=_x())
    assert report.ok
    assert any("no smaller copy" in note for note in report.notes)


def test_random_numbers_are_the_same_in_every_call():
    rng = np.random.default_rng(8)

    def dropout(x):
        mask = rng.random(x.shape) < 0.5
        return 2 * x * mask, lambda dy: {"x": 2 * dy * mask}

    def redrawn(x):
        mask = rng.random(x.shape) < 0.5
        return 2 * x * mask, lambda dy: {"x": 2 * dy * (rng.random(x.shape) < 0.5)}

    assert gradcheck.check(dropout, x=_x()).ok
    assert not gradcheck.check(redrawn, x=_x(), quick=True).ok


def test_forward_that_differs_between_calls_is_said():
    calls = iter(range(1000))

    def drifting(x):
        scale = 1 + next(calls)
        return scale * x, lambda dy: {"x": scale * dy}

    report = gradcheck.check(drifting, x=_x(), quick=True)
    assert "nondeterministic" in [c.code for c in report.errors]
