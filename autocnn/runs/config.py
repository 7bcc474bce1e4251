"""The configuration of a run: what was trained on what and how, as config.json stores it."""

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple, Self

import autocnn
from autocnn import models, optim
from autocnn.runs import own_network, recipes
from autocnn.runs.config_checks import CHECKS, REQUIRED
from autocnn.runs.own_network import Source
from autocnn.runs.preprocessing import Inputs, padded_shape
from autocnn.runs.recipes import Recipe

__all__ = ["RunConfig", "WeightsFile"]

NO_CHANGE = Inputs()
ADDED_TO_RECIPE = ("label_smoothing", "augment")  # since version 0.1
MAX_IMAGE = 100_000_000  # values of one image: more is damage


class NewerVersionError(ValueError):
    """A config was written by a newer version of autocnn."""


class WeightsFile(NamedTuple):
    """A file of weights: its absolute path, and the SHA-256 of its bytes."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that it takes to build a run's network and to repeat its training.

    version: of autocnn, which began the run; None where that is unknown.
    run: the identity of the run, 32 hexadecimal digits, which is in its other files as well; None
        for a config that no folder holds yet, or a folder of version 0.1.
    network: a name in ``models.NETWORKS``, or /FOLDER/FILE.py:FUNCTION, a network of one's own.
    width: factor on its channels and units. build_options: arguments of the function by name.
    source: what it had in its file when the run began; None for a network of ``models``.
    weights: the file that the first parameters were taken from; None for random ones.
    engine: "autograd", "reference" or "fast": the interpretation that computes gradients.
    dtype: "float32" or "float64", of parameters and images.
    data: the name of a data set, or the absolute path of a file or folder that ``data.load`` reads.
    limit: train and validate on so many images of it only; None for all. validation: the share of
        its training images that is held out; None for its own. size: of images that are scaled,
        "64x48" (height x width); None for theirs. content: its ``content_sum``; None where that is
        not known. known_as: the published data set that was found at that path; None for others.
    classes: their names, in the order of the labels. shape: (C, H, W) of one image, before
        ``inputs`` are applied.
    seed: of the initial weights, shuffling, augmentation and dropout.
    steps_per_epoch: batches that make up the training images, which schedules count by.
    """

    version: str | None = None
    run: str | None = None
    network: str
    width: float = 1.0
    build_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    source: Source | None = None
    weights: WeightsFile | None = None
    engine: str = "fast"
    dtype: str = "float32"
    data: str
    limit: int | None = None
    validation: float | None = None
    size: str | None = None
    content: str | None = None
    known_as: str | None = None
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    inputs: Inputs = NO_CHANGE
    seed: int = 0
    recipe: Recipe
    steps_per_epoch: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one image as it enters the network."""
        return padded_shape(self.shape, self.inputs)

    def build(self, nn: ModuleType) -> Any:
        """Return the network in the interpretation ``nn``.

        ValueError for a name or width that does not exist, and for a network of one's own whose
        file cannot build it any more, or builds another one.
        """
        classes = len(self.classes)
        if not own_network.is_own(self.network):
            if self.build_options:
                raise ValueError(f"--build is for networks of your own; {self.network} is not one")
            return models.build(self.network, classes, self.width, nn)
        options = dict(self.build_options)
        if self.width != 1:
            options["width"] = self.width
        model = own_network.build_own(self.network, classes, options, nn)
        if self.source is not None:
            own_network.check_source(self.network, model, self.source)
        return model

    def optimizer(self) -> optim.Optimizer:
        """Return the recipe's optimizer; ValueError when a number of the recipe makes no sense."""
        return recipes.optimizer(self.recipe, self.steps_per_epoch)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values for the named fields."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return the config as plain values for ``json.dumps``."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        version, run = values.pop("version"), values.pop("run")
        values |= {"classes": list(self.classes), "shape": list(self.shape)}
        values |= {"inputs": self.inputs._asdict(), "recipe": _recipe_json(self.recipe)}
        known = {"autocnn": version, "run": run, "known_as": values.pop("known_as")}
        for name in ("source", "weights"):
            part = values.pop(name)
            known[name] = part and part._asdict()
        if not values["build_options"]:
            del values["build_options"]
        for name in ("validation", "size", "content"):
            if values[name] is None:
                del values[name]
        return {name: value for name, value in known.items() if value is not None} | values

    def differences(self, other: Self) -> list[str]:
        """Return the names of the settings in which two configs of one run differ.

        Its data may be at another place, and it may have been given more epochs.
        """
        mine, theirs = (
            config.replace(version=None, data="", recipe=config.recipe._replace(epochs=1)).to_json()
            for config in (self, other)
        )
        names = dict.fromkeys((*mine, *theirs))  # a default is left out of one of them
        return [name for name in names if mine.get(name) != theirs.get(name)]

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Return the config that ``to_json`` has written, or the previous version of autocnn.

        Whatever reads a field need not check its type again. Fields added since have their
        defaults. Raises ValueError that names the setting for one that is missing, unknown, or has
        a value that makes no sense, and for a config of a newer version of autocnn.
        """
        if isinstance(values, dict) and _is_newer(values.get("autocnn")):
            raise NewerVersionError(
                f"it is of autocnn {values['autocnn']:.20}, newer than this {autocnn.__version__}; "
                "read it with that version: pip install --upgrade autocnn"
            )
        missing = [name for name in REQUIRED if not isinstance(values, dict) or name not in values]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        unknown = [name for name in values if name not in CHECKS]
        if unknown:
            raise ValueError(f"it has the unknown setting {unknown[0]!r:.60}")
        for name, value in values.items():
            if not CHECKS[name](value):
                raise ValueError(f"{name} cannot be {json.dumps(value)[:60]}")
        fields = {name: value for name, value in values.items() if name != "autocnn"}
        fields |= {"classes": tuple(values["classes"]), "shape": tuple(values["shape"])}
        for name, kind in (("source", Source), ("weights", WeightsFile)):
            if name in values:
                fields[name] = kind(**values[name])
        fields |= {"inputs": Inputs(**values["inputs"]), "recipe": Recipe(**values["recipe"])}
        config = cls(version=values.get("autocnn"), **fields)
        if math.prod(config.input_shape) > MAX_IMAGE:
            size = "x".join(map(str, config.input_shape))
            raise ValueError(f"it has images of {size}, which is more than {MAX_IMAGE:,} values")
        return config


def _recipe_json(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON; what version 0.1 did not know is left out where it is the default."""
    default = Recipe()._asdict()
    return {
        name: value
        for name, value in recipe._asdict().items()
        if name not in ADDED_TO_RECIPE or value != default[name]
    }


def _is_newer(version: Any) -> bool:
    """Whether the first two numbers of a version are above those of this autocnn."""
    numbers = [re.match(r"(\d{1,6})\.(\d{1,6})", str(v)) for v in (version, autocnn.__version__)]
    there, here = ([int(n) for n in found.groups()] if found else [] for found in numbers)
    return there > here
