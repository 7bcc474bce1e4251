"""Rules for indices: repeated ones, positions used as slices, windows read elsewhere."""

import itertools
import types

import numpy as np

from autocnn.gradcheck.evidence import Evidence, gather
from autocnn.gradcheck.patterns import kept
from autocnn.gradcheck.perturbed import functions_of
from autocnn.gradcheck.point import Point
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import close, tol


def repeated(e: Evidence) -> Cause | None:
    """Wrong where an index occurs twice, right where all are distinct: `d[ids] += g` adds once."""
    if np.any((e.G != 0) & (e.J == 0)):
        return None
    for name, ids in _integer_arrays(e):
        for distinct in _without_repeats(ids, once=kept(e) is not None):
            there = _at_indices(e, name, ids, distinct)
            if there is not None and np.any(there.J) and close(there.G, there.J):
                message = (
                    f"right where no index of {name} occurs twice, wrong where one does: a "
                    "repeated index counts once (`d[ids] += g`; np.add.at adds every time)"
                )
                return Cause("overwritten", e.name, message)
    return None


def _integer_arrays(e: Evidence):
    """(name, array) of the integer arrays with repeats that the function reads."""
    seen = set()
    for name, value in [*e.problem.arguments.items(), *_reached(functions_of(e.problem))]:
        if (
            isinstance(value, np.ndarray)
            and value.dtype.kind in "iu"
            and 1 < value.size <= 4096
            and id(value) not in seen
            and len(np.unique(value)) < value.size
        ):
            seen.add(id(value))
            yield name, value


def _reached(functions):
    """(name, value) of what functions hold: closures, globals by name, attributes."""
    for function in functions:
        owner = getattr(function, "__self__", None)
        yield from getattr(owner, "__dict__", {}).items()
        f = getattr(function, "__func__", function)
        code = getattr(f, "__code__", None)
        if code is None:
            continue
        for name, cell in zip(code.co_freevars, f.__closure__ or (), strict=True):
            try:
                yield name, cell.cell_contents
            except ValueError:
                continue
        for name in _names(code):
            if name in f.__globals__:
                yield name, f.__globals__[name]


def _names(code: types.CodeType) -> list[str]:
    inner = [n for c in code.co_consts if isinstance(c, types.CodeType) for n in _names(c)]
    return [*code.co_names, *inner]


def _without_repeats(ids: np.ndarray, once: bool):
    """The array without repeats in any row, and with repeats between rows; where each contribution
    is there in full or not at all (`once`), also the array without any.

    A mean over all repetitions is right where there is none, too: it is no such mistake.
    """
    known = np.unique(ids)
    values = np.arange(known[-1] + 1) if known[0] >= 0 else known
    if once and values.size >= ids.size:
        yield values[: ids.size].reshape(ids.shape).astype(ids.dtype)
    if ids.ndim > 1 and values.size >= ids.shape[-1]:
        rows = [np.roll(values, -i)[: ids.shape[-1]] for i in range(ids.size // ids.shape[-1])]
        yield np.array(rows).reshape(ids.shape).astype(ids.dtype)


def _at_indices(e: Evidence, name: str, ids: np.ndarray, new: np.ndarray) -> Evidence | None:
    """Both Jacobians with other indices, in place where they are no argument."""
    if e.problem.arguments.get(name) is ids:
        place = Point(e.problem.at(**{name: new}), e.values)
        try:
            return gather(e.leaf.at(place), e.rng, e.linear)
        except CallError:
            return None
    if not ids.flags.writeable:
        return None
    old = ids.copy()
    try:
        ids[...] = new
        return gather(e.leaf, e.rng, e.linear)
    except CallError:
        return None
    finally:
        ids[...] = old


def slice_for_position(e: Evidence) -> Cause | None:
    """Each output takes one entry of the leaf; yours fills the whole row or column through it, or
    puts a row of dy where one entry belongs."""
    live, on = e.J != 0, e.G != 0
    if len(e.shape) < 2 or e.J.shape[0] < 2 or np.max(np.count_nonzero(live, axis=1)) != 1:
        return None
    rows = np.flatnonzero(live.any(axis=1))
    places = np.array(np.unravel_index(live[rows].argmax(axis=1), e.shape)).T
    values = e.J[rows, live[rows].argmax(axis=1)]
    if np.max(np.count_nonzero(on, axis=1)) < 2:
        return None
    axes = range(len(e.shape))
    for count in range(1, len(e.shape)):
        for free in itertools.combinations([k for k in axes if e.shape[k] > 1], count):
            fixed = [k for k in axes if k not in free]
            for source in itertools.product(axes, repeat=len(fixed)):
                if _fills(e, rows, places, values, dict(zip(fixed, source, strict=True))):
                    message = (
                        f"each output takes one entry of {e.name}, and yours fills a whole line of "
                        f"it (axis {', '.join(map(str, free))}): a position is used without its "
                        "partner, d[:, i] for d[i, arange(n)]"
                    )
                    return Cause("broadcast", e.name, message)
    return _crossed(e, rows, places, values)


def _fills(e: Evidence, rows, places, values, fixed: dict[int, int]) -> bool:
    """Is every row of G zero (written over), or the value on the whole line whose index on axis f
    is the place's coordinate on axis q, for f: q in `fixed`?
    """
    filled = 0
    for j, place, value in zip(rows, places, values, strict=True):
        g = e.G[j].reshape(e.shape)
        if not np.any(g):
            continue
        if any(place[q] >= e.shape[f] for f, q in fixed.items()):
            return False
        line = np.zeros(e.shape)
        line[tuple(place[fixed[a]] if a in fixed else slice(None) for a in range(g.ndim))] = value
        if not close(g, line):
            return False
        filled += 1
    return filled > 0


def _crossed(e: Evidence, rows, places, values) -> Cause | None:
    """Every chosen position of one axis is filled with all of dy: d[i, :] = dy."""
    if len(e.shape) != 2 or np.ptp(values) > tol() * np.max(np.abs(values)):
        return None
    for k, q, own in itertools.product((0, 1), repeat=3):
        chosen, other = np.unique(places[:, q]), places[:, own]
        if chosen[-1] >= e.shape[k] or np.max(other) >= e.shape[1 - k]:
            continue
        table = np.zeros((len(rows), *e.shape))
        for r in range(len(rows)):
            table[r][(chosen, other[r]) if k == 0 else (other[r], chosen)] = values[r]
        if close(e.G[rows].reshape(table.shape), table):
            message = (
                f"the positions are used as a slice of axis {k} of {e.name}: every chosen "
                f"{'row' if k == 0 else 'column'} gets all of dy, where each gets its own entry "
                "(d[i] = dy for d[arange(n), i] = dy)"
            )
            return Cause("broadcast", e.name, message)
    return None


def weights_of_others(e: Evidence) -> Cause | None:
    """The function weights each entry with its own weight, yours with that of its label (or the
    reverse): the ratio of both is known.
    """
    live = e.J != 0
    if not np.array_equal(live, e.G != 0) or len(e.shape) < 2 or e.J.shape[0] != 1:
        return None
    ratio = np.divide(e.G, e.J, out=np.ones_like(e.J), where=live).reshape(e.shape)
    labels = [
        (n, a)
        for n, a in [*e.problem.arguments.items(), *_reached(functions_of(e.problem))]
        if isinstance(a, np.ndarray) and a.dtype.kind in "iu" and a.shape == e.shape[:-1]
    ]
    for name, w in [*e.values.items(), *_float_arrays(e)]:
        if w.shape != e.shape[-1:] or not np.all(w) or np.ptp(w) == 0:
            continue
        for label, index in labels:
            if index.min() < 0 or index.max() >= w.size:
                continue
            chosen, own = w[index][..., None], w
            for mine, true, a, b in (
                (chosen, own, f"{name}[{label}]", f"{name} of the entry's own class"),
                (own, chosen, f"{name} of the entry's own class", f"{name}[{label}]"),
            ):
                expected = np.where(live.reshape(e.shape), mine / true, 1.0)
                if close(ratio, expected):
                    message = f"each entry is weighted with {a}, where the function has {b}"
                    return Cause("wrong-operand", e.name, message, what=f"{a} for {b}")
    return None


def windows_elsewhere(e: Evidence) -> Cause | None:
    """The function is linear in the leaf with another argument's entries as factors; yours takes
    entries of the same argument from other places: a stride, a dilation, an offset."""
    live = e.J != 0
    if e.J.shape[0] < 2 or np.count_nonzero(live) < 4:
        return None
    for name, z in _float_arrays(e):
        true, mine = _places_in(z, e.J), _places_in(z, e.G)
        if true is None or mine is None or np.array_equal(true, mine):
            continue
        both = (true >= 0) & (mine >= 0)
        if len(np.unique(mine)) < 5 or np.count_nonzero(true[both] != mine[both]) < 0.3 * max(
            1, both.sum()
        ):
            continue
        words = _how_they_move(e, z.shape, true, mine)
        message = (
            f"dy is multiplied by the entries of {name} at other places than in the function{words}"
        )
        return Cause("wrong-operand", e.name, message, what=f"{name} at other places")
    return None


def _float_arrays(e: Evidence):
    """(name, array) of the other float arrays that the function reads."""
    seen = set()
    reached = _reached(functions_of(e.problem))
    for name, z in [*e.values.items(), *e.problem.arguments.items(), *reached]:
        if isinstance(z, np.ndarray) and z.dtype.kind == "f" and name not in (e.name, *seen):
            seen.add(name)
            if z.ndim and 4 <= z.size <= 20_000:
                yield name, z


def _places_in(z: np.ndarray, M: np.ndarray) -> np.ndarray | None:
    """The index in z.ravel() of each entry of M, -1 where M is 0; None where one is not of z."""
    flat = z.ravel()
    order = np.argsort(flat)
    if flat.size != np.unique(flat).size:
        return None
    found = np.clip(np.searchsorted(flat[order], M), 1, flat.size - 1)
    left, right = order[found - 1], order[found]
    nearest = np.where(np.abs(flat[left] - M) < np.abs(flat[right] - M), left, right)
    size = np.max(np.abs(flat))
    good = (np.abs(flat[nearest] - M) <= tol() * size) | (M == 0)
    if not np.all(good):
        return None
    return np.where(M == 0, -1, nearest)


def _how_they_move(e: Evidence, shape, true: np.ndarray, mine: np.ndarray) -> str:
    """ ", by 1 where the function moves by 2 ..." along an output or kernel axis, if so."""
    grids = [
        np.array(np.unravel_index(np.maximum(p, 0), shape)).reshape(-1, *e.yshape, *e.shape)
        for p in (true, mine)
    ]
    on = (np.minimum(true, mine) >= 0).reshape(*e.yshape, *e.shape)
    for axis in range(on.ndim):
        n = on.shape[axis]
        if n < 2:
            continue
        a, b = (np.take(on, range(i, n - 1 + i), axis) for i in (0, 1))
        both = a & b
        if not np.any(both):
            continue
        for k in range(len(shape)):
            steps = [np.unique(np.diff(g[k], axis=axis)[both]) for g in grids]
            if all(s.size == 1 for s in steps) and steps[0] != steps[1]:
                where = (
                    f"output's axis {axis}"
                    if axis < len(e.yshape)
                    else f"{e.name}'s axis {axis - len(e.yshape)}"
                )
                return (
                    f": from one index of the {where} to the next it moves by {steps[1][0]} where "
                    f"the function moves by {steps[0][0]} (stride or dilation forgotten?)"
                )
    return ""
