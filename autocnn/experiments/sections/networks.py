"""Section 25.6: the four networks of the chapter's last table, built and measured here."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from autocnn import models
from autocnn.experiments.lab import Job, Lab
from autocnn.experiments.result import Figure, Row, Section, Table
from autocnn.inspection.summary import summary
from autocnn.models.interpretations import interpretation
from autocnn.plots import chapter as plots
from autocnn.sweeps.trial import single_threaded
from autocnn.text import shape_text
from autocnn.trees import leaves, max_relative_difference, tree_map

__all__ = ["TABLE", "Measured", "Published", "jobs", "measure", "write"]

NUMBER = "25.6"
WEIGHTED = ("conv", "table_conv", "subsample", "dense", "rbf")  # what the chapter counts as layers


class Published(NamedTuple):
    """A row of the chapter's table, and how to build that network.

    layers, parameters: as the chapter gives them. network: a name of ``autocnn.models.NETWORKS``.
    builder, thin, thin_shape: the function of ``autocnn.models`` with the options and the image
    shape of a network of the same depth, small enough for a step in float64.
    """

    layers: int
    parameters: int
    network: str
    builder: str
    thin: dict[str, Any]
    thin_shape: tuple[int, int, int]


TABLE = {
    "LeNet-5 (1998)": Published(
        7, 60_000, "lenet5-1998", "lenet5", {"original": True}, (1, 32, 32)
    ),
    "AlexNet (2012)": Published(8, 60_000_000, "alexnet", "alexnet", {"stem": 8}, (3, 99, 99)),
    "VGG-16 (2014)": Published(16, 138_000_000, "vgg16", "vgg16", {"stem": 4}, (3, 32, 32)),
    "ResNet-50 (2015)": Published(50, 25_000_000, "resnet50", "resnet50", {"stem": 4}, (3, 64, 64)),
}


class Measured(NamedTuple):
    """What was counted and measured of a network.

    shapes: the output shape of each layer with weights.
    seconds_per_image: one forward pass of one image in float32, on one thread.
    loss, leaves: of the training step of the narrow network.
    gradients, largest: 1 and the largest relative difference where two interpretations took that
        step, else 0 and 0.
    """

    input: tuple[int, int, int]
    parameters: int
    multiply_adds: int
    shapes: list[tuple[int, ...]]
    seconds_per_image: float
    loss: float
    leaves: int
    gradients: int
    largest: float


def jobs(lab: Lab) -> list[Job]:
    """List what the section needs: a measurement of each network, those that take longest first."""
    return [_job(lab, name) for name in reversed(TABLE)]


def write(lab: Lab) -> Section:
    """Write the section from the measurements of all four networks."""
    measured: dict[str, Measured] = {name: lab.result(_job(lab, name)) for name in TABLE}
    compared = all(m.gradients for m in measured.values())
    largest = max(m.largest for m in measured.values())
    exact = [name for name in TABLE if _same_parameters(TABLE[name], measured[name])]
    times = [m.seconds_per_image for m in measured.values()]
    found = (
        f"{len(exact)} of {len(TABLE)} have the published number of parameters, to the two digits "
        f"that the chapter gives. One image takes from {_milliseconds(min(times))} to "
        f"{_milliseconds(max(times))}."
    )
    if compared:
        found += f" The two gradients differ by at most {largest:.0e} of a leaf's largest entry."
    return Section(
        NUMBER,
        "From here to real images",
        "Each network of the table is built from the same vocabulary at full size, counted, and "
        "run forward on one image in float32. Thinned to a few channels at its true depth, it "
        f"takes one training step in float64{' through both gradient paths' if compared else ''}.",
        found,
        "The 50 layers of ResNet-50 are 49 convolutions on the main path and one dense layer; with "
        "the 4 projection shortcuts it has "
        f"{len(measured['ResNet-50 (2015)'].shapes) - 1} convolutions. AlexNet's 60 million "
        "parameters are those of the two-tower network, with groups of 2 and a 227x227 input; the "
        "one-tower network at 224x224 has 61,100,840.",
        [row for name, m in measured.items() for row in _rows(name, TABLE[name], m)],
        {"networks": {name: _numbers(m) for name, m in measured.items()}},
        [
            Figure(
                "25-6-depth-and-filters",
                "Channels and map sizes of every layer with weights.",
                plots.depths,
                {"depths": {name: m.shapes for name, m in measured.items()}},
            )
        ],
        Table(
            ("network", "image", "layers", "parameters", "multiply-adds", "time an image"),
            [
                (
                    name,
                    shape_text(m.input),
                    len(m.shapes),
                    m.parameters,
                    _short(m.multiply_adds),
                    _milliseconds(m.seconds_per_image),
                )
                for name, m in measured.items()
            ],
            "Layers: those with weights. Time: one forward pass in float32 on one thread.",
        ),
    )


def measure(name: str, engines: tuple[str, ...]) -> Measured:
    """Count and time a network of ``TABLE``, and take one step of its thinned version through
    each engine.
    """
    entry = TABLE[name]
    shape = models.NETWORKS[entry.network].shape
    with single_threaded():
        model = models.build(entry.network, nn=interpretation(engines[0]))
        rows = summary(model, shape)
        return Measured(
            shape,
            rows.parameters,
            rows.multiply_adds,
            [row.output_shape for row in rows if row.layer.rstrip("0123456789") in WEIGHTED],
            _forward_seconds(model, shape),
            *_step(entry, engines),
        )


def _job(lab, name):
    return Job(name, measure, (name, lab.engines))


def _rows(name: str, entry: Published, measured: Measured) -> Iterator[Row]:
    layers, parameters = len(measured.shapes), measured.parameters
    same = "exact" if layers == entry.layers else "+4 shortcuts"
    yield Row(NUMBER, f"{name}: layers", entry.layers, layers, same)
    agreement = "to 2 digits" if _same_parameters(entry, measured) else "differs"
    yield Row(NUMBER, f"{name}: parameters", entry.parameters, parameters, agreement)
    if measured.gradients:
        digits = f"{int(-np.log10(max(measured.largest, 1e-16)))} digits"
        yield Row(NUMBER, f"{name}: both gradients", "equal", measured.largest, digits)


def _same_parameters(entry: Published, measured: Measured) -> bool:
    """Whether the parameters agree with the published ones to the two digits of the chapter."""
    two_digits = 10 ** (len(str(entry.parameters)) - 2)
    return measured.parameters // two_digits == entry.parameters // two_digits


def _numbers(measured: Measured) -> dict[str, Any]:
    largest = measured.largest if measured.gradients else None
    step = {
        "loss": measured.loss,
        "leaves": measured.leaves,
        "largest_relative_difference": largest,
    }
    return {
        "input": list(measured.input),
        "layers": len(measured.shapes),
        "parameters": measured.parameters,
        "multiply_adds": measured.multiply_adds,
        "seconds_per_image": measured.seconds_per_image,
        "thinned_step": step,
    }


def _forward_seconds(model, shape):
    """Time one image: the first call, or the second one of a network that takes less than 0.3 s."""
    _, params, state = model.init(None, shape, "float32")
    # The time does not depend on the weights: constants are quicker than drawing 138 million.
    params = tree_map(lambda p: np.full(p.shape, 1e-3, p.dtype), params)
    state = tree_map(np.array, state)
    x = np.random.default_rng(0).random((1, *shape), np.float32)

    def seconds():
        start = time.perf_counter()
        model.apply(params, state, x)
        return time.perf_counter() - start

    first = seconds()
    return first if first > 0.3 else seconds()


def _step(entry, engines):
    """Take one gradient of the thinned network on two images. Returns (loss, leaves, gradients
    compared, largest relative difference).
    """
    generator = np.random.default_rng(0)
    batch = generator.normal(size=(2, *entry.thin_shape)), np.array([1, 7])
    losses, grads = [], []
    for engine in engines:
        build = getattr(models, entry.builder)
        model = build(classes=10, **entry.thin, nn=interpretation(engine))
        _, params, state = model.init(0, entry.thin_shape)
        loss, gradient, _ = model.loss_and_grad(params, state, batch, key=0)
        losses.append(float(loss))
        grads.append(gradient)
    largest = max_relative_difference(*grads) if len(grads) == 2 else 0.0
    return losses[0], len(leaves(grads[0])), int(len(grads) == 2), largest


def _short(n):
    return f"{n / 1e9:.3g} billion" if n >= 1e9 else f"{n / 1e6:.3g} million"


def _milliseconds(seconds):
    return f"{1e3 * seconds:.0f} ms" if seconds >= 1e-2 else f"{1e3 * seconds:.1f} ms"
