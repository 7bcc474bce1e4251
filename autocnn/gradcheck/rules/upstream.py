"""Rules about dy: summed or averaged over the outputs, read along another axis, or only one of its
entries used.
"""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import close, tol


def reduced(e: Evidence) -> Cause | None:
    """dy is replaced by its sum, its mean or one of its entries, along some axes of the output."""
    if e.J.shape[0] < 2:
        return None
    J, G = (M.reshape(*e.yshape, -1) for M in (e.J, e.G))
    long = [k for k, n in enumerate(e.yshape) if n > 1]
    for count in range(len(long), 0, -1):
        for axes in itertools.combinations(long, count):
            total = J.sum(axis=axes, keepdims=True)
            if np.max(np.abs(total)) < 1e-3 * np.max(np.abs(J)):
                continue  # nothing is left of the sum: it cannot be recognised
            n = int(np.prod([e.yshape[k] for k in axes]))
            where = f"{'axis' if count == 1 else 'axes'} {', '.join(map(str, axes))} of the output"
            for c, word in ((1.0, "the sum"), (1.0 / n, "the mean")):
                if close(G, np.broadcast_to(c * total, G.shape)):
                    message = (
                        f"every output gets {word} of dy over {where} in place of its own dy: "
                        "dy is reduced too early"
                    )
                    return Cause("broadcast", e.name, message, what=f"{word} of dy over {where}")
            found = _one_entry(e, G, total, axes, where)
            if found:
                return found
    return None


def _one_entry(e: Evidence, G, total, axes, where: str) -> Cause | None:
    """Only one index of dy counts, for all outputs along the axes."""
    for at in itertools.product(*(range(e.yshape[k]) for k in axes)):
        index = [slice(None)] * G.ndim
        for k, i in zip(axes, at, strict=True):
            index[k] = slice(i, i + 1)
        alone = np.zeros_like(G)
        alone[tuple(index)] = total
        if close(G, alone):
            place = at[0] if len(at) == 1 else at
            message = (
                f"only dy[{place}] along {where} is used, and for every output: an index that does "
                "not move with the loop"
            )
            return Cause("broadcast", e.name, message, what=f"dy[{place}] along {where}")
    return None


def along_wrong_axis(e: Evidence) -> Cause | None:
    """Right where dy is the same for all outputs along an axis, wrong otherwise, and another axis
    has the same length: dy is lined up with that one.
    """
    if e.J.shape[0] < 2:
        return None
    J, G = (M.reshape(*e.yshape, -1) for M in (e.J, e.G))
    for a, n in enumerate(e.yshape):
        lengths = [m for x in e.values.values() for m in x.shape]
        total = J.sum(axis=a)
        if n < 2 or lengths.count(n) < 2:
            continue
        if np.max(np.abs(total)) < 1e-3 * np.max(np.abs(J)) or not close(G.sum(axis=a), total):
            continue
        true, mine = (_follows(M, e, a) for M in (J, G))
        axes = [f"axis {k} of {e.name}" for k in (*mine, *true)[:2]] if mine and true else []
        if mine and true and mine != true:
            what = f"{axes[0]} in place of {axes[1]}"
            message = f"dy runs along the wrong axis: its axis {a} is lined up with {what}"
        elif np.any(np.ptp(G, axis=a) > tol() * np.max(np.abs(G))):
            what = f"axis {a}"
            message = (
                f"right only where dy is the same for all indices of its axis {a}: dy runs along "
                f"the wrong axis (another axis has the length {n} too)"
            )
        else:
            continue
        return Cause("wrong-operand", e.name, message, what=what)
    return None


def _follows(M: np.ndarray, e: Evidence, a: int) -> tuple[int, ...]:
    """The axes of the leaf along which M lives only at the output's own index of axis a."""
    n = e.yshape[a]
    live = np.moveaxis(M, a, 0).reshape(n, -1, e.x.size) != 0
    live = live.any(axis=1).reshape(n, *e.shape)
    found = []
    for k, m in enumerate(e.shape):
        if m == n:
            reach = live.any(axis=tuple(1 + b for b in range(len(e.shape)) if b != k))
            if np.any(reach) and not np.any(reach & ~np.eye(n, dtype=bool)):
                found.append(k)
    return tuple(found)


def some_cotangents_only(e: Evidence) -> Cause | None:
    """Yours is right for every unit cotangent and wrong for sums of them: backward is not linear,
    most often because it returns inside its loop over dy. None where it is linear.
    """
    rng = np.random.default_rng(15)
    v = rng.standard_normal(e.J.shape[0])
    if close(e.leaf.yours(v).ravel(), v @ e.G, 1e-6):
        return None
    boxes = [
        (k, i, words)
        for k, n in enumerate(e.yshape)
        if n > 1
        for i, words in ((0, "first"), (n - 1, "last"))
    ]
    g = e.leaf.yours(v).ravel()
    for k, i, words in boxes:
        keep = np.zeros(e.yshape)
        keep[tuple(slice(None) if a != k else i for a in range(len(e.yshape)))] = 1.0
        if close(g, (v * keep.ravel()) @ e.J):
            message = (
                f"of a dy with several entries only the {words} that is not zero (along axis {k}) "
                "contributes: a return or `=` inside the loop over dy"
            )
            return Cause("partial", e.name, message)
    for j in range(e.J.shape[0]):
        if np.any(e.J[j]) and close(g, v[j] * e.J[j]):
            message = (
                f"of a dy with several entries only entry {j} contributes: a return or `=` inside "
                "the loop over dy"
            )
            return Cause("partial", e.name, message)
    message = (
        "right for every dy with one entry that is not zero, wrong for sums of them: backward is "
        "not linear in dy (a return inside a loop, a condition on dy?)"
    )
    return Cause("not-linear", e.name, message)
