"""From two Jacobians to a name: rules from the simplest to the least simple, none of which
guesses.
"""

import itertools
from collections.abc import Callable

import numpy as np

from autocnn.gradcheck.evidence import (
    LARGE,
    SMALL,
    Evidence,
    affordable,
    box,
    gather,
    residual,
    second_point,
    true_jacobian,
)
from autocnn.gradcheck.factors import matches
from autocnn.gradcheck.point import LeafAt, Point
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.rules import mask as rules_mask
from autocnn.gradcheck.rules import operand as rules_operand
from autocnn.gradcheck.rules import outputs as rules_outputs
from autocnn.gradcheck.rules import routes as rules_routes
from autocnn.gradcheck.rules import rows as rules_rows
from autocnn.gradcheck.rules import slope as rules_slope
from autocnn.gradcheck.rules import whole as rules_whole
from autocnn.gradcheck.shrink import shrink, variants
from autocnn.gradcheck.verdict import compare, probe
from autocnn.gradcheck.witnesses import choose, slope

__all__ = ["RULES", "explain", "name_cause"]

#: In order, simplest first. The report lists the names of those that were tried and did not fit.
RULES = (
    ("mask from dy", rules_mask.from_gradient_sign),
    ("zero", rules_whole.zero),
    ("scale, sign", rules_whole.scale),
    ("outputs switched off", rules_mask.dead_outputs),
    ("mask", rules_mask.diagonal_mask),
    ("forgotten choice", rules_mask.choice_forgotten),
    ("a branch", rules_mask.threshold),
    ("a mask on the way", rules_mask.operand_mask),
    ("skip connection", rules_routes.skip),
    ("transpose, flip, shift", rules_whole.moved),
    ("reduced too far", rules_whole.broadcast),
    ("one-hot mask", rules_mask.one_in_each_row),
    ("cross terms", rules_rows.diagonal_only),
    ("overlaps overwritten", rules_rows.collisions),
    ("missing examples or windows", rules_rows.partial),
    ("overwritten", rules_rows.overwritten),
    ("other steps", rules_outputs.same_index_only),
    ("missing outputs", rules_rows.some_outputs),
    ("axis scale", rules_whole.axis_scale),
    ("output scale", rules_outputs.output_factors),
    ("something added", rules_whole.additive),
    ("formula of the output", rules_operand.input_for_output),
    ("a sum", rules_routes.sum_route),
    ("a second use", rules_routes.one_use),
    ("a direct route", rules_routes.direct),
    ("factor", rules_slope.local_factor),
    ("rows exchanged", rules_outputs.exchanged),
    ("wrong operand", rules_operand.wrong_operand),
    ("one group for all", rules_operand.first_group),
    ("another factor inside", rules_operand.inner_factor),
    ("Jacobian for its transpose", rules_outputs.jacobian_not_transposed),
    ("entries rerouted", rules_rows.rerouted),
    ("normalisation", rules_routes.normaliser),
    ("wrong reduction", rules_routes.coupled_wrongly),
    ("rank of the error", rules_routes.low_rank),
    ("constant added", rules_whole.constant_on_some),
    ("another operand", rules_operand.linear_operand),
    ("every unit on", rules_mask.always_open),
    ("other side of a kink", rules_mask.other_branch),
    ("groups", rules_rows.group),
)


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
    causes, ruled_out, shapes = [], [], None
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
        small = leaf if name in nonlinear else _small_case(leaf)
        cause, tried = _explain_leaf(leaf, small, name not in nonlinear, seed)
        causes += [cause] if cause else []
        ruled_out += [t for t in tried if t not in ruled_out]
        if shapes is None and name not in nonlinear:
            shapes = _shapes(_smallest(small).problem)
    return causes, ruled_out, shapes or _shapes(point.problem)


def _shapes(problem: Problem) -> dict[str, tuple[int, ...]]:
    return {n: np.shape(a) for n, a in problem.arguments.items() if isinstance(a, np.ndarray)}


def _explain_leaf(
    leaf: LeafAt, small: LeafAt, linear: bool, seed: int
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
    evidence = gather(near, rng, linear)
    if residual(evidence.G, evidence.J) < 1e-9:
        message = "wrong for some cotangents only: no unit cotangent shows it"
        return (Cause("unclassified", name, message) if linear else None), []
    gap = residual(evidence.G, evidence.J)
    if gap < 1e-6:  # within ten times what counts as exact below: no rule can tell here from there
        message = f"yours differs by {gap:.1e} of the largest derivative: an eps, a constant or a precision, no missing term"
        return Cause("unclassified", name, message), []
    cause, tried = name_cause(evidence)
    if cause.code == "scale" and evidence.J.shape[0] * evidence.J.shape[1] > 1:
        cause = _at_other_sizes(leaf, near, cause)
    return cause, tried


def name_cause(e: Evidence) -> tuple[Cause, list[str]]:
    """The first rule that explains the leaf exactly, here and at a second point, or
    "unclassified" with what can be said.
    """
    tried: list[str] = []
    rules = RULES if e.linear else RULES[:1]
    other: list[Evidence | None] = []  # the second point, gathered when it is first asked for
    for label, rule in rules:
        cause = _apply(rule, e)
        if cause is not None and not _certain(e, cause):
            other = other or [second_point(e)]
            if other[0] is not None and not _same(cause, _apply(rule, other[0])):
                cause = None
        if cause is not None:
            return cause, tried
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
        return abs(again.factor - cause.factor) <= 1e-6 * abs(cause.factor)
    return True


def _at_other_sizes(leaf: LeafAt, small: LeafAt, cause: Cause) -> Cause:
    """The factor at the given sizes, named by what fits there and at other sizes: 1 / N is not 1
    / k at both.
    """
    found = _factor_names(leaf)
    if found is None:
        return cause
    c, names = found
    others = [small.problem] if small.problem is not leaf.problem else []
    for other in itertools.chain(others, variants(small.problem)):
        if len(names) < 2:
            break
        try:
            seen = _factor_names(small.at(Point(other, other.values())))
        except (CallError, ValueError):  # the function needs the sizes as they are
            continue
        if seen is not None and any(n in seen[1] for n in names):
            names = [n for n in names if n in seen[1]]
    return rules_whole.scale_cause(cause.leaf, c, names, cause.residual)


def _factor_names(leaf: LeafAt) -> tuple[float, list[str]] | None:
    """c with yours = c x the gradient along three directions, and everything that c may be
    called.
    """
    rng = np.random.default_rng(9)
    found = []
    for p in probe(leaf.point, rng):
        u = rng.standard_normal(leaf.x.shape)
        found.append(float(np.vdot(p.grads[leaf.name], u)) / slope(leaf, u, p.v).value)
    if np.ptp(found) > 1e-6 * abs(found[0]):
        return None
    shapes = leaf.point.run().shapes
    c = found[int(np.argmin(np.abs(np.array(found) - np.median(found))))]
    return c, matches(c, leaf.problem, leaf.name, shapes[0] if len(shapes) == 1 else ())


def _pattern(e: Evidence) -> str:
    """Cosine, ratio of norms, and where the wrong entries lie."""
    norms = np.linalg.norm(e.G), np.linalg.norm(e.J)
    cosine = float(np.vdot(e.G, e.J) / (norms[0] * norms[1])) if min(norms) else 0.0
    off = np.abs(e.G - e.J) > 1e-7 * np.max(np.abs(e.J), initial=0.0)
    entries, outputs = off.any(axis=0), off.any(axis=1)
    where = box(entries.reshape(e.shape))
    ratio = norms[0] / norms[1] if norms[1] else np.inf
    return (
        f"no rule fits. Cosine with the gradient {cosine:.6f}, ratio of norms {ratio:.6g}; "
        f"wrong for {np.count_nonzero(entries)} of {entries.size} entries{f' ({where})' if where else ''} "
        f"and {np.count_nonzero(outputs)} of {outputs.size} outputs"
    )


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
        hint = rules_operand.shape_hint(grad, leaf.x, r)
        if hint:
            known[k] = cause._replace(message=f"{cause.message}; {hint}")


def _still_wrong(leaf: LeafAt) -> Callable[[Problem], bool]:
    rng = np.random.default_rng(8)

    def fails(problem: Problem) -> bool:
        there = leaf.at(Point(problem, problem.values()))
        return compare(there, probe(there.point, rng, 1), rng).verdict == "wrong"

    return fails


def _small_case(leaf: LeafAt) -> LeafAt:
    """The given case when both Jacobians are quick, else a smaller one in which the leaf is
    still wrong.
    """

    def enough(problem: Problem) -> bool:
        return affordable(Point(problem, problem.values()), leaf.name, SMALL)

    if enough(leaf.problem):
        return leaf
    smaller = shrink(leaf.problem, _still_wrong(leaf), enough)
    return leaf.at(Point(smaller, smaller.values()))


def _smallest(leaf: LeafAt) -> LeafAt:
    """For the report: a few more cuts, as far as the leaf stays wrong."""
    smaller = shrink(leaf.problem, _still_wrong(leaf), lambda _: False, most=15)
    return leaf.at(Point(smaller, smaller.values()))
