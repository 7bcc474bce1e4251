"""The chapter's exercises, 25.1 to 25.5, solved: each by variants of the networks over several
seeds, with an answer.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.experiments.lab import Lab, Network, cnn, mlp
from autocnn.experiments.published import FILTERS, WIDTHS
from autocnn.experiments.questions import QUESTIONS, check_number
from autocnn.experiments.result import Figure
from autocnn.experiments.sections.sizes import GOOD, count_noun
from autocnn.plots import chapter as plots
from autocnn.sweeps.statistics import mean_interval, share_interval
from autocnn.text import paragraphs, percent, points, printed_sign, table

__all__ = [
    "EXERCISES",
    "Exercise",
    "check_number",
    "dropout",
    "exercise",
    "fifth_class",
    "filter_sweep",
    "kernel_sizes",
    "strided",
]

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
    numbers: dict[str, dict[str, Any]]
    figures: list[Figure]

    def __repr__(self) -> str:
        """Show the question, the table and the answer, as wide as the terminal."""
        question = paragraphs(f"Exercise {self.number}  {self.question}")
        legend = paragraphs(
            "98 % by epoch: the median repetition's. Paired: differences to "
            f"{self.baseline} on the same images."
        )
        rows = table(HEADERS, self.rows)
        return f"{question}\n\n{rows}\n{legend}\n\n{paragraphs(self.answer)}"


def exercise(number: str | int, trials: int = 8, **options: Any) -> Exercise:
    """Solve an exercise of the chapter, with ``trials`` repetitions of each network.

    number: "25.1" to "25.5", or 1 to 5. options: engine ("reference" by default), workers, executor
    and epochs, as for ``Lab``. Raises ValueError for an unknown number, or fewer than 2 trials.
    """
    return EXERCISES[check_number(number)](trials, **options)


def fifth_class(trials: int = 8, **options: Any) -> Exercise:
    """Exercise 25.1: add a fifth class, and see at how many classes 3 filters stop sufficing."""
    counts, filters = (2, 3, 4, 5), (1, 2, 3, 8)
    networks = {
        f"{k} classes, {count_noun(f, 'filter')}": cnn(k, f) for k in counts for f in filters
    }
    lab = _trained(networks, trials, options)
    baselines = {name: networks[f"{name[0]} classes, 3 filters"] for name in networks}
    numbers = _numbers(lab, networks, baselines)
    gains = {k: numbers[f"{k} classes, 8 filters"]["difference"] for k in counts}
    short = [k for k, gain in gains.items() if printed_sign(gain) > 0]
    if short:
        end = (
            f"They stop sufficing at {short[0]} classes, where 8 filters are better by "
            f"{points(gains[short[0]])}."
        )
    else:
        end = (
            "Up to five classes, all that there are, they suffice: 8 filters add "
            f"{points(gains[5])}, which may be none."
        )
    five = numbers["5 classes, 3 filters"]
    good = int((five["accuracies"] >= GOOD).sum())
    groups = {
        count_noun(f, "filter"): {k: lab.accuracies(cnn(k, f)) for k in counts} for f in filters
    }
    return Exercise(
        "25.1",
        QUESTIONS["1"],
        f"With five classes 3 filters reach {percent(five['interval'])}, and {good} of {trials} "
        f"repetitions end at 98 % or above. {end}",
        "3 filters",
        _rows(numbers),
        numbers,
        [
            Figure(
                "exercise-25-1",
                "Accuracy by classes and filters.",
                plots.against,
                {"groups": groups, "label": "classes", "low": 0.5},
            )
        ],
    )


def kernel_sizes(trials: int = 8, **options: Any) -> Exercise:
    """Exercise 25.2: kernels of 2x2, 3x3 and 5x5."""
    networks = {f"kernels {k}x{k}": cnn(kernel=k) for k in (3, 2, 5)}
    return _variants("2", networks, trials, options)


def strided(trials: int = 8, **options: Any) -> Exercise:
    """Exercise 25.3: a convolution with stride 2 in place of pooling."""
    networks = {"max-pool 2": cnn(), "stride 2 (no pooling)": cnn(stride=2, pool=1)}
    return _variants("3", networks, trials, options)


def dropout(trials: int = 8, **options: Any) -> Exercise:
    """Exercise 25.4: dropout with p = 0.3 before the dense layer."""
    networks = {"no dropout": cnn(), "dropout 0.3": cnn(dropout=0.3)}
    return _variants("4", networks, trials, options)


def filter_sweep(trials: int = 8, **options: Any) -> Exercise:
    """Exercise 25.5: 1 to 8 filters, and whether the CNN is more or less sensitive to them than
    the MLP to its width.
    """
    networks = {f"CNN, {count_noun(f, 'filter')}": cnn(filters=f) for f in FILTERS}
    networks |= {f"MLP, width {h}": mlp(hidden=h) for h in WIDTHS}
    lab = _trained(networks, trials, options)
    baselines = {name: cnn() if name.startswith("CNN") else mlp() for name in networks}
    numbers = _numbers(lab, networks, baselines)
    sizes = {
        "TinyCNN": {f: lab.accuracies(cnn(filters=f)) for f in FILTERS},
        "TinyMLP": {h: lab.accuracies(mlp(hidden=h)) for h in WIDTHS},
    }
    spread = {name: np.ptp(list(by_size.values()), axis=0) for name, by_size in sizes.items()}
    gap = mean_interval(spread["TinyMLP"] - spread["TinyCNN"])
    less = ("neither more nor less", "less", "more")[printed_sign(gap)]
    moves = {name: percent(share_interval(values)) for name, values in spread.items()}
    return Exercise(
        "25.5",
        QUESTIONS["5"],
        f"From 1 to 8 filters the CNN's accuracy moves by {moves['TinyCNN']}, from width 1 to 64 "
        f"the MLP's by {moves['TinyMLP']}. The CNN is {less} sensitive to its size: the paired "
        f"difference, MLP - CNN, is {points(gap)}.",
        "3 filters, or width 18",
        _rows(numbers),
        numbers,
        [
            Figure(
                "exercise-25-5",
                "Accuracy by size.",
                plots.against,
                {"groups": sizes, "label": "filters, or hidden units"},
            )
        ],
    )


EXERCISES: dict[str, Callable[..., Exercise]] = {
    "1": fifth_class,
    "2": kernel_sizes,
    "3": strided,
    "4": dropout,
    "5": filter_sweep,
}


def _trained(networks, trials, options):
    """Return a lab in which all repetitions of the networks are trained."""
    lab = Lab(**{"engine": "reference", **options}, trials=trials)
    for _ in lab.compute(lab.jobs(networks.values())):
        pass
    return lab


def _variants(number, networks, trials, options):
    """Compare networks with the first of them, on the same images."""
    lab, (first, *others) = _trained(networks, trials, options), networks
    numbers = _numbers(lab, networks, dict.fromkeys(networks, networks[first]))
    ends = ", ".join(
        f"{percent(n['interval'])} with {name} ({n['parameters']} parameters)"
        for name, n in numbers.items()
    )
    verdicts = "; ".join(f"{name} {_verdict(numbers[name])}" for name in others)
    curves = {name: lab.curves(network) for name, network in networks.items()}
    return Exercise(
        f"25.{number}",
        QUESTIONS[number],
        f"Over {trials} repetitions the CNN ends at {ends}. Against {first}, {verdicts}.",
        first,
        _rows(numbers),
        numbers,
        [
            Figure(
                f"exercise-25-{number}",
                "Mean validation accuracy by epoch.",
                plots.mean_curves,
                {"panels": {"Validation accuracy": curves}},
            )
        ],
    )


def _numbers(
    lab: Lab, networks: dict[str, Network], baselines: dict[str, Network]
) -> dict[str, dict[str, Any]]:
    numbers = {}
    for name, network in networks.items():
        accuracies, base = lab.accuracies(network), baselines[name]
        epochs, base_epochs = _first_good(lab.curves(network)), _first_good(lab.curves(base))
        difference = slower = None
        if base != network:
            difference = mean_interval(accuracies - lab.accuracies(base))
            if None not in epochs + base_epochs:
                slower = mean_interval(np.subtract(epochs, base_epochs))
        numbers[name] = {
            "parameters": lab.parameters(network),
            "accuracies": accuracies,
            "interval": share_interval(accuracies),
            "epochs": epochs,
            "difference": difference,
            "slower": slower,
        }
    return numbers


def _first_good(curves):
    """The epochs at which each curve first reaches ``GOOD``, None for never."""
    return [int(at.argmax()) if at.any() else None for at in curves >= GOOD]


def _rows(numbers):
    rows = []
    for name, found in numbers.items():
        interval, gap, slower = found["interval"], found["difference"], found["slower"]
        median = np.median([np.inf if epoch is None else epoch for epoch in found["epochs"]])
        rows.append(
            (
                name,
                found["parameters"],
                interval.n,
                f"{interval.mean:.4f}",
                f"{interval.low:.4f} to {interval.high:.4f}",
                f"{median:.0f}" if np.isfinite(median) else "",
                "" if gap is None else _signed([100 * end for end in gap[:3]]),
                "" if slower is None else _signed(slower[:3]),
            )
        )
    return rows


def _signed(ends):
    mean, low, high = (f"{end + 0.0:+.1f}" for end in ends)  # + 0.0 turns -0.0 into 0.0
    return f"{mean} ({low} to {high})"


def _verdict(found):
    """Say what a network's paired differences show."""
    gap, slower = found["difference"], found["slower"]
    sign = printed_sign(gap)
    ends = ("ends neither clearly better nor worse", "ends better", "ends worse")[sign]
    ends += f", by {points(gap)}"
    if slower is None:
        return ends
    sign = printed_sign(slower, scale=1)
    pace = ("is not clearly faster or slower", "learns slower", "learns faster")[sign]
    epochs = f"{slower.mean:+.1f} epochs to {GOOD:.0%}, {slower.low:.1f} to {slower.high:.1f}"
    return f"{ends}, and {pace} ({epochs})"
