"""Checked code that leaves, hangs, changes the process, or computes at the edge of float64."""

import copy
import os
import random
import sys
import threading
import time
import warnings

import numpy as np
import pytest

import reference
from autocnn import gradcheck

rng = np.random.default_rng(0)
X = rng.standard_normal((3, 4))


def double(forward=lambda: None, backward=lambda: None):
    """x -> 2 x, with calls in both passes."""

    def f(x):
        forward()

        def back(dy):
            backward()
            return 2 * dy

        return 2 * x, back

    return f


def leave(how):
    if how == "exit":
        sys.exit(0)
    elif how == "quit":
        raise SystemExit
    elif how == "_exit":
        os._exit(0)
    elif how == "exec":
        os.execv("/bin/true", ["true"])
    elif how == "interrupt":
        raise KeyboardInterrupt
    raise GeneratorExit


WAYS = ["exit", "quit", "_exit", "exec", "interrupt", "generator"]


@pytest.mark.parametrize("how", WAYS)
def test_leaving_is_reported(how):
    real = os._exit, os.execv
    with pytest.raises(gradcheck.CallError, match=r"forward \(first call\) (called|raised)"):
        gradcheck.check(double(lambda: leave(how)), x=X)
    report = gradcheck.check(double(backward=lambda: leave(how)), x=X)
    assert not report.ok and report.causes[0].code == "raises"
    assert (os._exit, os.execv) == real


class Leaving:
    def __init__(self, forward=lambda: None, backward=lambda: None):
        self.call = double(forward, backward)

    def forward(self, x):
        y, self.back = self.call(x)
        return y

    def backward(self, dy):
        return self.back(dy)


@pytest.mark.parametrize("how", WAYS[:5])
def test_objects_and_pairs_that_leave(how):
    with pytest.raises(ValueError):
        gradcheck.check_object(Leaving(lambda: leave(how)), X)
    with pytest.raises(ValueError):
        gradcheck.check_pair(lambda x: leave(how), lambda dy, cache: dy, x=X)
    with pytest.raises(ValueError):
        gradcheck.check_vjp(lambda x: leave(how), lambda dy, x: dy, X)


def spin():
    while True:
        pass


@pytest.mark.parametrize("wait", [lambda: time.sleep(60), spin])
def test_timeout_names_the_call(wait):
    with pytest.raises(gradcheck.CheckTimeout, match=r"forward .* after 0\.3 s"):
        gradcheck.check(double(wait), x=X, timeout=0.3)
    with pytest.raises(TimeoutError, match="backward"):
        gradcheck.check_pair(
            lambda x: (x, None), lambda dy, cache: (wait(), dy)[1], x=X, timeout=0.3
        )
    with pytest.raises(ValueError, match="timeout"):
        gradcheck.check_object(Leaving(wait), X, timeout=0.3)
    assert gradcheck.check(double(), x=X, timeout=60).ok


def _hanging(part: str):
    """A layer of the vocabulary that never returns from one of its parts."""

    def hang(*arguments, **options):
        spin()

    layer = copy.copy(reference.tanh())
    object.__setattr__(layer, part, hang)
    return layer


@pytest.mark.parametrize("part", ["init", "vjp"])
@pytest.mark.parametrize("check", [gradcheck.check_layer, gradcheck.check_model])
def test_timeout_of_layers_and_models_names_the_call(check, part):
    words = {"init": r"init with shape \(4,\)", "vjp": r"forward.* with x \(3, 4\)"}[part]
    with pytest.raises(gradcheck.CheckTimeout, match=rf"tanh.*: {words} was still running"):
        check(_hanging(part), (4,), timeout=0.3)


def test_timeout_of_tapes_and_of_stress_names_the_call():
    class Node:
        def __init__(self, data):
            self.data, self.grad = data, None

        def backward(self):
            spin()

    with pytest.raises(gradcheck.CheckTimeout, match=r"backward.* with x \(.*larger timeout="):
        gradcheck.check_tape(lambda x: x, Node, x=X, timeout=0.3)

    def f(x, stride):
        return x, lambda dy: spin()

    def g(x, stride):
        spin()

    with pytest.raises(gradcheck.CheckTimeout, match="f: backward"):
        gradcheck.stress(f, stride=[1], x=("N",), timeout=0.3)
    with pytest.raises(gradcheck.CheckTimeout, match=r"g: forward at .*stride=1.* with x \("):
        gradcheck.stress(g, stride=[1], x=("N",), timeout=0.3)


def test_timeout_outside_the_main_thread_and_past_except():
    def swallow():
        while True:
            try:
                spin()
            except Exception:
                continue

    seen = []

    def run():
        try:
            gradcheck.check(double(swallow), x=X, timeout=0.3)
        except gradcheck.CheckTimeout as error:
            seen.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert len(seen) == 1 and "forward" in seen[0]


@pytest.mark.parametrize("timeout", [0, -1, np.inf, np.nan, "5"])
def test_bad_timeouts(timeout):
    with pytest.raises(ValueError, match="positive number of seconds"):
        gradcheck.check(double(), x=X, timeout=timeout)


def state():
    return (
        os.getcwd(), dict(os.environ), sys.path[:], sys.stdout, sys.getrecursionlimit(),
        warnings.filters[:], np.geterr(), np.get_printoptions(), random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
    )  # fmt: skip


def spoil():
    os.chdir("/")
    os.environ["AUTOCNN_TEST"] = "1"
    os.environ.pop("HOME", None)
    sys.path.append("/nowhere")
    sys.setrecursionlimit(5000)
    warnings.simplefilter("ignore")
    np.seterr(all="raise")
    np.set_printoptions(precision=2)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)


@pytest.mark.parametrize("ending", ["right", "raises", "timeout"])
def test_the_process_is_as_before(ending):
    def forward():
        spoil()
        if ending == "raises":
            raise ValueError("no")
        if ending == "timeout":
            spin()

    before = state()
    if ending == "right":
        assert gradcheck.check(double(forward, spoil), x=X).ok
    else:
        with pytest.raises(gradcheck.CallError):
            gradcheck.check(double(forward), x=X, timeout=0.3 if ending == "timeout" else None)
    assert state() == before


def square(x):
    return x * x, lambda dy: 2 * x * dy


def cube(x):
    return x**3, lambda dy: 3 * x**2 * dy


def linear(x):
    return np.tanh(x), lambda dy: (1 - np.tanh(x) ** 2) * dy


@pytest.mark.parametrize("size", [1e-155, 1e-160, 1e-200, 1e-300, 1e-308, 1e-320])
@pytest.mark.parametrize("f", [square, cube, linear])
def test_tiny_values(f, size):
    report = gradcheck.check(f, x=X * size)
    assert report.ok, report
    assert any("underflow" in note for note in report.notes)

    def wrong(x):
        y, back = f(x)
        return y, lambda dy: 1.5 * back(dy)

    assert gradcheck.check(wrong, x=X * size).causes[0].code == "scale"


def test_tiny_float32():
    for size in (1e-25, 1e-42):
        assert gradcheck.check(square, x=(X * size).astype(np.float32)).ok


class Held(np.ndarray):
    pass


@pytest.mark.parametrize(
    "make, name",
    [
        (np.matrix, "np.matrix"),
        (lambda x: np.ma.masked_array(x, x > 0), "np.MaskedArray"),
        (lambda x: x.view(Held), "Held"),
    ],
)
def test_subclasses_are_refused(make, name):
    def like(x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            return make(x)

    x = like(X)
    for call in (
        lambda: gradcheck.check(square, x=x),
        lambda: gradcheck.check_pair(lambda x: (x, None), lambda dy, c: dy, x=x),
        lambda: gradcheck.check_object(Leaving(), x),
    ):
        with pytest.raises(ValueError, match=f"x is a .*{name}.*pass x=") as caught:
            call()
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(gradcheck.CallError, match=f"forward returned a .*{name}"):
        gradcheck.check(lambda x: (like(2 * x), lambda dy: 2 * dy), x=X)


def test_a_masked_gradient_is_wrong():
    def f(x):
        return 2 * x, lambda dy: np.ma.masked_array(2 * dy, x > 0)

    report = gradcheck.check(f, x=X)
    assert not report.ok and "masked" in report.causes[0].message


def test_memory_maps_are_plain(tmp_path):
    x = np.memmap(tmp_path / "x", np.float64, "w+", shape=(3, 4))
    x[:] = X
    assert gradcheck.check(square, x=x).ok


@pytest.mark.parametrize("cut", [lambda g: g[:2], lambda g: g[0], lambda g: g.reshape(4, 3)])
def test_a_gradient_of_varying_shape_is_reported(cut):
    def by_dy(x, w):
        return x * x + w, lambda dy: (2 * x * dy if np.any(dy) else cut(dy), dy.copy())

    def by_value(x, w):
        at_start = np.array_equal(x, X)
        return x * x + w, lambda dy: (2 * x * dy if at_start else cut(dy), 3 * dy)

    report = gradcheck.check(by_dy, x=X, w=X + 1)
    assert report.leaves["w"].verdict == "agree"
    assert report.leaves["x"].verdict == "wrong"
    assert [(c.code, c.leaf) for c in report.causes] == [("shape", "x")]
    assert "at a later one" in report.causes[0].message
    assert not gradcheck.check(by_value, x=X, w=X + 1).ok


PLUGIN = """
import numpy as np
x = np.ones((2, 3))
def wrong(x):
    return x * x, lambda dy: 3 * x * dy
def test_call(gradcheck):
    gradcheck(wrong, x=x)
def test_check(gradcheck):
    gradcheck.check(wrong, x=x)
def test_pair(gradcheck):
    gradcheck.check_pair(lambda x: (x, None), lambda dy, c: 2 * dy, x=x)
def test_right(gradcheck):
    assert gradcheck.check(lambda x: (x * 1, lambda dy: dy * 1), x=x).ok
def test_module():
    from autocnn import gradcheck
    gradcheck.check(wrong, x=x).raise_if_wrong()
"""


def test_pytest_fixture_and_its_summary(tmp_path):
    import subprocess

    file = tmp_path / "test_it.py"
    file.write_text(PLUGIN)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(lines) == 4 and "4 failed, 1 passed" in done.stdout
    assert all("WRONG" in line for line in lines), lines
