"""Gradient checkers side by side: false alarms, blindness, bugs caught and named, time. Prints a
Markdown table.

    python -m benchmarks.gradcheck.checkers [--seeds 5] [--quick]

Each checker is a function `passes(f, arrays) -> bool` over the same plain functions `f(**arrays) ->
(y, backward)`, those of tests/bugs, with the defaults that its documentation gives. An exception
from a checker counts as "not passed": it is how most of them say no. float64, except in one row:
only this project's checker is made for float32 too.
"""

import argparse
import os
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from autocnn import gradcheck
from tests.bugs import catalogue
from tests.bugs.conditions import CONDITIONS, under
from tests.bugs.other_twins import OTHER_TWINS
from tests.bugs.twins import TWINS, conv, mlp

# check_grad returns a norm and leaves the verdict to its user; relative to the gradient's norm
SCIPY_BOUND = 1e-5


def split(arrays):
    """The names of the float arrays, and the other arguments."""
    names = [name for name, a in arrays.items() if a.dtype.kind == "f"]
    return names, {name: a for name, a in arrays.items() if name not in names}


# Left out: a new mask at each forward call (only one checker rewinds the random stream) and a tuple
# of outputs.
LAYERS = [t for t in TWINS + OTHER_TWINS if t.name not in ("dropout_unseeded", "two_outputs")]


def copied(arrays):
    return {name: a.copy() for name, a in arrays.items()}


# ---- the checkers
# ------------------------------------------------------------------------------------------


def autocnn_check(f, arrays):
    return gradcheck.check(f, **arrays).ok


def autograd_check(f, arrays):
    """autograd.test_util.check_grads, reverse mode, first order: one random direction, 1e-6
    absolute or relative.
    """
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    names, fixed = split(arrays)

    @primitive
    def op(*leaves):
        return f(**dict(zip(names, leaves, strict=True)), **fixed)[0]

    def vjp_of(k):
        def vjp(_, *leaves):
            backward = f(**dict(zip(names, leaves, strict=True)), **fixed)[1]
            return lambda dy: backward(np.array(dy))[names[k]]

        return vjp

    defvjp(op, *map(vjp_of, range(len(names))))
    np.random.seed(0)  # noqa: NPY002 - autograd draws its direction from the global stream
    every = tuple(range(len(names)))  # the default is the first argument alone
    check_grads(op, every, modes=["rev"], order=1)(*(arrays[name].copy() for name in names))
    return True


def scipy_check(f, arrays):
    """scipy.optimize.check_grad on <dy, y>, forward differences entry by entry."""
    from scipy.optimize import check_grad

    names, fixed = split(arrays)
    sizes = np.cumsum([arrays[name].size for name in names])[:-1]
    dy = np.array(np.random.default_rng(1).standard_normal(np.shape(f(**copied(arrays))[0])))

    def unpack(flat):
        parts = np.split(flat, sizes)
        return {
            name: p.reshape(arrays[name].shape).copy() for name, p in zip(names, parts, strict=True)
        } | fixed

    def gradient(flat):
        gradients = f(**unpack(flat))[1](dy.copy())
        return np.concatenate([np.reshape(gradients[name], -1) for name in names])

    x0 = np.concatenate([arrays[name].ravel() for name in names])
    error = check_grad(lambda flat: np.sum(dy * f(**unpack(flat))[0]), gradient, x0)
    return error <= SCIPY_BOUND * np.linalg.norm(gradient(x0))


def torch_check(fast):
    """torch.autograd.gradcheck with its defaults (eps 1e-6, atol 1e-5, rtol 1e-3), slow or fast
    mode.
    """

    def check(f, arrays):
        import torch

        names, fixed = split(arrays)

        class Wrapped(torch.autograd.Function):
            @staticmethod
            def forward(ctx, *leaves):
                values = {
                    name: leaf.detach().numpy().copy()
                    for name, leaf in zip(names, leaves, strict=True)
                }
                y, ctx.back = f(**values, **fixed)
                return torch.from_numpy(np.array(y))

            @staticmethod
            def backward(ctx, dy):
                gradients = ctx.back(dy.numpy().copy())
                return tuple(torch.from_numpy(np.array(gradients[name])) for name in names)

        torch.manual_seed(0)
        leaves = [torch.tensor(arrays[name], requires_grad=True) for name in names]
        return torch.autograd.gradcheck(Wrapped.apply, leaves, fast_mode=fast)

    return check


def checkers():
    found = {
        "autocnn.gradcheck": autocnn_check,
        "autograd check_grads": autograd_check,
        "scipy check_grad": scipy_check,
    }
    try:
        import torch  # noqa: F401
    except ImportError:
        return found
    return found | {
        "torch gradcheck": torch_check(fast=False),
        "torch gradcheck, fast": torch_check(fast=True),
    }


def verdict(check, f, arrays):
    """Did it pass? The global random stream is set each time, so that every checker sees the
    same dropout masks.
    """
    np.random.seed(1)  # noqa: NPY002
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return bool(check(f, copied(arrays)))
        except Exception:  # whatever a checker raises, its user sees a failed check
            return False


# ---- what is measured
# ------------------------------------------------------------------------------------------


def pass_rates(check, seeds, dtype=np.float64):
    """Condition -> the part of the correct layers that passes."""
    return {
        condition: np.mean(
            [
                verdict(check, t.function, under(condition, t.arrays(s), s, dtype))
                for t in LAYERS
                for s in range(seeds)
            ]
        )
        for condition in CONDITIONS
    }


def spoilt_network(seed, relative):
    """A ReLU network of 24,000 weights, one entry of whose gradient is wrong by this relative
    error.
    """
    rng = np.random.default_rng(seed)
    x, b1, b2 = rng.standard_normal((11, 100)), rng.standard_normal(200), rng.standard_normal(20)
    weights = {
        "w1": rng.standard_normal((100, 200)) / 10,
        "w2": rng.standard_normal((200, 20)) / 14,
    }
    name = "w1" if rng.random() < 20 / 24 else "w2"
    live = np.flatnonzero(mlp(x, b1=b1, b2=b2, **weights)[1](np.ones((11, 20)))[name])
    index = rng.choice(
        live
    )  # behind a dead unit the gradient is 0, and no relative error makes it wrong

    def f(w1, w2):
        y, backward = mlp(x, w1, b1, w2, b2)

        def spoilt(dy):
            gradients = {key: g for key, g in backward(dy).items() if key in weights}
            gradients[name].flat[index] *= 1 + relative
            return gradients

        return y, spoilt

    return f, weights


def smallest_error_caught(check, tries):
    """The smallest power of ten that is caught in each try, by bisection; inf if 1000 times is
    not, nan if 0 is.
    """

    def caught(exponent):
        relative = 0.0 if exponent is None else 10.0**exponent
        return [not verdict(check, *spoilt_network(seed, relative)) for seed in range(tries)]

    if any(caught(None)):
        return np.nan
    low, high = -13, 4  # missed at low, caught at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if all(caught(middle)) else (middle, high)
    return 10.0**high if high <= 3 else np.inf


def bugs_caught(check, bugs):
    return sum(not verdict(check, b.function, b.arrays(0)) for b in bugs)


def bugs_named(bugs):
    """How many bugs have a right code as the first cause; only this project's checker says one."""
    reports = [(b, gradcheck.check(b.function, **b.arrays(0))) for b in bugs]
    return sum(bool(r.causes) and r.causes[0].code in b.codes for b, r in reports)


def seconds_for_convolution(check, repeats=3):
    rng = np.random.default_rng(0)
    shapes = {"x": (3, 4, 9, 8), "w": (6, 4, 3, 3), "b": (6,)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    times = []
    for _ in range(repeats):
        start = time.process_time()
        verdict(check, conv, arrays)
        times.append(time.process_time() - start)
    return min(times)


def as_error(value):
    if np.isnan(value):
        return "fails at 0 too"
    return f"{value:.0e}" if np.isfinite(value) else "not even 1000"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seeds", type=int, default=5, help="seeds for each correct layer and condition"
    )
    parser.add_argument(
        "--tries", type=int, default=3, help="networks for the smallest error caught"
    )
    parser.add_argument("--only", default="", help="measure the checkers whose name contains this")
    args = parser.parse_args(argv)
    visible, held_back = catalogue("visible"), catalogue("held_back")
    chosen = {name: check for name, check in checkers().items() if args.only in name}
    columns = {}
    for name, check in chosen.items():
        rates = pass_rates(check, args.seeds)
        own = name == "autocnn.gradcheck"
        columns[name] = [
            f"{100 * np.mean(list(rates.values())):.1f} %",
            *(f"{100 * rate:.1f} %" for rate in rates.values()),
            f"{100 * np.mean(list(pass_rates(check, args.seeds, np.float32).values())):.1f} %"
            if own
            else "not made for it",
            as_error(smallest_error_caught(check, args.tries)),
            f"{bugs_caught(check, visible)} / {len(visible)}",
            f"{bugs_caught(check, held_back)} / {len(held_back)}",
            f"{bugs_named(visible)} / {len(visible)}" if own else "none",
            f"{bugs_named(held_back)} / {len(held_back)}" if own else "none",
            f"{seconds_for_convolution(check):.2f} s",
        ]
    rows = [
        f"correct layers that pass ({len(LAYERS)} layers, {len(CONDITIONS)} conditions, "
        f"{args.seeds} seeds)",
        *(f"· {condition}" for condition in CONDITIONS),
        "the same in float32",
        "smallest relative error of one entry in 24,000 that is always caught",
        "planted bugs caught",
        "· held back",
        "planted bugs named",
        "· held back",
        "CPU time, convolution (3, 4, 9, 8)",
    ]
    print("| | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for row, cells in zip(rows, zip(*columns.values(), strict=True), strict=True):
        print(f"| {row} | " + " | ".join(cells) + " |")
    print(
        f"\nscipy's check_grad returns a norm; here it passes up to {SCIPY_BOUND:g} of the "
        "gradient's norm."
    )


if __name__ == "__main__":
    main()
