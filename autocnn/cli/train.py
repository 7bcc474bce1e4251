"""``autocnn train``: train a network into a run folder, or go on with the run in one."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from autocnn import runs
from autocnn.cli import before_training, launch, session, settings
from autocnn.cli.ranks import on_all_ranks
from autocnn.cli.settings import DEFAULTS
from autocnn.cli.tensorboard import check_installed, open_log
from autocnn.models import NETWORKS
from autocnn.models.interpretations import INTERPRETATIONS
from autocnn.ops.arguments import integer
from autocnn.runs import RunConfig
from autocnn.training import mpi

__all__ = ["train"]

DATA = (
    "digits, mnist, fashion-mnist, patterns, or a path: image files in a folder for each class, "
    "IDX files, .npz, .csv, CIFAR's binary version"
)


@on_all_ranks
def train(
    context: typer.Context,
    network: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(NETWORKS)}; or FILE.py:FUNCTION, which returns a network",
            metavar="NETWORK",
            autocompletion=lambda incomplete: [
                name for name in NETWORKS if name.startswith(incomplete)
            ],
        ),
    ] = "",
    data: Annotated[
        str, typer.Option(help=f"{DATA}; default: digits for tiny networks, else mnist")
    ] = "",
    epochs: Annotated[int | None, typer.Option(help="Passes through the training images")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch")] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="adam, or sgd with Nesterov momentum 0.9")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Peak learning rate, reached after a linear warmup")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="Learning rate after the warmup: cosine (decays to 0), or constant"),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay coefficient")] = None,
    clip: Annotated[float | None, typer.Option(help="Clip gradients to this norm")] = None,
    shift: Annotated[
        bool | None, typer.Option("--shift/--no-shift", help="Shift training images at random")
    ] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Mirror training images at random")
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Change training images at random: flip, shift=2, crop=2, rotate=10 (degrees), "
            "scale=0.1, erase=6, brightness=0.2, joined by commas"
        ),
    ] = None,
    class_weight: Annotated[
        str | None, typer.Option(help="balanced: weight all classes equally in the loss")
    ] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option(help="Share of the target that goes to all classes alike, such as 0.1"),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after this many epochs without improvement")
    ] = None,
    until: Annotated[
        int | None, typer.Option(help="Stop after this epoch; run again without it to go on")
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="Start from these: .safetensors, .pth, .npz, or a run folder", metavar="FILE"
        ),
    ] = "",
    width: Annotated[float, typer.Option(help="Width multiplier")] = DEFAULTS["width"],
    build: Annotated[
        list[str] | None,
        typer.Option(help="Argument of your FUNCTION; may be repeated", metavar="NAME=VALUE"),
    ] = None,
    original: Annotated[
        bool, typer.Option("--original", help="The LeNet-5 of 1998, the same as lenet5-1998")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Seed of weights, shuffling, augmentation, dropout")
    ] = DEFAULTS["seed"],
    engine: Annotated[
        str,
        typer.Option(help=f"Interpretation that computes gradients: {', '.join(INTERPRETATIONS)}"),
    ] = DEFAULTS["engine"],
    dtype: Annotated[str, typer.Option(help="float32 or float64")] = DEFAULTS["dtype"],
    limit: Annotated[
        int | None, typer.Option(help="Use only this many training and validation images")
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(help="Share of the training images to hold out; default: the data's own"),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Scale image files to this size and cut what stands over: 64 or 48x64"),
    ] = None,
    out: Annotated[
        str, typer.Option(help="New run folder; default: runs/NETWORK-DATA", metavar="FOLDER")
    ] = "",
    run: Annotated[
        str,
        typer.Option(help="Run folder: go on with its run, or begin one", metavar="FOLDER"),
    ] = "",
    ranks: Annotated[
        int | None, typer.Option(help="Processes that share every batch, by MPI", max=1000)
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log each epoch for TensorBoard, in the folder")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines instead of a table")
    ] = False,
):
    """Train a network.

    The default of most options is that of the recipe for this network and data set.

    Prints a row for each epoch and writes a run folder: config.json, history.csv,
    last.safetensors and best.safetensors, calibration.json, curves.png,
    confusion.png and mistakes.png. Ctrl-C, SIGTERM, SIGHUP and the warning signals
    of batch systems (SIGUSR1, SIGUSR2, SIGXCPU) stop after the current step and
    save; a second Ctrl-C ends at once.

    --json prints a line of JSON for each epoch, with the names of history.csv and
    the seconds since the start, and one at the end with the outcome; everything
    else goes to stderr.

    NETWORK may be one of your own: FILE.py:FUNCTION names a function in a file
    that returns a network of autocnn.layers. It is called with the number of
    classes, if it has such an argument, and with the --build options. The run
    remembers the file's path and what it held.

    --weights FILE starts from weights of torch, by their names, or of another run,
    and says which of them fit; a classifier of other classes starts at random.

    --ranks N trains on N processes, each with its share of every batch; when one of
    them is killed, the others go on from the last epoch to the same loss.

    --run FOLDER goes on with the run in that folder, and gives the same bits as if
    it had never been stopped; where there is none, it begins one. Other options
    must be those of that run; only --epochs may be more, with the constant
    schedule, and --data may name another place of the same images.

    \b
    Examples:
      autocnn train lenet5 --data fashion-mnist
      autocnn train tiny-cnn --data digits --seed 1
      autocnn train lenet5 --data pets/
      autocnn train lenet5 --original --data mnist --out runs/1998
      autocnn train --run runs/1998
      autocnn train net.py:build --data mnist --build filters=16
      autocnn train lenet5 --data mnist --weights runs/lenet5-fashion-mnist
      autocnn train lenet5 --epochs 10 --until 5 --run runs/a
      autocnn train lenet5 --data mnist --ranks 4
      autocnn train tiny-cnn --data patterns --json | tail -1 | jq .val_acc
    """
    run, out = os.path.expanduser(run), os.path.expanduser(out)
    if run and out:
        raise ValueError(f"--run {run} and --out {out} both name the run folder; use one of them")
    # Only the options on the command line must agree with a run in the folder, not the defaults.
    network, options = settings.network_name(network, original), settings.given_options(context)
    if network:
        options["network"] = network
    if ranks is not None and mpi.world().size == 1:
        integer(ranks, "--ranks")
        folder = run or out
        if network and not folder:
            data = settings.data_name(network, options)
            folder = str(runs.free_folder(settings.default_folder(network, data)))
        if out and runs.has_config(out):
            runs.create(out, runs.read_config(out))  # a ValueError that names a free folder
        raise typer.Exit(launch.train_on_ranks(ranks, folder))
    if tensorboard:
        check_installed()
    if run and runs.has_config(run):
        _go_on(Path(run), options, until, as_json, tensorboard)
    elif network:
        _begin(network, options, run or out, until, as_json, tensorboard)
    elif run:
        raise ValueError(
            f"{run} holds no run; to begin one there name a network, such as autocnn train lenet5 "
            f"--run {run}"
        )
    else:
        raise ValueError(
            f"name a network to train: {', '.join(NETWORKS)}, or FILE.py:FUNCTION; for instance "
            "autocnn train lenet5"
        )


def _begin(
    network: str,
    options: dict[str, Any],
    folder: str,
    until: int | None,
    as_json: bool,
    tensorboard: bool,
) -> None:
    """Begin a run in a folder; in a new one for ""."""
    config, data = settings.new_config(network, options)
    config = runs.with_identity(config)
    before_training.check_memory(config, as_json)
    # Finds bad options before anything is written.
    model, optimizer, start = runs.initialize(config)
    start = before_training.with_weights(config, model, start, as_json)
    _check_until(until, config)
    folder = Path(folder or runs.free_folder(settings.default_folder(network, config.data)))
    with session.lock_run(folder):
        session.begin(folder, config)
        if config.source is not None:
            session.write_or_exit(runs.save_source, folder, config)
        with open_log(folder, tensorboard) as log:
            session.train_run(folder, config, data, model, optimizer, start, until, as_json, log)


def _go_on(
    folder: Path, options: dict[str, Any], until: int | None, as_json: bool, tensorboard: bool
) -> None:
    """Go on with the run in a folder from where it was stopped."""
    with session.lock_run(folder):
        found = _recover(folder)
        saved = runs.read_config(folder) if found is None else found.config
        config = settings.check_options(saved, options, folder, runs.free_folder(folder))
        _check_until(until, config)
        data = before_training.same_data(config, saved, folder)
        before_training.check_memory(config, as_json)
        model, optimizer, start = runs.initialize(config)
        start = (
            before_training.with_weights(config, model, start, as_json)
            if found is None
            else found.train_state
        )
        if config != saved:
            session.write_or_exit(runs.write_config, folder, config)
        with open_log(folder, tensorboard) as log:
            session.train_run(folder, config, data, model, optimizer, start, until, as_json, log)


def _recover(folder: Path) -> runs.SavedRun | None:
    """Read where a run stands; rank 0 mends what is damaged, before the others read it."""
    found: list[runs.SavedRun | None] = []
    session.write_or_exit(lambda folder: found.append(runs.recover(folder)), folder)
    if not found:  # another rank, which does not write
        return runs.load(folder, "last") if runs.has_checkpoint(folder) else None
    return found[0]


def _check_until(until: int | None, config: RunConfig) -> None:
    epochs = config.recipe.epochs
    if until is not None and integer(until, "--until") > epochs:
        raise ValueError(
            f"--until {until} is beyond the end of the run, which is after epoch {epochs}; see "
            "--epochs"
        )
