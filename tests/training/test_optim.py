"""One table of optimizers against their formulas, one number at a time, and against torch where
it is installed.
"""

import math
import pickle

import numpy as np
import pytest

from autocnn import optim
from autocnn.trees import leaves

STEPS = 7


def scalar_sgd(rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    """A generator that takes gradients and gives parameters, for one number."""
    p, v = yield
    for t in range(STEPS):
        g = (yield p) + weight_decay * p
        v = momentum * v + g
        p -= (rate(t) if callable(rate) else rate) * (g + momentum * v if nesterov else v)
    yield p


def scalar_adam(rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    p, m = yield
    v = 0.0
    for t in range(1, STEPS + 1):
        g = yield p
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        step = m / (1 - beta1**t) / (math.sqrt(v / (1 - beta2**t)) + eps)
        p -= rate * (step + weight_decay * p)
    yield p


CASES = [
    ("sgd", scalar_sgd, dict(rate=0.1)),
    ("sgd", scalar_sgd, dict(rate=0.1, weight_decay=0.3)),
    ("sgd", scalar_sgd, dict(rate=0.05, momentum=0.9)),
    ("sgd", scalar_sgd, dict(rate=0.05, momentum=0.8, nesterov=True, weight_decay=0.1)),
    ("sgd", scalar_sgd, dict(rate=lambda step: 0.1 / (1 + step), momentum=0.5)),
    ("adam", scalar_adam, dict()),
    ("adam", scalar_adam, dict(rate=0.02, beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.2)),
]
cases = pytest.mark.parametrize(
    "name, formula, options", CASES, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(CASES)]
)


def gradient(path, p, t):
    return np.sin(3 * p + t) + 0.1 * p


def descend(opt, params):
    state = opt.init(params)
    for t in range(STEPS):
        grads = [{k: gradient(k, v, t) for k, v in part.items()} for part in params]
        params, state = opt.update(params, grads, state)
    return params, state


@cases
def test_each_number_moves_by_the_formula(name, formula, options):
    start = [{"w": np.array([[0.3, -1.2], [2.0, 0.0]])}, {}, {"b": np.array([0.7])}]
    moved, _ = descend(getattr(optim, name)(**options), start)
    for (path, before), (_, after) in zip(leaves(start), leaves(moved), strict=True):
        for at, p in np.ndenumerate(before):
            numbers = formula(**options)
            next(numbers)
            p = numbers.send((p, 0.0))
            for t in range(STEPS):
                p = numbers.send(gradient(path, p, t))
            assert after[at] == pytest.approx(p, rel=1e-12, abs=1e-15)


@cases
def test_nothing_is_changed_in_place_and_dtype_is_kept(name, formula, options):
    start = [{"w": np.array([0.3, -1.2], "float32")}]
    kept = start[0]["w"].copy()
    opt = getattr(optim, name)(**options)
    first = opt.init(start)
    before = repr(first)
    moved, state = opt.update(start, [{"w": np.ones(2, "float32")}], first)
    assert np.array_equal(start[0]["w"], kept)
    assert repr(first) == before
    assert moved[0]["w"].dtype == np.float32
    assert all(leaf.dtype in (np.float32, np.int64) for _, leaf in leaves(state))
    assert state["step"] == 1


@cases
def test_torch_takes_the_same_steps(name, formula, options):
    torch = pytest.importorskip("torch")
    if callable(options.get("rate")):
        options = {**options, "rate": 0.1}
    p = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64, requires_grad=True)
    words = {"rate": "lr"}
    theirs = {words.get(k, k): v for k, v in options.items() if k not in ("beta1", "beta2")}
    if name == "adam":
        theirs["betas"] = (options.get("beta1", 0.9), options.get("beta2", 0.999))
        theirs["weight_decay"] = options.get("weight_decay", 0.0)
    else:
        theirs.setdefault("momentum", 0.0)
    opt = (torch.optim.SGD if name == "sgd" else torch.optim.AdamW)([p], **theirs)
    for t in range(STEPS):
        p.grad = torch.sin(3 * p.detach() + t) + 0.1 * p.detach()
        opt.step()
    ours, _ = descend(getattr(optim, name)(**options), [{"w": np.array([0.3, -1.2, 2.0])}])
    assert np.allclose(ours[0]["w"], p.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_adam_lets_no_moment_become_subnormal():
    opt = optim.adam(0.1)
    params = [{"w": np.ones(3, "float32")}]
    state = opt.init(params)
    params, state = opt.update(params, [{"w": np.full(3, 1e-15, "float32")}], state)
    for _ in range(2000):
        params, state = opt.update(params, [{"w": np.zeros(3, "float32")}], state)
    for moments in (state["m"], state["v"]):
        w = moments[0]["w"]
        assert np.all((w == 0) | (np.abs(w) >= np.finfo("float32").tiny))


def test_clipping_survives_what_overflows_float32():
    opt = optim.clip_by_global_norm(optim.sgd(0.1), 0.5)
    start = {"a": np.ones(4, "float32")}
    moved, _ = opt.update(start, {"a": np.full(4, 1e30, "float32")}, opt.init(start))
    assert np.allclose(moved["a"], 1 - 0.1 * 0.25)
    assert optim.global_norm({"a": np.array([3e200, 4e200])}) == pytest.approx(5e200)
    with pytest.raises(ValueError, match="cannot be scaled"):
        opt.update(start, {"a": np.full(4, np.inf, "float32")}, opt.init(start))


def test_numpy_numbers_do_not_widen_parameters():
    start, grads = {"a": np.ones(3, "float32")}, {"a": np.ones(3, "float32")}
    x = np.float64
    for opt in (
        optim.sgd(x(0.1), momentum=x(0.9), weight_decay=x(0.1)),
        optim.adam(x(0.1), x(0.9), x(0.99), x(1e-8), x(0.1)),
        optim.clip_by_global_norm(optim.sgd(0.1), x(0.5)),
    ):
        moved, state = opt.update(start, grads, opt.init(start))
        assert moved["a"].dtype == np.float32
        assert all(leaf.dtype in (np.float32, np.int64) for _, leaf in leaves(state))


def test_a_leaf_without_axes_moves():
    for opt in (optim.sgd(0.1, momentum=0.9), optim.adam(0.1)):
        start = {"a": np.array(1.0)}
        params, state = opt.update(start, {"a": np.array(1.0)}, opt.init(start))
        params, _ = opt.update(params, {"a": np.array(1.0)}, state)
        assert params["a"] < 0.9


@pytest.mark.parametrize(
    "make, says",
    [
        (
            lambda: optim.sgd(-0.1),
            "rate must be a finite number, 0 or more, or a function of the step; got -0.1",
        ),
        (lambda: optim.sgd(float("nan")), "rate.*got nan"),
        (lambda: optim.sgd("fast"), "rate.*got 'fast'"),
        (lambda: optim.sgd(None), "rate.*got None"),
        (lambda: optim.sgd([0.1]), "rate.*got"),
        (lambda: optim.sgd(0.1, momentum="0.9"), "momentum.*got '0.9'"),
        (lambda: optim.clip_by_global_norm(optim.sgd(0.1), None), "max_norm.*got None"),
        (lambda: optim.sgd(0.1, momentum=1.0), "momentum.*got 1.0"),
        (lambda: optim.sgd(0.1, nesterov=True), "nesterov needs momentum"),
        (lambda: optim.adam(0.1, beta2=1.5), "beta2"),
        (lambda: optim.adam(0.1, weight_decay=-1), "weight_decay"),
    ],
)
def test_bad_arguments_are_named(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize(
    "old, new, call",
    [
        ("clip", "clip_by_global_norm", lambda f: f(optim.sgd(0.1), 0.5)),
        ("constant", "warmup_constant", lambda f: f(0.1, 2)(0)),
        ("drops", "piecewise_constant", lambda f: f({0: 0.1, 3: 0.01})(3)),
        ("norm", "global_norm", lambda f: f([np.array([3.0, 4.0])])),
    ],
)
def test_old_names_work_and_warn(old, new, call):
    with pytest.warns(DeprecationWarning, match=rf"optim\.{old} is deprecated.*optim\.{new}"):
        function = getattr(optim, old)
    assert function is getattr(optim, new) and call(function) is not None


def test_the_old_argument_of_clip_works_and_warns():
    with pytest.warns(DeprecationWarning, match="max_norm="):
        opt = optim.clip_by_global_norm(optim.sgd(1.0), longest=0.5)
    moved, _ = opt.update([np.zeros(1)], [np.ones(1)], opt.init([np.zeros(1)]))
    assert moved[0] == -0.5


def test_optimizers_can_be_kept_and_show_the_call_that_made_them():
    rate = optim.cosine(0.1, steps=8, warmup=2)
    made = optim.clip_by_global_norm(optim.adam(rate, weight_decay=0.1), 1.0)
    kept = pickle.loads(pickle.dumps(made))
    text = "clip_by_global_norm(adam(cosine(0.1, 8, warmup=2), weight_decay=0.1), 1)"
    assert repr(kept) == repr(made) == text
    params, grads = {"w": np.arange(3.0)}, {"w": np.ones(3)}
    one, two = (o.update(params, grads, o.init(params))[0]["w"] for o in (made, kept))
    assert np.array_equal(one, two) and not np.array_equal(one, params["w"])
    assert repr(optim.sgd(0.12)) == "sgd(0.12)"
    assert (
        repr(optim.piecewise_constant({0: 0.1, 5: 0.01})) == "piecewise_constant({0: 0.1, 5: 0.01})"
    )
