"""Rules for contributions that are lost, overwritten or sent elsewhere: which entries of J does
G keep, and where?
"""

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.patterns import box, elementwise, kept
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import close, tol


def partial(e: Evidence) -> Cause | None:
    """Whole outputs (examples, windows, rows) never contribute, or whole slices of the leaf are
    never filled.
    """
    keep = kept(e)
    if keep is None:
        return None
    live = np.abs(e.J) > tol() * np.max(np.abs(e.J))  # smaller ones count as kept anyhow
    outputs = np.all(keep | ~live, axis=1)  # outputs whose every contribution is there
    alive = outputs & live.any(axis=1)
    if np.array_equal(keep & live, live & outputs[:, None]) and np.any(alive):
        unused = _unused_outputs(e, outputs, live.any(axis=1))
        if unused:
            return Cause("partial", e.name, unused)
        where = box(outputs.reshape(e.yshape)) or box(alive.reshape(e.yshape))
        if where:
            return Cause(
                "partial",
                e.name,
                f"only the outputs at {where} contribute to yours (a loop that ends early, or "
                "`=` in it)",
            )
    entries = np.all(keep | ~live, axis=0)
    if np.array_equal(keep & live, live & entries[None, :]):
        where, without = box(entries.reshape(e.shape)), box(~entries.reshape(e.shape))
        if where:
            return Cause("partial", e.name, f"yours is right at {where} and zero elsewhere")
        if without:
            return Cause("partial", e.name, f"yours is zero at {without} and right elsewhere")
    return None


def _unused_outputs(e: Evidence, right: np.ndarray, live: np.ndarray) -> str:
    """Which of several outputs do not contribute, where the others do in full."""
    shapes = e.leaf.point.run().shapes
    if len(shapes) < 2:
        return ""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    parts = [
        (bool(np.all(r | ~n)), bool(np.any(r & n)))
        for r, n in zip(np.split(right, ends), np.split(live, ends), strict=True)
    ]
    if any(some and not full for full, some in parts) or all(full for full, _ in parts):
        return ""
    lost = [str(k + 1) for k, (full, _) in enumerate(parts) if not full]
    return (
        f"the dy of output {', '.join(lost)} (of {len(shapes)}) is not used: what comes back "
        "through it is missing, all else is right"
    )


def some_outputs(e: Evidence) -> Cause | None:
    """Some outputs contribute in full and the others not at all, in no simple pattern."""
    keep = kept(e)
    if keep is None or e.J.shape[0] < 2 or elementwise(e) is not None:
        return None
    live = e.J != 0
    outputs = np.all(keep | ~live, axis=1)
    alive = outputs & live.any(axis=1)
    if not np.any(alive) or not np.array_equal(keep & live, live & outputs[:, None]):
        return None
    return Cause(
        "partial",
        e.name,
        f"only {np.count_nonzero(alive)} of {np.count_nonzero(live.any(axis=1))} outputs "
        "contribute to yours",
    )


def diagonal_only(e: Evidence) -> Cause | None:
    """The cross terms of a coupled function are absent."""
    keep = kept(e)
    if (
        keep is None
        or e.J.shape[0] != e.J.shape[1]
        or not np.array_equal(keep & (e.J != 0), np.eye(len(e.J), dtype=bool) & (e.J != 0))
    ):
        return None
    return Cause(
        "missing-path",
        e.name,
        "only the diagonal of the Jacobian is there: each output's dependence on the other "
        "entries is missing",
    )


def group(e: Evidence) -> Cause | None:
    """Right for a block of channels (at most half of them), nonzero and wrong for the others,
    whose outputs are others.
    """
    J, G = e.grids
    wrong = (np.abs(G - J) > tol() * np.max(np.abs(J))).any(axis=0)
    for k in range(len(e.shape)):
        rest = tuple(a for a in range(len(e.shape)) if a != k)
        right = ~wrong.any(axis=rest)
        count, n = np.count_nonzero(right), e.shape[k]
        if not 0 < count <= n // 2 or n % count or len(e.shape) < 3:
            continue
        where = np.flatnonzero(right)
        block = where[-1] - where[0] + 1 == count and where[0] % count == 0
        if block and _channels(e, J, k, count):
            return Cause(
                "group",
                e.name,
                f"right for indices {where[0]}..{where[-1]} of axis {k} only: another group's "
                "data is used for the rest",
            )
    return None


def _channels(e: Evidence, J: np.ndarray, axis: int, count: int) -> bool:
    """Do blocks of `count` indices along this axis reach disjoint blocks of the output's
    channels (its axis 1)?
    """
    if len(e.yshape) < 2:
        return False
    moved = np.moveaxis(J, axis + 1, 1)
    reach = (moved.reshape(len(moved), moved.shape[1] // count, -1) != 0).any(
        axis=2
    )  # (outputs, groups)
    reach = reach.reshape(*e.yshape, -1).any(
        axis=tuple(k for k in range(len(e.yshape)) if k != 1)
    )  # (channels, groups)
    return bool(np.all(np.count_nonzero(reach, axis=1) == 1))


def rerouted(e: Evidence) -> Cause | None:
    """Each output sends the right numbers to other entries, or keeps only those that do not fall
    over the border.
    """
    if e.J.shape[0] < 2 or e.x.size < 3:
        return None
    rows = [j for j in range(len(e.J)) if np.any(e.J[j])]
    moved = lost = 0
    for j in rows:
        a, b = np.sort(e.J[j][e.J[j] != 0]), np.sort(e.G[j][e.G[j] != 0])
        if np.array_equal(e.J[j] != 0, e.G[j] != 0) and close(e.G[j], e.J[j]):
            continue
        if a.size == b.size and close(a, b):
            moved += 1
        elif b.size < a.size and _subset(b, a):
            lost += 1
        else:
            return None
    if moved < 2:
        return None
    tail = f" ({lost} fall over the border)" if lost else ""
    one = all(np.count_nonzero(e.J[j]) == 1 for j in rows)
    what = "its value goes to another entry" if one else "its contributions land at other entries"
    return Cause(
        "permuted",
        e.name,
        f"for {moved} of {len(rows)} outputs {what}{tail}: window origin, stride or position "
        "decoded wrongly?",
    )


def _subset(small: np.ndarray, large: np.ndarray) -> bool:
    """Every value of `small` occurs in `large` (both sorted)."""
    if not small.size:
        return True
    places = (
        np.clip(np.searchsorted(large, small), 1, large.size - 1)
        if large.size > 1
        else np.zeros(small.size, int)
    )
    near = np.minimum(np.abs(large[places] - small), np.abs(large[places - 1] - small))
    return bool(np.all(near <= tol() * np.max(np.abs(large))))
