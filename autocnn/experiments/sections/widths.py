"""Section 25.2: how sensitive the MLP is to its hidden width, and the CNN to its filters."""

import numpy as np

from autocnn.experiments import published
from autocnn.experiments.lab import Job, Lab, cnn, mlp
from autocnn.experiments.result import Figure, Section, estimate, run_row
from autocnn.experiments.sections.sizes import GOOD, SIZES, TRIALS, smallest_good
from autocnn.plots import chapter as plots
from autocnn.sweeps.statistics import mean_interval, share_interval
from autocnn.text import percent, points, printed_sign

__all__ = ["jobs", "write"]

NUMBER = "25.2"
COMMON = (1, 2, 4, 8)  # sizes that both networks have


def jobs(lab: Lab) -> list[Job]:
    """List what the section needs."""
    if lab.trials is not None:
        return lab.jobs(SIZES)
    runs = [lab.job(mlp(hidden=h)) for h in published.WIDTHS]
    return [*runs, *lab.jobs([mlp(hidden=1), mlp(hidden=2)], TRIALS)]


def write(lab: Lab) -> Section:
    """Write the section: the sweep over widths; or sweeps of both networks, repeated."""
    return _once(lab) if lab.trials is None else _repeated(lab)


def _once(lab):
    rows, measured = [], {}
    for h in published.WIDTHS:
        parameters, history = lab.parameters(mlp(hidden=h)), lab.run(mlp(hidden=h)).history
        rows.append(run_row(NUMBER, f"MLP, width {h}", published.WIDTHS[h], parameters, history))
        last = {name: values[-1] for name, values in history.items() if name != "epoch"}
        measured[h] = {"parameters": parameters, **last}
    enough = min(h for h, at in measured.items() if at["val_acc"] == 1)
    ones, twos = (lab.accuracies(mlp(hidden=h), TRIALS) for h in (1, 2))
    return Section(
        NUMBER,
        "How sensitive is the MLP to its hidden width?",
        f"The MLP is trained with {len(measured)} hidden widths from 1 to 64, all else equal.",
        f"Width 1 stays at chance ({measured[1]['val_acc']:.3f}), width 2 reaches "
        f"{measured[2]['val_acc']:.3f}, and from width {enough} "
        f"({measured[enough]['parameters']} parameters) on validation accuracy is 1.000.",
        "The numbers are right, but they come from one seed, and whether a very narrow MLP learns "
        f"depends on its initial weights: over {TRIALS} repetitions, width 1 ends between "
        f"{min(ones):.3f} and {max(ones):.3f}, width 2 between {min(twos):.3f} and "
        f"{max(twos):.3f}.",
        rows,
        {"widths": measured},
        [
            Figure(
                "25-2-hidden-width",
                "Validation accuracy and number of parameters against the hidden width.",
                plots.sweep,
                {"points": measured, "label": "hidden units"},
            )
        ],
    )


def _repeated(lab):
    sizes = {
        "CNN": {f: lab.accuracies(cnn(filters=f)) for f in published.FILTERS},
        "MLP": {h: lab.accuracies(mlp(hidden=h)) for h in published.WIDTHS},
    }
    rows = []
    for h, values in sizes["MLP"].items():
        name = f"MLP, width {h} ({lab.parameters(mlp(hidden=h)):,})"
        rows.append(estimate(NUMBER, name, values, published.WIDTHS[h].val_acc))
    for f, values in sizes["CNN"].items():
        name = f"CNN, filters {f} ({lab.parameters(cnn(filters=f))})"
        rows.append(estimate(NUMBER, name, values, published.FILTERS[f].val_acc))
    measures, texts = {}, []
    for what, chosen in (("all sizes", None), (f"sizes {', '.join(map(str, COMMON))}", COMMON)):
        spread = {name: _spread(by_size, chosen) for name, by_size in sizes.items()}
        gap = spread["MLP"] - spread["CNN"]
        for name, values in spread.items():
            rows.append(estimate(NUMBER, f"{name}: best - worst accuracy, {what}", values))
        rows.append(estimate(NUMBER, f"the same, MLP - CNN, paired, {what}", gap, share=False))
        measures[what] = {name: share_interval(values) for name, values in spread.items()}
        measures[what]["MLP - CNN"] = mean_interval(gap)
        cnns, mlps = (percent(measures[what][name]) for name in ("CNN", "MLP"))
        texts.append(f"over {what} by {cnns} for the CNN and by {mlps} for the MLP")
    gap = measures["all sizes"]["MLP - CNN"]
    enough = {name: smallest_good(by_size) for name, by_size in sizes.items()}
    low = {name: int((by_size[1] < GOOD).sum()) for name, by_size in sizes.items()}
    two = sizes["MLP"][2]
    return Section(
        NUMBER,
        "Which network is more sensitive to its size?",
        f"The CNN with 1 to 8 filters and the MLP with 1 to 64 hidden units, {lab.trials} "
        "repetitions each. The measure, taken in each repetition, is the best minus the worst "
        "validation accuracy over the sizes.",
        f"Size moves the accuracy {'; '.join(texts)}. All repetitions reach {GOOD:.0%} from "
        f"{enough['CNN']} filters and from {enough['MLP']} hidden units on; at size 1, "
        f"{low['CNN']} of {lab.trials} CNNs and {low['MLP']} MLPs do not.",
        f"{_more_sensitive(gap)} The paired difference is {points(gap)}. A size that works for one "
        f"seed may fail for the next: the chapter's 2 hidden units end between {two.min():.3f} and "
        f"{two.max():.3f}.",
        rows,
        {
            "accuracy": sizes,
            "best_less_worst": measures,
            "smallest_size_from_which_all_are_good": enough,
        },
        [
            Figure(
                "25-2-sizes",
                f"Validation accuracy against size: means of {lab.trials} repetitions, 95 % "
                "intervals.",
                plots.against,
                {
                    "groups": {"TinyCNN": sizes["CNN"], "TinyMLP": sizes["MLP"]},
                    "label": "filters, or hidden units",
                },
            )
        ],
    )


def _spread(by_size, chosen):
    """Best minus worst accuracy over the chosen sizes (all for None), in each repetition."""
    values = [accuracies for n, accuracies in by_size.items() if not chosen or n in chosen]
    return np.ptp(np.array(values), axis=0)


def _more_sensitive(gap):
    if printed_sign(gap) > 0:
        return "The MLP is the more sensitive one."
    if printed_sign(gap) < 0:
        return "The CNN is the more sensitive one."
    return "Neither is clearly more sensitive."
