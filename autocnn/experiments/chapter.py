"""The chapter's sections: each a function of the lab that returns what was done, what came out
and what is wrong.
"""

import numpy as np

from autocnn.experiments import published
from autocnn.experiments.kernels import chance, edge_share
from autocnn.experiments.lab import Lab
from autocnn.experiments.networks import networks
from autocnn.experiments.sections import Figure, Row, Section, row, run_row
from autocnn.inspection.trace import trace
from autocnn.sweeps.statistics import mean_interval
from autocnn.text import percent
from autocnn.trees import count

__all__ = ["SECTIONS", "chapter", "repetitions"]

TRIALS = 8


def chapter(lab=None, sections=None):
    """Run the sections (all of them by default) and return them as a list. The lab chooses the
    gradient path.
    """
    lab = lab or Lab()
    wanted = _wanted(sections)
    # Sections that wait for repetitions go last, so that those that another process was asked for
    # are there by then.
    found = {
        number: SECTIONS[number](lab)
        for number in sorted(wanted, key=lambda number: number in _REPEATED)
    }
    return [found[number] for number in wanted]


def repetitions(sections=None):
    """List the repetitions that these sections need, all of them by default, for
    ``Lab.prepare``.
    """
    wanted = _wanted(sections)
    needed = {name for number, names in _REPEATED.items() if number in wanted for name in names}
    return [
        (net, trial, options)
        for name, net, options in _EQUAL
        if name in needed
        for trial in range(TRIALS)
    ]


def _wanted(sections):
    unknown = [number for number in sections or () if number not in SECTIONS]
    if unknown:
        raise ValueError(
            f"there is no section {unknown[0]!r}; the sections are {', '.join(SECTIONS)}"
        )
    return [number for number in SECTIONS if sections is None or number in sections]


def _cnn_against_mlp(lab):
    runs = {"TinyCNN": lab.run("tiny_cnn"), "TinyMLP": lab.run("tiny_mlp")}
    facts = {"TinyCNN": published.FILTERS[3], "TinyMLP": published.WIDTHS[18]}
    sizes = {name: count(run.params) for name, run in runs.items()}
    ratio = sizes["TinyMLP"] / sizes["TinyCNN"]
    rows = [run_row("25.1", name, facts[name], run) for name, run in runs.items()]
    rows.append(row("25.1", "MLP / CNN parameters", 1227 / 114, ratio))

    fair = {
        name: [lab.repeat(net, i, **o).history["val_acc"][-1] for i in range(TRIALS)]
        for name, net, o in _EQUAL
    }
    equal = {
        name: {"values": values, "interval": mean_interval(values)} for name, values in fair.items()
    }
    gap = mean_interval(np.subtract(fair["TinyCNN, 3 filters"], fair["TinyMLP, 2 hidden"]))
    final = {name: run.history["val_acc"][-1] for name, run in runs.items()}
    return Section(
        "25.1",
        "A convolutional network against a dense one",
        "Both networks learn three classes of 8x8 patterns for 80 epochs, and their validation accuracy is followed.",
        f"Both end at {final['TinyCNN']:.3f} / {final['TinyMLP']:.3f} validation accuracy; the MLP has {sizes['TinyMLP']:,} "
        f"parameters, {ratio:.1f} times the CNN's {sizes['TinyCNN']}.",
        "The chapter concludes that the CNN's advantage is parameter efficiency, from one width and one filter count. At "
        f"nearly equal counts (114 against 139), over {TRIALS} independent repetitions, the CNN reaches "
        f"{percent(equal['TinyCNN, 3 filters']['interval'])} and the MLP "
        f"{percent(equal['TinyMLP, 2 hidden']['interval'])}: a paired difference of "
        f"{100 * gap.mean:.1f} points, 95 % interval {100 * gap.low:.1f} to {100 * gap.high:.1f}. {_verdict(gap)} The ratio of "
        f"{ratio:.1f} is that of two sizes that were chosen, not of the sizes that are needed. Smaller still, one filter "
        f"(40 parameters) reaches {percent(equal['TinyCNN, 1 filter']['interval'])}, one hidden unit (71 parameters) "
        f"{percent(equal['TinyMLP, 1 hidden']['interval'])}.",
        rows,
        {
            "parameters": sizes,
            "histories": _histories(runs),
            "equal_parameters": equal,
            "difference": gap,
        },
        [
            Figure(
                "25-1-patterns",
                "Training pictures of each class.",
                "examples",
                {"data": lab.data()},
            ),
            Figure(
                "25-1-cnn-against-mlp",
                "Validation accuracy by epoch, beside the number of parameters.",
                "curves_and_sizes",
                {"histories": _histories(runs), "sizes": sizes},
            ),
            Figure(
                "25-1-equal-parameters",
                f"Small networks of both kinds: {TRIALS} repetitions each, with mean and 95 % interval.",
                "repetitions",
                {
                    "groups": {
                        f"{name}\n{_SIZES[name]} parameters": values
                        for name, values in fair.items()
                    }
                },
            ),
        ],
    )


_EQUAL = [
    ("TinyCNN, 1 filter", "tiny_cnn", {"filters": 1}),
    ("TinyMLP, 1 hidden", "tiny_mlp", {"hidden": 1}),
    ("TinyCNN, 3 filters", "tiny_cnn", {"filters": 3}),
    ("TinyMLP, 2 hidden", "tiny_mlp", {"hidden": 2}),
]
_REPEATED = {
    "25.1": [name for name, _, _ in _EQUAL],
    "25.2": ["TinyMLP, 1 hidden", "TinyMLP, 2 hidden"],
    "25.5": ["TinyCNN, 3 filters"],
}
_SIZES = {
    "TinyCNN, 1 filter": 40,
    "TinyMLP, 1 hidden": 71,
    "TinyCNN, 3 filters": 114,
    "TinyMLP, 2 hidden": 139,
}


def _width_sweep(lab):
    runs = {
        width: lab.run("tiny_mlp", **({} if width == 18 else {"hidden": width}))
        for width in published.WIDTHS
    }
    rows = [
        run_row("25.2", f"MLP, width {width}", published.WIDTHS[width], run)
        for width, run in runs.items()
    ]
    enough = min(w for w, run in runs.items() if run.history["val_acc"][-1] == 1)
    points = {w: {"parameters": count(run.params), **_last(run)} for w, run in runs.items()}
    ones, twos = (
        [lab.repeat("tiny_mlp", i, hidden=w).history["val_acc"][-1] for i in range(TRIALS)]
        for w in (1, 2)
    )
    return Section(
        "25.2",
        "How sensitive is the MLP to its hidden width?",
        f"The MLP is trained with {len(runs)} hidden widths from 1 to 64, all else equal.",
        f"Width 1 stays at chance ({points[1]['val_acc']:.3f}), width 2 reaches {points[2]['val_acc']:.3f}, and from width "
        f"{enough} ({points[enough]['parameters']} parameters) on validation accuracy is 1.000.",
        "The numbers are right, but they are one seed's, and whether a very narrow MLP learns depends on the draw of its "
        f"weights: over {TRIALS} repetitions, width 1 ends between {min(ones):.3f} and {max(ones):.3f}, width 2 between "
        f"{min(twos):.3f} and {max(twos):.3f}.",
        rows,
        {"widths": points},
        [
            Figure(
                "25-2-hidden-width",
                "Validation accuracy and number of parameters against the hidden width.",
                "sweep",
                {"points": points, "label": "hidden units"},
            )
        ],
    )


def _fourth_class(lab):
    names = {"TinyCNN": "tiny_cnn", "TinyMLP": "tiny_mlp"}
    runs = {
        k: {name: lab.run(net, **({} if k == 3 else {"classes": 4})) for name, net in names.items()}
        for k in (3, 4)
    }
    rows = [
        run_row("25.3", f"{name}, 4 classes", published.FOUR_CLASSES[net], runs[4][name])
        for name, net in names.items()
    ]
    sizes = {k: count(runs[k]["TinyCNN"].params) for k in runs}
    added = sizes[4] - sizes[3]
    rows.append(
        Row(
            "25.3",
            "parameters of the new class",
            10,
            added,
            "exact" if added == 10 else "text wrong",
        )
    )
    return Section(
        "25.3",
        "A fourth class",
        "Dots are added to the three classes; the CNN keeps its 3 filters, the MLP its 18 hidden units.",
        "The "
        + ", the ".join(
            f"{name[4:]} reaches {run.history['val_acc'][-1]:.3f} with {count(run.params):,} parameters"
            for name, run in runs[4].items()
        )
        + ".",
        f"The chapter says that the fourth class adds 3x3 + 1 = 10 parameters to the CNN. It adds 27 + 1 = {added}: the new "
        "output unit is fed by every pooled feature of every filter (3 filters of 3x3), not by one feature map.",
        rows,
        {"added_parameters": added, "histories": {k: _histories(v) for k, v in runs.items()}},
        [
            Figure(
                "25-3-fourth-class",
                "Validation accuracy by epoch with three classes and with four.",
                "side_by_side",
                {"panels": {f"{k} classes": _histories(v) for k, v in runs.items()}},
            )
        ],
    )


def _inference_trace(lab):
    run, data = lab.run("tiny_cnn"), lab.data()
    index = int(np.flatnonzero(data.y_val == 0)[0])
    taps = trace(run.model, run.params, run.state, data.x_val[index : index + 1])
    found = {
        what: dict(zip(data.classes, taps[what][0].tolist(), strict=True))
        for what in ("logits", "probs")
    }
    expected = {
        what: dict(zip(data.classes, values, strict=True))
        for what, values in published.TRACE.items()
    }
    rows = [
        row("25.4", f"{word} of {name}", expected[what][name], found[what][name])
        for what, word in (("probs", "probability"), ("logits", "logit"))
        for name in data.classes
    ]
    best = int(taps["probs"][0].argmax())
    return Section(
        "25.4",
        "One picture on its way through the network",
        f"Validation picture {index}, the first one labelled {data.classes[0]}, goes through the trained CNN of 25.1.",
        f"The network says {data.classes[best]} with probability {taps['probs'][0][best]:.4f}.",
        "Nothing is wrong here.",
        rows,
        {
            "val_index": index,
            "intermediates": {name: tap[0].tolist() for name, tap in taps.items()},
        },
        [
            Figure(
                "25-4-trace",
                "Every stage by filter: input, convolution, ReLU, max-pool, probabilities.",
                "stages",
                {"taps": {name: tap[0] for name, tap in taps.items()}, "classes": data.classes},
            )
        ],
    )


def _kernels(lab):
    run = lab.run("tiny_cnn")
    kernels, expected = run.params[0]["w"][:, 0], np.array(published.KERNELS)[:, 0]
    pairs = zip(expected, kernels, strict=True)
    rows = [
        row("25.5", f"kernel {i + 1}, largest weight", *_largest(e, k))
        for i, (e, k) in enumerate(pairs)
    ]
    rows.append(
        row(
            "25.5",
            "all weights, squared sum",
            float((expected**2).sum()),
            float((kernels**2).sum()),
        )
    )
    shares = [edge_share(kernel) for kernel in kernels]
    many = [
        edge_share(k)[0]
        for i in range(TRIALS)
        for k in lab.repeat("tiny_cnn", i, filters=3).params[0]["w"][:, 0]
    ]
    edges = float(np.mean(np.array(many) > 0.5))
    return Section(
        "25.5",
        "The learned kernels",
        "The three 3x3 kernels of 25.1 after training, and at epochs "
        + ", ".join(map(str, run.snapshots))
        + ".",
        "The share of each kernel's variation that the best oriented derivative explains is "
        + ", ".join(f"{share:.2f} at {angle:.0f} degrees" for share, angle in shares)
        + ".",
        "That one filter becomes a vertical and another a horizontal edge detector is a reading of one seed. "
        f"Over {TRIALS} independent repetitions, {100 * edges:.0f} % of the {len(many)} kernels are edges by the measure above "
        f"(share over one half); kernels of random numbers would be in {100 * chance(0.5):.0f} % of cases.",
        rows,
        {
            "kernels": kernels.tolist(),
            "edge_share": shares,
            "repetitions": {"shares": many, "edges": edges, "by_chance": chance(0.5)},
        },
        [
            Figure(
                "25-5-kernels",
                "The learned kernels, one colour scale for all.",
                "kernels",
                {"kernels": kernels},
            ),
            Figure(
                "25-5-development",
                "How they developed: one column an epoch, one row a filter.",
                "development",
                {"snapshots": {epoch: k[:, 0] for epoch, k in run.snapshots.items()}},
            ),
        ],
    )


SECTIONS = {
    "25.1": _cnn_against_mlp,
    "25.2": _width_sweep,
    "25.3": _fourth_class,
    "25.4": _inference_trace,
    "25.5": _kernels,
    "25.6": networks,
}


def _histories(runs):
    return {name: run.history for name, run in runs.items()}


def _last(run):
    return {name: values[-1] for name, values in run.history.items() if name != "epoch"}


def _largest(expected, here):
    at = np.unravel_index(np.abs(expected).argmax(), expected.shape)
    return float(expected[at]), float(here[at])


def _verdict(gap):
    if gap.low > 0:
        return "At equal size the CNN is better."
    if gap.high < 0:
        return "At equal size the MLP is better."
    return "At equal size neither is shown to be better."
