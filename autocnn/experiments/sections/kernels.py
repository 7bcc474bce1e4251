"""Section 25.5: the learned kernels, and how often they look like oriented edges."""

import numpy as np

from autocnn.experiments import published
from autocnn.experiments.edges import chance, edge_share
from autocnn.experiments.lab import Job, Lab, cnn, images
from autocnn.experiments.result import Figure, Section, Table, estimate, row
from autocnn.experiments.sections.sizes import TRIALS
from autocnn.plots import chapter as plots
from autocnn.sweeps.statistics import mean_interval, share_interval
from autocnn.text import percent, points, printed_sign
from autocnn.training import evaluate

__all__ = ["jobs", "write"]

NUMBER = "25.5"
EDGE = 0.5  # a kernel of which an oriented derivative explains more than this is an edge


def jobs(lab: Lab) -> list[Job]:
    """List what the section needs."""
    if lab.trials is not None:
        return lab.jobs([cnn()])
    return [lab.job(cnn()), *lab.jobs([cnn()], TRIALS)]


def write(lab: Lab) -> Section:
    """Write the section: the chapter's three kernels; or those of many repetitions."""
    return _once(lab) if lab.trials is None else _repeated(lab)


def _once(lab):
    run = lab.run(cnn())
    kernels, expected = run.params[0]["w"][:, 0], np.array(published.KERNELS)[:, 0]
    rows = [
        row(NUMBER, f"kernel {i + 1}, largest weight", *_largest(*pair))
        for i, pair in enumerate(zip(expected, kernels, strict=True))
    ]
    squares = [float((k**2).sum()) for k in (expected, kernels)]
    rows.append(row(NUMBER, "all weights, squared sum", *squares))
    shares = [edge_share(kernel) for kernel in kernels]
    many = [
        edge_share(kernel)[0]
        for repetition in lab.repetitions(cnn(), TRIALS)
        for kernel in repetition.params[0]["w"][:, 0]
    ]
    edges = float(np.mean(np.array(many) > EDGE))
    moved = _moved(run.snapshots)
    without = [_accuracy_without(lab, run, i) for i in range(len(kernels))]
    table = Table(
        ("filter", "largest change of a weight", "edge", "at", "accuracy without it"),
        [
            (i + 1, f"{moved[i]:.2f}", f"{share:.2f}", f"{angle:.0f} degrees", f"{without[i]:.3f}")
            for i, (share, angle) in enumerate(shares)
        ],
        "Edge: the share of the kernel's variation that the best oriented derivative explains, and "
        "its direction. Accuracy without it: on the validation images, with the filter's weights "
        "in the dense layer set to zero.",
    )
    return Section(
        NUMBER,
        "The learned kernels",
        "The three 3x3 kernels of 25.1 after training, and at epochs "
        f"{', '.join(map(str, run.snapshots))}.",
        f"{_least_moved(moved, without)} The share of each kernel's variation that the best "
        f"oriented derivative explains is {', '.join(f'{share:.2f}' for share, _ in shares)}.",
        "That one filter becomes a vertical and another a horizontal edge detector is a reading of "
        f"one seed. Over {TRIALS} independent repetitions, {100 * edges:.0f} % of the {len(many)} "
        "kernels are edges by the measure above (share over one half); kernels of random numbers "
        f"would be in {100 * chance(EDGE):.0f} % of cases.",
        rows,
        {
            "kernels": kernels.tolist(),
            "edge_share": shares,
            "largest_change": moved,
            "accuracy_without": without,
            "repetitions": {"shares": many, "edges": edges, "by_chance": chance(EDGE)},
        },
        [
            Figure(
                "25-5-kernels",
                "The learned kernels, one colour scale for all.",
                plots.kernels,
                {"kernels": kernels},
            ),
            Figure(
                "25-5-development",
                "How they developed: one column an epoch, one row a filter.",
                plots.development,
                {"snapshots": {epoch: k[:, 0] for epoch, k in run.snapshots.items()}},
            ),
        ],
        table,
    )


def _moved(snapshots):
    """How far the weight of each filter that moved most is from where it began."""
    change = np.abs(snapshots[max(snapshots)] - snapshots[min(snapshots)])
    return change.max(axis=(1, 2, 3)).tolist()


def _accuracy_without(lab, run, filter_index):
    """Validation accuracy when the dense layer gives one filter no weight."""
    *before, last = run.params
    filters = len(run.params[0]["w"])
    weights = last["w"].reshape(filters, -1, last["w"].shape[1]).copy()
    weights[filter_index] = 0
    params = [*before, {**last, "w": weights.reshape(last["w"].shape)}]
    data = images(None)
    return evaluate(lab.model(cnn()), params, run.state, data.x_val, data.y_val)[1]


def _least_moved(moved, without):
    """Name the filter that learned least, and say what the network is without it."""
    least = int(np.argmin(moved))
    others = " and ".join(f"{change:.2f}" for i, change in enumerate(moved) if i != least)
    return (
        f"Filter {least + 1} hardly learns: no weight of it moves by more than {moved[least]:.2f} "
        f"in all of training, where others move by {others}. Without it the network still gets "
        f"{without[least]:.3f} of the validation images right."
    )


def _repeated(lab):
    snapshots = [run.snapshots for run in lab.repetitions(cnn())]
    before, after = (
        [[edge_share(kernel) for kernel in kept[when(kept)][:, 0]] for kept in snapshots]
        for when in (min, max)
    )
    initial, shares = (
        np.array([[share for share, _ in run] for run in runs]) for runs in (before, after)
    )
    random, edges = (initial > EDGE).mean(axis=1), (shares > EDGE).mean(axis=1)
    both = np.array([_directions(run) >= {"vertical", "horizontal"} for run in after], float)
    gap, by_chance = mean_interval(edges - random), chance(EDGE)
    rows = [
        estimate(NUMBER, f"share of kernels that are edges (chance: {by_chance:.3f})", edges),
        estimate(NUMBER, "the same before training", random),
        estimate(NUMBER, "trained - before, paired", edges - random, share=False),
        estimate(NUMBER, "variation explained by an edge (chance: 0.250)", shares.mean(axis=1)),
        estimate(NUMBER, "runs with a vertical and a horizontal edge", both),
    ]
    conclusion = (
        "Training does make edges."
        if printed_sign(gap) > 0
        else "Training is not seen to make more edges than chance."
    )
    return Section(
        NUMBER,
        "How often do the learned kernels look like oriented edges?",
        f"The 3 kernels of {lab.trials} repetitions. A kernel is an edge when the best oriented "
        f"derivative, a plane, explains more than half of its variation. Of random kernels "
        f"{by_chance:.1%} are, and a plane explains a quarter of them on average.",
        f"{percent(share_interval(edges))} of the kernels are edges after training, "
        f"{percent(share_interval(random))} of the same kernels were before; the paired difference "
        f"is {points(gap)}. One vertical and one horizontal edge in the same network: "
        f"{int(both.sum())} of {lab.trials} repetitions.",
        "That one filter becomes a vertical and another a horizontal edge detector is a reading of "
        f"one seed. {conclusion}",
        rows,
        {"shares": shares, "initial_shares": initial, "by_chance": by_chance},
        [
            Figure(
                "25-5-edges",
                f"Share of each kernel's variation that an edge explains, {shares.size} kernels, "
                "and what chance gives.",
                plots.edge_shares,
                {"after": shares.ravel(), "before": initial.ravel()},
            )
        ],
    )


def _directions(run):
    """The directions, of vertical and horizontal, within 22.5 degrees of which a run's kernels
    have an edge.
    """
    angles = [abs(angle) for share, angle in run if share > EDGE]
    vertical = {"vertical" for a in angles if min(a, 180 - a) < 22.5}
    return vertical | {"horizontal" for a in angles if abs(a - 90) < 22.5}


def _largest(expected, here):
    at = np.unravel_index(np.abs(expected).argmax(), expected.shape)
    return float(expected[at]), float(here[at])
