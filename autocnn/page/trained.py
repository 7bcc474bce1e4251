"""Trained networks for a page: read from a run folder, or trained briefly on data at hand."""

import os
from typing import Any, NamedTuple

from autocnn import augment, models, optim
from autocnn.data import MissingData, load, patterns
from autocnn.data.dataset import Dataset
from autocnn.data.digits import available as digits_available
from autocnn.page.enlarged import enlarged_digits, in_bytes
from autocnn.runs import load as load_run
from autocnn.runs import run_data
from autocnn.runs.preprocessing import prepare
from autocnn.training import evaluate, train

__all__ = ["Trained", "from_run", "train_briefly"]

TITLES = {"tiny-cnn": "TinyCNN", "tiny-mlp": "TinyMLP", "lenet5": "LeNet-5"}


class Trained(NamedTuple):
    """A trained network with its data.

    name: in ``models.NETWORKS``. title: for people. about: one sentence on how it was trained and
    how well. model, params, state: as everywhere. data: the images as they enter the network.
    """

    name: str
    title: str
    about: str
    model: Any
    params: Any
    state: Any
    data: Dataset


def from_run(folder: str | os.PathLike) -> Trained:
    """Return the network of a run folder at its best epoch. ValueError for a damaged folder."""
    config, model, now = load_run(folder)
    data = run_data(config)
    data = data._replace(
        x_train=prepare(data.x_train, config.inputs), x_val=prepare(data.x_val, config.inputs)
    )
    epoch = now.history["epoch"][-1]
    about = f"Trained on {config.data} for {epoch} epochs."
    return _judged(config.network, about, model, now.params, now.state, data)


def train_briefly(name: str) -> Trained:
    """Train "tiny-cnn" as the chapter does, or "lenet5" for about half a minute.

    LeNet-5 is trained on MNIST if it is on this machine, else on scikit-learn's digits, enlarged
    to 28x28, if that is installed, else on drawn patterns of 28x28. ValueError for another name.
    """
    if name == "tiny-cnn":
        data = patterns()
        model = models.tiny_cnn()
        _, params, _ = model.init(3, (1, 8, 8))
        run = train(params, data)
        about = "Trained on the chapter's 180 patterns for 80 epochs."
        return _judged(name, about, model, run.params, run.state, data)
    if name == "lenet5":
        return _lenet5()
    raise ValueError(f"tiny-cnn and lenet5 are trained for a page; got {name!r}")


def _lenet5() -> Trained:
    data, source, epochs = _images_of_28()
    model = models.lenet5(classes=len(data.classes))
    _, params, state = model.init(0, (1, 28, 28), "float32")
    from autocnn import fast  # takes long to import

    batch, steps = 32, -(-len(data.x_train) // 32)
    run = train(
        params, data, models.lenet5(classes=len(data.classes), nn=fast), state,
        optim.adam(optim.cosine(2e-3, epochs * steps, steps // 2), weight_decay=0.01),
        epochs=epochs, batch_size=batch, seed=0, snapshots=(), augment=augment.shifts(2),
        metric_subset=100,
    )  # fmt: skip
    about = f"Trained on {source} for {epochs} epochs."
    return _judged("lenet5", about, model, run.params, run.state, data)


def _images_of_28() -> tuple[Dataset, str, int]:
    """Return images (N, 1, 28, 28) that need no network, what they are, and enough epochs."""
    try:
        data = load("mnist")
    except MissingData:
        pass
    else:
        few = data._replace(
            x_train=data.x_train[:6_000], y_train=data.y_train[:6_000],
            x_val=data.x_val[:2_000], y_val=data.y_val[:2_000],
        )  # fmt: skip
        return few, "6,000 images of MNIST", 3
    if digits_available():
        return enlarged_digits(), "scikit-learn's 1,442 digits of 8x8, enlarged to 28x28", 8
    classes = ("vertical", "horizontal", "diagonal", "dot", "cross")
    data = patterns(120, 40, size=28, classes=classes)
    data = data._replace(
        x_train=in_bytes(data.x_train.astype("float32")),
        x_val=in_bytes(data.x_val.astype("float32")),
    )
    return data, "600 drawn patterns of 28x28", 6


def _judged(name: str, about: str, model: Any, params: Any, state: Any, data: Dataset) -> Trained:
    _, accuracy = evaluate(model, params, state, data.x_val, data.y_val)
    about += f" It is right on {accuracy:.1%} of {len(data.x_val):,} validation images."
    return Trained(name, TITLES.get(name, name), about, model, params, state, data)
