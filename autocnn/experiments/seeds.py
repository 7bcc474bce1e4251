"""The chapter over many seeds: each of its experiments repeated, with means, intervals and
paired differences.
"""

import numpy as np

from autocnn.experiments import published
from autocnn.experiments.kernels import chance, edge_share
from autocnn.experiments.repeated import Repeated, cnn, mlp
from autocnn.experiments.sections import Figure, Row, Section
from autocnn.sweeps.statistics import mean_interval, share_interval
from autocnn.text import percent, points

__all__ = ["SECTIONS", "chapter"]

EQUAL = (
    (2, 1),
    (3, 2),
    (5, 3),
    (7, 4),
)  # filters and hidden units of nearly equal numbers of parameters
COMMON = (1, 2, 4, 8)  # sizes that both sweeps have
MANY = 8  # filters that surely suffice
CLASSES = (2, 3, 4, 5)
GOOD = 0.98  # of 60 to 150 validation pictures: one to three mistakes


def chapter(trials, sections=None, **options):
    """Repeat the sections (all that depend on a seed by default) ``trials`` times. Returns
    (sections, ``Repeated``).

    ``options`` as for ``Repeated``: engine, workers, executor, tick, epochs.
    """
    unknown = [number for number in sections or () if number not in SECTIONS]
    if unknown:
        raise ValueError(
            f"section {unknown[0]!r} cannot be repeated; those that depend on a seed are {', '.join(SECTIONS)}"
        )
    chosen = [SECTIONS[number] for number in SECTIONS if sections is None or number in sections]
    runs = Repeated([network for needs, _ in chosen for network in needs], trials, **options)
    return [section(runs) for _, section in chosen], runs


def estimate(section, quantity, values, expected=None, share=True):
    """A row of the table: the mean of ``values`` with its interval, and whether what the chapter
    says lies inside.
    """
    here = (share_interval if share else mean_interval)(values)
    inside = None if expected is None else here.low <= expected <= here.high
    return Row(
        section,
        quantity,
        expected,
        here,
        "" if inside is None else "inside" if inside else "outside",
    )


def _against(runs):
    size, pairs = runs.parameters, [(cnn(filters=f), mlp(hidden=h)) for f, h in EQUAL]
    gaps = {
        pair: runs.accuracy(pair[0]) - runs.accuracy(pair[1]) for pair in [(cnn(), mlp()), *pairs]
    }
    names = {(c, m): f"CNN of {size(c)} - MLP of {size(m):,} parameters" for c, m in gaps}
    rows = [estimate("25.1", f"TinyCNN, 3 filters ({size(cnn())})", runs.accuracy(cnn()), 1.0)]
    rows.append(
        estimate("25.1", f"TinyMLP, 18 hidden ({size(mlp()):,})", runs.accuracy(mlp()), 1.0)
    )
    rows += [estimate("25.1", f"{names[pair]}, paired", gap, 0.0 if pair == (cnn(), mlp()) else None, False)
             for pair, gap in gaps.items()]  # fmt: skip
    found = {names[pair]: mean_interval(gap) for pair, gap in gaps.items()}
    ahead = "; ".join(
        f"{points(found[names[c, m]])} with {size(c)} against {size(m)}" for c, m in pairs
    )
    better = [f"{size(c)} against {size(m)}" for c, m in pairs if found[names[c, m]].low > 0]
    worse = [f"{size(c)} against {size(m)}" for c, m in pairs if found[names[c, m]].high < 0]
    verdict = f"The CNN is clearly better in {len(better)} of {len(pairs)} pairs{_where(better)}"
    verdict += f" and clearly worse in {len(worse)}{_where(worse)}" if worse else ""
    verdict += (
        "; elsewhere the MLP is not shown to be worse."
        if len(better) + len(worse) < len(pairs)
        else "."
    )
    enough = _enough({h: runs.accuracy(_hidden(h)) for h in published.WIDTHS})
    curves = {"TinyCNN, 3 filters": runs.curves(cnn()), "TinyMLP, 18 hidden": runs.curves(mlp())}
    families = {"TinyCNN": {size(n): runs.accuracy(n) for n in map(_filters, published.FILTERS)}}
    families["TinyMLP"] = {size(n): runs.accuracy(n) for n in map(_hidden, published.WIDTHS)}
    return Section(
        "25.1",
        "Is the MLP really as good at equal parameter counts?",
        f"Both networks, and smaller ones of both kinds, are trained on {runs.trials} draws of the pictures. Networks of "
        "nearly equal numbers of parameters are compared on the same draws, in pairs.",
        f"At the chapter's sizes, {size(cnn())} against {size(mlp()):,} parameters, the CNN is ahead by "
        f"{points(found[names[cnn(), mlp()]])}. At nearly equal numbers it is ahead by {ahead}. {verdict}",
        "The chapter concludes from one width and one filter count that the CNN's advantage is parameter efficiency. But its "
        f"18 hidden units are not what the task needs: all {runs.trials} repetitions reach {GOOD:.0%} from {enough} on.",
        rows,
        {"paired_differences": found, "accuracy_by_parameters": families},
        [
            Figure(
                "25-1-mean-curves",
                f"Validation accuracy by epoch: mean of {runs.trials} repetitions and its 95 % interval.",
                "mean_curves",
                {"panels": {"Validation accuracy": curves}},
            ),
            Figure(
                "25-1-parameters",
                f"Validation accuracy against parameters: means of {runs.trials} repetitions, 95 % intervals.",
                "against",
                {"groups": families, "label": "parameters"},
            ),
        ],
    )


def _sensitivity(runs):
    sizes = {"CNN": {f: runs.accuracy(_filters(f)) for f in published.FILTERS}}
    sizes["MLP"] = {h: runs.accuracy(_hidden(h)) for h in published.WIDTHS}
    rows = [estimate("25.2", f"MLP, width {h} ({runs.parameters(_hidden(h)):,})", a, published.WIDTHS[h].val_acc)
            for h, a in sizes["MLP"].items()]  # fmt: skip
    rows += [estimate("25.2", f"CNN, filters {f} ({runs.parameters(_filters(f))})", a, published.FILTERS[f].val_acc)
             for f, a in sizes["CNN"].items()]  # fmt: skip
    measures, texts = {}, []
    for what, chosen in (("all sizes", None), (f"sizes {', '.join(map(str, COMMON))}", COMMON)):
        spread = {
            name: _spread([a for n, a in by.items() if not chosen or n in chosen])
            for name, by in sizes.items()
        }
        rows += [
            estimate("25.2", f"{name}: best - worst accuracy, {what}", values)
            for name, values in spread.items()
        ]
        gap = spread["MLP"] - spread["CNN"]
        rows.append(estimate("25.2", f"the same, MLP - CNN, paired, {what}", gap, share=False))
        measures[what] = {
            **{name: share_interval(v) for name, v in spread.items()},
            "MLP - CNN": mean_interval(gap),
        }
        cnns, mlps = (percent(measures[what][name]) for name in ("CNN", "MLP"))
        texts.append(f"over {what} by {cnns} for the CNN and by {mlps} for the MLP")
    gap = measures["all sizes"]["MLP - CNN"]
    enough = {name: _enough(by) for name, by in sizes.items()}
    low = {name: int((by[1] < GOOD).sum()) for name, by in sizes.items()}
    return Section(
        "25.2",
        "Which network is more sensitive to its size?",
        f"The CNN with 1 to 8 filters and the MLP with 1 to 64 hidden units, {runs.trials} repetitions each. The measure, "
        "taken in each repetition: the best less the worst validation accuracy over the sizes.",
        f"Size moves the accuracy {'; '.join(texts)}. All repetitions reach {GOOD:.0%} from {enough['CNN']} filters and "
        f"from {enough['MLP']} hidden units on; at size 1, {low['CNN']} of {runs.trials} CNNs and {low['MLP']} MLPs do not.",
        f"{_comparison(gap)} The paired difference is {points(gap)}. A size that works for one seed need not for the next: "
        f"the chapter's 2 hidden units end between {sizes['MLP'][2].min():.3f} and {sizes['MLP'][2].max():.3f}.",
        rows,
        {
            "accuracy": sizes,
            "best_less_worst": measures,
            "smallest_size_from_which_all_are_good": enough,
        },
        [
            Figure(
                "25-2-sizes",
                f"Validation accuracy against size: means of {runs.trials} repetitions, 95 % intervals.",
                "against",
                {
                    "groups": {"TinyCNN": sizes["CNN"], "TinyMLP": sizes["MLP"]},
                    "label": "filters, or hidden units",
                },
            )
        ],
    )


def _classes(runs):
    rows, found, lines = [], {}, {}
    for k in CLASSES:
        three, many, dense = (runs.accuracy(n) for n in (cnn(k), cnn(k, MANY), mlp(k)))
        expected = 1.0 if k in (3, 4) else None
        rows.append(
            estimate(
                "25.3", f"{k} classes: CNN, 3 filters ({runs.parameters(cnn(k))})", three, expected
            )
        )
        rows.append(
            estimate(
                "25.3",
                f"{k} classes: MLP, 18 hidden ({runs.parameters(mlp(k)):,})",
                dense,
                expected,
            )
        )
        rows.append(
            estimate(
                "25.3", f"{k} classes: CNN, {MANY} - 3 filters, paired", many - three, share=False
            )
        )
        found[k] = {
            "more_filters": mean_interval(many - three),
            "failing": int((three < GOOD).sum()),
        }
        for f in (1, 2, 3, MANY):
            lines.setdefault(f"CNN, {f} filter{'s'[: f > 1]}", {})[k] = runs.accuracy(cnn(k, f))
        lines.setdefault("MLP, 18 hidden", {})[k] = dense
    short = [k for k in CLASSES if found[k]["more_filters"].low > 0]
    if short:
        said = f"With {short[0]} classes {MANY} filters are better than 3, by {points(found[short[0]]['more_filters'])}."
    else:
        said = f"Up to 5 classes 3 filters suffice: with 5, {MANY} add {points(found[5]['more_filters'])}."
    failing = ", ".join(f"{found[k]['failing']} with {k}" for k in CLASSES)
    panels = {
        f"{k} classes": {"TinyCNN": runs.curves(cnn(k)), "TinyMLP": runs.curves(mlp(k))}
        for k in (3, 4)
    }
    return Section(
        "25.3",
        "How many classes until 3 filters stop sufficing?",
        f"2 to 5 classes of patterns (there are no more), {runs.trials} repetitions each, with 1, 2, 3 and {MANY} filters. "
        f"Three filters stop sufficing where {MANY} are better on the same pictures, with an interval above 0.",
        f"{said} Of {runs.trials} repetitions with 3 filters these end below {GOOD:.0%}: {failing} classes.",
        "The chapter's fourth class reaches 1.000 in one run. A class adds "
        f"{runs.parameters(cnn(4)) - runs.parameters(cnn(3))} parameters, not 10.",
        rows,
        {"by_classes": found, "accuracy": lines},
        [
            Figure(
                "25-3-mean-curves",
                f"Validation accuracy with three classes and with four: means of {runs.trials} repetitions, 95 % intervals.",
                "mean_curves",
                {"panels": panels},
            ),
            Figure(
                "25-3-classes",
                f"Validation accuracy against classes: means of {runs.trials} repetitions, 95 % intervals.",
                "against",
                {"groups": lines, "label": "classes", "low": 0.5},
            ),
        ],
    )


def _first_picture(runs):
    first = np.array([found["first"] for found in runs.found[cnn()]])
    right, least = int((first > 0.5).sum()), int(first.argmin())
    return Section(
        "25.4",
        "One picture on its way through the network",
        f"In each of {runs.trials} repetitions, the first validation picture labelled vertical goes through the trained CNN.",
        f"It gets its class with a mean probability of {percent(share_interval(first))}, and more than one half in {right} of "
        f"{runs.trials} repetitions; the smallest is {first[least]:.3f}.",
        "The chapter's 0.996 is one picture's in one run; the pictures differ from repetition to repetition.",
        [estimate("25.4", "probability of vertical", first, published.TRACE["probs"][0])],
        {"probability": first},
        [],
    )


def _kernels(runs):
    now, before = (
        [[edge_share(k) for k in found[when]] for found in runs.found[cnn()]]
        for when in ("kernels", "initial")
    )
    shares, initial = (
        np.array([[share for share, _ in run] for run in part]) for part in (now, before)
    )
    edges, random = (shares > 0.5).mean(axis=1), (initial > 0.5).mean(axis=1)
    both = np.array([_directions(run) >= {"vertical", "horizontal"} for run in now], float)
    gap = mean_interval(edges - random)
    rows = [
        estimate("25.5", f"share of kernels that are edges (chance: {chance(0.5):.3f})", edges),
        estimate("25.5", "the same before training", random),
        estimate("25.5", "trained - before, paired", edges - random, share=False),
        estimate("25.5", "variation explained by an edge (chance: 0.250)", shares.mean(axis=1)),
        estimate("25.5", "runs with a vertical and a horizontal edge", both),
    ]
    return Section(
        "25.5",
        "How often do the learned kernels look like oriented edges?",
        f"The 3 kernels of {runs.trials} repetitions. A kernel is an edge when the best oriented derivative, a plane, explains "
        f"more than half of its variation. Of random kernels {chance(0.5):.1%} are, and a plane explains a quarter of them on "
        "average.",
        f"{percent(share_interval(edges))} of the kernels are edges after training, {percent(share_interval(random))} of the "
        f"same kernels were before; the paired difference is {points(gap)}. One vertical and one horizontal edge in the same "
        f"network: {int(both.sum())} of {runs.trials} repetitions.",
        "That one filter becomes a vertical and another a horizontal edge detector is a reading of one seed. "
        + (
            "Training does make edges."
            if gap.low > 0
            else "Training is not seen to make more edges than chance."
        ),
        rows,
        {"shares": shares, "initial_shares": initial, "by_chance": chance(0.5)},
        [
            Figure(
                "25-5-edges",
                f"Share of each kernel's variation that an edge explains, {shares.size} kernels, and what chance gives.",
                "edge_shares",
                {"after": shares.ravel(), "before": initial.ravel()},
            )
        ],
    )


def _directions(run):
    """The directions, of vertical and horizontal, within 22.5 degrees of which a run's kernels
    have an edge.
    """
    angles = [abs(angle) for share, angle in run if share > 0.5]
    return {"vertical" for a in angles if min(a, 180 - a) < 22.5} | {
        "horizontal" for a in angles if abs(a - 90) < 22.5
    }


def _enough(by):
    """The smallest size from which on all repetitions are good."""
    bad = [n for n, accuracies in by.items() if (accuracies < GOOD).any()]
    return min((n for n in by if n > max(bad, default=0)), default="no number")


def _where(sizes):
    return f" ({', '.join(sizes)} parameters)" if sizes else ""


def _filters(n):
    return cnn(filters=n)


def _hidden(n):
    return mlp(hidden=n)


def _spread(accuracies):
    """Best less worst accuracy over sizes, in each repetition."""
    return np.ptp(np.array(accuracies), axis=0)


def _comparison(gap):
    if gap.low > 0:
        return "The MLP is the more sensitive one."
    return (
        "The CNN is the more sensitive one."
        if gap.high < 0
        else "Neither is clearly more sensitive."
    )


_SIZES = [*map(_filters, published.FILTERS), *map(_hidden, published.WIDTHS)]
SECTIONS = {
    "25.1": (_SIZES, _against),
    "25.2": (_SIZES, _sensitivity),
    "25.3": (
        [n for k in CLASSES for n in (*(cnn(k, f) for f in (1, 2, 3, MANY)), mlp(k))],
        _classes,
    ),
    "25.4": ([cnn()], _first_picture),
    "25.5": ([cnn()], _kernels),
}
