"""A batch of cotangents against its rows one by one, and what a wrong batch looks like."""

from typing import Any

import numpy as np

from autocnn.gradcheck.batching.runs import Batch, Runs, Unsupported, Way, output, sizes
from autocnn.gradcheck.point import redraw
from autocnn.gradcheck.report import Cause, Report

__all__ = ["add_batched"]

_WRONG = "right for one cotangent, wrong for a batch of them"


def add_batched(report: Report, runs: Runs, seed: int) -> None:
    """Compare every way to run a batch with its rows; findings go into the report."""
    rng = np.random.default_rng((seed, 31))
    count = sizes(runs)
    dys = [_cotangents(count, shape, rng) for shape in runs.shapes]
    done: list[str] = []
    seen: set[tuple] = set()
    for way in runs.ways:
        batch = Batch(dys, _arguments(runs, count, rng) if way.arguments else None)
        try:
            causes = _examine(runs, way, batch, rng)
        except Unsupported as reason:
            report.notes.append(str(reason))
            continue
        for cause in causes:
            if (cause.code, cause.leaf) in seen:
                continue
            seen.add((cause.code, cause.leaf))
            report.causes.append(cause)
            if cause.leaf in report.leaves:
                report.leaves[cause.leaf].verdict = "wrong"
        done += [] if causes else [way.what]
    if done and not seen:
        report.notes.append(f"right for batches of {count} cotangents, too: {', '.join(done)}")
    report.notes = list(dict.fromkeys(report.notes))


def _cotangents(count: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Rows of unit size, of the other sign, much larger, and of zeros: a branch that is taken for
    the whole batch gives itself away."""
    dys = rng.standard_normal((count, *shape))
    dys[1] = -dys[0]
    dys[2] *= 30.0
    dys[3] = 0.0
    return dys


def _arguments(runs: Runs, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The given arguments, and others of the same bounds and signs."""
    rows = [runs.leaves, *(redraw(runs.leaves, rng, k % 2) for k in range(1, count))]
    return {n: np.stack([r[n] for r in rows]) for n in runs.leaves}


def _examine(runs: Runs, way: Way, batch: Batch, rng: np.random.Generator) -> list[Cause]:
    only = next((n for n in runs.leaves if f" over {n} alone" in way.what), None)
    if only is not None and batch.values is not None:  # the others stay as they are in row 0
        values = {n: v if n == only else np.stack([v[0]] * len(v)) for n, v in batch.values.items()}
        batch = Batch(batch.dys, values)
    count = len(batch.dys[0])
    rows = [runs.single(batch.row(k)) for k in range(count)]
    try:
        got = way.run(batch)
    except Unsupported:
        raise
    except Exception as error:
        reason = error.__cause__ or error
        text = (str(reason).strip().splitlines() or [""])[0].split(". ")[0][:200]
        return [
            Cause(
                "batched",
                None,
                f"right for one cotangent, fails for a batch of them ({way.what}): "
                f"{type(reason).__name__}: {text}",
            )
        ]
    causes = []
    shapes = {n: x.shape for n, x in runs.leaves.items()}
    shapes |= {output(k): shape for k, shape in enumerate(runs.shapes) if output(k) in got}
    for name, shape in shapes.items():
        alone = [r.get(name) for r in rows]
        if any(a is None or np.shape(a) != shape for a in alone):
            continue
        right = np.stack([np.asarray(a, dtype=np.float64) for a in alone])
        if not np.all(np.isfinite(right)):
            continue
        what = _difference(got.get(name), right, runs.eps)
        if what == "":
            what = _crosstalk(runs, way, batch, got, name, rng)
        if what is None:
            continue
        if name in runs.leaves:
            causes.append(Cause("batched", name, f"{_WRONG} ({way.what}): {what}", what=what))
        else:
            text = f"right alone, wrong for a batch ({way.what}): {name}: {what}"
            causes.append(Cause("batched", None, text, what=what))
    return causes


def _equal(a: np.ndarray, b: np.ndarray, eps: float) -> bool:
    """Equal to rounding, row by row."""
    if a.shape != b.shape or not np.all(np.isfinite(a)):
        return False
    axes = tuple(range(1, b.ndim))
    row = np.max(np.abs(b), axis=axes, keepdims=True, initial=0.0)
    room = 1e4 * eps * row + 256 * eps * np.max(np.abs(b), initial=0.0)
    return bool(np.all(np.abs(a - b) <= room))


def _difference(got: Any, right: np.ndarray, eps: float) -> str | None:
    """What is wrong with the gradients of a batch: None for nothing, "" for values without a
    pattern."""
    if got is None:
        return None if not np.any(right) else "no gradient came"
    try:
        mine = np.asarray(got, dtype=np.float64)
    except (TypeError, ValueError):
        return f"the gradient is a {type(got).__name__}"
    if _equal(mine, right, eps):
        return None
    known = {
        "the sum over the batch": right.sum(0),
        "the mean over the batch": right.mean(0),
        "that of cotangent 0": right[0],
        "that of the last cotangent": right[-1],
    }
    for text, value in known.items():
        if _equal(mine[None], value[None], eps):
            return f"one gradient came, {text}, where the stack of {len(right)} is expected"
        if mine.shape == right.shape and _equal(mine, np.stack([value] * len(right)), eps):
            return f"every row is {text}"
    for axis in range(1, mine.ndim):
        if _equal(np.moveaxis(mine, axis, 0), right, eps):
            return f"the batch is axis {axis} of the gradient, where axis 0 is expected"
    if mine.shape != right.shape:
        return f"the gradient has shape {mine.shape}, where {right.shape} is expected"
    return _rows(mine, right, eps)


def _rows(mine: np.ndarray, right: np.ndarray, eps: float) -> str:
    """Which rows are wrong, where it is some of them."""
    good = [_equal(a[None], b[None], eps) for a, b in zip(mine, right, strict=True)]
    good = [g or not (np.any(a) or np.any(b)) for g, a, b in zip(good, mine, right, strict=True)]
    order = [
        next((j for j, b in enumerate(right) if np.any(b) and _equal(a[None], b[None], eps)), None)
        for a in mine
    ]
    moved = [j for j in order if j is not None]
    if len(set(moved)) == len(moved) >= len(right) - 1 and not all(good):
        return "right rows in another order"
    wrong = [k for k, g in enumerate(good) if not g and np.any(right[k])]
    nonzero = np.count_nonzero(np.any(right.reshape(len(right), -1), axis=1))
    if wrong and len(wrong) < nonzero:
        rows = ", ".join(map(str, wrong))
        return f"rows {rows} of {len(right)}: one branch or one buffer serves the whole batch"
    return ""


def _crosstalk(
    runs: Runs, way: Way, batch: Batch, got: dict, name: str, rng: np.random.Generator
) -> str:
    """Does row 0 change with the cotangents or the arguments of the other rows?"""
    before = np.asarray(got[name], dtype=np.float64)[0]
    for what in ("cotangents", "arguments") if way.arguments else ("cotangents",):
        dys, values = [d.copy() for d in batch.dys], batch.values
        if what == "cotangents":
            for d in dys:
                d[1:] = rng.permutation(d[1:]) + 0.5
        elif values is not None:
            scale = 1 + 0.2 * rng.random()
            values = {n: np.concatenate([v[:1], v[1:] * scale]) for n, v in values.items()}
        after = np.asarray(way.run(Batch(dys, values))[name], dtype=np.float64)[0]
        if not _equal(after[None], before[None], runs.eps):
            return (
                f"a row changes with the {what} of the others: a sum or a statistic runs over the "
                "batch's axis"
            )
    return "each row is wrong by itself: an axis is counted from the wrong side, or dropped"
