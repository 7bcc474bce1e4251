"""Repetitions of the chapter's runs over processes: for each network and its options, what came
out of every trial.
"""

import functools

import numpy as np

from autocnn.experiments.lab import pictures, repetition
from autocnn.models.interpretations import engine as vocabulary
from autocnn.ops.arguments import whole
from autocnn.sweeps.pool import run_all
from autocnn.sweeps.trial import single_threaded
from autocnn.training import predict
from autocnn.trees import count

__all__ = ["Repeated", "cnn", "mlp"]


def cnn(classes=3, filters=3, **options):
    """Name a TinyCNN: a key of ``Repeated``."""
    return ("tiny_cnn", tuple({"classes": classes, "filters": filters, **options}.items()))


def mlp(classes=3, hidden=18):
    """Name a TinyMLP: a key of ``Repeated``."""
    return ("tiny_mlp", (("classes", classes), ("hidden", hidden)))


class Repeated:
    """The trials of several networks, each trained in ``trials`` repetitions that share no random
    stream.

    ``found[network]`` is a list of dicts, one a trial in order: "parameters", "history", "first"
    (the probability of the right class for the first validation picture of class 0), and for a CNN
    "kernels" and "initial", arrays (F, k, k).
    """

    def __init__(
        self,
        networks,
        trials,
        engine="reference",
        workers=None,
        executor=None,
        tick=lambda label: None,
        epochs=80,
    ):
        """Train them all, over ``workers`` processes or an executor. ``tick(label)`` is called
        after each run.

        ValueError for fewer than two trials.
        """
        self.trials, self.which, self.vocabularies = (
            whole(trials, "seeds", least=2),
            engine,
            [vocabulary(engine)],
        )
        networks = list(dict.fromkeys(networks))
        tasks = [(network, trial) for network in networks for trial in range(trials)]
        self.found = {network: [None] * trials for network in networks}
        for i, result in run_all(
            functools.partial(_one, engine=engine, epochs=epochs), tasks, executor, workers
        ):
            (network, trial) = tasks[i]
            if "error" in result:
                raise ValueError(
                    f"repetition {trial} of {network[0]} with {dict(network[1])} failed: {result['error']}"
                )
            self.found[network][trial] = result
            tick(f"{network[0]} {dict(network[1])}")

    def accuracy(self, network):
        """Validation accuracies after the last epoch, (trials,)."""
        return np.array([found["history"]["val_acc"][-1] for found in self.found[network]])

    def curves(self, network):
        """Validation accuracies by epoch, (trials, epochs + 1)."""
        return np.array([found["history"]["val_acc"] for found in self.found[network]])

    def parameters(self, network):
        """The number of the network's parameters."""
        return self.found[network][0]["parameters"]


def _one(task, engine, epochs):
    """Train one repetition and keep what the experiments look at."""
    (name, options), trial = task
    options = dict(options)
    with single_threaded():
        run = repetition(name, trial, vocabulary(engine), epochs=epochs, **options)
        data = pictures(trial, options["classes"])
        index = int(np.flatnonzero(data.y_val == 0)[0])
        probs = predict(run.model, run.params, run.state, data.x_val[index : index + 1])
    found = {"parameters": count(run.params), "history": run.history, "first": float(probs[0, 0])}
    if run.snapshots:
        found |= {
            "initial": run.snapshots[0][:, 0],
            "kernels": run.snapshots[max(run.snapshots)][:, 0],
        }
    return found
