"""The chapter's exercises, 25.1 to 25.5: each a question, variants of the networks over several
seeds, and an answer.
"""

from typing import NamedTuple

import numpy as np

from autocnn.experiments.published import FILTERS, WIDTHS
from autocnn.experiments.repeated import Repeated, cnn, mlp
from autocnn.experiments.sections import Figure
from autocnn.sweeps.statistics import mean_interval, share_interval
from autocnn.text import paragraphs, percent, points, table

__all__ = [
    "EXERCISES",
    "Exercise",
    "dropout",
    "exercise",
    "fifth_class",
    "filter_sweep",
    "kernel_sizes",
    "strided",
]

GOOD = 0.98
HEADERS = (
    "network",
    "parameters",
    "n",
    "accuracy",
    "95 % interval",
    "98 % by epoch",
    "paired: points",
    "paired: epochs",
)


class Exercise(NamedTuple):
    """An exercise and its solution.

    rows: one for each network, as ``HEADERS``. numbers: {network: {"parameters", "accuracies",
    "interval", "epochs", "difference", "slower"}}: epochs are those at which 98 % was first
    reached, None for never; the last two are paired differences to the network named ``baseline``,
    of accuracies and of epochs. figures: see ``Figure``.
    """

    number: str
    question: str
    answer: str
    baseline: str
    rows: list[tuple]
    numbers: dict
    figures: list[Figure]

    def __repr__(self):
        """Show the question, the table and the answer, as wide as the terminal."""
        legend = f"98 % by epoch: the median repetition's. Paired: differences to {self.baseline} on the same pictures."
        question = paragraphs(f"{self.number}  {self.question}")
        return f"{question}\n\n{table(HEADERS, self.rows)}\n{paragraphs(legend)}\n\n{paragraphs(self.answer)}"


def exercise(number, trials=8, **options):
    """Solve the exercise ``number``, "25.1" or "1" to 5, with so many repetitions; ``options``
    as for ``Repeated``.
    """
    name = str(number).strip().removeprefix("25.")
    if name not in EXERCISES:
        raise ValueError(
            f"there is no exercise {number!r}; the exercises are {', '.join(f'25.{n}' for n in EXERCISES)}"
        )
    return EXERCISES[name](trials, **options)


def fifth_class(trials=8, **options):
    """Exercise 25.1: add a fifth class, and see at how many classes 3 filters stop sufficing."""
    networks = {
        f"{k} classes, {f} filter{'s'[: f > 1]}": cnn(k, f)
        for k in (2, 3, 4, 5)
        for f in (1, 2, 3, 8)
    }
    runs = Repeated(networks.values(), trials, **options)
    baselines = {name: networks[f"{name[0]} classes, 3 filters"] for name in networks}
    numbers = _numbers(runs, networks, baselines)
    gains = {k: numbers[f"{k} classes, 8 filters"]["difference"] for k in (2, 3, 4, 5)}
    short = [k for k, gain in gains.items() if gain.low > 0]
    five = numbers["5 classes, 3 filters"]
    if short:
        end = f"They stop sufficing at {short[0]} classes, where 8 filters do better by {points(gains[short[0]])}."
    else:
        end = f"Up to five classes, all that there are, they suffice: 8 filters add {points(gains[5])}, which may be none."
    reached = f"{_count(five)} of {trials} repetitions end at 98 % or above"
    answer = f"With five classes 3 filters reach {percent(five['interval'])}, and {reached}. {end}"
    groups = {
        f"{f} filter{'s'[: f > 1]}": {k: runs.accuracy(cnn(k, f)) for k in (2, 3, 4, 5)}
        for f in (1, 2, 3, 8)
    }
    figure = Figure(
        "exercise-25-1",
        "Accuracy by classes and filters.",
        "against",
        {"groups": groups, "label": "classes", "low": 0.5},
    )
    question = "Add a fifth class (cross). At how many classes do 3 filters stop sufficing?"
    return Exercise("25.1", question, answer, "3 filters", _rows(numbers), numbers, [figure])


def kernel_sizes(trials=8, **options):
    """Exercise 25.2: kernels of 2x2, 3x3 and 5x5."""
    networks = {f"kernels {k}x{k}": cnn(kernel=k) for k in (3, 2, 5)}
    return _variants(
        "25.2", "How do kernels of 2x2 and 5x5 compare with 3x3?", networks, trials, options
    )


def strided(trials=8, **options):
    """Exercise 25.3: a convolution with stride 2 in place of pooling."""
    networks = {"max-pool 2": cnn(), "stride 2 (no pooling)": cnn(stride=2, pool=1)}
    return _variants(
        "25.3",
        "Can a convolution with stride 2 take the place of pooling?",
        networks,
        trials,
        options,
    )


def dropout(trials=8, **options):
    """Exercise 25.4: dropout with p = 0.3 before the dense layer."""
    networks = {"no dropout": cnn(), "dropout 0.3": cnn(dropout=0.3)}
    return _variants(
        "25.4", "Does dropout of 0.3 before the dense layer help?", networks, trials, options
    )


def filter_sweep(trials=8, **options):
    """Exercise 25.5: 1 to 8 filters, and whether the CNN is more or less sensitive to them than
    the MLP to its width.
    """
    networks = {f"CNN, {f} filter{'s'[: f > 1]}": cnn(filters=f) for f in FILTERS}
    networks |= {f"MLP, width {h}": mlp(hidden=h) for h in WIDTHS}
    runs = Repeated(networks.values(), trials, **options)
    baselines = {name: cnn() if name.startswith("CNN") else mlp() for name in networks}
    numbers = _numbers(runs, networks, baselines)
    sizes = {"TinyCNN": {f: runs.accuracy(cnn(filters=f)) for f in FILTERS}}
    sizes["TinyMLP"] = {h: runs.accuracy(mlp(hidden=h)) for h in WIDTHS}
    spread = {name: np.ptp(list(by.values()), axis=0) for name, by in sizes.items()}
    gap = mean_interval(spread["TinyMLP"] - spread["TinyCNN"])
    less = "less" if gap.low > 0 else "more" if gap.high < 0 else "neither more nor less"
    moves = {name: percent(share_interval(values)) for name, values in spread.items()}
    answer = (
        f"From 1 to 8 filters the CNN's accuracy moves by {moves['TinyCNN']}, from width 1 to 64 the MLP's by "
        f"{moves['TinyMLP']}. The CNN is {less} sensitive to its size: the paired difference, MLP - CNN, is {points(gap)}."
    )
    arguments = {"groups": sizes, "label": "filters, or hidden units"}
    figure = Figure("exercise-25-5", "Accuracy by size.", "against", arguments)
    question = "Sweep the filters from 1 to 8. Is the CNN more or less sensitive to them than the MLP to its width?"
    return Exercise(
        "25.5", question, answer, "3 filters, or width 18", _rows(numbers), numbers, [figure]
    )


EXERCISES = {"1": fifth_class, "2": kernel_sizes, "3": strided, "4": dropout, "5": filter_sweep}


def _variants(number, question, networks, trials, options):
    """Compare networks with the first of them, on the same pictures."""
    runs, (first, *others) = Repeated(networks.values(), trials, **options), networks
    numbers = _numbers(runs, networks, dict.fromkeys(networks, networks[first]))
    ends = ", ".join(
        f"{percent(n['interval'])} with {name} ({n['parameters']} parameters)"
        for name, n in numbers.items()
    )
    told = "; ".join(f"{name} {_verdict(numbers[name])}" for name in others)
    answer = f"Over {trials} repetitions the CNN ends at {ends}. Against {first}, {told}."
    curves = {name: runs.curves(network) for name, network in networks.items()}
    name = f"exercise-{number.replace('.', '-')}"
    figure = Figure(
        name,
        "Mean validation accuracy by epoch.",
        "mean_curves",
        {"panels": {"Validation accuracy": curves}},
    )
    return Exercise(number, question, answer, first, _rows(numbers), numbers, [figure])


def _numbers(runs, networks, baselines):
    found = {}
    for name, network in networks.items():
        accuracies, base = runs.accuracy(network), baselines[name]
        epochs, before = _epochs(runs.curves(network)), _epochs(runs.curves(base))
        paired = base != network
        found[name] = {
            "parameters": runs.parameters(network),
            "accuracies": accuracies,
            "interval": share_interval(accuracies),
            "epochs": epochs,
            "difference": mean_interval(accuracies - runs.accuracy(base)) if paired else None,
            "slower": mean_interval(np.subtract(epochs, before))
            if paired and None not in epochs + before
            else None,
        }
    return found


def _epochs(curves):
    """The epochs at which each curve first reaches ``GOOD``, None for never."""
    return [int(at.argmax()) if at.any() else None for at in curves >= GOOD]


def _rows(numbers):
    rows = []
    for name, found in numbers.items():
        i, gap = found["interval"], found["difference"]
        median = np.median([np.inf if epoch is None else epoch for epoch in found["epochs"]])
        by = f"{median:.0f}" if np.isfinite(median) else ""
        points = "" if gap is None else _signed([100 * end for end in gap[:3]])
        epochs = "" if found["slower"] is None else _signed(found["slower"][:3])
        rows.append(
            (
                name,
                found["parameters"],
                i.n,
                f"{i.mean:.4f}",
                f"{i.low:.4f} to {i.high:.4f}",
                by,
                points,
                epochs,
            )
        )
    return rows


def _count(found):
    return int((found["accuracies"] >= GOOD).sum())


def _signed(ends):
    mean, low, high = (f"{end + 0.0:+.1f}" for end in ends)
    return f"{mean} ({low} to {high})"


def _verdict(found):
    """What a network's paired differences say about it."""
    gap, slower = found["difference"], found["slower"]
    ends = (
        "ends better"
        if gap.low > 0
        else "ends worse"
        if gap.high < 0
        else "ends neither clearly better nor worse"
    )
    if slower is None:
        return f"{ends}, {points(gap)}"
    pace = (
        "learns more slowly"
        if slower.low > 0
        else "learns faster"
        if slower.high < 0
        else "is not clearly faster or slower"
    )
    epochs = f"{slower.mean:+.1f} epochs to {GOOD:.0%}, {slower.low:.1f} to {slower.high:.1f}"
    return f"{ends}, {points(gap)}, and {pace} ({epochs})"
