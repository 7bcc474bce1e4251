"""From two Jacobians to a name: rules from the simplest to the least simple, none of which
guesses.
"""

from collections.abc import Callable

import numpy as np

from autocnn.gradcheck.blocks import block_problem, only_block
from autocnn.gradcheck.clock import Clock, OutOfTime
from autocnn.gradcheck.evidence import (
    LARGE,
    Evidence,
    affordable,
    gather,
    second_point,
    true_jacobian,
)
from autocnn.gradcheck.patterns import box
from autocnn.gradcheck.point import LeafAt, Point
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.rules import accuracy, added, constants, operand, upstream
from autocnn.gradcheck.rules.table import RULES
from autocnn.gradcheck.sizes import at_other_sizes, at_unequal_sizes, small_case, smallest
from autocnn.gradcheck.tolerance import residual, tol, tolerating
from autocnn.gradcheck.verdict import compare, probe
from autocnn.gradcheck.witnesses import choose

__all__ = ["explain", "name_cause"]


def explain(
    point: Point,
    leaves: dict[str, LeafAt],
    wrong: dict[str, int],
    nonlinear: set[str],
    known: list[Cause],
    seed: int,
) -> tuple[list[Cause], list[str], dict[str, tuple[int, ...]]]:
    """Causes for the wrong leaves (name -> how many entries are wrong), what was ruled out, and
    shapes that still fail.

    `leaves` holds the leaves that could be compared, `known` the causes found before, of which a
    wrong shape may get a hint.
    """
    causes, ruled_out, shapes, clock = [], [], None, Clock()
    before: LeafAt | None = None
    for name, count in wrong.items():
        if name not in leaves:
            _shape_hint(point, name, known)
            continue
        leaf = leaves[name]
        if 0 < count <= 3 and leaf.x.size >= 200:
            what = "entry is" if count == 1 else "entries are"
            message = f"{count} of {leaf.x.size} {what} wrong, all others right: look at the index"
            causes.append(Cause("unclassified", name, message))
            continue
        clock.begin()
        try:
            small = leaf if name in nonlinear else small_case(leaf, clock, before)
            before = small
            with tolerating(leaf.eps):
                cause, tried = _explain_leaf(leaf, small, name not in nonlinear, seed, clock)
        except OutOfTime:
            what = "no cause was found in the time for it: " + _projected(leaf)
            cause, tried, small = Cause("unclassified", name, what), [], None
        clock.end(cause is not None and cause.code != "unclassified")
        causes += [cause] if cause else []
        ruled_out += [t for t in tried if t not in ruled_out]
        if shapes is None and name not in nonlinear and small is not None:
            shapes = _shapes(smallest(small).problem)
    return causes, ruled_out, shapes or _shapes(point.problem)


def _shapes(problem: Problem) -> dict[str, tuple[int, ...]]:
    return {n: np.shape(a) for n, a in problem.arguments.items() if isinstance(a, np.ndarray)}


def _explain_leaf(
    leaf: LeafAt, small: LeafAt, linear: bool, seed: int, clock: Clock
) -> tuple[Cause | None, list[str]]:
    """(cause or None, rules tried in vain) for one leaf, on a case that is small enough for both
    Jacobians.
    """
    rng, name = np.random.default_rng([seed, 1]), leaf.name
    near = choose(small.point, name, rng)
    if not affordable(small.point, name, LARGE):
        message = "too large to compare entry by entry, and no smaller case runs: " + _projected(
            leaf
        )
        return Cause("unclassified", name, message), []
    offset = None if linear else _offset(small)
    if offset:
        return offset, []
    evidence = gather(near, rng, linear, clock)
    gap = residual(evidence.G, evidence.J)
    if gap < (1e-9 if tol() < 1e-6 else tol()):
        cause = upstream.some_cotangents_only(evidence)
        if cause is not None:
            return (cause if linear else None), []
    if gap < constants.LARGEST and tol() < 1e-6:
        cause = _apply(added.additive, evidence)
        cause = cause or constants.small_constant(evidence)
        cause = cause or _apply(accuracy.limited_accuracy, evidence)
        if cause is not None:
            return cause, []
    if gap < 10 * tol():  # within ten times what counts as exact no rule can tell here from there
        message = (
            f"yours differs by {gap:.1e} of the largest derivative: an eps, a constant or a "
            "precision, no missing term"
        )
        return Cause("unclassified", name, message), []
    cause, tried = name_cause(evidence)
    cause = _in_a_block(near, evidence, cause)
    if cause.code not in _SURE:
        cause = at_unequal_sizes(near, cause)
    if cause.code == "scale" and evidence.J.shape[0] * evidence.J.shape[1] > 1:
        cause = at_other_sizes(leaf, near, cause, clock)
    return cause, tried


def name_cause(e: Evidence) -> tuple[Cause, list[str]]:
    """The first rule that explains the leaf exactly, here and at a second point, or
    "unclassified" with what can be said.
    """
    tried: list[str] = []
    rules = RULES if e.linear else RULES[:1]
    e.clock.check()
    other: list[Evidence | None] = []  # the second point, gathered when it is first asked for
    for label, rule in rules:
        e.clock.check()
        cause = _apply(rule, e)
        if cause is not None and not _certain(e, cause):
            other = other or [second_point(e)]
            if other[0] is not None and not _same(cause, _apply(rule, other[0])):
                cause = None
        if cause is not None:
            return cause, tried
        if label not in tried:
            tried.append(label)
    return Cause("unclassified", e.name, _pattern(e)), tried


def _apply(rule: Callable, e: Evidence) -> Cause | None:
    try:
        return rule(e)
    except (
        CallError,
        np.linalg.LinAlgError,
    ):  # an altered argument is refused: this rule has nothing to say
        return None


def _certain(e: Evidence, cause: Cause) -> bool:
    """One factor for many derivatives is no chance; what fits a few numbers, or rests on where
    zeros lie, may be.
    """
    return not e.linear or (cause.code in ("zero", "sign", "scale") and np.count_nonzero(e.J) > 1)


def _same(cause: Cause, again: Cause | None) -> bool:
    """Does a rule tell the same at two points? A substitution must be the same one, a factor of
    one number the same factor.
    """
    if again is None or again.code != cause.code:
        return False
    if cause.code == "wrong-operand":
        return again.what == cause.what
    if cause.code == "scale":
        return abs(again.factor - cause.factor) <= 10 * tol() * abs(cause.factor)
    return True


#: Causes that do not rest on which axes have the same length.
_SURE = ("scale", "sign", "zero", "eps", "overwritten", "partial", "additive", "mask")


def _pattern(e: Evidence) -> str:
    """Cosine, ratio of norms, and where the wrong entries lie."""
    norms = np.linalg.norm(e.G), np.linalg.norm(e.J)
    cosine = float(np.vdot(e.G, e.J) / (norms[0] * norms[1])) if min(norms) else 0.0
    off = np.abs(e.G - e.J) > tol() * np.max(np.abs(e.J), initial=0.0)
    nearly = constants.another_formula(e)
    entries, outputs = off.any(axis=0), off.any(axis=1)
    where = box(entries.reshape(e.shape))
    ratio = norms[0] / norms[1] if norms[1] else np.inf
    return (
        f"{nearly or 'no rule fits'}. Cosine with the gradient {cosine:.6f}, ratio of norms "
        f"{ratio:.6g}; "
        f"wrong for {np.count_nonzero(entries)} of {entries.size} "
        f"entries{f' ({where})' if where else ''} "
        f"and {np.count_nonzero(outputs)} of {outputs.size} outputs"
    )


def _in_a_block(leaf: LeafAt, e: Evidence, cause: Cause) -> Cause:
    """Where only one block of the leaf is wrong (one gate of several): which, and its cause."""
    off = (np.abs(e.G - e.J) > tol() * np.max(np.abs(e.J), initial=0.0)).any(axis=0)
    found = only_block(off.reshape(e.shape), _lengths(e))
    if found is None:
        return cause
    index, where = found
    if cause.code != "unclassified":
        return cause._replace(message=f"{cause.message} ({where})") if "gate" in where else cause
    problem = block_problem(leaf.problem, leaf.name, index)
    part = LeafAt(Point(problem, problem.values()), leaf.name, leaf.witness)
    try:
        inner, _ = name_cause(gather(part, e.rng, e.linear, e.clock))
    except CallError:
        return cause
    if inner.code == "unclassified":
        return cause._replace(message=f"wrong in {where} only: {cause.message}")
    return inner._replace(message=f"wrong in {where} only: {inner.message}")


def _lengths(e: Evidence) -> set[int]:
    """The lengths of the axes of outputs and of the other arguments."""
    return {n for m, x in e.values.items() if m != e.name for n in x.shape} | set(e.yshape)


def _projected(leaf: LeafAt) -> str:
    rng = np.random.default_rng(2)
    result = compare(leaf, probe(leaf.point, rng), np.random.default_rng(2))
    return f"along random directions it is off by {result.error / result.scale:.2g} of its size"


def _offset(leaf: LeafAt) -> Cause | None:
    """What backward adds when dy = 0: a multiple of a parameter is a regulariser."""
    name, size = leaf.name, leaf.point.run().flat.size
    offset, with_dy = leaf.yours(np.zeros(size)), leaf.yours(np.ones(size))
    if np.array_equal(offset, with_dy):  # dy is ignored: nothing is added to anything
        return None
    for other, z in leaf.values.items():
        if z.shape == offset.shape and np.any(z):
            c = float(np.vdot(offset, z) / np.vdot(z, z))
            if c and residual(offset, c * z) < 1e-7:
                return Cause(
                    "additive",
                    name,
                    f"{c:.6g} x {other} is added, whatever dy is: a regulariser leaked in?",
                    c,
                )
    if np.any(offset) and np.ptp(offset) <= 1e-9 * np.max(np.abs(offset)) and offset.size > 1:
        return Cause(
            "additive", name, f"the constant {offset.flat[0]:.6g} is added, whatever dy is"
        )
    return None


def _shape_hint(point: Point, name: str, known: list[Cause]) -> None:
    """A wrong shape already has its cause: say what would make it right, where that is found."""
    size = point.values[name].size
    for k, cause in enumerate(known):
        if cause.leaf != name or cause.code != "shape" or size > 20_000:
            continue
        out = point.run()
        v = np.random.default_rng(6).standard_normal(out.flat.size)
        grad = np.array(out.backward(v)[name], dtype=np.float64)
        leaf = choose(point, name, np.random.default_rng(6))
        if not affordable(point, name, LARGE):
            continue
        r = (v @ true_jacobian(leaf)).reshape(leaf.x.shape)
        hint = operand.shape_hint(grad, leaf.x, r)
        if hint:
            known[k] = cause._replace(message=f"{cause.message}; {hint}")
