"""Section 25.6: the four networks of the chapter's last table, as working networks, measured
here.
"""

import time
from typing import NamedTuple

import numpy as np

from autocnn import models
from autocnn.experiments.sections import Figure, Row, Section
from autocnn.inspection.summary import summary
from autocnn.trees import leaves, tree_map

__all__ = ["networks"]


class Published(NamedTuple):
    """A line of the chapter's table, how to build that network, and a thinned one small enough
    for a step in float64.
    """

    name: str
    layers: int
    parameters: int
    shape: tuple
    build: str
    options: dict
    thin: dict
    thin_shape: tuple


TABLE = (
    Published(
        "LeNet-5 (1998)", 7, 60_000, (1, 32, 32), "lenet5", {"original": True}, {}, (1, 32, 32)
    ),
    Published(
        "AlexNet (2012)", 8, 60_000_000, (3, 227, 227), "alexnet", {}, {"stem": 8}, (3, 99, 99)
    ),
    Published(
        "VGG-16 (2014)", 16, 138_000_000, (3, 224, 224), "vgg16", {}, {"stem": 4}, (3, 32, 32)
    ),
    Published(
        "ResNet-50 (2015)", 50, 25_000_000, (3, 224, 224), "resnet50", {}, {"stem": 4}, (3, 64, 64)
    ),
)

WEIGHTED = ("conv", "table_conv", "subsample", "dense", "rbf")  # what the chapter counts as layers


def networks(lab):
    """Build, count and time each network at full size, and take one training step of each,
    thinned, through the lab's paths.
    """
    rows, measured, depths = [], {}, {}
    for entry in TABLE:
        model = getattr(models, entry.build)(**entry.options, nn=lab.vocabularies[0])
        found = summary(model, entry.shape)
        weighted = [row for row in found if row.layer.rstrip("0123456789") in WEIGHTED]
        depths[entry.name] = [row.output_shape for row in weighted]
        measured[entry.name] = {
            "input": list(entry.shape),
            "layers": len(weighted),
            "parameters": found.parameters,
            "multiply_adds": found.multiply_adds,
            "seconds_per_image": _forward_seconds(model, entry.shape),
            "thinned_step": _step(lab, entry),
        }
        rows += _rows(entry, measured[entry.name])
        lab.tick(entry.name)
    apart = [m["thinned_step"]["largest_relative_difference"] for m in measured.values()]
    agreement = (
        ""
        if None in apart
        else f"; both paths' gradients differ by {max(apart):.0e} of a leaf's largest entry at most"
    )
    return Section(
        "25.6",
        "From here to real images",
        "Each network of the table is built from the same vocabulary at full size, counted, and run forward on one image in "
        "float32; thinned to a few channels at its true depth it takes one training step in float64"
        + (" through both gradient paths." if len(lab.vocabularies) == 2 else "."),
        "; ".join(
            f"{name}: {m['parameters']:,} parameters, {_short(m['multiply_adds'])} multiply-adds, "
            f"{_milliseconds(m['seconds_per_image'])} an image"
            for name, m in measured.items()
        )
        + agreement
        + ".",
        "The 50 layers of ResNet-50 are 49 convolutions on the main path and one dense layer; with the 4 projection shortcuts "
        f"it has {measured['ResNet-50 (2015)']['layers'] - 1} convolutions. AlexNet's 60 million parameters are those of the "
        "two-tower network, with groups of 2 and a 227x227 input; the one-tower network at 224x224 has 61,100,840.",
        rows,
        {"networks": measured},
        [
            Figure(
                "25-6-depth-and-filters",
                "Channels and map sizes of every layer with weights.",
                "depths",
                {"depths": depths},
            )
        ],
    )


def _rows(entry, found):
    layers = found["layers"]
    yield Row(
        "25.6",
        f"{entry.name}: layers",
        entry.layers,
        layers,
        "exact" if layers == entry.layers else "+4 shortcuts",
    )
    exact = found["parameters"]
    rounds = exact // 10 ** (len(str(entry.parameters)) - 2) == entry.parameters // 10 ** (
        len(str(entry.parameters)) - 2
    )
    yield Row(
        "25.6",
        f"{entry.name}: parameters",
        entry.parameters,
        exact,
        "to 2 digits" if rounds else "differs",
    )
    apart = found["thinned_step"]["largest_relative_difference"]
    if apart is not None:
        yield Row(
            "25.6",
            f"{entry.name}: both gradients",
            "equal",
            apart,
            f"{int(-np.log10(max(apart, 1e-16)))} digits",
        )


def _forward_seconds(model, shape):
    """Time one image, after one to warm up. Constant weights will do: the time does not depend
    on them.
    """
    _, params, state = model.init(None, shape, "float32")
    params, state = (
        tree_map(lambda p: np.full(p.shape, 1e-3, p.dtype), params),
        tree_map(np.array, state),
    )
    x = np.random.default_rng(0).random((1, *shape), np.float32)
    model.apply(params, state, x)
    start = time.perf_counter()
    model.apply(params, state, x)
    return time.perf_counter() - start


def _step(lab, entry):
    """One gradient of the thinned network on two images, through each of the lab's paths."""
    build = getattr(models, entry.build)
    options = entry.options | entry.thin | {"classes": 10}
    generator = np.random.default_rng(0)
    x, labels = generator.normal(size=(2, *entry.thin_shape)), np.array([1, 7])
    found = []
    for nn in lab.vocabularies:
        model = build(**options, nn=nn)
        _, params, state = model.init(0, entry.thin_shape)
        found.append(model.loss_and_grad(params, state, (x, labels), key=0))
    losses, grads = [float(loss) for loss, _, _ in found], [g for _, g, _ in found]
    apart = None
    if len(grads) == 2:
        pairs = zip(leaves(grads[0]), leaves(grads[1]), strict=True)
        lab.gradients += 1
        apart = max(
            float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-300)) for (_, a), (_, b) in pairs
        )
        lab.largest = max(lab.largest, apart)
    return {
        "loss": losses[0],
        "leaves": len(leaves(grads[0])),
        "largest_relative_difference": apart,
    }


def _short(n):
    return f"{n / 1e9:.3g} billion" if n >= 1e9 else f"{n / 1e6:.3g} million"


def _milliseconds(seconds):
    return f"{1e3 * seconds:.0f} ms" if seconds >= 1e-2 else f"{1e3 * seconds:.1f} ms"
