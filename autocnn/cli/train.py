"""``autocnn train``: train a network on a data set into a run folder, or go on with the run in
one.
"""

from pathlib import Path
from typing import Annotated

import typer

from autocnn import runs
from autocnn.cli import session, settings
from autocnn.cli.evaluate import evaluate
from autocnn.cli.settings import DEFAULTS
from autocnn.models.interpretations import ENGINES
from autocnn.ops.arguments import whole
from autocnn.runs import recipes
from autocnn.training import mpi as parallel

__all__ = ["evaluate", "train"]

DATA = "digits, mnist, fashion-mnist, patterns, or a folder of IDX files"


@parallel.job
def train(
    context: typer.Context,
    network: Annotated[
        str,
        typer.Argument(
            help=", ".join(recipes.NETWORKS),
            metavar="NETWORK",
            autocompletion=lambda incomplete: [
                name for name in recipes.NETWORKS if name.startswith(incomplete)
            ],
        ),
    ] = "",
    data: Annotated[
        str, typer.Option(help=f"{DATA}; digits for tiny networks, mnist for LeNets when left out")
    ] = "",
    epochs: Annotated[int | None, typer.Option(help="Passes through the training images")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step")] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="adam, or sgd with Nesterov momentum 0.9")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Peak of the learning rate, to which it rises at first")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="After that: cosine, down to 0 at the end, or constant")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Pull of the parameters to 0")] = None,
    clip: Annotated[float | None, typer.Option(help="Longest gradient")] = None,
    shift: Annotated[
        bool | None, typer.Option("--shift/--no-shift", help="Move training images at random")
    ] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Mirror half of the training images")
    ] = None,
    class_weight: Annotated[
        str | None, typer.Option(help="balanced: all classes count the same in the loss")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs that are not better than the best")
    ] = None,
    until: Annotated[
        int | None, typer.Option(help="Stop after this epoch; the same command goes on without it")
    ] = None,
    width: Annotated[
        float, typer.Option(help="Factor on the network's filters and units")
    ] = DEFAULTS["width"],
    original: Annotated[
        bool, typer.Option("--original", help="The LeNet-5 of 1998; the same as lenet5-1998")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Initial weights, shuffling, shifts, dropout")
    ] = DEFAULTS["seed"],
    engine: Annotated[
        str, typer.Option(help=f"What computes the gradients: {', '.join(ENGINES)}")
    ] = DEFAULTS["engine"],
    dtype: Annotated[str, typer.Option(help="float32, or float64")] = DEFAULTS["dtype"],
    limit: Annotated[
        int | None, typer.Option(help="Use the first so many training and validation images only")
    ] = None,
    out: Annotated[
        str, typer.Option(help="Run folder; runs/NETWORK-DATA when left out", metavar="FOLDER")
    ] = "",
    run: Annotated[
        str,
        typer.Option(help="Run folder: go on with the run in it, or begin one", metavar="FOLDER"),
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines instead of a table")
    ] = False,
):
    """Train a network. What is left out comes from the recipe that is known to
    work for this network and data set.

    Prints one row an epoch and writes a run folder: config.json, history.csv,
    last.safetensors and best.safetensors, curves.png, confusion.png and
    mistakes.png. Ctrl-C saves.

    --json prints one line of JSON an epoch, with the names of history.csv and the
    seconds since the start, and one line at the end that says where the run
    stands; everything else goes to stderr.

    --run FOLDER goes on with the run in that folder, to the same bits as if it
    had never been stopped, or begins one where there is none. Options beside
    it must be those of that run; only --epochs may be more, where the schedule
    is constant.

    \b
    Examples:
      autocnn train lenet5 --data fashion-mnist
      autocnn train tiny-cnn --data digits --seed 1
      autocnn train lenet5 --original --data mnist --out runs/1998
      autocnn train --run runs/1998
      autocnn train lenet5 --epochs 10 --until 5 --run runs/a
      autocnn train tiny-cnn --data patterns --json | tail -1 | jq .val_acc
    """
    if run and out:
        raise ValueError(
            f"--run {run} and --out {out} both name the run folder; leave one of them away"
        )
    # Which options were given counts, not only their values: beside a run in the folder, those must
    # agree with it.
    network, asked = settings.network_of(network, original), settings.given(context)
    if network:
        asked["network"] = network
    if run and runs.holds(run):
        _go_on(Path(run), asked, until, as_json)
    elif network:
        _begin(network, asked, run or out, until, as_json)
    elif run:
        raise ValueError(
            f"{run} holds no run; to begin one there name a network, such as autocnn train lenet5 --run {run}"
        )
    else:
        raise ValueError(
            f"name a network to train: {', '.join(recipes.NETWORKS)}; for instance autocnn train lenet5"
        )


def _begin(network, asked, folder, until, as_json):
    """Begin a run in a folder, or in a new one for ""."""
    config, data = settings.new(network, asked)
    begin = settings.begin(config)  # every bad setting is found before anything is written
    _check_until(until, config)
    folder = Path(folder or runs.free_folder(settings.default_folder(config)))
    with session.held(folder):
        session.written(runs.create, folder, config)
        session.train(folder, config, data, *begin, until, as_json)


def _go_on(folder, asked, until, as_json):
    """Continue the run in a folder from where it was stopped."""
    with session.held(folder):
        config = settings.agreed(runs.settings(folder), asked, folder, runs.free_folder(folder))
        _check_until(until, config)
        data = settings.dataset(config["data"], config["limit"])
        batches = -(-len(data.x_train) // config["recipe"]["batch_size"])
        now = {
            "shape": list(data.x_train.shape[1:]),
            "classes": list(data.classes),
            "steps_per_epoch": batches,
        }
        if any(config[name] != value for name, value in now.items()):
            raise ValueError(
                f"{config['data']} is not what it was when {folder} was begun: {data!r}"
            )
        model, optimizer, moment = settings.begin(config)
        if runs.started(folder):
            moment = runs.load(folder, "last").moment
        if config != runs.settings(folder):
            session.written(runs.configure, folder, config)
        session.train(folder, config, data, model, optimizer, moment, until, as_json)


def _check_until(until, config):
    epochs = config["recipe"]["epochs"]
    if until is not None and whole(until, "--until") > epochs:
        raise ValueError(
            f"--until {until} is beyond the end of the run, which is after epoch {epochs}; see --epochs"
        )
