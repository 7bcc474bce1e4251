"""Settings: what a run is told on the command line, as config.json keeps it; and whether a
folder holds just that run.
"""

import copy
import os
import re
import shlex
from pathlib import Path

import numpy as np

import autocnn
from autocnn import training
from autocnn.data import load, patterns
from autocnn.models.interpretations import engine as vocabulary
from autocnn.ops.arguments import whole
from autocnn.runs import preprocessing, recipes
from autocnn.training import sample_weight as weights

__all__ = [
    "DEFAULTS",
    "agreed",
    "begin",
    "command",
    "dataset",
    "default_folder",
    "given",
    "network_of",
    "new",
]

WHERE = (
    "out",
    "run",
    "until",
    "original",
    "as_json",
)  # options that do not say what; --original is a network's name
SCHEDULES = ("cosine", "constant")
DEFAULTS = {
    "width": 1.0,
    "seed": 0,
    "engine": "fast",
    "dtype": "float32",
    "limit": None,
}  # what no recipe says


def given(context):
    """Return {name: value} of what the user has written on the command line about the run
    itself, less the defaults.
    """
    source = context.get_parameter_source
    return {
        name: v
        for name, v in context.params.items()
        if source(name).name == "COMMANDLINE" and name not in WHERE
    }


def network_of(network, original):
    """Return the network's name, --original being a way to say lenet5-1998."""
    if original and network not in ("", "lenet5", "lenet5-1998"):
        raise ValueError(f"--original is for lenet5, got {network}")
    return "lenet5-1998" if original else network


def new(network, asked):
    """Return (config, data) for a run of ``network`` with the options ``asked``, {name: value};
    the rest is the recipe's.
    """
    if not 0 <= asked.get("seed", 0) < 2**63:
        raise ValueError(f"--seed must be an int, 0 or more and below 2^63; got {asked['seed']}")
    data = asked.get("data") or ("digits" if network.startswith("tiny") else "mnist")
    general = {name: asked.get(name, usual) for name, usual in DEFAULTS.items()}
    try:
        pictures = dataset(data, general["limit"])
    except ImportError as error:
        raise ImportError(
            f"{error}; or train without it: autocnn train {network} --data patterns"
        ) from None
    known = recipes.recipe(network, data)
    if asked.get("optimizer", known.optimizer) != known.optimizer and "rate" not in asked:
        raise ValueError(
            f"--optimizer {asked['optimizer']} needs a --rate: {known.rate:g} is known to suit {known.optimizer}"
        )
    chosen = known._replace(
        **{
            name: value
            for name, value in asked.items()
            if name in known._fields and name != "shift"
        }
    )
    if "shift" in asked:
        chosen = chosen._replace(shift=(known.shift or 1) if asked["shift"] else 0)
    if chosen.patience is not None:
        whole(chosen.patience, "--patience")
    if chosen.class_weight is not None:
        weights.of_examples(pictures.y_train, len(pictures.classes), None, chosen.class_weight)
    shape = pictures.x_train.shape[1:]
    config = {
        "autocnn": autocnn.__version__,
        "network": network,
        "width": general["width"],
        "engine": general["engine"],
        "dtype": general["dtype"],
        "data": data,
        "limit": general["limit"],
        "classes": list(pictures.classes),
        "shape": list(shape),
        "inputs": recipes.inputs(network, shape)._asdict(),
        "seed": general["seed"],
        "recipe": chosen._asdict(),
        "steps_per_epoch": -(-len(pictures.x_train) // whole(chosen.batch_size, "batch_size")),
    }
    return config, pictures


def agreed(config, asked, folder, free):
    """Return the settings ``config`` of the run in ``folder``, after checking that the options
    ``asked`` are the same.

    --epochs may be more, where the schedule does not depend on it: the run is then to be that long.
    ``free`` is a folder to name in place of this one. ValueError naming the option, what was asked
    for and what the folder holds.
    """
    recipe = recipes.Recipe(**config["recipe"])
    held, grown = (
        copy.copy(config),
        copy.copy(config),
    )  # copies of their own kind, which say what a damaged file lacks
    held |= {**DEFAULTS, **config, **recipe._asdict(), "shift": bool(recipe.shift)}
    for name, value in asked.items():
        if name != "epochs" and not _same(name, value, held[name]):
            raise ValueError(
                f"{folder} holds a run with {_option(name, held[name])}, not {_option(name, value)}; leave that away to go on "
                f"with it, or name another folder to begin another run: --run {free}"
            )
    epochs = whole(asked.get("epochs", recipe.epochs), "epochs")
    if epochs < recipe.epochs:
        raise ValueError(
            f"{folder} holds a run of {recipe.epochs} epochs, not {epochs}; to stop it after epoch {epochs}: --until {epochs}"
        )
    if epochs > recipe.epochs and recipe.schedule != "constant":
        anew, growing = (
            f"{command(config, epochs=epochs, schedule=s)} --run {shlex.quote(str(free))}"
            for s in SCHEDULES
        )
        raise ValueError(
            f"{folder} holds a run of {recipe.epochs} epochs, not {epochs}: its rate falls as a cosine to 0 at the end of "
            f"epoch {recipe.epochs}, so that with more epochs every step would have been another. Train all {epochs} anew: "
            f"{anew} (in parts by --until {recipe.epochs}); or a run that can grow later: {growing}"
        )
    grown["recipe"] = {**config["recipe"], "epochs": epochs}
    return grown


def command(config, **changes):
    """Return the command line that trains as ``config`` says, with ``changes``, {option: value},
    and without a folder.
    """
    known = recipes.recipe(config["network"], config["data"])._asdict()
    now = {**known, **DEFAULTS, **config, **config["recipe"], **changes}
    words = ["autocnn", "train", config["network"], "--data", shlex.quote(config["data"])]
    needed = ["epochs", "rate"] if now["optimizer"] != known["optimizer"] else ["epochs"]
    for name, usual in {**known, **DEFAULTS}.items():
        value = now[name]
        if name == "shift":
            value, usual = bool(value), bool(usual)
        if name in needed or (value != usual and value is not None and name != "warmup"):
            words.append(_option(name, value))
    return " ".join(words)


def begin(config):
    """Return the model, its optimizer, and the moment before the first step, from the settings
    alone.
    """
    model = recipes.build(
        config["network"], len(config["classes"]), config["width"], vocabulary(config["engine"])
    )
    shape = preprocessing.padded_shape(config["shape"], preprocessing.Inputs(**config["inputs"]))
    # Runs that differ in their seed share no stream: this key's second number is not used for
    # anything else.
    dtype = config.get("dtype", "float32")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"there is no dtype {dtype!r}; use --dtype float32 or float64")
    try:
        _, params, state = model.init((0, config["seed"]), shape, dtype)
    except ValueError as error:
        raise ValueError(
            f"{config['network']} does not fit images of {'x'.join(map(str, shape))}: {error}"
        ) from error
    optimizer = recipes.optimizer(recipes.Recipe(**config["recipe"]), config["steps_per_epoch"])
    return model, optimizer, training.Moment(params, state, optimizer.init(params), 0, np.nan, {})


def dataset(name, limit):
    """Return the data set of that name or folder, or its first ``limit`` training and validation
    images.
    """
    found = patterns() if name == "patterns" else load(name)
    if limit is not None:
        n = whole(limit, "--limit")
        x_train, y_train, x_val, y_val = (part[:n] for part in found[:4])
        found = found._replace(x_train=x_train, y_train=y_train, x_val=x_val, y_val=y_val)
    return found


def default_folder(config):
    """Return runs/NETWORK-DATA, a folder of data being called by its name."""
    data = config["data"]
    plain = (
        re.sub(r"[^\w.-]+", "-", Path(data).resolve().name if os.sep in data else data).strip("-.")
        or "data"
    )
    return f"runs/{config['network']}-{plain}"


def _same(name, asked, held):
    """Whether an option means what the folder holds; a folder of data may be written in several
    ways.
    """
    return asked == held or (
        name == "data" and os.sep in asked + held and Path(asked).resolve() == Path(held).resolve()
    )


def _option(name, value):
    """An option as it is written on the command line."""
    flag = f"--{name.replace('_', '-')}"
    if name == "network":
        return str(value)
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    if value is None:
        return f"no {flag}"
    return f"{flag} {shlex.quote(str(value))}"
