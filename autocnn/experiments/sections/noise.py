"""Beyond the chapter: images with so much noise that the networks can be told apart."""

import numpy as np

from autocnn.data.dataset import Dataset
from autocnn.experiments.lab import Job, Lab, Network, Outcome, cnn, fit, images, mlp
from autocnn.experiments.result import Figure, Section, Table
from autocnn.experiments.sections.sizes import TRIALS, count_noun
from autocnn.keys import rng
from autocnn.plots import chapter as plots
from autocnn.sweeps.statistics import mean_interval, share_interval
from autocnn.text import percent, points, printed_sign

__all__ = ["jobs", "noisy", "train_noisy", "write"]

NUMBER = "noise"
NOISE = 0.6  # standard deviation of what is added; the chapter's own is 0.12
EPOCHS = 30
NETWORKS = {
    "TinyCNN, 3 filters": cnn(),
    "TinyMLP, 2 hidden": mlp(hidden=2),
    "TinyMLP, 18 hidden": mlp(),
}


def jobs(lab: Lab) -> list[Job]:
    """List what the section needs."""
    return [_job(lab, *pair) for pair in _runs(lab)]


def _runs(lab):
    trials = range(TRIALS if lab.trials is None else lab.trials)
    return [(network, trial) for network in NETWORKS.values() for trial in trials]


def _job(lab, network, trial):
    engine = "fast" if lab.engine == "both" else lab.engine
    label = f"{network} with noise, repetition {trial + 1}"
    return Job(label, train_noisy, (network, trial, engine, min(lab.epochs, EPOCHS)))


def noisy(trial: int, noise: float = NOISE) -> Dataset:
    """Return the images of a repetition with more noise: N(0, noise^2) added, cut to [0, 1]."""
    data, generator = images(trial), rng((99, trial))
    x_train, x_val = (
        np.clip(x + generator.normal(0, noise, x.shape), 0, 1) for x in (data.x_train, data.x_val)
    )
    return data._replace(x_train=x_train, x_val=x_val)


def train_noisy(network: Network, trial: int, engine: str, epochs: int) -> Outcome:
    """Train a network as ``train_network`` does, on ``noisy`` images of three classes."""
    return fit(network, trial, engine, epochs, noisy(trial))


def write(lab: Lab) -> Section:
    """Write the section from repetitions of three networks on the same noisy images."""
    accuracies = {
        name: np.array(
            [
                lab.result(_job(lab, network, trial)).history["val_acc"][-1]
                for of, trial in _runs(lab)
                if of == network
            ]
        )
        for name, network in NETWORKS.items()
    }
    sizes = {name: lab.parameters(network) for name, network in NETWORKS.items()}
    first, *others = NETWORKS
    gaps = {name: mean_interval(accuracies[first] - accuracies[name]) for name in others}
    trials = len(accuracies[first])
    found = " ".join(
        f"Against the MLP with {count_noun(dict(NETWORKS[name].options)['hidden'], 'hidden unit')} "
        f"({sizes[name]:,} parameters), the CNN ({sizes[first]} parameters) is "
        f"{_ahead(gap)}: {points(gap)}, in pairs on the same images."
        for name, gap in gaps.items()
    )
    rows = [
        (
            name,
            sizes[name],
            percent(share_interval(values)),
            points(gaps[name]) if name in gaps else None,
        )
        for name, values in accuracies.items()
    ]
    return Section(
        NUMBER,
        "Harder images (not in the chapter)",
        "This setting is not the chapter's. On its images nearly every network ends at 1.000, so "
        f"that they cannot be told apart. Here noise with a standard deviation of {NOISE:g} is "
        "added to the "
        f"same images (the chapter's own is 0.12), and {trials} repetitions of three networks are "
        f"trained for {min(lab.epochs, EPOCHS)} epochs.",
        found,
        "",
        [],
        {"noise": NOISE, "accuracies": accuracies, "paired_differences": gaps},
        [
            Figure(
                "noise-patterns",
                "Training images of each class, with noise.",
                plots.examples,
                {"data": noisy(0)},
            ),
            Figure(
                "noise-accuracies",
                f"Validation accuracy with noise: {trials} repetitions each, with mean and 95 % "
                "interval.",
                plots.repetitions,
                {
                    "groups": {
                        f"{name}\n{sizes[name]:,} parameters": values.tolist()
                        for name, values in accuracies.items()
                    },
                },
            ),
        ],
        Table(
            ("network", "parameters", "validation accuracy", "CNN is ahead by"),
            rows,
            f"Means of {trials} repetitions with 95 % intervals.",
        ),
    )


def _ahead(gap):
    sign = printed_sign(gap)
    return ("neither clearly better nor worse", "clearly better", "clearly worse")[sign]
