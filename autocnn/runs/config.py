"""The configuration of a run: what was trained on what and how, as config.json stores it."""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple, Self

import autocnn
from autocnn import models, optim
from autocnn.runs import own_network, recipes
from autocnn.runs.own_network import Source
from autocnn.runs.preprocessing import Inputs, padded_shape
from autocnn.runs.recipes import Recipe

__all__ = ["RunConfig", "WeightsFile"]

NO_CHANGE = Inputs()
ADDED_TO_RECIPE = ("label_smoothing",)  # since version 0.1
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
    data: the name of a data set, or a folder of IDX files. limit: train and validate on the first
        so many images of it only; None for all.
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
        known = {"autocnn": version, "run": run}
        for name in ("source", "weights"):
            part = values.pop(name)
            known[name] = part and part._asdict()
        if not values["build_options"]:
            del values["build_options"]
        return {name: value for name, value in known.items() if value is not None} | values

    def differences(self, other: Self) -> list[str]:
        """Return the names of the settings in which two configs of one run differ.

        Its data may be at another place, and it may have been given more epochs.
        """
        mine, theirs = (
            config.replace(version=None, data="", recipe=config.recipe._replace(epochs=1)).to_json()
            for config in (self, other)
        )
        return [name for name in mine if mine[name] != theirs.get(name)]

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
        missing = [name for name in _REQUIRED if not isinstance(values, dict) or name not in values]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        unknown = [name for name in values if name not in _CHECKS]
        if unknown:
            raise ValueError(f"it has the unknown setting {unknown[0]!r:.60}")
        for name, value in values.items():
            if not _CHECKS[name](value):
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


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_identity(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{32}", value))


def _is_data(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _is_natural(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_count(value: Any) -> bool:
    return _is_natural(value) and value > 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= 1e9  # nor NaN


def _is_float(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= 1e308


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_options(value: Any) -> bool:
    return isinstance(value, dict) and all(name.isidentifier() for name in value)


def _is_sum(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("([0-9a-f]{64})?", value))


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_count, value))


def _is_class_weight(value: Any) -> bool:
    return value in (None, "balanced")


def _optional(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _object(
    checks: dict[str, Callable[[Any], bool]], required: tuple[str, ...] = ()
) -> Callable[[Any], bool]:
    """Return the check of a JSON object: known fields only, each of which passes its check."""

    def check(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and {*required} <= value.keys() <= checks.keys()
            and all(checks[name](part) for name, part in value.items())
        )

    return check


_INPUTS = {"pad": _is_natural, "low": _is_number, "high": _is_number}
_RECIPE = {
    "epochs": _is_count,
    "batch_size": _is_count,
    "optimizer": _is_text,
    "rate": _is_float,
    "weight_decay": _is_float,
    "warmup": _is_float,
    "clip": _optional(_is_float),
    "shift": _is_natural,
    "flip": _is_flag,
    "schedule": _is_text,
    "patience": _optional(_is_count),
    "class_weight": _is_class_weight,
    "label_smoothing": _is_float,
}
# What each setting may be in JSON: which of the names and numbers exist is for their users to say.
_CHECKS = {
    "autocnn": _is_text,
    "run": _is_identity,
    "network": _is_text,
    "width": _is_number,
    "build_options": _is_options,
    "source": _object({"file": _is_sum, "network": _is_sum}, required=("file", "network")),
    "weights": _object({"path": _is_data, "sha256": _is_sum}, required=("path", "sha256")),
    "engine": _is_text,
    "dtype": _is_text,
    "data": _is_data,
    "limit": _optional(_is_count),
    "classes": _is_names,
    "shape": _is_shape,
    "inputs": _object(_INPUTS),
    "seed": _is_natural,
    "recipe": _object(_RECIPE, required=("epochs", "batch_size")),
    "steps_per_epoch": _is_count,
}
_OPTIONAL = ("autocnn", "build_options", "dtype", "run", "source", "weights")
_REQUIRED = [name for name in _CHECKS if name not in _OPTIONAL]
