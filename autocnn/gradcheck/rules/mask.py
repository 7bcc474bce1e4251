"""Rules for masks: wrong exactly where a unit is on or off, or a choice (a maximum, a kept unit)
was forgotten.
"""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.patterns import elementwise, kept, slopes
from autocnn.gradcheck.perturbed import jacobian_at
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import close, tol


def from_gradient_sign(e: Evidence) -> Cause | None:
    """Not linear in dy: the mask is taken from dy's own sign."""
    if e.linear or e.J.shape[0] != e.x.size:
        return None
    dy = e.rng.standard_normal(e.J.shape[0])
    g = e.leaf.yours(dy).ravel()
    r = dy @ e.J
    for test in (dy > 0, dy < 0):
        for value in (r, dy):
            if np.any(test) and not np.all(test) and close(g, np.where(test, value, 0.0)):
                return Cause(
                    "mask", e.name, "the mask is taken from the sign of dy instead of the input's"
                )
    return None


def diagonal_mask(e: Evidence) -> Cause | None:
    """Elementwise: both slopes take the same few values, at different places."""
    both = elementwise(e)
    if both is None:
        return None
    d, g = both
    off = np.abs(d - g) > tol() * np.max(np.abs(d))
    x, y = e.x.ravel(), e.y
    true, mine = _levels(d), _levels(g)
    if len(true) <= 3 and len(mine) <= 3 and d.size > len(true) + 1:
        known = {"where the input is negative": x < 0, "where the input is positive": x > 0}
        known |= {"where the output is zero": y == 0, "where the output is not zero": y != 0}
        known |= {"where the true slope is zero": d == 0}
        for words, where in known.items():
            if np.any(where) and not np.all(where) and np.array_equal(off, where):
                return Cause(
                    "mask",
                    e.name,
                    f"wrong exactly {words}: a mask or its slope is missing or wrong there",
                )
        if len(true) == 2 and len(mine) == 1 and mine[0] and np.any(true == 0):
            return Cause(
                "mask",
                e.name,
                f"the mask is missing: yours has the slope {mine[0]:.6g} everywhere, on or off",
            )
        if len(true) > 1 and np.all(np.isin(mine, true) | (mine == 0)):
            if np.all(off) and len(true) == 2:
                return Cause("mask", e.name, "the mask is inverted: on where it should be off")
            return Cause(
                "mask",
                e.name,
                f"another mask: {np.count_nonzero(off)} of {off.size} entries have the slope of "
                "the other branch",
            )
    return None


def _levels(a: np.ndarray) -> np.ndarray:
    """The distinct values, to 1e-9."""
    scale = np.max(np.abs(a), initial=0.0) or 1.0
    return np.unique(np.round(a / scale, 9)) * scale


def dead_outputs(e: Evidence) -> Cause | None:
    """Outputs that are switched off (their whole row of J is 0) still pass something back; all
    others are right.
    """
    off_rows = ~np.any(e.J, axis=1)
    if not np.any(off_rows) or np.all(off_rows) or not close(e.G[~off_rows], e.J[~off_rows]):
        return None
    if np.any(e.G[off_rows]):
        return Cause(
            "mask",
            e.name,
            f"wrong exactly at the {np.count_nonzero(off_rows)} outputs that are off: something "
            "passes around the mask",
        )
    return None


def choice_forgotten(e: Evidence) -> Cause | None:
    """Each output passes its dy to more or fewer entries than it should, the sum being right or
    each value being right.
    """
    if e.J.shape[0] < 2:
        return None
    on_j, on_g = e.J != 0, e.G != 0
    wider, narrower = not np.any(on_j & ~on_g), not np.any(on_g & ~on_j)
    if np.array_equal(on_j, on_g) or not np.any(on_g):
        return None
    sums = close(e.G.sum(axis=1), e.J.sum(axis=1)) and np.min(np.abs(e.J.sum(axis=1))) > 1e-9
    even_j = all(_flat(row) for row in e.J)
    even_g = all(_flat(row) for row in e.G)
    if wider and not _chosen(e):
        return None
    if wider and even_j and even_g and sums:
        return Cause(
            "mask",
            e.name,
            "dy is spread evenly over a window where the function passes on one chosen entry: "
            "the mask is missing",
        )
    if narrower and even_j and even_g and sums:
        return Cause(
            "mask",
            e.name,
            "the whole of dy goes to one chosen entry where the function shares it over the "
            "window: a mask too many",
        )
    if wider and even_g and even_j and close(np.where(on_j, e.G, 0.0), e.J):
        return Cause(
            "mask",
            e.name,
            "every entry of a window gets all of dy where one chosen entry should: the mask is "
            "missing",
        )
    return None


def _chosen(e: Evidence) -> bool:
    """Does the function choose, i.e. do its nonzero derivatives sit elsewhere at another point?"""
    for values in itertools.islice(_elsewhere(e, 3), 6):
        J = jacobian_at(e, values)
        if J is not None and not np.array_equal(J != 0, e.J != 0):
            return True
    return False


def _flat(row: np.ndarray) -> bool:
    values = row[row != 0]
    return values.size == 0 or bool(np.ptp(values) <= 1e-9 * np.max(np.abs(values)))


def operand_mask(e: Evidence) -> Cause | None:
    """Right wherever J is not 0; nonzero where J is 0 here but not at other points: a mask on
    the way is missing.
    """
    live = e.J != 0
    extra = ~live & (e.G != 0)
    if not np.any(extra) or not close(np.where(live, e.G, 0.0), e.J):
        return None
    possible = np.zeros_like(live)
    for values in _elsewhere(e, 6):
        J = jacobian_at(e, values)
        if J is not None:
            possible |= J != 0
    if np.all(possible | ~extra):
        return Cause(
            "mask",
            e.name,
            "right where the derivative is not 0, and not 0 where a unit is off: a mask is missing",
        )
    return None


def threshold(e: Evidence) -> Cause | None:
    """Elementwise (or one sum of such terms): right on one side of a threshold and wrong on the
    other: a branch is ignored.

    The threshold is one of x, of |x|, or of x minus another argument of its shape.
    """
    both = slopes(e) if e.x.size >= 8 else None
    if both is None:
        return None
    true, mine = both
    off = np.abs(true - mine) > tol() * np.max(np.abs(true), initial=0.0)
    x = e.x.ravel()
    if min(np.count_nonzero(off), np.count_nonzero(~off)) < 2:
        return None
    others = {n: z.ravel() for n, z in e.values.items() if n != e.name and z.shape == e.shape}
    for text, q in {e.name: x, **{f"{e.name} - {n}": x - z for n, z in others.items()}}.items():
        for words, a in ((text, q), (f"|{text}|", np.abs(q))):
            for side, sign in (("above", 1), ("below", -1)):
                outside, inside = np.min(sign * a[off]), np.max(sign * a[~off])
                if outside > inside:
                    between = sign * outside, sign * inside
                    return Cause(
                        "mask",
                        e.name,
                        f"wrong exactly where {words} is {side} a threshold between "
                        f"{min(between):.3g} and "
                        f"{max(between):.3g}, right elsewhere: a branch of the function is ignored",
                    )
    return None


def other_branch(e: Evidence) -> Cause | None:
    """Every wrong row of G is a row that J has on the other side of a kink: right values, wrong
    mask.
    """
    off = np.any(np.abs(e.G - e.J) > tol() * np.max(np.abs(e.J)), axis=1)
    if e.J.shape[0] < 4 or (np.all(off) and e.J.shape[0] < 8) or e.J.size > 200_000:
        return None
    wrong, branches = np.flatnonzero(off), set()
    todo = set(wrong.tolist())
    for values in _elsewhere(e, 12):
        J = jacobian_at(e, values)
        if J is None:
            continue
        todo -= {
            j for j in todo if close(J[j], e.G[j]) or (not np.any(J[j]) and not np.any(e.G[j]))
        }
        branches |= {j for j in wrong if np.any(J[j] != e.J[j])}
        if not todo:
            return Cause(
                "mask",
                e.name,
                f"{len(wrong)} of {len(off)} outputs are on the other side of a kink: a mask is "
                "missing or another's",
            )
    return None


def always_open(e: Evidence) -> Cause | None:
    """G is what J becomes when some argument is moved far up: as if every unit were on."""
    for name, x in e.values.items():
        for far in (1e3, -1e3):
            J = jacobian_at(e, {**e.values, name: x + far * max(1.0, np.max(np.abs(x)))})
            if J is not None and close(e.G, J) and not close(e.J, J):
                how = "on: a mask is missing" if far > 0 else "off or saturated"
                return Cause(
                    "mask",
                    e.name,
                    f"yours is the gradient with every unit {how} (as if {name} were far "
                    f"{'up' if far > 0 else 'down'})",
                )
    return None


def one_in_each_row(e: Evidence) -> Cause | None:
    """One output: exactly one entry of each row is 0 in yours: a one-hot mask too many, or its
    term missing.
    """
    keep = kept(e)
    if keep is None or e.J.shape[0] != 1 or len(e.shape) != 2 or min(e.shape) < 2:
        return None
    lost = ~keep.reshape(e.shape)
    if np.all(np.count_nonzero(lost, axis=1) == 1):
        return Cause(
            "mask",
            e.name,
            "wrong exactly where a one-hot mask (one entry in each row) is on: the term of the "
            "right class is missing",
        )
    if np.all(np.count_nonzero(~lost, axis=1) == 1):
        return Cause(
            "mask", e.name, "only one entry in each row is filled: a one-hot mask too many"
        )
    return None


def _elsewhere(e: Evidence, count: int):
    """Points with one argument drawn anew, the others kept."""
    rng = np.random.default_rng(11)
    for _ in range(count):
        for name, x in e.values.items():
            if e.x.size * len(e.values) > 3000 and name != e.name:
                continue
            yield {
                **e.values,
                name: np.std(x) * rng.standard_normal(x.shape) + 0.0
                if np.any(x)
                else rng.standard_normal(x.shape),
            }
