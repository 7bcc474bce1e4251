"""The lab: runs the chapter's networks through one gradient path or through both, and keeps
every run for later sections.
"""

import functools
import importlib

import numpy as np

from autocnn import models
from autocnn.data import patterns
from autocnn.models.interpretations import engine
from autocnn.training import train
from autocnn.trees import leaves

__all__ = ["CLASSES", "Compared", "Lab", "pictures", "repetition"]

CLASSES = ("vertical", "horizontal", "diagonal", "dot", "cross")
SEEDS = {"tiny_cnn": (3, 11), "tiny_mlp": (5, 13)}  # the chapter's: initial weights, shuffling


class Compared:
    """A model that computes every gradient twice and remembers by how much the two ever
    differed. The first one is used.
    """

    def __init__(self, model, other):
        """Compare ``model`` with ``other``, the same network in another interpretation."""
        self.model, self.other = model, other
        self.init, self.apply, self.forward = model.init, model.apply, model.forward
        self.name, self.parts = model.name, model.parts
        self.gradients, self.largest = 0, 0.0

    def loss_and_grad(self, params, state, batch, key=None):
        """Do as the model does, and note max |difference| / max |gradient|, the worst over all
        leaves and calls.
        """
        loss, grads, after = self.model.loss_and_grad(params, state, batch, key)
        _, again, _ = self.other.loss_and_grad(params, state, batch, key)
        for (_, a), (_, b) in zip(leaves(grads), leaves(again), strict=True):
            scale = np.abs(a).max()
            if scale > 0:
                self.largest = max(self.largest, float(np.abs(a - b).max() / scale))
        self.gradients += 1
        return loss, grads, after


def repetition(name, trial, nn, classes=3, epochs=80, **options):
    """Train one of many repetitions: its own pictures, initial weights and shuffling, none sharing
    a random stream.

    Repetitions with the same ``trial`` see the same pictures, whatever the network, so that they
    may be compared in pairs.
    """
    model = getattr(models, name)(classes=classes, nn=nn, **options)
    init, shuffle = SEEDS[name]
    _, params, state = model.init((init, trial), (1, 8, 8))
    return train(
        params,
        pictures(trial, classes),
        model=model,
        state=state,
        epochs=epochs,
        seed=(shuffle, trial),
    )


def _outcome(name, trial, nn, options):
    """A repetition, less what does not travel between processes."""
    run = repetition(name, trial, importlib.import_module(nn), **options)
    return run._replace(model=None, opt_state=None, train_state=None)


def _key(name, trial, options):
    return (name, "trial", trial, tuple(options.items()))


@functools.lru_cache(maxsize=128)
def pictures(trial, classes=3):
    """The pictures of a repetition, of the first so many classes."""
    # They come from the streams of two plain seeds, s and s + 99, so that trials are kept a
    # thousand apart.
    return patterns(seed=1000 * (trial + 1), classes=CLASSES[:classes])


class Lab:
    """Runs by name and options, each trained once. ``tick(label)`` is called after each."""

    trials = None  # what the chapter reports is one run each

    def __init__(self, which="both", tick=lambda label: None):
        """Train through ``which``: autograd, reference, or both, in which case every gradient of
        every step is compared.
        """
        if which == "both":
            self.vocabularies = [engine("autograd"), engine("reference")]
        else:
            self.vocabularies = [engine(which)]
        # Repetitions ask what the numbers are, not whether two paths agree: with both, the quickest
        # engine makes them.
        self.repeats_by = engine("fast") if which == "both" else self.vocabularies[0]
        self.which, self.tick = which, tick
        self.runs, self.datasets, self.coming = {}, {}, {}
        self.gradients, self.largest = 0, 0.0

    def data(self, classes=3, seed=7):
        """The chapter's pictures of the first so many classes."""
        if (classes, seed) not in self.datasets:
            self.datasets[classes, seed] = patterns(seed=seed, classes=CLASSES[:classes])
        return self.datasets[classes, seed]

    def run(self, name, classes=3, **options):
        """The chapter's run of tiny_cnn or tiny_mlp with these options."""
        key = (name, classes, tuple(options.items()))
        if key not in self.runs:
            built = [
                getattr(models, name)(classes=classes, nn=nn, **options) for nn in self.vocabularies
            ]
            model = Compared(*built) if len(built) == 2 else built[0]
            init, shuffle = SEEDS[name]
            _, params, state = model.init(init, (1, 8, 8))
            self.runs[key] = train(
                params, self.data(classes), model=model, state=state, seed=shuffle
            )
            if len(built) == 2:
                self.gradients += model.gradients
                self.largest = max(self.largest, model.largest)
            self.tick(f"{name} {options or ''}")
        return self.runs[key]

    def prepare(self, repeats):
        """Start on repetitions, a list of (name, trial, options), in another process, while this
        one does other work.
        """
        from loky import get_reusable_executor

        pool = get_reusable_executor(max_workers=1, timeout=60)
        for name, trial, options in repeats:
            self.coming[_key(name, trial, options)] = pool.submit(
                _outcome, name, trial, self.repeats_by.__name__, options
            )

    def repeat(self, name, trial, **options):
        """One of many repetitions, see ``repetition``; one that was prepared comes without its
        model and its optimizer.
        """
        key = _key(name, trial, options)
        if key not in self.runs:
            coming = self.coming.pop(key, None)
            self.runs[key] = (
                coming.result() if coming else repetition(name, trial, self.repeats_by, **options)
            )
            self.tick(f"{name} {options or ''} repetition {trial + 1}")
        return self.runs[key]
