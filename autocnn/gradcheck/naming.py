"""From two Jacobians to a name: rules from the simplest to the least simple, none of which
guesses.
"""

import contextlib
import itertools
from collections.abc import Callable

import numpy as np

from autocnn.gradcheck.blocks import block_problem, only_block
from autocnn.gradcheck.evidence import (
    CLOSE,
    LARGE,
    SMALL,
    Clock,
    Evidence,
    OutOfTime,
    affordable,
    box,
    gather,
    residual,
    second_point,
    tol,
    tolerating,
    true_jacobian,
)
from autocnn.gradcheck.factors import distinct, matches
from autocnn.gradcheck.point import LeafAt, Point
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.rules import accuracy as rules_accuracy
from autocnn.gradcheck.rules import constants as rules_constants
from autocnn.gradcheck.rules import indices as rules_indices
from autocnn.gradcheck.rules import mask as rules_mask
from autocnn.gradcheck.rules import operand as rules_operand
from autocnn.gradcheck.rules import outputs as rules_outputs
from autocnn.gradcheck.rules import routes as rules_routes
from autocnn.gradcheck.rules import rows as rules_rows
from autocnn.gradcheck.rules import slope as rules_slope
from autocnn.gradcheck.rules import steps as rules_steps
from autocnn.gradcheck.rules import support as rules_support
from autocnn.gradcheck.rules import tangents as rules_tangents
from autocnn.gradcheck.rules import upstream as rules_upstream
from autocnn.gradcheck.rules import whole as rules_whole
from autocnn.gradcheck.shrink import shrink, variants
from autocnn.gradcheck.verdict import compare, probe
from autocnn.gradcheck.witnesses import choose, slope

__all__ = ["RULES", "explain", "name_cause"]

#: In order, simplest first. The report lists the names of those that were tried and did not fit.
RULES = (
    ("a mask taken from dy's sign", rules_mask.from_gradient_sign),
    ("zero", rules_whole.zero),
    ("a factor or sign", rules_whole.scale),
    ("units that are off", rules_mask.dead_outputs),
    ("a wrong mask", rules_mask.diagonal_mask),
    ("a maximum or choice ignored", rules_mask.choice_forgotten),
    ("a branch ignored", rules_mask.threshold),
    ("a mask missing", rules_mask.operand_mask),
    ("a skip connection", rules_routes.skip),
    ("an index used as a slice", rules_indices.slice_for_position),
    ("a transpose, flip or shift", rules_whole.moved),
    ("a sum over too many axes", rules_whole.broadcast),
    ("a one-hot mask", rules_mask.one_in_each_row),
    ("cross terms missing", rules_rows.diagonal_only),
    ("dy summed or averaged", rules_upstream.reduced),
    ("a recurrence cut", rules_steps.recurrence),
    ("`=` for `+=`", rules_rows.collisions),
    ("windows assigned", rules_rows.wiped),
    ("missing examples or windows", rules_rows.partial),
    ("`=` for `+=`", rules_rows.overwritten),
    ("other steps or positions", rules_outputs.same_index_only),
    ("missing outputs", rules_rows.some_outputs),
    ("a repeated index", rules_indices.repeated),
    ("a factor for each index", rules_whole.axis_scale),
    ("a factor for each output", rules_outputs.output_factors),
    ("something added", rules_whole.additive),
    ("the output's formula at the input", rules_operand.input_for_output),
    ("a sum", rules_routes.sum_route),
    ("a second use", rules_routes.one_use),
    ("a direct route", rules_routes.direct),
    ("another slope", rules_slope.local_factor),
    ("input and output exchanged in a slope", rules_slope.exchanged_operand),
    ("rows exchanged", rules_outputs.exchanged),
    ("another operand", rules_operand.wrong_operand),
    ("an operand before an activation", rules_operand.operand_before_activation),
    ("a factor outside the sums", rules_routes.factor_outside),
    ("dy along another axis", rules_upstream.along_wrong_axis),
    ("a slope on the way", rules_tangents.activation_on_the_way),
    ("one group for all", rules_operand.first_group),
    ("another entry's weight", rules_indices.weights_of_others),
    ("another factor inside", rules_operand.inner_factor),
    ("the Jacobian for its transpose", rules_outputs.jacobian_not_transposed),
    ("entries at other places", rules_rows.rerouted),
    ("windows read elsewhere", rules_indices.windows_elsewhere),
    ("a normalisation", rules_routes.normaliser),
    ("a sum over the wrong axes", rules_routes.coupled_wrongly),
    ("a wrong sum", rules_routes.low_rank),
    ("a function's slope on the way", rules_tangents.function_on_the_way),
    ("a mask inverted", rules_support.inverted),
    ("entries that are not read", rules_support.unread),
    ("a symmetric part", rules_support.symmetrised),
    ("a constant added", rules_whole.constant_on_some),
    ("a linear operand", rules_operand.linear_operand),
    ("every unit on", rules_mask.always_open),
    ("the other side of a kink", rules_mask.other_branch),
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
            small = leaf if name in nonlinear else _small_case(leaf, clock, before)
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
            shapes = _shapes(_smallest(small).problem)
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
        cause = rules_upstream.some_cotangents_only(evidence)
        if cause is not None:
            return (cause if linear else None), []
    if gap < rules_constants.LARGEST and tol() < 1e-6:
        cause = _apply(rules_whole.additive, evidence)
        cause = cause or rules_constants.small_constant(evidence)
        cause = cause or _apply(rules_accuracy.limited_accuracy, evidence)
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
        cause = _at_unequal_sizes(near, cause)
    if cause.code == "scale" and evidence.J.shape[0] * evidence.J.shape[1] > 1:
        cause = _at_other_sizes(leaf, near, cause, clock)
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


def _at_unequal_sizes(leaf: LeafAt, cause: Cause) -> Cause:
    """Where lengths are equal, a gradient along the wrong axis has the right shape by chance: what
    shape has it elsewhere?
    """
    sizes = [n for x in leaf.values.values() for n in x.shape if n > 1]
    if not leaf.x.ndim or len(set(sizes)) == len(sizes):
        return cause
    for other in variants(leaf.problem, 16):
        if np.shape(other.arguments[leaf.name]) == leaf.x.shape and leaf.x.ndim > 1:
            continue
        try:
            out = Point(other, other.values()).run()
            grad = out.backward(np.ones(out.flat.size)).get(leaf.name)
        except (CallError, ValueError, TypeError):
            continue
        shape = np.shape(other.arguments[leaf.name])
        if grad is None or np.shape(grad) == shape or np.ndim(grad) != len(shape):
            continue
        shapes = ", ".join(f"{n} {np.shape(a)}" for n, a in other.values().items())
        if leaf.x.ndim == 1:
            what = "summed over the wrong axis"
        elif np.shape(grad) == shape[::-1]:
            what = "transposed"
        else:
            what = "taken along the wrong axis"
        message = f"{what}: with {shapes} yours has the shape {np.shape(grad)} for {shape}"
        code = "transposed" if what == "transposed" else "wrong-operand"
        code = cause.code if cause.code != "unclassified" else code
        return cause._replace(code=code, message=f"{message} ({cause.message})")
    return cause


def _at_other_sizes(leaf: LeafAt, small: LeafAt, cause: Cause, clock: Clock) -> Cause:
    """The factor at the given sizes, named by what fits there and at other sizes: 1 / N is not 1
    / k at both.
    """
    found = _factor_names(leaf)
    if found is None:
        return cause
    c, names = found
    others = [small.problem] if small.problem is not leaf.problem else []
    varied = False
    for other in itertools.chain(others, variants(small.problem, 24)):
        if not names or (varied and len(names) < 2):
            break
        clock.check()
        try:
            # an axis may have length 1 here: the factor is called by it all the same
            seen = _factor_names(small.at(Point(other, other.values())), ones=True)
        except (CallError, ValueError, KeyError):  # the function needs the sizes as they are
            continue
        if seen is None:
            continue
        varied = True
        left = [n for n in names if n in seen[1]]
        if left or abs(seen[0] - c) > 1e-6 * abs(c):
            names = left
    return rules_whole.scale_cause(cause.leaf, c, distinct(names), cause.residual)


def _factor_names(leaf: LeafAt, ones: bool = False) -> tuple[float, list[str]] | None:
    """c with yours = c x the gradient along three directions, and everything that c may be
    called.
    """
    rng = np.random.default_rng(9)
    found = []
    for p in probe(leaf.point, rng):
        u = rng.standard_normal(leaf.x.shape)
        true = slope(leaf, u, p.v).value
        if true == 0:  # nothing is a multiple of it
            return None
        found.append(float(np.vdot(p.grads[leaf.name], u)) / true)
    if np.ptp(found) > 10 * tol() * abs(found[0]):
        return None
    shapes = leaf.point.run().shapes
    c = found[int(np.argmin(np.abs(np.array(found) - np.median(found))))]
    yshape = shapes[0] if len(shapes) == 1 else ()
    tolerance = max(1e-9, tol() - CLOSE)
    return c, matches(c, leaf.problem, leaf.name, yshape, tolerance, True, ones)


def _pattern(e: Evidence) -> str:
    """Cosine, ratio of norms, and where the wrong entries lie."""
    norms = np.linalg.norm(e.G), np.linalg.norm(e.J)
    cosine = float(np.vdot(e.G, e.J) / (norms[0] * norms[1])) if min(norms) else 0.0
    off = np.abs(e.G - e.J) > tol() * np.max(np.abs(e.J), initial=0.0)
    nearly = rules_constants.another_formula(e)
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
        hint = rules_operand.shape_hint(grad, leaf.x, r)
        if hint:
            known[k] = cause._replace(message=f"{cause.message}; {hint}")


def _still_wrong(leaf: LeafAt) -> Callable[[Problem], bool]:
    rng = np.random.default_rng(8)

    def fails(problem: Problem) -> bool:
        there = leaf.at(Point(problem, problem.values()))
        return compare(there, probe(there.point, rng, 1), rng).verdict == "wrong"

    return fails


def _small_case(leaf: LeafAt, clock: Clock, before: LeafAt | None) -> LeafAt:
    """The given case when both Jacobians are quick, else a smaller one in which the leaf is
    still wrong: that of the leaf `before`, if it will do.
    """

    def enough(problem: Problem) -> bool:
        return affordable(Point(problem, problem.values()), leaf.name, SMALL)

    if enough(leaf.problem):
        return leaf
    if before is not None and enough(before.problem):
        there = leaf.at(before.point)
        with contextlib.suppress(CallError, ValueError):
            if _still_wrong(leaf)(before.problem):
                return there
    smaller = shrink(leaf.problem, _still_wrong(leaf), enough, seconds=max(clock.left / 2, 0.1))
    return leaf.at(Point(smaller, smaller.values()))


def _smallest(leaf: LeafAt) -> LeafAt:
    """For the report: a few more cuts, as far as the leaf stays wrong."""
    smaller = shrink(leaf.problem, _still_wrong(leaf), lambda _: False, most=15)
    return leaf.at(Point(smaller, smaller.values()))
