"""Section 25.1: a convolutional network against a dense one."""

from autocnn.experiments import published
from autocnn.experiments.lab import Job, Lab, Network, cnn, images, mlp
from autocnn.experiments.result import Figure, Section, estimate, row, run_row
from autocnn.experiments.sections.sizes import GOOD, SIZES, TRIALS, smallest_good
from autocnn.plots import chapter as plots
from autocnn.sweeps.statistics import Interval, mean_interval
from autocnn.text import percent, points, printed_sign

__all__ = ["jobs", "write"]

NUMBER = "25.1"
# Filters and hidden units of networks with nearly equal numbers of parameters.
EQUAL = ((2, 1), (3, 2), (5, 3), (7, 4))
SMALL = {
    "TinyCNN, 1 filter": cnn(filters=1),
    "TinyMLP, 1 hidden": mlp(hidden=1),
    "TinyCNN, 3 filters": cnn(filters=3),
    "TinyMLP, 2 hidden": mlp(hidden=2),
}


def jobs(lab: Lab) -> list[Job]:
    """List what the section needs."""
    if lab.trials is not None:
        return lab.jobs(SIZES)
    return [lab.job(cnn()), lab.job(mlp()), *lab.jobs(SMALL.values(), TRIALS)]


def write(lab: Lab) -> Section:
    """Write the section: the two runs, and small networks repeated; or every size repeated."""
    return _once(lab) if lab.trials is None else _repeated(lab)


def _once(lab):
    networks = {"TinyCNN": cnn(), "TinyMLP": mlp()}
    facts = {"TinyCNN": published.FILTERS[3], "TinyMLP": published.WIDTHS[18]}
    histories = {name: lab.run(network).history for name, network in networks.items()}
    sizes = {name: lab.parameters(network) for name, network in networks.items()}
    ratio = sizes["TinyMLP"] / sizes["TinyCNN"]
    rows = [run_row(NUMBER, name, facts[name], sizes[name], histories[name]) for name in networks]
    rows.append(row(NUMBER, "MLP / CNN parameters", 1227 / 114, ratio))

    small = {name: lab.accuracies(network, TRIALS) for name, network in SMALL.items()}
    means = {name: mean_interval(values) for name, values in small.items()}
    gap = mean_interval(small["TinyCNN, 3 filters"] - small["TinyMLP, 2 hidden"])
    final = {name: history["val_acc"][-1] for name, history in histories.items()}
    return Section(
        NUMBER,
        "A convolutional network against a dense one",
        "Both networks learn three classes of 8x8 patterns for 80 epochs, and their validation "
        "accuracy is followed.",
        f"{_ends(final)}; the MLP has {sizes['TinyMLP']:,} parameters, {ratio:.1f} times the CNN's "
        f"{sizes['TinyCNN']}.",
        "The chapter concludes that the CNN's advantage is parameter efficiency, from one width "
        "and one filter count. At nearly equal counts (114 against 139), over "
        f"{TRIALS} independent repetitions, {_at_equal_size(small, means, gap)} "
        f"The ratio of {ratio:.1f} compares the sizes that were chosen, not the "
        "sizes that are needed. Smaller still, one filter (40 parameters) reaches "
        f"{percent(means['TinyCNN, 1 filter'])}, one hidden unit (71 parameters) "
        f"{percent(means['TinyMLP, 1 hidden'])}.",
        rows,
        {
            "parameters": sizes,
            "histories": histories,
            "equal_parameters": {
                name: {"values": small[name], "interval": means[name]} for name in small
            },
            "difference": gap,
        },
        [
            Figure(
                "25-1-patterns",
                "Training images of each class.",
                plots.examples,
                {"data": images(None)},
            ),
            Figure(
                "25-1-cnn-against-mlp",
                "Validation accuracy by epoch, beside the number of parameters.",
                plots.curves_and_sizes,
                {"histories": histories, "sizes": sizes},
            ),
            Figure(
                "25-1-equal-parameters",
                f"Small networks of both kinds: {TRIALS} repetitions each, with mean and 95 % "
                "interval.",
                plots.repetitions,
                {
                    "groups": {
                        f"{name}\n{lab.parameters(SMALL[name])} parameters": values.tolist()
                        for name, values in small.items()
                    }
                },
            ),
        ],
    )


def _ends(final):
    """Say where the two runs end, {network: validation accuracy}."""
    if set(final.values()) == {1.0}:
        return "Both end with every validation image right, an accuracy of 1.000"
    ends = [f"{name} ends at a validation accuracy of {value:.3f}" for name, value in final.items()]
    return ", ".join(ends)


def _repeated(lab):
    size = {network: lab.parameters(network) for network in SIZES}
    accuracies = {network: lab.accuracies(network) for network in SIZES}
    chapters = (cnn(), mlp())
    equal = [(cnn(filters=f), mlp(hidden=h)) for f, h in EQUAL]
    pairs = {
        (c, m): f"CNN of {size[c]} - MLP of {size[m]:,} parameters" for c, m in (chapters, *equal)
    }
    gaps = {(c, m): accuracies[c] - accuracies[m] for c, m in pairs}
    found = {pair: mean_interval(gap) for pair, gap in gaps.items()}
    rows = [
        estimate(NUMBER, f"TinyCNN, 3 filters ({size[cnn()]})", accuracies[cnn()], 1.0),
        estimate(NUMBER, f"TinyMLP, 18 hidden ({size[mlp()]:,})", accuracies[mlp()], 1.0),
    ]
    for pair, gap in gaps.items():
        published_gap = 0.0 if pair == chapters else None
        rows.append(estimate(NUMBER, f"{pairs[pair]}, paired", gap, published_gap, share=False))
    ahead = "; ".join(f"{points(found[c, m])} with {size[c]} against {size[m]}" for c, m in equal)
    families = {
        "TinyCNN": {size[n]: accuracies[n] for n in SIZES if n.builder == "tiny_cnn"},
        "TinyMLP": {size[n]: accuracies[n] for n in SIZES if n.builder == "tiny_mlp"},
    }
    curves = {"TinyCNN, 3 filters": lab.curves(cnn()), "TinyMLP, 18 hidden": lab.curves(mlp())}
    enough = smallest_good({h: accuracies[mlp(hidden=h)] for h in published.WIDTHS})
    return Section(
        NUMBER,
        "Is the MLP really as good at equal parameter counts?",
        f"Both networks, and smaller ones of both kinds, are trained on {lab.trials} draws of the "
        "images. Networks of nearly equal numbers of parameters are compared in pairs, on the same "
        "draws.",
        f"At the chapter's sizes, {size[cnn()]} against {size[mlp()]:,} parameters, the CNN is "
        f"ahead by {points(found[chapters])}. At nearly equal numbers it is ahead by {ahead}. "
        f"{_verdict(equal, found, size)}",
        "The chapter concludes from one width and one filter count that the CNN's advantage is "
        "parameter efficiency. But the task does not need its 18 hidden units: all "
        f"{lab.trials} repetitions reach {GOOD:.0%} from {enough} on.",
        rows,
        {
            "paired_differences": {pairs[pair]: interval for pair, interval in found.items()},
            "accuracy_by_parameters": families,
        },
        [
            Figure(
                "25-1-mean-curves",
                f"Validation accuracy by epoch: mean of {lab.trials} repetitions and its 95 % "
                "interval.",
                plots.mean_curves,
                {"panels": {"Validation accuracy": curves}},
            ),
            Figure(
                "25-1-parameters",
                f"Validation accuracy against parameters: means of {lab.trials} repetitions, 95 % "
                "intervals.",
                plots.against,
                {"groups": families, "label": "parameters"},
            ),
        ],
    )


def _verdict(
    pairs: list[tuple[Network, Network]], found: dict[tuple, Interval], size: dict[Network, int]
) -> str:
    """Say in how many of the pairs the CNN is better or worse."""

    def among(chosen):
        sizes = ", ".join(f"{size[c]} against {size[m]}" for c, m in chosen)
        return f" ({sizes} parameters)" if chosen else ""

    better = [pair for pair in pairs if printed_sign(found[pair]) > 0]
    worse = [pair for pair in pairs if printed_sign(found[pair]) < 0]
    text = f"The CNN is clearly better in {len(better)} of {len(pairs)} pairs{among(better)}"
    if worse:
        text += f" and clearly worse in {len(worse)}{among(worse)}"
    if len(better) + len(worse) < len(pairs):
        text += "; elsewhere the MLP is not shown to be worse"
    return f"{text}."


def _at_equal_size(small, means, gap):
    """Compare the networks with 114 and 139 parameters in a sentence or two."""
    names = ("TinyCNN, 3 filters", "TinyMLP, 2 hidden")
    if all((small[name] == 1).all() for name in names):
        return (
            "both end with every validation image right each time. These images are too easy to "
            "tell the networks apart; harder ones are at the end."
        )
    cnn_share, mlp_share = (percent(means[name]) for name in names)
    better = "At equal size neither is shown to be better."
    if printed_sign(gap) > 0:
        better = "At equal size the CNN is better."
    if printed_sign(gap) < 0:
        better = "At equal size the MLP is better."
    return (
        f"the CNN reaches {cnn_share} and the MLP {mlp_share}: a paired difference of "
        f"{100 * gap.mean:.1f} points, 95 % interval {100 * gap.low:.1f} to {100 * gap.high:.1f}. "
        f"{better}"
    )
