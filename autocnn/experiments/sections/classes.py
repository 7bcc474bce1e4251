"""Section 25.3: a fourth class, and at how many classes 3 filters stop sufficing."""

from autocnn.experiments import published
from autocnn.experiments.lab import Job, Lab, cnn, mlp
from autocnn.experiments.result import Figure, Row, Section, estimate, run_row
from autocnn.experiments.sections.sizes import GOOD, count_noun
from autocnn.plots import chapter as plots
from autocnn.sweeps.statistics import mean_interval
from autocnn.text import points, printed_sign

__all__ = ["jobs", "write"]

NUMBER = "25.3"
CLASSES = (2, 3, 4, 5)
MANY = 8  # filters that surely suffice


def jobs(lab: Lab) -> list[Job]:
    """List what the section needs."""
    if lab.trials is None:
        return [lab.job(network(k)) for k in (3, 4) for network in (cnn, mlp)]
    return lab.jobs(n for k in CLASSES for n in (*(cnn(k, f) for f in (1, 2, 3, MANY)), mlp(k)))


def write(lab: Lab) -> Section:
    """Write the section: runs with 3 and 4 classes; or with 2 to 5 classes, repeated."""
    return _once(lab) if lab.trials is None else _repeated(lab)


def _once(lab):
    names = {"TinyCNN": cnn, "TinyMLP": mlp}
    facts = {
        "TinyCNN": published.FOUR_CLASSES["tiny_cnn"],
        "TinyMLP": published.FOUR_CLASSES["tiny_mlp"],
    }
    histories = {
        k: {name: lab.run(network(k)).history for name, network in names.items()} for k in (3, 4)
    }
    sizes = {name: lab.parameters(network(4)) for name, network in names.items()}
    rows = [
        run_row(NUMBER, f"{name}, 4 classes", facts[name], sizes[name], histories[4][name])
        for name in names
    ]
    added = lab.parameters(cnn(4)) - lab.parameters(cnn(3))
    agreement = "exact" if added == 10 else "text wrong"
    rows.append(Row(NUMBER, "parameters of the new class", 10, added, agreement))
    reached = ", the ".join(
        f"{name[4:]} reaches {history['val_acc'][-1]:.3f} with {sizes[name]:,} parameters"
        for name, history in histories[4].items()
    )
    return Section(
        NUMBER,
        "A fourth class",
        "Dots are added to the three classes; the CNN keeps its 3 filters, the MLP its 18 hidden "
        "units.",
        f"The {reached}.",
        "The chapter says that the fourth class adds 3x3 + 1 = 10 parameters to the CNN. It adds "
        f"27 + 1 = {added}: every pooled feature of every filter (3 filters of 3x3) feeds the new "
        "output unit, not one feature map.",
        rows,
        {"added_parameters": added, "histories": histories},
        [
            Figure(
                "25-3-fourth-class",
                "Validation accuracy by epoch with three classes and with four.",
                plots.side_by_side,
                {"panels": {f"{k} classes": histories[k] for k in histories}},
            )
        ],
    )


def _repeated(lab):
    rows, found, lines = [], {}, {}
    for k in CLASSES:
        three, many, dense = (lab.accuracies(n) for n in (cnn(k), cnn(k, MANY), mlp(k)))
        expected = 1.0 if k in (3, 4) else None
        cnn_name = f"{k} classes: CNN, 3 filters ({lab.parameters(cnn(k))})"
        mlp_name = f"{k} classes: MLP, 18 hidden ({lab.parameters(mlp(k)):,})"
        gap_name = f"{k} classes: CNN, {MANY} - 3 filters, paired"
        rows += [
            estimate(NUMBER, cnn_name, three, expected),
            estimate(NUMBER, mlp_name, dense, expected),
            estimate(NUMBER, gap_name, many - three, share=False),
        ]
        failing = int((three < GOOD).sum())
        found[k] = {"more_filters": mean_interval(many - three), "failing": failing}
        for f in (1, 2, 3, MANY):
            name = f"CNN, {count_noun(f, 'filter')}"
            lines.setdefault(name, {})[k] = lab.accuracies(cnn(k, f))
        lines.setdefault("MLP, 18 hidden", {})[k] = dense
    failing = ", ".join(f"{found[k]['failing']} with {k}" for k in CLASSES)
    panels = {
        f"{k} classes": {"TinyCNN": lab.curves(cnn(k)), "TinyMLP": lab.curves(mlp(k))}
        for k in (3, 4)
    }
    return Section(
        NUMBER,
        "How many classes until 3 filters stop sufficing?",
        f"2 to 5 classes of patterns (there are no more), {lab.trials} repetitions each, with 1, "
        f"2, 3 and {MANY} filters. Three filters stop sufficing where {MANY} are better on the "
        "same images, with an interval above 0.",
        f"{_sufficient(found)} Of {lab.trials} repetitions with 3 filters these end below "
        f"{GOOD:.0%}: {failing} classes.",
        "The chapter's fourth class reaches 1.000 in one run. A class adds "
        f"{lab.parameters(cnn(4)) - lab.parameters(cnn(3))} parameters, not 10.",
        rows,
        {"by_classes": found, "accuracy": lines},
        [
            Figure(
                "25-3-mean-curves",
                "Validation accuracy with three classes and with four: means of "
                f"{lab.trials} repetitions, 95 % intervals.",
                plots.mean_curves,
                {"panels": panels},
            ),
            Figure(
                "25-3-classes",
                f"Validation accuracy against classes: means of {lab.trials} repetitions, 95 % "
                "intervals.",
                plots.against,
                {"groups": lines, "label": "classes", "low": 0.5},
            ),
        ],
    )


def _sufficient(found):
    for k in CLASSES:
        gain = found[k]["more_filters"]
        if printed_sign(gain) > 0:
            return f"With {k} classes {MANY} filters are better than 3, by {points(gain)}."
    gain = found[CLASSES[-1]]["more_filters"]
    return f"Up to 5 classes 3 filters suffice: with 5, {MANY} add {points(gain)}."
