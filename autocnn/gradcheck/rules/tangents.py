"""Rules for one wrong slope inside a longer chain: the complex step is repeated with the slope of
an activation replaced, until yours appears.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from autocnn.gradcheck import lift
from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.perturbed import product
from autocnn.gradcheck.point import Witness
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import tol

Slope = Callable[[np.ndarray, np.ndarray], Any]  # (input, value) -> slope

MOST_CALLS = 12  # calls of one function on the way that are tried one by one


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


#: Slopes that people take for an activation's own, by what they are.
_TANH: dict[str, Slope] = {
    "is missing": lambda z, a: 1.0,
    "is taken at the activated value": lambda z, a: 1 - np.tanh(a) ** 2,
    "is 1 - z^2 with z before the activation": lambda z, a: 1 - z * z,
    "is the sigmoid's": lambda z, a: a * (1 - a),
    "is 1 - a, without the square": lambda z, a: 1 - a,
    "is 1 + a^2": lambda z, a: 1 + a * a,
    "is a^2": lambda z, a: a * a,
    "is the activation itself": lambda z, a: a,
    "has the wrong sign": lambda z, a: a * a - 1,
}
_SIGMOID: dict[str, Slope] = {
    "is missing": lambda z, a: 1.0,
    "is taken at the activated value": lambda z, a: _sigmoid(a) * (1 - _sigmoid(a)),
    "is z (1 - z) with z before the activation": lambda z, a: z * (1 - z),
    "is a, without 1 - a": lambda z, a: a,
    "is 1 - a, without a": lambda z, a: 1 - a,
    "is tanh's": lambda z, a: 1 - a * a,
    "is a (1 + a)": lambda z, a: a * (1 + a),
    "is a^2": lambda z, a: a * a,
    "has the wrong sign": lambda z, a: -a * (1 - a),
}
_OTHERS: dict[str, dict[str, Slope]] = {
    "exp": {"is missing": lambda z, a: 1.0, "is taken at the value": lambda z, a: np.exp(a)},
    "log": {"is missing": lambda z, a: 1.0, "is z for 1 / z": lambda z, a: z},
    "log1p": {"is missing": lambda z, a: 1.0, "is 1 / z": lambda z, a: 1 / z},
    "sqrt": {
        "is missing": lambda z, a: 1.0,
        "is 1 / (2 z)": lambda z, a: 0.5 / z,
        "is 1 / sqrt(z), without the half": lambda z, a: 1 / a,
        "is sqrt(z) / 2": lambda z, a: a / 2,
    },
    "sin": {"is missing": lambda z, a: 1.0, "has the wrong sign": lambda z, a: -np.cos(z)},
    "cos": {"is missing": lambda z, a: 1.0, "has the wrong sign": lambda z, a: np.sin(z)},
    "square": {"is missing": lambda z, a: 1.0, "is z, without the 2": lambda z, a: z},
    "abs": {"is missing": lambda z, a: 1.0, "is the value": lambda z, a: a},
}
_NAMES = ("tanh", "maximum", *_OTHERS)


class _Mutation:
    """Wrapped numpy functions whose complex step follows another slope, at one call or at all."""

    def __init__(self):
        self.calls: dict[str, int] = {}
        self.name, self.factor, self.which = "", None, None

    def set(self, name: str, factor: Callable | None, which: int | None) -> None:
        """Replace the slope of `name` at call number `which` (None: at all)."""
        self.name, self.factor, self.which = name, factor, which

    def wrap(self, name: str) -> Callable:
        """The replacement for numpy's function `name`."""
        plain = lift._REPLACED.get(name) or getattr(np, name)

        def replaced(*arrays, **named):
            moving = [a for a in arrays if np.iscomplexobj(a)]
            if not moving:
                return plain(*arrays, **named)
            k = self.calls.get(name, 0)
            self.calls[name] = k + 1
            value = plain(*arrays, **named)
            if self.factor is None or self.name != name or self.which not in (None, k):
                return value
            z = np.asarray(moving[0])
            out = np.real(value) + 1j * z.imag * self.factor(z.real, np.real(value))
            return out if out.shape == np.shape(value) else value

        return replaced


def activation_on_the_way(e: Evidence) -> Cause | None:
    """G = J with another slope for one tanh, sigmoid or relu on the way, or for all of them."""
    return _slope_on_the_way(e, activations=True)


def function_on_the_way(e: Evidence) -> Cause | None:
    """The same for exp, log, sqrt and other functions."""
    return _slope_on_the_way(e, activations=False)


def _slope_on_the_way(e: Evidence, activations: bool) -> Cause | None:
    if not e.witness.exact or e.problem.build is None:
        return None
    mutation = _Mutation()
    with lift.replacing({name: mutation.wrap(name) for name in _NAMES}):
        try:
            problem = replace(e.problem, lifted=e.problem.build(lift.lift))
        except (TypeError, ValueError):
            return None
        leaf = replace(
            e.leaf,
            point=replace(e.leaf.point, problem=problem),
            witness=Witness("complex step", True),
        )
        there = replace(e, leaf=leaf)
        return _search(e, there, mutation, activations)


def _search(e: Evidence, there: Evidence, mutation: _Mutation, activations: bool) -> Cause | None:
    rng = np.random.default_rng(16)
    pairs = [(rng.standard_normal(e.shape), rng.standard_normal(e.J.shape[0])) for _ in range(3)]
    yours = [float(v @ e.G @ u.ravel()) for u, v in pairs]
    true = [float(v @ e.J @ u.ravel()) for u, v in pairs]
    size = max(map(abs, yours), default=0.0)

    def fits(targets: list[float]) -> bool:
        for (u, v), target in zip(pairs, targets, strict=True):
            mutation.calls.clear()
            seen = product(there, {}, u, v)
            if seen is None or abs(seen - target) > tol() * size:
                return False
        return True

    try:
        if not size or not fits(true):
            return None
        counts = dict(mutation.calls)
        for name, words, factor in _activations() if activations else _functions():
            if name not in counts:
                continue
            few = counts[name] if 1 < counts[name] <= MOST_CALLS else 0
            for which in (None, *range(few)):
                mutation.set(name, factor, which)
                if fits(yours) and not fits(true):
                    where = "" if which is None else f" (call {which + 1} of {counts[name]})"
                    what = f"the slope of {words}{where}"
                    message = f"right but for one slope in the chain: {what}"
                    code = "mask" if name == "maximum" else "wrong-operand"
                    return Cause(code, e.name, message, what=what)
    except (CallError, FloatingPointError):
        return None
    finally:
        mutation.set("", None, None)
    return None


def _activations():
    """(numpy function, words, factor of the imaginary part)."""
    for words, slope in _TANH.items():
        yield "tanh", f"tanh {words}", slope
    yield "maximum", "the relu is missing (its mask)", lambda z, a: 1.0
    yield "maximum", "the relu is its value", lambda z, a: a
    for words, slope in _SIGMOID.items():
        for sign in (-1.0, 1.0):  # 1 / (1 + exp(-x)) and exp(x) / (1 + exp(x))
            yield (
                "exp",
                f"the sigmoid {words}",
                lambda u, E, m=slope, s=sign: (1 + E) ** 2 * m(s * u, _sigmoid(s * u)),
            )


def _functions():
    for name, table in _OTHERS.items():
        for words, slope in table.items():
            yield name, f"{name} {words}", slope
