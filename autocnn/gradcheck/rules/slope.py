"""Rules for elementwise functions (and sums of such terms): is the factor that dy is multiplied
by a known one?
"""

import itertools
import math

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.patterns import slopes
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import CLOSE, close, tol


def exchanged_operand(e: Evidence) -> Cause | None:
    """The true slope is a known formula of input and output, and yours is the same formula with
    one in the place of the other.
    """
    found = _per_entry(e)
    if found is None or found[3] or tol() > CLOSE:
        return None
    true, mine, arrays, _ = found
    if len(true) < 4:
        return None
    names = [n for n in arrays if n in (e.name, "y")]
    if len(names) < 2:
        return None
    with np.errstate(all="ignore"):
        for words, formula, here in _formulas():
            pick = {"x": arrays[e.name], "y": arrays["y"]}
            a = formula(*(pick[k] for k in here))
            if not (np.all(np.isfinite(a)) and close(true, a)):
                continue
            for other in itertools.product("xy", repeat=len(here)):
                b = formula(*(pick[k] for k in other))
                if other != tuple(here) and np.all(np.isfinite(b)) and close(mine, b):
                    say = {"x": e.name, "y": "y"}
                    what = words.format(*(say[k] for k in other))
                    right = words.format(*(say[k] for k in here))
                    message = f"yours multiplies dy by {what}, where the function has {right}"
                    return Cause("wrong-operand", e.name, message, what=what)
    return None


def _formulas():
    """(words, slope as a function of operands, which are x or y in the true slope)."""

    def s(z):
        return 1 / (1 + np.exp(-z))

    def softplus(z):
        return np.log1p(np.exp(z))

    def phi(z):
        return np.exp(-z * z / 2) / np.sqrt(2 * np.pi)

    def cdf(z):
        return np.array([0.5 * (1 + math.erf(float(t) / math.sqrt(2))) for t in z])

    c = np.sqrt(2 / np.pi)

    def inner(z):
        return np.tanh(c * (z + 0.044715 * z**3))

    yield "{0} + sigmoid({1}) (1 - {2})", lambda a, b, d: a + s(b) * (1 - d), "yxy"
    yield (
        "sigmoid({0}) (1 + {1} (1 - sigmoid({2})))",
        lambda a, b, d: s(a) * (1 + b * (1 - s(d))),
        "xxx",
    )
    yield (
        "sigmoid({0}) + {1} sigmoid({2}) (1 - sigmoid({3}))",
        lambda a, b, d, f: s(a) + b * s(d) * (1 - s(f)),
        "xxxx",
    )
    yield "Phi({0}) + {1} phi({2})", lambda a, b, d: cdf(a) + b * phi(d), "xxx"
    yield (
        "(1 + t({0})) / 2 + {1} (1 - t({2})^2) t'({3}) / 2",
        lambda a, b, d, f: (
            0.5 * (1 + inner(a)) + 0.5 * b * (1 - inner(d) ** 2) * c * (1 + 3 * 0.044715 * f * f)
        ),
        "xxxx",
    )
    yield (
        "tanh(softplus({0})) + {1} (1 - tanh(softplus({2}))^2) sigmoid({3})",
        lambda a, b, d, f: np.tanh(softplus(a)) + b * (1 - np.tanh(softplus(d)) ** 2) * s(f),
        "xxxx",
    )
    yield "(where {0} > 0, 1, exp({1}))", lambda a, b: np.where(a > 0, 1.0, np.exp(b)), "xx"
    yield "(where {0} > 0, 1, {1} + 1)", lambda a, b: np.where(a > 0, 1.0, b + 1), "xy"
    yield "sigmoid({0})", s, "x"
    yield (
        "tanh({0}) + {1} (1 - tanh({2})^2)",
        (lambda a, b, d: np.tanh(a) + b * (1 - np.tanh(d) ** 2)),
        "xxx",
    )


def local_factor(e: Evidence) -> Cause | None:
    """Each output depends on one entry of the leaf: yours multiplies dy by a known array, or
    leaves a known term out.
    """
    found = _per_entry(e)
    if found is None:
        return None
    true, mine, arrays, free = found
    table = _known(arrays)
    named, whole = _match(mine, table, free), _match(true, table, free)
    if whole is None:
        rest = _match(true - mine, table, free)
        if rest is not None:
            return Cause(
                "missing-path",
                e.name,
                f"the slope is a sum; its term {rest} is missing: another use of {e.name}",
            )
    if named is None or (free and whole is None) or named == whole:
        return _extra_factor(e, true, mine, table, free)
    asked = (
        f", where the function has {whole}" if whole else " (the function asks for another factor)"
    )
    return Cause(
        "wrong-operand", e.name, f"yours multiplies dy by {named}{asked}", what=f"{named}{asked}"
    )


def _extra_factor(
    e: Evidence, true: np.ndarray, mine: np.ndarray, table: dict, free: bool
) -> Cause | None:
    """Yours over the true slope, or the reverse, is a known array: a factor of the chain rule is
    there twice, or never.
    """
    if not (np.all(true) and np.all(mine)):
        return None
    for ratio, how in ((mine / true, "once too often"), (true / mine, "nowhere")):
        named = _match(ratio, table, free)
        if named is not None and np.ptp(ratio) > 1e-6 * np.max(np.abs(ratio)):
            words = f"the factor {named} {how}"
            return Cause("wrong-operand", e.name, f"yours has {words}", what=words)
    return None


def _per_entry(e: Evidence):
    """(true slopes, yours, the arrays that they may be made of, whether a common factor like 1 /
    N is free), or None.
    """
    if e.J.shape[0] == 1:
        both = slopes(e) if e.x.size >= 4 else None
        if both is None:
            return None
        others = {n: z.ravel() for n, z in e.values.items() if n != e.name and z.shape == e.shape}
        x = e.x.ravel()
        return *both, {e.name: x, **{f"({e.name} - {n})": x - z for n, z in others.items()}}, True
    live = e.J != 0
    if e.J.shape[0] < 3 or np.max(np.count_nonzero(live, axis=1)) > 1 or np.any((e.G != 0) & ~live):
        return None
    rows = np.flatnonzero(live.any(axis=1))
    if rows.size < 3:
        return None
    column = live[rows].argmax(axis=1)
    arrays = {e.name: e.x.ravel()[column], "y": e.y[rows]}
    arrays |= {
        n: z.ravel()[rows] for n, z in e.values.items() if z.size == e.y.size and n != e.name
    }
    return e.J[rows, column], e.G[rows, column], arrays, False


def _match(slope: np.ndarray, table: dict[str, np.ndarray], free: bool) -> str | None:
    """The name of the array that `slope` is (up to a common factor, when that is free)."""
    for text, a in table.items():
        square = float(a @ a)
        c = float(slope @ a) / square if free and square else 1.0
        if c and close(slope, c * a):
            return text
    return None


def _known(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Powers, activations and their slopes, and x times the latter, of each array."""
    known = {}
    with np.errstate(all="ignore"):
        for text, a in arrays.items():
            s, t = 1 / (1 + np.exp(-a)), np.tanh(a)
            known |= {
                text: a,
                f"1 - {text}": 1 - a,
                f"1 + {text}": 1 + a,
                f"-{text}": -a,
                f"2 {text}": 2 * a,
            }
            known |= {
                f"{text}^2": a * a,
                f"3 {text}^2": 3 * a * a,
                f"1 - {text}^2": 1 - a * a,
                f"1 + {text}^2": 1 + a * a,
            }
            known |= {
                f"{text} (1 - {text})": a * (1 - a),
                f"1 / {text}": 1 / a,
                f"1 / {text}^2": a**-2,
            }
            known |= {f"sqrt({text})": np.sqrt(a), f"log({text})": np.log(a)}
            known |= {f"exp({text})": np.exp(a), f"{text} exp({text})": a * np.exp(a)}
            known |= {
                f"cos({text})": np.cos(a),
                f"sin({text})": np.sin(a),
                f"-sin({text})": -np.sin(a),
            }
            known |= {
                f"{text} cos({text})": a * np.cos(a),
                f"-{text} sin({text})": -a * np.sin(a),
                f"sign({text})": np.sign(a),
            }
            known |= {
                f"tanh({text})": t,
                f"1 - tanh({text})^2": 1 - t * t,
                f"{text} (1 - tanh({text})^2)": a * (1 - t * t),
            }
            known |= {
                f"sigmoid({text})": s,
                f"sigmoid'({text})": s * (1 - s),
                f"{text} sigmoid'({text})": a * s * (1 - s),
            }
    return {text: a for text, a in known.items() if np.all(np.isfinite(a))}
