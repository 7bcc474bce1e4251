"""Run folders: what one training leaves on the disk, and how it is read again.

    config.json         what was trained on what and how: enough to build the network and to repeat the run
    history.csv         epoch, train_loss, train_acc, val_loss, val_acc
    last.safetensors    params, state {"network", "optimizer"}, and as metadata step, loss and history: where the run stands
    best.safetensors    the same at the epoch with the best validation accuracy

Every file is written beside its place, synced, and then renamed, so that a reader finds the old one
or the new one, whole. One process at a time trains into a folder, and holds it by a lock meanwhile;
anybody may read.
"""

import contextlib
import csv
import io
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError

from autocnn import checkpoint
from autocnn.files import atomic_write, lock_folder, remove_partial_writes
from autocnn.models.interpretations import engine
from autocnn.runs import preprocessing, recipes
from autocnn.training import Moment
from autocnn.trees import leaves, unflatten

__all__ = [
    "Saved",
    "configure",
    "create",
    "free_folder",
    "holds",
    "load",
    "lock",
    "save",
    "settings",
    "started",
]

CONFIG, HISTORY = "config.json", "history.csv"
NEEDED = (
    "network",
    "width",
    "classes",
    "shape",
    "inputs",
)  # what it takes to build the network again


class Saved(NamedTuple):
    """A run as read back: its settings, the network, and where it stood."""

    config: dict[str, Any]
    model: Any
    moment: Moment


def create(folder, config):
    """Make the run folder and write ``config``, a dict of plain values, into it. ValueError when
    it holds a run already.
    """
    folder = Path(folder)
    if (folder / CONFIG).exists():
        raise ValueError(
            f"{folder} holds a run already; name another folder, such as --out {free_folder(folder)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return configure(folder, config)


def configure(folder, config):
    """Write ``config``, a dict of plain values, into a run folder, in place of the one that may
    be there.
    """
    atomic_write(Path(folder) / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    return folder


def holds(folder):
    """Say whether the folder holds a run, one that never took a step included."""
    return (Path(folder) / CONFIG).exists()


def started(folder):
    """Say whether the run in the folder has left anything to go on from."""
    return (Path(folder) / "last.safetensors").exists()


@contextlib.contextmanager
def lock(folder):
    """Lock the run folder for the ``with`` block, creating it if needed; yields its ``Path``.

    ``files.LockedError``, an OSError that names the other process, when one is training into it.
    Removes what a killed process has left half-written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder, "training into"):
        remove_partial_writes(folder)
        yield folder


def free_folder(folder):
    """Return ``folder`` if there is no such folder yet, or else the first of folder-2, folder-3,
    ... that does not exist.
    """
    folder, n = Path(folder), 2
    free = folder
    while free.exists():
        free, n = folder.with_name(f"{folder.name}-{n}"), n + 1
    return free


def save(folder, moment, name="last"):
    """Write a ``Moment`` to ``name``.safetensors, which can be read by itself, and its history
    to history.csv.
    """
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(moment.history)
    rows.writerows(zip(*moment.history.values(), strict=True))
    # The table first: were it the other way round, a run killed in between at its very end would
    # never get its last row.
    atomic_write(Path(folder) / HISTORY, table.getvalue().encode())
    where = {
        "step": moment.step,
        "loss": moment.loss if math.isfinite(moment.loss) else None,
        "history": moment.history,
    }
    state = {"network": moment.state, "optimizer": moment.opt_state}
    checkpoint.save(Path(folder) / f"{name}.safetensors", moment.params, state, where)


def load(folder, name="best", nn=None):
    """Read a run back as ``Saved``: its network in the vocabulary ``nn`` (autograd's), with the
    parameters of ``name``.

    ValueError when the folder holds no run, or one that is damaged.
    """
    folder = Path(folder)
    config = settings(folder)
    nn = engine("autograd") if nn is None else nn
    path = folder / f"{name}.safetensors"
    try:
        model = recipes.build(config["network"], len(config["classes"]), config["width"], nn)
        held_params, held_state, where = checkpoint.load(path)
        shape = preprocessing.padded_shape(
            config["shape"], preprocessing.Inputs(**config["inputs"])
        )
        _, params, state = model.init(None, shape)
        params, state = (
            _filled("params", params, held_params),
            _filled("state", state, held_state["network"]),
        )
        optimizer = recipes.optimizer(recipes.Recipe(**config["recipe"]), config["steps_per_epoch"])
        opt_state = _filled("optimizer state", optimizer.init(params), held_state["optimizer"])
        loss = math.nan if where["loss"] is None else where["loss"]
        history = {column: list(values) for column, values in where["history"].items()}
        moment = Moment(params, state, opt_state, where["step"], loss, history)
    except FileNotFoundError:
        raise ValueError(
            f"{folder} has no {path.name}: its training never finished an epoch"
        ) from None
    except (
        SafetensorError,
        AttributeError,
        KeyError,
        OverflowError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(f"{path} is damaged or belongs to another network: {error}") from error
    return Saved(config, model, moment)


class Settings(dict):
    """The settings of a run as its config.json has them. One that is missing is a ValueError
    that names the file.
    """

    path = None

    def __missing__(self, name):
        raise ValueError(f"{self.path} is damaged: it lacks {name}")


def settings(folder):
    """Read a run folder's config.json: what ``create`` was given. ValueError when there is none,
    or it makes no sense.
    """
    folder = Path(folder)
    path = folder / CONFIG
    try:
        config = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{folder} holds no run: there is no {CONFIG} in it; autocnn train makes one"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    missing = (
        [name for name in NEEDED if name not in config] if isinstance(config, dict) else NEEDED
    )
    if missing:
        raise ValueError(f"{path} is damaged: it lacks {', '.join(missing)}")
    for name, value in config.items():
        if name in FITS and not FITS[name](value):
            raise ValueError(f"{path} is damaged: {name} cannot be {json.dumps(value)[:60]}")
    config = Settings(config)
    config.path = path
    return config


def _int(value, least):
    return type(value) is int and least <= value < 2**63


def _number(value, most=1e9):
    return type(value) in (int, float) and abs(value) <= most  # nor NaN


def _recipe(value):
    """Whether a dict has a recipe's fields, each of its kind; what they may be is for
    ``recipes.optimizer`` to say.
    """
    kinds = {
        **dict.fromkeys(("epochs", "batch_size"), lambda v: _int(v, 1)),
        **dict.fromkeys(("rate", "weight_decay", "warmup"), lambda v: _number(v, 1e308)),
        "clip": lambda v: v is None or _number(v, 1e308),
        "shift": lambda v: _int(v, 0),
        "flip": lambda v: type(v) is bool,
        **dict.fromkeys(("optimizer", "schedule"), lambda v: isinstance(v, str)),
        "patience": lambda v: v is None or _int(v, 1),
        "class_weight": lambda v: v in (None, "balanced"),
    }
    return (
        isinstance(value, dict)
        and {"epochs", "batch_size"}
        <= value.keys()
        <= {*recipes.Recipe._fields}  # a field of a later version has its default
        and all(fits(value[name]) for name, fits in kinds.items() if name in value)
    )


def _inputs(value):
    return (
        isinstance(value, dict)
        and value.keys() <= {*preprocessing.Inputs._fields}
        and all(map(_number, value.values()))
        and _int(value.get("pad", 0), 0)
    )


# What a setting may be, so that no line that uses one meets anything else.
FITS = {
    "network": lambda v: isinstance(v, str),
    "width": _number,
    "engine": lambda v: isinstance(v, str),
    "data": lambda v: isinstance(v, str) and "\0" not in v,
    "limit": lambda v: v is None or _int(v, 1),
    "classes": lambda v: isinstance(v, list) and v and all(isinstance(name, str) for name in v),
    "shape": lambda v: isinstance(v, list) and len(v) == 3 and all(_int(n, 1) for n in v),
    "inputs": _inputs,
    "seed": lambda v: _int(v, 0),
    "recipe": _recipe,
    "steps_per_epoch": lambda v: _int(v, 1),
}


def _filled(part, tree, held):
    """A tree of ``tree``'s structure and shapes with the values of ``held``."""
    found = dict(leaves(held))
    for path, leaf in leaves(tree):
        if path not in found or found[path].shape != leaf.shape:
            got = f"has shape {found[path].shape}" if path in found else "is missing"
            raise ValueError(f"{part} leaf '{path}' {got}, needed is {leaf.shape}")
    return unflatten(tree, [found[path] for path, _ in leaves(tree)])
