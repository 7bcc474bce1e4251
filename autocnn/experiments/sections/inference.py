"""Section 25.4: one image on its way through the trained network."""

import numpy as np

from autocnn.experiments import published
from autocnn.experiments.lab import Job, Lab, cnn, images
from autocnn.experiments.result import Figure, Section, estimate, row
from autocnn.inspection.trace import trace
from autocnn.plots import chapter as plots
from autocnn.sweeps.statistics import share_interval
from autocnn.text import percent
from autocnn.training import predict

__all__ = ["jobs", "write"]

NUMBER = "25.4"
TITLE = "One image on its way through the network"


def jobs(lab: Lab) -> list[Job]:
    """List what the section needs."""
    return [lab.job(cnn())] if lab.trials is None else lab.jobs([cnn()])


def write(lab: Lab) -> Section:
    """Write the section: every intermediate of one image; or its probability, repeated."""
    return _once(lab) if lab.trials is None else _repeated(lab)


def _first_of_class_0(data):
    return int(np.flatnonzero(data.y_val == 0)[0])


def _once(lab):
    run, data = lab.run(cnn()), images(None)
    index = _first_of_class_0(data)
    taps = trace(lab.model(cnn()), run.params, run.state, data.x_val[index : index + 1])
    rows = []
    for what, word in (("probs", "probability"), ("logits", "logit")):
        published_values, values = published.TRACE[what], taps[what][0].tolist()
        for name, expected, here in zip(data.classes, published_values, values, strict=True):
            rows.append(row(NUMBER, f"{word} of {name}", expected, here))
    best = int(taps["probs"][0].argmax())
    return Section(
        NUMBER,
        TITLE,
        f"Validation image {index}, the first one labelled {data.classes[0]}, goes through the "
        "trained CNN of 25.1.",
        f"The network says {data.classes[best]} with probability {taps['probs'][0][best]:.4f}.",
        "",
        rows,
        {
            "val_index": index,
            "intermediates": {name: tap[0].tolist() for name, tap in taps.items()},
        },
        [
            Figure(
                "25-4-trace",
                "Every stage by filter: input, convolution, ReLU, max-pool, probabilities.",
                plots.stages,
                {"taps": {name: tap[0] for name, tap in taps.items()}, "classes": data.classes},
            )
        ],
    )


def _repeated(lab):
    model, probabilities = lab.model(cnn()), []
    for trial, run in enumerate(lab.repetitions(cnn())):
        data = images(trial)
        index = _first_of_class_0(data)
        probs = predict(model, run.params, run.state, data.x_val[index : index + 1])
        probabilities.append(float(probs[0, 0]))
    first = np.array(probabilities)
    right, least = int((first > 0.5).sum()), int(first.argmin())
    return Section(
        NUMBER,
        TITLE,
        f"In each of {lab.trials} repetitions, the first validation image labelled vertical goes "
        "through the trained CNN.",
        f"It gets its class with a mean probability of {percent(share_interval(first))}, and more "
        f"than one half in {right} of {lab.trials} repetitions; the smallest is "
        f"{first[least]:.3f}.",
        "The chapter's 0.996 is one image's in one run; the images differ from repetition to "
        "repetition.",
        [estimate(NUMBER, "probability of vertical", first, published.TRACE["probs"][0])],
        {"probability": first},
        [],
    )
