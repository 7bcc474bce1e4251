"""Every gradient checker on one pair, called as its documentation says, with its own tolerances.

A checker is a function `(pair, function) -> bool`: did it pass? It raises `CannotTake` for what it
is not made for. Any other exception counts as "did not pass": it is how most of them say no.
"""

import copy
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gradcheck.checkers import SCIPY_BOUND
from benchmarks.wild.adapters import applied, as_numpy
from benchmarks.wild.pairs import Pair

__all__ = ["CannotTake", "checkers", "names_of", "passes"]

LARGEST_JACOBIAN = 10_000_000  # entries, of the checkers that build it whole
MOST_CALLS = 20_000  # of the checkers that move one entry at a time: a minute and more


class CannotTake(Exception):
    """This checker is not made for this pair."""


def _numpy_arrays(pair: Pair) -> dict[str, Any]:
    """Copies of the pair's arguments, float64 and NumPy throughout."""
    found = {}
    for name, value in pair.arrays.items():
        value = value.numpy() if hasattr(value, "numpy") else value
        found[name] = np.array(value) if isinstance(value, np.ndarray) else value
    return found


def _split(pair: Pair, arrays: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The names of the arrays to differentiate, and the other arguments."""
    constant = {"cos", "sin", "rowscale"}
    names = [
        n
        for n, a in arrays.items()
        if isinstance(a, np.ndarray) and a.dtype.kind in "fc" and n not in constant
    ]
    return names, {n: a for n, a in arrays.items() if n not in names}


def _need_real_first_order(pair: Pair, libraries: tuple[str, ...]) -> None:
    complex_ = any("complex" in str(getattr(a, "dtype", "")) for a in pair.arrays.values())
    if pair.library not in libraries or pair.order != 1 or pair.mode != "reverse" or complex_:
        raise CannotTake


def autograd_check(pair: Pair, function: Any) -> bool:
    """autograd.test_util.check_grads in reverse mode, of NumPy functions."""
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    _need_real_first_order(pair, ("numpy", "tape"))
    f, arrays = as_numpy(pair, function), _numpy_arrays(pair)
    names, fixed = _split(pair, arrays)

    @primitive
    def op(*leaves):
        return f(**dict(zip(names, leaves, strict=True)), **fixed)[0]

    def vjp_of(k):
        def vjp(_, *leaves):
            backward = f(**dict(zip(names, leaves, strict=True)), **fixed)[1]
            return lambda dy: np.array(backward(np.array(dy))[names[k]])

        return vjp

    defvjp(op, *map(vjp_of, range(len(names))))
    np.random.seed(0)  # noqa: NPY002 - autograd draws its direction from the global stream
    check_grads(op, tuple(range(len(names))), modes=["rev"], order=1)(*(arrays[n] for n in names))
    return True


def scipy_check(pair: Pair, function: Any) -> bool:
    """scipy.optimize.check_grad on <dy, y>, whatever the function is written in."""
    from scipy.optimize import check_grad

    _need_real_first_order(pair, ("numpy", "tape", "torch", "torch pair"))
    f, arrays = as_numpy(pair, function), _numpy_arrays(pair)
    names, fixed = _split(pair, arrays)
    sizes = np.cumsum([arrays[n].size for n in names])
    if sizes[-1] > MOST_CALLS:
        raise CannotTake
    y0 = f(**_numpy_arrays(pair))[0]
    dy = np.array(np.random.default_rng(1).standard_normal(np.shape(y0)))

    def unpack(flat):
        parts = np.split(flat, sizes[:-1])
        arranged = zip(names, parts, strict=True)
        return {n: p.reshape(arrays[n].shape).copy() for n, p in arranged} | fixed

    def gradient(flat):
        grads = f(**unpack(flat))[1](dy.copy())
        return np.concatenate([np.reshape(grads[n], -1) for n in names])

    x0 = np.concatenate([arrays[n].ravel() for n in names])
    error = check_grad(lambda flat: np.sum(dy * f(**unpack(flat))[0]), gradient, x0)
    return error <= SCIPY_BOUND * np.linalg.norm(gradient(x0))


def torch_check(fast: bool) -> Callable:
    """torch.autograd.gradcheck, slow or fast, with forward mode where the pair is about that."""

    def check(pair: Pair, function: Any) -> bool:
        import torch

        if pair.library == "jax" or pair.order != 1:
            raise CannotTake
        call, leaves = _for_torch(pair, function)
        outputs = call(*leaves).numel()
        entries = sum(t.numel() for t in leaves)
        if not fast and (entries > MOST_CALLS or outputs * entries > LARGEST_JACOBIAN):
            raise CannotTake
        torch.manual_seed(0)
        forward = pair.mode != "reverse"
        return torch.autograd.gradcheck(call, leaves, fast_mode=fast, check_forward_ad=forward)

    return check


def _for_torch(pair: Pair, function: Any) -> tuple[Callable, list]:
    """A function of tensors, and the leaves that it takes."""
    import torch

    if pair.library == "torch":
        given = {n: a.clone() for n, a in pair.arrays.items()}
        names = [n for n, a in given.items() if a.is_floating_point() or a.is_complex()]
        leaves = [given[n].requires_grad_() for n in names]
        return lambda *ts: applied(function, {**given, **dict(zip(names, ts, strict=True))}), leaves
    f, arrays = as_numpy(pair, function), _numpy_arrays(pair)
    names, fixed = _split(pair, arrays)

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *leaves):
            values = (leaf.detach().numpy() for leaf in leaves)
            y, ctx.back = f(**dict(zip(names, values, strict=True)), **fixed)
            return torch.from_numpy(np.array(y))

        @staticmethod
        def backward(ctx, dy):
            grads = ctx.back(dy.numpy())
            return tuple(
                None if grads[n] is None else torch.from_numpy(np.array(grads[n])) for n in names
            )

    return Wrapped.apply, [torch.tensor(arrays[n], requires_grad=True) for n in names]


def gradgrad_check(pair: Pair, function: Any) -> bool:
    """torch.autograd.gradgradcheck, of functions that are meant to be differentiated twice."""
    import torch

    if pair.library != "torch" or pair.order != 2:
        raise CannotTake
    torch.manual_seed(0)
    return torch.autograd.gradgradcheck(*_for_torch(pair, function))


_NUMBER = itertools.count()


def opcheck(pair: Pair, function: Any) -> bool:
    """torch.library.opcheck of the function as a custom operator with its backward pass."""
    import torch

    _need_real_first_order(pair, ("numpy", "torch", "torch pair"))
    f, arrays = as_numpy(pair, function), _numpy_arrays(pair)
    names, fixed = _split(pair, arrays)

    def run(leaves):
        values = (leaf.detach().numpy() for leaf in leaves)
        return f(**dict(zip(names, values, strict=True)), **fixed)

    shape = np.shape(run([torch.tensor(arrays[n]) for n in names])[0])
    name = f"wild::op{next(_NUMBER)}"

    def forward(leaves: list[torch.Tensor]) -> torch.Tensor:
        return torch.from_numpy(np.array(run(leaves)[0]))

    def backward(leaves: list[torch.Tensor], dy: torch.Tensor) -> list[torch.Tensor]:
        grads = run(leaves)[1](dy.numpy())
        return [torch.from_numpy(np.array(grads[n])) for n in names]

    op = torch.library.custom_op(name, forward, mutates_args=())
    back = torch.library.custom_op(f"{name}_backward", backward, mutates_args=())
    op.register_fake(lambda leaves: leaves[0].new_empty(shape))
    back.register_fake(lambda leaves, dy: [torch.empty_like(leaf) for leaf in leaves])
    op.register_autograd(
        lambda ctx, dy: back(ctx.leaves, dy),
        setup_context=lambda ctx, inputs, output: setattr(ctx, "leaves", list(inputs[0])),
    )
    leaves = [torch.tensor(arrays[n], requires_grad=True) for n in names]
    found = torch.library.opcheck(op, (leaves,), raise_exception=False)
    return all(result == "SUCCESS" for result in found.values())


def jax_check(pair: Pair, function: Any) -> bool:
    """jax.test_util.check_grads in float64, of jax functions, in the pair's modes."""
    if pair.library != "jax":
        raise CannotTake
    import jax
    import jax.numpy as jnp
    from jax.test_util import check_grads

    x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    modes = {"reverse": ("rev",), "forward": ("fwd",), "both": ("fwd", "rev")}[pair.mode]
    with x64(True):
        leaves = [jnp.asarray(a.numpy()) for a in pair.arrays.values()]
        names = list(pair.arrays)
        check_grads(
            lambda *ls: function(**dict(zip(names, ls, strict=True))),
            leaves,
            order=pair.order,
            modes=modes,
        )
    return True


def own_check(pair: Pair, function: Any) -> bool:
    """This project's checker, by the call that the pair gives. A kernel's pass with limits says
    that digits are lost, so it is no pass of a pair on precision, buggy or fixed; "undecidable"
    calls neither of them wrong."""
    report = pair.call(function)
    if pair.kind == "precision":
        return report.verdict in ("pass", "undecidable")
    return report.ok


def checkers() -> dict[str, Callable]:
    """Column -> checker."""
    return {
        "autocnn": own_check,
        "torch gradcheck": torch_check(fast=False),
        "· fast": torch_check(fast=True),
        "gradgradcheck": gradgrad_check,
        "opcheck": opcheck,
        "jax check_grads": jax_check,
        "autograd check_grads": autograd_check,
        "scipy check_grad": scipy_check,
    }


def passes(check: Callable, pair: Pair, function: Any) -> bool | None:
    """Did it pass? None where the checker cannot take the pair. Arguments are put back."""
    before = copy.deepcopy(pair.arrays)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return bool(check(pair, function))
        except CannotTake:
            return None
        except Exception:  # whatever a checker raises, its user sees a failed check
            return False
        finally:
            for name, value in before.items():
                if isinstance(value, np.ndarray):
                    pair.arrays[name][...] = value


def names_of(report: Any) -> set[str]:
    """The first cause that a report of this project's checker gives, and what its notes name."""
    inner = getattr(report, "report", None)
    report = report if inner is None else inner  # a report that is not ok is false
    found = {c.code for c in report.causes[:1]}
    leaves = getattr(report, "leaves", {}).values()
    limits = [limit for leaf in leaves for limit in getattr(leaf, "limits", ())]
    if not found and any("precision" in text or "accumulate" in text for text in limits):
        found.add("precision")
    notes = " ".join(report.notes)
    if "right once, wrong twice" in notes:
        found.add("twice")
    if "are not adjoint" in notes:
        found.add("not adjoint")
    return found
