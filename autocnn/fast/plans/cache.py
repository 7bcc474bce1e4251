"""Plans by network, shape and number of threads: made when first needed, the latest ones kept."""

import os
import threading
from collections import OrderedDict
from weakref import WeakKeyDictionary, finalize

from autocnn.fast import kernels, threadpool
from autocnn.fast.plans.graph import Unplannable, graph, work
from autocnn.fast.plans.library import OneDNNError, library
from autocnn.fast.plans.prediction import Prediction
from autocnn.fast.plans.program import forget
from autocnn.fast.plans.training import Step

__all__ = ["available", "prediction", "step"]

KEPT = 8  # plans of a network, each some megabytes of generated code
# Multiply-adds of a call from which on a plan computes it: below, NumPy is done sooner.
MIN_WORK = 2**18

_plans: WeakKeyDictionary = WeakKeyDictionary()
_lock = threading.Lock()


def available() -> bool:
    """Return whether plans may be used: oneDNN is installed, and wanted.

    A forked process has none where its parent had OpenMP's threads, which oneDNN uses.
    """
    wanted = kernels.wants_plans() and not threadpool.lost_openmp()
    return bool(wanted) and library() is not None


def prediction(layer, shape: tuple[int, ...]) -> Prediction | None:
    """Return the plan of a network's output for batches of a shape; None if there is none."""
    return _find(layer, shape, False, Prediction)


def step(layer, shape: tuple[int, ...]) -> Step | None:
    """Return the plan of a training step for batches of a shape; None if there is none."""
    return _find(layer, shape, True, Step)


def _find(layer, shape, train, make):
    key = shape, train, threadpool.num_threads(), kernels.wants_plans()
    with _lock:
        plans = _plans.setdefault(layer, OrderedDict())
        if key in plans:
            plans.move_to_end(key)
            return plans[key]
        if not plans:
            finalize(layer, forget).atexit = False  # with the network goes its memory
        plan = plans[key] = _make(layer, *key, make)
        if len(plans) > KEPT:
            plans.popitem(last=False)
        return plan


def _make(layer, shape, train, threads, wants, make):
    try:
        nodes, last = graph(layer, shape[1:], train)
        if shape[0] * work(nodes) < MIN_WORK and wants == "large":
            return None
        return make(nodes, last, shape, threads)
    except (Unplannable, OneDNNError, MemoryError):
        return None


def _after_fork():
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
