"""Rules for small constants: an eps that only one of forward and backward has, a rounded number."""

import contextlib
import dis
import math
import types
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from autocnn.gradcheck.evidence import Evidence, gather
from autocnn.gradcheck.lift import lift
from autocnn.gradcheck.perturbed import functions_of
from autocnn.gradcheck.point import LeafAt, Point
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import CLOSE, residual, tol

LARGEST = 1e-3  # of the largest derivative: a larger gap is no matter of an eps
SMALL = 2e-3  # constants below it may be an eps
_EXACT = {
    "sqrt(2 / pi)": math.sqrt(2 / math.pi),
    "sqrt(2 pi)": math.sqrt(2 * math.pi),
    "1 / sqrt(2 pi)": 1 / math.sqrt(2 * math.pi),
    "1 / sqrt(pi)": 1 / math.sqrt(math.pi),
    "2 / sqrt(pi)": 2 / math.sqrt(math.pi),
    "pi": math.pi,
    "2 pi": 2 * math.pi,
    "1 / pi": 1 / math.pi,
    "e": math.e,
    "log(2)": math.log(2),
    "1 / log(2)": 1 / math.log(2),
    "log(10)": math.log(10),
    "sqrt(2)": math.sqrt(2),
    "1 / sqrt(2)": math.sqrt(0.5),
    "sqrt(3)": math.sqrt(3),
    **{f"{a} / {b}": a / b for a, b in ((1, 3), (2, 3), (1, 6), (5, 6), (1, 7), (1, 9), (1, 12))},
}

Where = tuple[str, float, Callable[[float], contextlib.AbstractContextManager]]


def small_constant(e: Evidence) -> Cause | None:
    """Yours is right but for a small constant. The cause is a warning: no term is missing."""
    gap = residual(e.G, e.J)
    if not 0 < gap < LARGEST:
        return None
    digits = f"right to {max(0, int(-math.log10(gap)))} digits"
    for where, c, changed in _constants(e):
        for words, other, factor in _trials(c):
            if factor < math.inf and _multiplies(e, where, c):
                continue  # a regulariser's or another factor, no eps
            left = _gap_with(e, changed, other)
            if left is not None and _explained(gap, left, factor):
                message = f"{digits}: {words.format(c=c, where=where)}"
                return _warning(e, message, where, c)
    return None


def _warning(e: Evidence, message: str, where: str, c: float) -> Cause:
    return Cause("eps", e.name, message, factor=float(c), what=where or None, level="warning")


def _trials(c: float):
    """(words, other value, by how much the gap must shrink)."""
    if 0 < abs(c) <= SMALL:
        words = "the eps of {c:.3g} ({where}) is in one of forward and backward only"
        yield words, c / 16, 16.0
    for text, exact in _EXACT.items():
        if c != exact and abs(c - exact) < 3e-3 * exact:
            yield f"{{c:.12g}} ({{where}}) is {text} = {exact:.12g} rounded", exact, math.inf


def _multiplies(e: Evidence, where: str, c: float) -> bool:
    """Is the constant a factor anywhere in the functions? An eps is added."""
    name = where.removeprefix("self.")
    return any(
        _factor_in(getattr(f, "__func__", f).__code__, name, c)
        for f in _functions(functions_of(e.problem))
    )


def _factor_in(code: types.CodeType, name: str, c: float) -> bool:
    steps = list(dis.get_instructions(code))
    for k, step in enumerate(steps):
        if not step.opname.startswith("LOAD_") or step.argval not in (name, c):
            continue
        rest = (s for s in steps[k + 1 :] if not s.opname.startswith(("LOAD_", "CACHE")))
        use = next(rest, None)
        if use is not None and use.opname == "BINARY_OP" and use.argrepr[:1] in "*/@":
            return True
    inner = (x for x in code.co_consts if isinstance(x, types.CodeType))
    return any(_factor_in(x, name, c) for x in inner)


def _explained(gap: float, left: float, factor: float) -> bool:
    if factor == math.inf:
        return left < 0.05 * gap
    return left < 1.5 * gap / factor


def _gap_with(e: Evidence, changed, value: float) -> float | None:
    """The gap between both Jacobians with another value of a constant."""
    if e.problem.build is None and e.witness.lifted:
        return None
    with changed(value) as problem:
        witness = e.witness
        if witness.lifted:
            problem = replace(problem, lifted=problem.build(lift))
        try:
            leaf = LeafAt(Point(problem, e.values), e.name, witness)
            other = gather(leaf, e.rng, e.linear)  # without the Jacobians known so far
        except (CallError, TypeError, ValueError):
            return None
    if not (np.all(np.isfinite(other.J)) and np.all(np.isfinite(other.G))):
        return None
    return residual(other.G, other.J)


def _constants(e: Evidence) -> Iterator[Where]:
    """(where, value, context manager that changes it) of the floats that the functions read."""
    problem = e.problem
    for name, value in problem.arguments.items():
        if _float(value):
            yield name, float(value), lambda v, n=name: contextlib.nullcontext(problem.at(**{n: v}))
    seen: set = set()
    for function in _functions(functions_of(problem)):
        f = getattr(function, "__func__", function)
        owner = getattr(function, "__self__", None)
        for name, value in list(vars(owner).items()) if hasattr(owner, "__dict__") else ():
            if _float(value) and (id(owner), name) not in seen:
                seen.add((id(owner), name))
                yield f"self.{name}", float(value), _attribute(problem, name)
        for name, value in _defaults(f):
            yield name, float(value), _setter(problem, _default(f, name))
        for name in _names(f.__code__):
            value = f.__globals__.get(name)
            if _float(value) and (id(f.__globals__), name) not in seen:
                seen.add((id(f.__globals__), name))
                yield name, float(value), _setter(problem, _global(f.__globals__, name, value))
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):
                if _float(cell.cell_contents) and id(cell) not in seen:
                    seen.add(id(cell))
                    yield (
                        name,
                        float(cell.cell_contents),
                        _setter(problem, _cell(cell, cell.cell_contents)),
                    )
        for value in dict.fromkeys(_literals(f.__code__)):
            yield f"in {f.__name__}", value, _setter(problem, _literal(f, value))


def _setter(problem, put: Callable[[float | None], None]):
    @contextlib.contextmanager
    def changed(value: float):
        put(value)
        try:
            yield problem
        finally:
            put(None)

    return changed


def _attribute(problem, name: str):
    """The problem with another value of an attribute of the object whose methods it calls."""

    @contextlib.contextmanager
    def changed(value: float):
        if problem.build is None:
            raise CallError("the object cannot be changed")

        def setting(function):
            owner = getattr(function, "__self__", None)
            if owner is not None and hasattr(owner, name):
                setattr(owner, name, value)
            return function

        yield replace(problem, call=problem.build(setting))

    return changed


def _global(names, name, old):
    return lambda v: names.__setitem__(name, old if v is None else v)


def _cell(cell, old):
    return lambda v: setattr(cell, "cell_contents", old if v is None else v)


def _default(f, name):
    positional, by_name = f.__defaults__, f.__kwdefaults__

    def put(v):
        if v is None:
            f.__defaults__, f.__kwdefaults__ = positional, by_name
        elif by_name and name in by_name:
            f.__kwdefaults__ = {**by_name, name: v}
        else:
            first = f.__code__.co_argcount - len(positional)
            at = f.__code__.co_varnames.index(name) - first
            f.__defaults__ = tuple(v if k == at else d for k, d in enumerate(positional))

    return put


def _defaults(f) -> list[tuple[str, float]]:
    code, positional = f.__code__, f.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(positional) : code.co_argcount]
    both = [*zip(names, positional, strict=True), *(f.__kwdefaults__ or {}).items()]
    return [(n, v) for n, v in both if _float(v)]


def _literal(f, old: float):
    before = f.__code__
    return lambda v: setattr(f, "__code__", before if v is None else _with(before, old, v))


def _with(code: types.CodeType, old: float, new: float) -> types.CodeType:
    consts = tuple(
        _with(c, old, new)
        if isinstance(c, types.CodeType)
        else (new if isinstance(c, float) and c == old else c)
        for c in code.co_consts
    )
    return code.replace(co_consts=consts)


def _literals(code: types.CodeType) -> Iterator[float]:
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            yield from _literals(c)
        elif _float(c):
            yield c


def _names(code: types.CodeType) -> list[str]:
    inner = [n for c in code.co_consts if isinstance(c, types.CodeType) for n in _names(c)]
    return [*code.co_names, *inner]


def _functions(functions) -> list:
    """The functions given and the plain Python functions of the same modules that they name."""
    found, todo = [], list(functions)
    while todo and len(found) < 40:
        function = todo.pop(0)
        f = getattr(function, "__func__", function)
        if not isinstance(f, types.FunctionType) or any(
            f is getattr(g, "__func__", g) for g in found
        ):
            continue
        found.append(function)
        owner = getattr(function, "__self__", None)
        for name in _names(f.__code__):
            value = f.__globals__.get(name)
            if isinstance(value, types.FunctionType) and value.__module__ == f.__module__:
                todo.append(value)
            method = getattr(type(owner), name, None) if owner is not None else None
            if isinstance(method, types.FunctionType):
                todo.append(types.MethodType(method, owner))
        for cell in f.__closure__ or ():
            with contextlib.suppress(ValueError):
                if isinstance(cell.cell_contents, types.FunctionType):
                    todo.append(cell.cell_contents)
    return found


def _float(value) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value not in (0.0, 1.0, 0.5, 2.0)


def another_formula(e: Evidence) -> str:
    """What may be said of a gradient that is nearly right everywhere."""
    gap = residual(e.G, e.J)
    norms = np.linalg.norm(e.G), np.linalg.norm(e.J)
    cosine = float(np.vdot(e.G, e.J) / (norms[0] * norms[1])) if min(norms) else 0.0
    if not CLOSE < gap < 0.03 or cosine < 0.999 or tol() > CLOSE:
        return ""
    return (
        f"right to about {-math.log10(gap):.0f} digits everywhere and exact nowhere: probably the "
        "derivative of another formula of nearly the same function (another approximation)"
    )
