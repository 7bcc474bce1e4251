"""The checker's exact rules: what a backward pass may not do, and what it may; and bad input."""

import numpy as np
import pytest

from autocnn import gradcheck

X = {"x": np.random.default_rng(0).standard_normal((4, 3))}


def codes(report):
    return {c.code for c in report.causes}


def test_a_right_gradient_passes_without_a_word():
    report = gradcheck.check(
        lambda x: (np.tanh(x), lambda dy: {"x": dy * (1 - np.tanh(x) ** 2)}), **X
    )
    assert report.ok and not report.causes and not report.notes
    assert report.leaves["x"].verdict == "agree" and report.leaves["x"].digits > 14


@pytest.mark.parametrize(
    ("code", "gradient"),
    [
        ("missing", lambda x, dy: {}),
        ("missing", lambda x, dy: {"x": None}),
        ("missing", lambda x, dy: ()),
        ("shape", lambda x, dy: {"x": 2 * dy.T}),
        ("shape", lambda x, dy: 2 * dy.sum(axis=0)),
        ("shape", lambda x, dy: 1.0),
        ("dtype", lambda x, dy: {"x": (2 * dy).astype(np.float32)}),
        ("dtype", lambda x, dy: {"x": (2 * dy).astype(int)}),
        ("dtype", lambda x, dy: {"x": (2 * dy).astype(object)}),
        ("nonfinite", lambda x, dy: {"x": 2 * dy / (np.arange(12).reshape(4, 3) != 5)}),
        ("aliased", lambda x, dy: {"x": x}),
    ],
)
def test_returned_arrays(code, gradient):
    report = gradcheck.check(lambda x: (2 * x, lambda dy: gradient(x, dy)), **X)
    assert not report.ok and code in codes(report), str(report)


def test_the_hint_for_a_wrong_shape():
    arrays = {"x": X["x"], "w": np.random.default_rng(1).standard_normal((3, 2))}
    report = gradcheck.check(
        lambda x, w: (x @ w, lambda dy: {"x": dy @ w.T, "w": dy.T @ x}), **arrays
    )
    assert "right once transposed" in report.causes[0].message
    report = gradcheck.check(lambda b: (b + np.zeros((4, 3)), lambda dy: {"b": dy}), b=np.ones(3))
    assert "summed over axis 0" in report.causes[0].message


def test_random_numbers_drawn_again_in_backward():
    rng = np.random.default_rng(0)
    mask = rng.random((4, 3)) < 0.5
    report = gradcheck.check(
        lambda x: (x * mask, lambda dy: {"x": dy * (rng.random(x.shape) < 0.5)}), **X
    )
    assert codes(report) == {"nondeterministic"}


def test_a_mask_drawn_in_forward_is_rewound():
    rng = np.random.default_rng(0)

    def dropout(x):
        mask = (rng.random(x.shape) < 0.5) / 0.5
        return x * mask, lambda dy: {"x": dy * mask}

    assert gradcheck.check(dropout, **X).ok
    assert gradcheck.check(
        lambda x, g: (x * (m := g.random(x.shape)), lambda dy: {"x": dy * m}), **X, g=rng
    ).ok


def test_the_callers_random_stream_is_left_alone():
    np.random.seed(3)  # noqa: NPY002
    first = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    report = gradcheck.check(lambda x: (x * np.random.random(), lambda dy: {"x": dy}), **X)  # noqa: NPY002
    assert not report.ok
    assert np.random.random() == first  # noqa: NPY002


def test_a_forward_that_remembers():
    count = []

    def forward(x):
        count.append(1)
        return x * len(count), lambda dy: {"x": dy}

    assert codes(gradcheck.check(forward, **X)) == {"nondeterministic"}


def test_accumulation():
    total = np.zeros((4, 3))

    def forward(x):
        def backward(dy):
            total[...] += 2 * dy
            return {"x": total.copy()}

        return 2 * x, backward

    assert "accumulates" in codes(gradcheck.check(forward, **X))


def writes_input(x):
    y = np.maximum(x, 0)

    def backward(dy):
        x[x < 0] = 7.0
        return {"x": dy * (y > 0)}

    return y, backward


def writes_dy(x):
    y = np.maximum(x, 0)

    def backward(dy):
        dy[y == 0] = 0
        return {"x": dy.copy()}

    return y, backward


def writes_cache(x):
    y = np.tanh(x)
    kept = y.copy()

    def backward(dy):
        kept[...] *= kept
        return {"x": dy * (1 - kept)}

    return y, backward


@pytest.mark.parametrize("f", [writes_input, writes_dy, writes_cache])
def test_mutation(f):
    report = gradcheck.check(f, **X)
    assert codes(report) == {"mutates-input"}, str(report)


def test_the_writing_line_is_quoted():
    assert "x[x < 0] = 7.0" in str(gradcheck.check(writes_input, **X).causes[0].message)
    assert "dy[y == 0] = 0" in str(gradcheck.check(writes_dy, **X).causes[0].message)


def test_two_gradients_in_one_array():
    arrays = {"a": X["x"], "b": 2 * X["x"]}
    assert codes(
        gradcheck.check(lambda a, b: (a + b, lambda dy: {"a": dy, "b": dy}), **arrays)
    ) == {"aliased"}
    assert gradcheck.check(
        lambda a, b: (a + b, lambda dy: {"a": dy.copy(), "b": dy.copy()}), **arrays
    ).ok


def test_a_view_of_dy_is_no_fault():
    assert gradcheck.check(lambda x: (x.reshape(-1), lambda dy: {"x": dy.reshape(4, 3)}), **X).ok


def test_not_linear_in_dy():
    assert codes(gradcheck.check(lambda x: (x.sum(), lambda dy: {"x": np.ones_like(x)}), **X)) == {
        "not-linear"
    }
    report = gradcheck.check(lambda x: (x * 3, lambda dy: {"x": 3 * dy + 0.1 * x}), **X)
    assert report.causes[0].code == "additive" and abs(report.causes[0].factor - 0.1) < 1e-9


def test_a_probe_that_cannot_fail_is_noted():
    def centred_sum(x):
        return (x - x.mean(axis=0)).sum(), lambda dy: {"x": 0 * x * dy}

    report = gradcheck.check(centred_sum, **X)
    assert report.ok
    assert any("vanish" in n or "rounding" in n for n in report.leaves["x"].notes)


# ---- what a gradient may look like


def test_forms_of_gradients():
    arrays = {"x": X["x"], "w": np.random.default_rng(1).standard_normal((3, 2))}
    forms = [
        lambda dx, dw: {"x": dx, "w": dw},
        lambda dx, dw: {"dx": dx, "dw": dw},
        lambda dx, dw: {"grad_x": dx, "w_grad": dw},
        lambda dx, dw: (dx, dw),
        lambda dx, dw: [dx, dw],
        lambda dx, dw: (dx, dw, None),
    ]
    for form in forms:
        assert gradcheck.check(
            lambda x, w, form=form: (x @ w, lambda dy: form(dy @ w.T, x.T @ dy)), **arrays
        ).ok


def test_scalars_tuples_labels_and_numbers():
    x, labels = X["x"], np.array([0, 2, 1, 1])
    rows = np.arange(4)

    def picked(x, labels, rate):
        def backward(dy):
            g = np.zeros_like(x)
            g[rows, labels] = rate * dy
            return g

        return rate * x[rows, labels].sum(), backward

    assert list(gradcheck.check(picked, x=x, labels=labels, rate=0.3).leaves) == ["x"]
    assert gradcheck.check(
        lambda x: (float((x * x).sum()), {"x": 2 * x}), x=x
    ).ok  # (loss, gradients)
    assert gradcheck.check(
        lambda x: ((x.sum(), 3 * x), lambda dy: {"x": dy[0] + 3 * dy[1]}), x=x
    ).ok
    assert gradcheck.check(
        lambda x: ({"a": x, "b": x * x}, lambda dy: dy["a"] + 2 * x * dy["b"]), x=x
    ).ok
    assert gradcheck.check(lambda t: (np.sin(t), lambda dy: dy * np.cos(t)), t=np.array(0.3)).ok
    assert gradcheck.check(lambda t: (np.sin(t), lambda dy: dy * np.cos(t)), t=np.float64(0.3)).ok


# ---- bad input: one clear ValueError


def twice(results):
    calls = iter(results)
    return lambda x: (next(calls), lambda dy: {"x": x})


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: 1 / 0, "raised ZeroDivisionError"),
        (lambda x: (x.argmax(axis=1), lambda dy: {"x": x}), "int64"),
        (lambda x: (x.astype(object), lambda dy: {"x": x}), "object"),
        (lambda x: (None, lambda dy: {"x": x}), "None"),
        (lambda x: ("y", lambda dy: {"x": x}), "str"),
        (lambda x: 2 * x, "must return (y, backward)"),
        (lambda x: (x, x, x), "a tuple of 3"),
        (lambda x: (x, {"x": x}), "backward(dy)"),
        (twice([np.ones(3), np.ones(4)]), "(3,) at the first call and (4,) at a later one"),
        (lambda x: (x, lambda dy: (dy, dy, dy)), "3 gradients for 1"),
        (lambda x: (x, lambda dy: {"x": dy, "z": dy}), "gradients for z"),
    ],
)
def test_bad_functions(f, words):
    with pytest.raises(ValueError, match=r".") as caught:
        gradcheck.check(f, **X)
    assert words in str(caught.value)
    assert isinstance(caught.value, gradcheck.CallError)


def test_a_backward_that_raises_is_reported_with_its_line():
    def f(x):
        def backward(dy):
            return dy @ np.ones(9)

        return x, backward

    (cause,) = gradcheck.check(f, **X).causes
    assert cause.code == "raises" and "ValueError" in cause.message
    assert "test_gradcheck_hygiene.py: return dy @ np.ones(9)" in cause.message


def linear(x, w):
    return x @ w, lambda dy: {"x": dy @ w.T, "w": x.T @ dy}


@pytest.mark.parametrize("calls", [2, 7, 12, 30])
def test_an_output_that_changes_its_shape_later_is_told(calls):
    left = iter([True] * calls)

    def f(x):
        return x * 1.0 if next(left, False) else x[:1] * 1.0, lambda dy: {"x": np.ones_like(x)}

    with pytest.raises(
        gradcheck.CallError, match=r"returned shape \(4, 3\) at the first call and \(1, 3\) at "
    ):
        gradcheck.check(f, x=np.arange(12.0).reshape(4, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda x: gradcheck.check(lambda x: (np.fft.fft(x), lambda dy: {"x": dy}), x=x),
            "complex numbers for real arguments",
        ),
        (lambda x: gradcheck.check(linear, x=x, W=x.T), r"linear takes \(x, w\), got x, W"),
        (lambda x: gradcheck.check(linear, x=x), r"linear takes \(x, w\), got x"),
        (lambda x: gradcheck.check(3, x=x), "expected a function .* got int '3'"),
        (
            lambda x: gradcheck.check(linear(x, x.T), x=x),
            "pass the function itself, not what it returned",
        ),
        (
            lambda x: gradcheck.check_pair(linear, None, x=x),
            r"expected a function backward\(dy, cache\)",
        ),
        (lambda x: gradcheck.check_vjp(linear, 0, x), r"expected a function vjp\(dy, \*args\)"),
        (lambda x: gradcheck.check_object(dict, x), r"dict is a class: pass an object of it"),
        (
            lambda x: gradcheck.check(linear, x=x.tolist(), w=x.T),
            r"x is a list: pass x=np.array\(x\)",
        ),
        (
            lambda x: gradcheck.check(lambda x: (x, lambda dy: dy), x=x.tolist()),
            r"got x: list; pass x=np.array\(x, dtype",
        ),
        (
            lambda x: gradcheck.check(lambda x: (x, lambda dy: dy), x=2),
            r"got x: int; pass x=np.array\(x, dtype=float\)",
        ),
        (lambda x: gradcheck.check(lambda x: (x, lambda dy: dy), x=1j * x), "two float arrays"),
    ],
)
def test_bad_calls(call, words):
    with pytest.raises(ValueError, match=words):
        call(np.arange(12.0).reshape(4, 3))


def test_a_python_float_whose_gradient_is_returned_gets_a_note():
    report = gradcheck.check(
        lambda x, a: (x * a, lambda dy: {"x": dy * a, "a": (dy * x).sum()}), x=np.ones(3), a=2.0
    )
    assert report.ok
    assert "a=np.array(a)" in str(report).replace("\n" + " " * 19, " ")


def test_the_users_exception_is_chained():
    def broken(x):
        raise KeyError("weights")

    with pytest.raises(ValueError, match=r"forward \(first call\) raised KeyError") as caught:
        gradcheck.check(broken, **X)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    "arrays",
    [{}, {"x": np.arange(3)}, {"x": 0.5}, {"x": np.zeros((0, 2))}, {"x": np.array([1.0, np.nan])}],
)
def test_bad_arrays(arrays):
    with pytest.raises(ValueError, match=r"nothing to differentiate|empty|inf or nan"):
        gradcheck.check(lambda **k: (k["x"], lambda dy: dy), **arrays)
