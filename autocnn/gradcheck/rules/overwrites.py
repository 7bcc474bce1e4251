"""Rules for sums into which `=` was written for `+=`: of windows, repeated indices, or steps."""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.patterns import kept
from autocnn.gradcheck.perturbed import column_at
from autocnn.gradcheck.report import Cause


def collisions(e: Evidence) -> Cause | None:
    """Overwritten in a loop whose steps meet in some entries and not in others: no loop that
    ends early looks like that.
    """
    return overwritten(e, uneven=True)


def overwritten(e: Evidence, uneven: bool = False) -> Cause | None:
    """Where several contributions meet in one entry only the last (or first) of a loop is left."""
    keep = kept(e)
    if keep is None or e.J.shape[0] == 1:
        return None
    live, n = e.J != 0, e.J.shape[1]
    if not np.all(
        (keep & live).any(axis=0) == live.any(axis=0)
    ):  # an entry that gets nothing was not overwritten
        return None
    if np.max(np.count_nonzero(live, axis=0), initial=0) < 2:
        return None
    grid_live, grid_keep = live.reshape(*e.yshape, n), (keep & live).reshape(*e.yshape, n)
    axes = [k for k in range(len(e.yshape)) if e.yshape[k] > 1]
    for count in range(1, len(axes) + 1):
        for loops in itertools.combinations(axes, count):
            rest = tuple(k for k in range(len(e.yshape)) if k not in loops)
            for order in itertools.permutations(loops):
                stack = np.transpose(grid_live, (*order, *rest, len(e.yshape)))
                lengths = stack.shape[: len(order)]
                steps = stack.reshape(int(np.prod(lengths)), -1, n).any(
                    axis=1
                )  # (loop step, entry)
                counts = np.count_nonzero(steps, axis=0)
                if uneven and not np.ptp(counts[counts > 0]):
                    continue
                for word, index in _survivors(steps):
                    chosen = np.zeros_like(steps)
                    chosen[index, np.arange(n)] = True
                    back = chosen.reshape(*lengths, *(1 for _ in rest), n)
                    back = (
                        np.transpose(back, np.argsort([*order, *rest, len(e.yshape)])) & grid_live
                    )
                    if np.array_equal(back, grid_keep):
                        where = ", ".join(map(str, order))
                        return Cause(
                            "overwritten",
                            e.name,
                            f"where contributions from output axes {where} meet, only the "
                            f"{word} is left: `=` for `+=`",
                        )
    alone = np.all(np.count_nonzero(keep & live, axis=0) == (np.count_nonzero(live, axis=0) > 0))
    if not uneven and alone and _own_output_only(keep & live):
        return Cause(
            "missing-path",
            e.name,
            "only what each entry gives to the output at its own place is counted; what it gives "
            "to others (a rotation, a shift, a neighbour) is missing",
        )
    if not uneven and alone:
        return Cause(
            "overwritten",
            e.name,
            "of the contributions that meet in an entry only one is left: `=` for `+=`",
        )
    return None


def _own_output_only(kept: np.ndarray) -> bool:
    """Is the one contribution that is left to each entry that of the output in its own place?"""
    outputs, entries = np.nonzero(kept)
    square = len(entries) == kept.shape[1] and len(entries) > 1
    return bool(square and np.ptp(outputs - entries) == 0)


def wiped(e: Evidence) -> Cause | None:
    """Whole windows are assigned, zeros and all: the next window that covers an entry wipes it,
    also where it gives it nothing.
    """
    keep = kept(e)
    if keep is None or e.J.shape[0] < 2 or e.J.shape[1] < 2:
        return None
    live = e.J != 0
    lost = live & ~keep
    if not np.any(lost) or np.max(np.count_nonzero(live, axis=1)) == live.shape[1]:
        return None
    covers = _covers(e, live)
    if covers is None or np.array_equal(covers, live):
        return None
    n = e.J.shape[1]
    grid = covers.reshape(*e.yshape, n)
    axes = [k for k in range(len(e.yshape)) if e.yshape[k] > 1]
    for count in range(1, len(axes) + 1):
        for loops in itertools.combinations(axes, count):
            rest = tuple(k for k in range(len(e.yshape)) if k not in loops)
            for order in itertools.permutations(loops):
                stack = np.transpose(grid, (*order, *rest, len(e.yshape)))
                lengths = stack.shape[: len(order)]
                steps = stack.reshape(int(np.prod(lengths)), -1, n).any(axis=1)
                for word, index in _survivors(steps):
                    chosen = np.zeros_like(steps)
                    chosen[index, np.arange(n)] = True
                    back = chosen.reshape(*lengths, *(1 for _ in rest), n)
                    back = np.transpose(back, np.argsort([*order, *rest, len(e.yshape)]))
                    back = np.broadcast_to(back, grid.shape).reshape(live.shape)
                    if np.array_equal(back & live, keep & live):
                        return Cause(
                            "overwritten",
                            e.name,
                            f"where windows overlap only the {word} one is left, zeros and all: "
                            "each "
                            "window is assigned (`=`) where it belongs added (`+=`)",
                        )
    return None


def _covers(e: Evidence, live: np.ndarray) -> np.ndarray | None:
    """Which outputs an entry of the leaf can reach, at this point or with the entry far up or down:
    a maximum's whole window."""
    covers = live.copy()
    top = 2 * (np.max(np.abs(e.x)) + 1.0)
    for i in range(e.x.size):
        for far in (top, -top):
            x = e.x.copy()
            x.flat[i] = far
            u = np.zeros(e.x.size)
            u[i] = 1.0
            column = column_at(e, x, u)
            if column is None:
                return None
            covers[:, i] |= column != 0
    return covers


def _survivors(steps: np.ndarray):
    yield "last", len(steps) - 1 - np.argmax(steps[::-1], axis=0)
    yield "first", np.argmax(steps, axis=0)
