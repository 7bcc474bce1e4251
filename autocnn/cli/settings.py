"""Options of ``autocnn train`` and the ``RunConfig`` that they make, or must agree with."""

import ast
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import typer

import autocnn
from autocnn import runs
from autocnn.data.dataset import Dataset
from autocnn.data.identity import content_sum
from autocnn.data.known import KNOWN, known_name
from autocnn.data.loaders import LOADERS
from autocnn.models.interpretations import interpretation
from autocnn.ops.arguments import integer
from autocnn.runs import RunConfig, own_network, recipes
from autocnn.training.sample_weight import example_weights

__all__ = [
    "DEFAULTS",
    "check_options",
    "command",
    "data_name",
    "data_place",
    "default_folder",
    "given_options",
    "network_name",
    "new_config",
    "parse_build",
    "parse_size",
]

# The options that a recipe does not set. All others that are in neither say where to train and how
# to print, which is not part of a run's config.
DEFAULTS = {"width": 1.0, "seed": 0, "engine": "fast", "dtype": "float32", "limit": None}
DEFAULTS |= {"validation": None, "size": None}
CONFIG_OPTIONS = {"network", "data", "build", "weights", *DEFAULTS, *recipes.Recipe._fields}
SCHEDULES = ("cosine", "constant")


def given_options(context: typer.Context) -> dict[str, Any]:
    """Return {name: value} of the options for the run's config that are on the command line."""
    source = context.get_parameter_source
    given = {
        name: value
        for name, value in context.params.items()
        if name in CONFIG_OPTIONS and source(name).name == "COMMANDLINE"
    }
    if "data" in given:
        given["data"] = data_place(given["data"])
    if "size" in given:
        given["size"] = parse_size(given["size"])
    if "build" in given:
        given["build"] = parse_build(given["build"])
    return given


def data_place(name: str) -> str:
    """Return the absolute path of a file or folder of data, and a name of a data set as it is."""
    path = os.path.expanduser(name)
    is_name = name == "patterns" or name in LOADERS
    return name if is_name or "\0" in path or not os.path.exists(path) else os.path.abspath(path)


def parse_size(text: str) -> str:
    """Return "64" or "64x48" of ``--size`` as "64x64" or "64x48", height x width."""
    found = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
    if not found:
        raise ValueError(f"--size is a number of pixels, or HEIGHTxWIDTH such as 64x48; got {text}")
    return f"{found[1]}x{found[2] or found[1]}"


def parse_build(options: list[str]) -> dict[str, Any]:
    """Parse NAME=VALUE of ``--build``: Python's numbers, True, None, lists, else text."""
    parsed = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--build takes NAME=VALUE, such as --build filters=8; got {option}")
        try:
            parsed[name] = ast.literal_eval(text)
            json.dumps(parsed[name], allow_nan=False)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            parsed[name] = text
    return parsed


def network_name(network: str, original: bool) -> str:
    """Return the network's name; ``--original`` is another way to write lenet5-1998.

    A network of one's own, FILE.py:FUNCTION, gets the file's absolute path.
    """
    if own_network.is_own(network):
        network = own_network.absolute_name(network)
    if original and network not in ("", "lenet5", "lenet5-1998"):
        raise ValueError(f"--original is for lenet5, got {network}")
    return "lenet5-1998" if original else network


def new_config(network: str, options: dict[str, Any]) -> tuple[RunConfig, Dataset]:
    """Return (config, data) of a new run with the ``options`` {name: value}.

    What they leave out comes from the recipe for this network and data set. Raises ValueError for
    an option that makes no sense, and ImportError that names the package a data set needs.
    """
    if not 0 <= options.get("seed", 0) < 2**63:
        raise ValueError(f"--seed must be an int, 0 or more and below 2^63; got {options['seed']}")
    name = data_name(network, options)
    general = {option: options.get(option, default) for option, default in DEFAULTS.items()}
    try:
        data = runs.load_data(name, general["limit"], general["validation"], general["size"])
    except ImportError as error:
        raise ImportError(
            f"{error}; or train without it: autocnn train {network} --data patterns"
        ) from None
    known_as = None if name in KNOWN else known_name(data)
    recipe = _recipe(recipes.recipe(network, known_as or name), options)
    if recipe.class_weight is not None:
        example_weights(data.y_train, len(data.classes), None, recipe.class_weight)
    shape = data.x_train.shape[1:]
    general["build_options"] = options.get("build", {})
    if "weights" in options:
        general["weights"] = runs.weights_file(options["weights"])
    config = RunConfig(
        version=autocnn.__version__,
        network=network,
        data=name,
        content=content_sum(data),
        known_as=known_as,
        classes=tuple(data.classes),
        shape=shape,
        inputs=recipes.inputs(network, shape),
        recipe=recipe,
        steps_per_epoch=-(-len(data.x_train) // integer(recipe.batch_size, "batch_size")),
        **general,
    )
    if own_network.is_own(network):
        model = config.build(interpretation(config.engine))
        config = config.replace(source=own_network.source_of(network, model))
    return config, data


def _recipe(known: recipes.Recipe, options: dict[str, Any]) -> recipes.Recipe:
    """The recipe ``known`` with what the options change."""
    name = options.get("optimizer", known.optimizer)
    recipes.named_optimizer(name, known.rate)  # a ValueError for a name that does not exist
    if name != known.optimizer and "rate" not in options:
        raise ValueError(
            f"--optimizer {name} needs a --rate: {known.rate:g} is known to suit {known.optimizer}"
        )
    changes = {name: options[name] for name in known._fields if name in options}
    if "shift" in options:  # a flag on the command line, a number of pixels in a recipe
        changes["shift"] = (known.shift or 1) if options["shift"] else 0
    recipe = known._replace(**changes)
    recipes.augmentation(recipe)  # a ValueError for a name that does not exist
    if recipe.patience is not None:
        integer(recipe.patience, "--patience")
    return recipe


def check_options(
    config: RunConfig, options: dict[str, Any], folder: Path, other_folder: Path
) -> RunConfig:
    """Return the config of the run in ``folder``, after checking that the options agree with it.

    ``--epochs`` may be more with the constant schedule, which does not depend on it: the config
    returned then has that many. Raises ValueError that names the option, its value and what the
    folder holds, with ``other_folder`` as a place for another run.
    """
    recipe = config.recipe
    values = _option_values(config)
    for name, value in options.items():
        if name != "epochs" and not _is_same(name, value, values[name]):
            raise ValueError(
                f"{folder} holds a run with {_option(name, values[name])}, not "
                f"{_option(name, value)}; leave that away to go on with it, or name another folder "
                f"to begin another run: --run {other_folder}"
            )
    epochs = integer(options.get("epochs", recipe.epochs), "epochs")
    if epochs < recipe.epochs:
        raise ValueError(
            f"{folder} holds a run of {recipe.epochs} epochs, not {epochs}; to stop it after epoch "
            f"{epochs}: --until {epochs}"
        )
    if epochs > recipe.epochs and recipe.schedule != "constant":
        anew, growing = (
            f"{command(config, epochs=epochs, schedule=schedule)} --run "
            f"{shlex.quote(str(other_folder))}"
            for schedule in SCHEDULES
        )
        raise ValueError(
            f"{folder} holds a run of {recipe.epochs} epochs, not {epochs}: its rate falls as a "
            f"cosine to 0 at the end of epoch {recipe.epochs}, so that with more epochs every step "
            f"would have been another. Train all {epochs} anew: {anew} (in parts by --until "
            f"{recipe.epochs}); or a run that can grow later: {growing}"
        )
    data = options.get("data", config.data)
    return config.replace(recipe=recipe._replace(epochs=epochs), data=data)


def command(config: RunConfig, **changes: Any) -> str:
    """Return the command line that trains as ``config`` says, without a folder.

    changes: {option: value} to use instead of the config's own values.
    """
    known = recipes.recipe(config.network, config.known_as or config.data)
    values = _option_values(config) | changes
    needed = ["epochs", "rate"] if values["optimizer"] != known.optimizer else ["epochs"]
    defaults = known._asdict() | {"shift": bool(known.shift)} | DEFAULTS
    network = shlex.quote(config.network)
    words = ["autocnn", "train", network, "--data", shlex.quote(config.data)]
    if config.build_options:
        words.append(_option("build", config.build_options))
    if config.weights:
        words.append(_option("weights", config.weights.path))
    for name, default in defaults.items():
        value = values[name]
        if name in needed or (value != default and value is not None and name != "warmup"):
            words.append(_option(name, value))
    return " ".join(words)


def data_name(network: str, options: dict[str, Any]) -> str:
    """Return the data set that the options name, or the default of the network."""
    return options.get("data") or ("digits" if network.startswith("tiny") else "mnist")


def default_folder(network: str, data: str) -> str:
    """Return runs/NETWORK-DATA; a folder of data counts by its name."""
    name = Path(data).resolve().name if os.sep in data else data
    name = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    network = re.sub(r"[^\w.-]+", "-", own_network.short_name(network)).strip("-.")
    return f"runs/{network}-{name or 'data'}"


def _option_values(config: RunConfig) -> dict[str, Any]:
    """{name: value} of a config as the command line has them."""
    values = {name: getattr(config, name) for name in ("network", "data", *DEFAULTS)}
    values["build"] = config.build_options
    values["weights"] = config.weights and config.weights.path
    return values | config.recipe._asdict() | {"shift": bool(config.recipe.shift)}


def _is_same(name: str, value: Any, other: Any) -> bool:
    """Whether two values of an option may mean the same: data at two places may be the same."""
    if name == "weights":
        return runs.weights_file(value).path == other
    return value == other or (name == "data" and os.sep in value + other)


def _option(name: str, value: Any) -> str:
    """An option as it is written on the command line."""
    flag = f"--{name.replace('_', '-')}"
    if name == "network":
        return str(value)
    if name == "build":
        given = [f"{flag} {shlex.quote(f'{n}={v!r}')}" for n, v in value.items()]
        return " ".join(given) or "no --build"
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    if value is None or value == "":
        return f"no {flag}"
    return f"{flag} {shlex.quote(str(value))}"
