"""One trial of a sweep: build a network, draw its data and weights from the seed, train it, and
say what came out.
"""

import functools
import inspect

import numpy as np

from autocnn import optim
from autocnn.data import load, patterns
from autocnn.training import train
from autocnn.trees import count

__all__ = ["MEASURES", "TRAINING", "one_thread", "plan", "trial"]

MEASURES = ("parameters", "train_loss", "train_acc", "val_loss", "val_acc")
TRAINING = ("epochs", "batch_size", "rate")
PATTERNS = ("vertical", "horizontal", "diagonal", "dot", "cross")


def one_thread():
    """Hold everything to one thread: workers do not fight for cores, and their number cannot
    change a sum's last bit.
    """
    from autocnn.fast import threadpool

    return threadpool.single_threaded()


def trial(options, build, data, fixed):
    """Train ``build(**options)``, plain SGD, and return its ``MEASURES`` after the last epoch as a
    dict of numbers.

    options: those of ``build`` and of ``TRAINING``, which go before ``fixed``, and "seed". data: as
    for ``sweep``. Weights of the i-th layer come from the key (3 + i, seed), shuffling and dropout
    from (3, seed, 1) and its children, the chapter's pictures from the plain seeds 1000 (seed + 1)
    and 99 more: no two trials' streams are the same.
    """
    options = dict(options)
    seed = options.pop("seed")
    training = {name: options.pop(name, fixed[name]) for name in TRAINING}
    # A rate that is too high overflows before it is seen to diverge; the trial's error says so, and
    # numpy need not.
    with one_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        model = build(**options)
        pictures = _pictures(data, seed, model)
        _, params, state = model.init((3, seed), pictures.x_train.shape[1:])
        optimizer = optim.sgd(training.pop("rate"))
        run = train(
            params, pictures, model, state, optimizer, seed=(3, seed, 1), snapshots=(), **training
        )
    return {
        "parameters": count(run.params),
        **{name: float(run.history[name][-1]) for name in MEASURES[1:]},
    }


def plan(build):
    """Return the names of the options that ``build`` takes, and whether it takes any others as
    well.
    """
    parameters = inspect.signature(build).parameters
    named = tuple(
        name
        for name, p in parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    )
    return named, any(p.kind == p.VAR_KEYWORD for p in parameters.values())


def _pictures(data, seed, model):
    if data is None:
        classes = model.init(None, (1, 8, 8))[0][0]
        if classes > len(PATTERNS):
            raise ValueError(
                f"there are {len(PATTERNS)} patterns, fewer than {classes} classes; give data, or classes=3"
            )
        return patterns(seed=1000 * (seed + 1), classes=PATTERNS[:classes])
    if isinstance(data, str):
        return _loaded(data)
    return data(seed) if callable(data) else data


_loaded = functools.lru_cache(maxsize=1)(load)  # a worker reads it once
