"""What a page shows: a network with its parameters, its images, and how it is trained.

load()                        the chapter's TinyCNN, which is trained when the page opens
load("lenet5")                a network by its name
load("runs/lenet5-mnist")     a run folder
load(run, data)               what ``ac.train`` returned, and the data that it was given
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autocnn import models
from autocnn.data import patterns
from autocnn.data.dataset import Dataset
from autocnn.inspection.summary import summary
from autocnn.page.enlarged import enlarged_digits
from autocnn.page.look import Both, both
from autocnn.runs.own_network import is_own
from autocnn.runs.preprocessing import Inputs, padded_shape, prepare
from autocnn.training import Run
from autocnn.trees import count, tree_map
from reference import validate
from reference.layer import Layer

__all__ = ["PageModel", "Settings", "load", "prepared"]

MAX_CELLS = 300_000  # activations of one image that a page can draw
MAX_PARAMETERS = 1_000_000
MAX_IMAGES = (3000, 500)  # for training and validation: an epoch is to take seconds


class Settings(NamedTuple):
    """How a page trains: the rate, the batch, the optimizer by name, and the seed of the order."""

    rate: float = 0.12
    batch_size: int = 18
    optimizer: str = "sgd"
    seed: int = 11


class PageModel(NamedTuple):
    """A network with everything that a page shows of it.

    name: of the network. title, about: for people, the second in one sentence. model: the
    network, in any interpretation. params, state: its trees. shape: (C, H, W) of an image
    as a person draws it, in [0, 1]. inputs: what prepares it for the network.
    classes: their names. data: images in [0, 1], or None. epochs: to train when the page opens; 0
    for a network that is trained. key: of the initial parameters, for the way back to the start.
    dark, ink, trim: how image files are fitted; see ``autocnn.images.fit``. notes: for people, one
    line each.
    """

    name: str
    model: Layer
    params: Any
    state: Any
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    data: Dataset | None = None
    inputs: Inputs = Inputs()
    settings: Settings = Settings()
    epochs: int = 0
    key: Any = 3
    dark: bool = True
    ink: float | None = None
    trim: bool = False
    notes: tuple[str, ...] = ()
    title: str = ""
    about: str = ""

    @property
    def nets(self) -> Both:
        """The network in the two interpretations that the page compares."""
        return both(self.model)

    @property
    def dtype(self) -> str:
        """The dtype of the parameters."""
        found: list[str] = []
        tree_map(lambda leaf: found.append(str(leaf.dtype)), self.params)
        return found[0] if found else "float64"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of an image as it enters the network."""
        return padded_shape(self.shape, self.inputs)

    def initial(self) -> tuple[Any, Any]:
        """Return new (params, state), before any training."""
        _, params, state = self.model.init(self.key, self.input_shape, self.dtype)
        return params, tree_map(np.array, state)


def load(what: Any = None, data: Dataset | None = None) -> PageModel:
    """Return what a page is to show.

    what: None for the chapter's TinyCNN; a name in ``ac.models.NETWORKS``; a run folder; or a
    ``Run``, which needs the ``data`` that it was trained on. ValueError for anything else, a
    damaged run folder, and a network that is too large to be drawn.
    """
    if isinstance(what, Run):
        if not all(hasattr(data, name) for name in ("x_train", "y_train", "x_val", "y_val")):
            raise ValueError("a Run does not hold its data: call ac.page(run, data)")
        if data.x_val is None:
            raise ValueError(
                "a page shows validation images, and these data have none: "
                "ac.data.from_arrays(images, labels, validation=0.2)"
            )
        return _checked(_from_training(what, data))
    if what is None:
        return _checked(_tiny_cnn())
    if not isinstance(what, str | os.PathLike):
        raise ValueError(
            f"a page shows a network's name, a run folder or a Run, got {type(what).__name__}: "
            "ac.page('tiny-cnn')"
        )
    if str(what) in models.NETWORKS and not Path(what).is_dir():
        return _checked(_from_name(str(what), data))
    if str(what) and Path(what).is_dir():
        return _checked(_from_folder(Path(what)))
    if is_own(str(what)):
        raise ValueError(
            f"a page shows a network of a file once it is trained: autocnn train {what} --data "
            "NAME --out FOLDER, then autocnn page FOLDER"
        )
    raise ValueError(
        f"there is no run folder and no network {str(what)!r}; the networks are "
        f"{', '.join(models.NETWORKS)}"
    )


def _tiny_cnn() -> PageModel:
    data = patterns()
    model = models.tiny_cnn()
    _, params, state = model.init(3, (1, 8, 8))
    return PageModel(
        "tiny-cnn", model, params, state, (1, 8, 8), tuple(data.classes), data, epochs=80
    )


def _from_name(name: str, data: Dataset | None) -> PageModel:
    if name == "tiny-cnn" and data is None:
        return _tiny_cnn()
    notes: tuple[str, ...] = ()
    if data is None and name == "tiny-mlp":
        data = patterns()
    elif data is None:
        shape = (1, 28, 28) if name == "lenet5-1998" else models.NETWORKS[name].shape
        if shape[0] != 1:
            raise ValueError(
                f"{name} takes images of {shape[1]}x{shape[2]}, too large for a page; "
                "tiny-cnn, tiny-mlp, lenet5 and lenet5-1998 can be shown"
            )
        data = enlarged_digits()
        notes = ("scikit-learn's digits, enlarged from 8x8 to 28x28",)
    from autocnn.runs import recipes

    shape = data.x_train.shape[1:]
    inputs = recipes.inputs(name, shape)
    model = models.build(name, len(data.classes))
    _, params, state = model.init(3, padded_shape(shape, inputs), "float32")
    is_tiny = name.startswith("tiny")
    settings = Settings(0.05 if is_tiny else 0.002, 18 if is_tiny else 32, "adam", 11)
    if is_tiny:
        settings = settings._replace(optimizer="momentum")
    return PageModel(
        name, model, params, tree_map(np.array, state), shape, tuple(data.classes),
        _limited(data), inputs, settings, 80 if is_tiny else 3, notes=notes, ink=1.0,
    )  # fmt: skip


def _from_training(run: Run, data: Any) -> PageModel:
    shape = data.x_train.shape[1:]
    outputs = validate.call(run.model, run.params, run.state, np.asarray(data.x_val[:1]))
    names = getattr(data, "classes", None) or tuple(str(k) for k in range(outputs[0]))
    return PageModel(
        run.model.name, run.model, run.params, run.state, shape, tuple(names), _limited(data)
    )


def _from_folder(folder: Path) -> PageModel:
    from autocnn import runs
    from autocnn.runs import image_files

    config, model, now = runs.load(folder)
    notes: tuple[str, ...] = ()
    data: Dataset | None = None
    try:
        from autocnn.runs.start import run_data

        data = run_data(config)
        if data.x_train.shape[1:] != config.shape:
            raise ValueError(f"its images are {data.x_train.shape[1:]}, not {config.shape}")
    except (ValueError, ImportError, OSError) as error:
        data = None
        line = str(error).splitlines()[0]
        notes = (f"no images to choose from, and no training: {config.data}: {line}",)
    recipe, framing = config.recipe, image_files.framing(config)
    optimizer = "adam" if recipe.optimizer == "adam" else "momentum"
    settings = Settings(recipe.rate, recipe.batch_size, optimizer, config.seed)
    return PageModel(
        f"{config.network}, {folder.name}", model, now.params, now.state, config.shape,
        config.classes, None if data is None else _limited(data), config.inputs, settings,
        key=(0, config.seed), dark=framing["dark_background"], ink=framing["ink_fraction"],
        trim=framing["trim"], notes=notes,
    )  # fmt: skip


def _limited(data: Dataset) -> Dataset:
    n, m = MAX_IMAGES
    return Dataset(
        np.asarray(data.x_train[:n]), np.asarray(data.y_train[:n]), np.asarray(data.x_val[:m]),
        np.asarray(data.y_val[:m]), tuple(getattr(data, "classes", ())),
    )  # fmt: skip


def _checked(shown: PageModel) -> PageModel:
    """Refuse a network that a page cannot draw, and one that is not made of words."""
    _ = shown.nets
    cells = sum(int(np.prod(row.output_shape)) for row in summary(shown.model, shown.input_shape))
    parameters = count(shown.params)
    if cells > MAX_CELLS or parameters > MAX_PARAMETERS:
        raise ValueError(
            f"{shown.name} has {cells:,} activations and {parameters:,} parameters; a page draws "
            f"up to {MAX_CELLS:,} and {MAX_PARAMETERS:,}"
        )
    return shown


def prepared(shown: PageModel, x: np.ndarray) -> np.ndarray:
    """Return images (N, C, H, W) in [0, 1] as they enter the network."""
    return prepare(x, shown.inputs)
