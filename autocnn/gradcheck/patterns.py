"""What the difference of two Jacobians may look like: entries kept, a diagonal, one slope for each
entry, a box, the gate of a cell.
"""

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.perturbed import jacobian_at
from autocnn.gradcheck.tolerance import CLOSE, tol

__all__ = ["box", "elementwise", "gate", "kept", "slopes"]


def kept(e: Evidence) -> np.ndarray | None:
    """True where G keeps a nonzero entry of J exactly, False where it has 0 instead; None if G
    does anything else.
    """
    off = np.abs(e.G - e.J) > tol() * np.max(np.abs(e.J), initial=0.0)
    return None if np.any(off & (e.G != 0)) or not np.any(e.G) else ~off


def elementwise(e: Evidence) -> tuple[np.ndarray, np.ndarray] | None:
    """The diagonals of J and G when each output depends on its own entry of the leaf only, in
    both.
    """
    if e.J.shape[0] != e.J.shape[1] or e.J.shape[0] == 1:
        return None
    a, b = np.diag(e.J), np.diag(e.G)
    if np.count_nonzero(e.J) != np.count_nonzero(a) or np.count_nonzero(e.G) != np.count_nonzero(b):
        return None
    return a, b


def slopes(e: Evidence) -> tuple[np.ndarray, np.ndarray] | None:
    """True and your slope of each entry, where the function is elementwise or one sum of such
    terms.
    """
    if e.J.shape[0] > 1:
        return elementwise(e)
    half = np.arange(e.x.size).reshape(e.shape) % 2 == 0
    rng = np.random.default_rng(12)
    for kept_ in (half, ~half):  # the slopes of one half do not change with the other
        J = jacobian_at(
            e,
            {
                **e.values,
                e.name: np.where(kept_, e.x, rng.permutation(e.x.ravel()).reshape(e.shape)),
            },
        )
        if J is None or np.max(np.abs(J - e.J)[:, kept_.ravel()], initial=0.0) > max(
            1e-12, tol() if tol() > CLOSE else 0.0
        ) * np.max(np.abs(e.J)):
            return None
    return e.J[0], e.G[0]


def gate(first: int, last: int, n: int, lengths: set[int]) -> str:
    """ "gate 2 of 4" for a block of an axis that packs the gates of an LSTM or a GRU, else "".

    `lengths` are the lengths of other axes: the hidden size must be one of them.
    """
    for gates in (4, 3, 2):
        size = n // gates
        count, rest = divmod(last - first + 1, max(size, 1))
        if n % gates or size < 2 or size not in lengths or rest or first % size:
            continue
        if 0 < count < gates:
            number = first // size + 1
            return (
                f"gate {number} of {gates}"
                if count == 1
                else f"gates {number} to {number + count - 1} of {gates}"
            )
    return ""


def box(keep: np.ndarray) -> str | None:
    """Where a boolean grid is True, when that is a product of index sets: "axis 0: 2; axis 3:
    all but 5".
    """
    if not np.any(keep) or np.all(keep):
        return None
    words, shape = [], keep.shape
    sets = [
        np.any(keep, axis=tuple(a for a in range(keep.ndim) if a != k)) for k in range(keep.ndim)
    ]
    full = np.ones(shape, bool)
    for k, chosen in enumerate(sets):
        full &= chosen.reshape([-1 if a == k else 1 for a in range(keep.ndim)])
    if not np.array_equal(full, keep):
        return None
    for k, chosen in enumerate(sets):
        if not np.all(chosen):
            words.append(f"axis {k}: {_few(np.flatnonzero(chosen), shape[k])}")
    return "; ".join(words)


def _few(indices: np.ndarray, n: int) -> str:
    lost = sorted(set(range(n)) - set(indices.tolist()))
    if len(indices) == 1:
        return f"only {indices[0]} of 0..{n - 1}"
    if len(lost) <= 2:
        return f"all but {', '.join(map(str, lost))}"
    return (
        f"{indices[0]}..{indices[-1]} of 0..{n - 1}"
        if np.all(np.diff(indices) == 1)
        else f"{len(indices)} of {n}"
    )
