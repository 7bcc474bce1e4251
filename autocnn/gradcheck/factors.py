"""What a number is: 1 / (N Ho Wo), 1 - keep, 2 ... in terms of the sizes and constants of the
checked function.
"""

import inspect
import itertools
import math
import re

import numpy as np

from autocnn.gradcheck.problem import Problem

_AXIS = re.compile(r"\b(?:N|K|T|F|Ho|Wo|[A-Za-z_][\w.]*\.shape\[\d+\])(?!\w)")
AXES = {1: ("N",), 2: ("N", "K"), 3: ("N", "T", "K"), 4: ("N", "F", "Ho", "Wo")}


def constants(problem: Problem) -> dict[str, float]:
    """Numbers among the arguments and the defaults of the checked function: stride, keep, rate
    ...
    """
    found = {}
    for name, value in problem.arguments.items():
        if isinstance(value, dict):
            found |= {str(k): v for k, v in value.items() if _number(v)}
        elif _number(value):
            found[name] = value
    for function in problem.functions:
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            continue
        found |= {p.name: p.default for p in parameters if _number(p.default)}
        for name, cell in zip(
            getattr(getattr(function, "__code__", None), "co_freevars", ()),
            getattr(function, "__closure__", None) or (),
            strict=True,
        ):
            try:
                if _number(cell.cell_contents):
                    found[name] = cell.cell_contents
            except ValueError:
                continue
    return {n: float(v) for n, v in found.items() if v not in (0, 1)}


def _number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def sizes(
    problem: Problem,
    name: str,
    yshape: tuple[int, ...],
    every_name: bool = False,
    ones: bool = False,
) -> dict[str, int]:
    """Lengths that a mean could run over, by name: of the output's axes, of the leaf's and of
    the other arguments'. Equal lengths have one name, or with `every_name` all of theirs.
    Axes of length 1 are left out, unless `ones`.
    """
    found: dict[str, int] = {}
    for axis, n in zip(AXES.get(len(yshape), ()), yshape, strict=False):
        found[axis] = n
    every = {n: np.shape(a) for n, a in problem.arguments.items() if isinstance(a, np.ndarray)}
    ordered = {name: every.pop(name), **every} if name in every else every
    for argument, shape in ordered.items():
        for axis, n in enumerate(shape):
            if (n > 1 or ones) and (every_name or n not in found.values()):
                found[f"{argument}.shape[{axis}]"] = n
    return {k: n for k, n in found.items() if n > 1 or ones}


def matches(
    c: float,
    problem: Problem,
    name: str,
    yshape: tuple[int, ...],
    tolerance: float = 1e-9,
    every_name: bool = False,
    ones: bool = False,
) -> list[str]:
    """Every product of sizes and constants that c is, to a relative tolerance, simplest first."""
    found: dict[str, None] = {}
    lengths = sizes(problem, name, yshape, every_name, ones)
    for text, value in _candidates(problem, lengths):
        for prefix, sign in (("", 1.0), ("-", -1.0)):
            if abs(c - sign * value) <= tolerance * abs(value):
                found[prefix + text] = None
    return list(found)


def distinct(names: list[str]) -> list[str]:
    """One name of each form: of 1 / N and 1 / x.shape[0], which stayed equal at all sizes, the
    first.
    """
    forms: dict[str, str] = {}
    for text in names:
        forms.setdefault(_AXIS.sub("n", text), text)
    return list(forms.values())


def describe(c: float, problem: Problem, name: str, yshape: tuple[int, ...]) -> str:
    """ "1 / (N Ho Wo)" and the like, or "" when nothing matches; the simplest match wins."""
    return next(iter(matches(c, problem, name, yshape)), "")


def _candidates(problem: Problem, lengths: dict[str, int]):
    for count in (1, 2, 3):
        for names in itertools.combinations(lengths, count):
            value = math.prod(lengths[n] for n in names)
            joined = " ".join(names)
            yield (f"1 / {joined}" if count == 1 else f"1 / ({joined})"), 1 / value
            yield joined, value
            if count == 1:
                yield from (
                    (f"1 / {joined}^2", value**-2),
                    (f"{joined}^2", value**2),
                    (f"1 / sqrt({joined})", value**-0.5),
                )
                yield from (
                    (f"sqrt({joined})", value**0.5),
                    (f"({joined} - 1) / {joined}", (value - 1) / value),
                )
                if value > 1:
                    yield f"{joined} / ({joined} - 1)", value / (value - 1)
            if count == 1:
                for text, constant in constants(problem).items():
                    yield from (
                        (f"{text} / {joined}", constant / value),
                        (f"{joined} / {text}", value / constant),
                    )
    for text, value in constants(problem).items():
        yield from (
            (text, value),
            (f"1 / {text}", 1 / value),
            (f"{text}^2", value**2),
            (f"1 / {text}^2", value**-2),
        )
        yield from ((f"sqrt({text})", abs(value) ** 0.5), (f"1 / sqrt({text})", abs(value) ** -0.5))
        if 0 < value < 1:
            other = 1 - value
            yield from ((f"1 - {text}", other), (f"1 / (1 - {text})", 1 / other))
            yield from (
                (f"{text} / (1 - {text})", value / other),
                (f"(1 - {text}) / {text}", other / value),
            )
    for n in (2, 3, 4, 5, 6, 8, 10, 100):
        yield from ((f"{n}", n), (f"1 / {n}", 1 / n))
    a = np.sqrt(2.0)
    yield from (
        ("sqrt(2)", a),
        ("1 / sqrt(2)", 1 / a),
        ("1 / log(2)", 1 / math.log(2)),
        ("log(2)", math.log(2)),
    )
