"""Session: one training into one run folder, from wherever the run stands; what it prints, what
it saves, how it ends.
"""

import contextlib
import io
import shlex
import shutil
import sys
import time
from collections import deque
from pathlib import Path

import numpy as np
import typer
from tqdm import tqdm

from autocnn import runs, training
from autocnn.cli import interrupt, progress
from autocnn.files import LockedError, atomic_write
from autocnn.runs import preprocessing, recipes
from autocnn.text import strict_json
from autocnn.training import mpi as parallel

__all__ = ["held", "train", "written"]

BATCHES = 50  # over which the bar averages the loss
MEASURED = 5000  # training images on which an epoch's training metrics are taken
BAR = "{desc}  {remaining} left  {percentage:3.0f}% |{bar}|"
COMPILING = "compiling kernels for this processor, which may take half a minute the first time"


@contextlib.contextmanager
def held(folder):
    """Hold a run folder for the body of ``with``; a folder that another process trains into ends
    the program in one line.
    """
    if parallel.rank():
        yield Path(folder)
        return
    with contextlib.ExitStack() as stack:
        yield written(lambda folder: stack.enter_context(runs.lock(folder)), folder)


def written(write, folder, *args):
    """Do ``write(folder, *args)``; a disk that is full or a folder that cannot be written ends
    the program in one line.
    """
    if parallel.rank():
        return Path(folder)
    try:
        return write(folder, *args)
    except LockedError as error:
        typer.echo(f"autocnn: {error}", err=True)
    except OSError as error:
        typer.echo(f"autocnn: cannot write to {folder}: {error.strerror or error}", err=True)
    raise typer.Exit(1)


def train(folder, config, data, model, optimizer, moment, until=None, as_json=False):
    """Train from ``moment`` to the end, or to the end of epoch ``until``, keeping the run folder up
    to date; draw the figures.

    Prints a table, or with ``as_json`` a line of JSON an epoch and one at the end, and everything
    else on stderr. Ctrl-C saves and ends the program with 130, a run that diverges with 1.
    """
    from autocnn.fast import compiling  # what no other command has to wait for

    recipe, inputs = recipes.Recipe(**config["recipe"]), preprocessing.Inputs(**config["inputs"])
    data = data._replace(
        x_train=preprocessing.prepare(data.x_train, inputs),
        x_val=preprocessing.prepare(data.x_val, inputs),
    )
    width = shutil.get_terminal_size((100, 24)).columns
    typer.echo(
        progress.introduction(config, recipe, data, moment.params, MEASURED, width), err=as_json
    )
    if not as_json:
        typer.echo(f"\n{progress.head(width)}")
    last = recipe.epochs if until is None else until
    steps = recipe.epochs * config["steps_per_epoch"]
    start, latest, losses = time.monotonic(), moment, deque(maxlen=BATCHES)
    options = dict(disable=None, dynamic_ncols=True, bar_format=BAR, smoothing=0.05, leave=False)
    with tqdm(total=last * config["steps_per_epoch"], initial=moment.step, **options) as bar:

        def on_step(after):
            nonlocal latest
            latest = after
            losses.append(after.loss)
            epoch, accuracy = len(after.history["epoch"]), after.history["val_acc"][-1]
            mean = sum(losses) / len(losses)
            bar.set_description_str(
                progress.describe(mean, epoch, recipe.epochs, accuracy, width), refresh=False
            )
            bar.update()

        def on_epoch(after):
            nonlocal latest
            if not training.waited(after.history):
                written(runs.save, folder, after, "best")
            # not earlier: a run that is stopped before the best is written makes it again
            latest = after
            written(runs.save, folder, after, "last")
            seconds = time.monotonic() - start
            bar.write(
                progress.line(after.history, seconds)
                if as_json
                else progress.row(after.history, seconds, width)
            )
            sys.stdout.flush()  # whoever reads a pipe waits for this row
            _check_progress(after.history["train_loss"], last=after.step == steps)

        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(interrupt.kept())
                stack.enter_context(
                    compiling.on_compile(lambda: bar.write(COMPILING, file=sys.stderr))
                )
                stack.enter_context(
                    np.errstate(over="ignore", invalid="ignore", divide="ignore")
                )  # told in one line
                training.train(
                    moment.params,
                    data,
                    parallel.shard(model),
                    moment.state,
                    optimizer,
                    last,
                    recipe.batch_size,
                    config["seed"],
                    snapshots=(),
                    augment=recipes.augmentation(recipe, inputs.low),
                    measured=MEASURED,
                    class_weight=recipe.class_weight,
                    patience=recipe.patience,
                    on_step=on_step,
                    on_epoch=on_epoch,
                    start=moment if moment.history else None,
                )
        except KeyboardInterrupt:
            written(runs.save, folder, latest, "last")
            bar.close()
            typer.echo(
                f"stopped after step {latest.step} of {steps}; {_how_to_go_on(folder)}", err=True
            )
            raise typer.Exit(130) from None
        except training.Diverged as error:
            bar.close()
            typer.echo(f"autocnn: {error}", err=True)
            raise typer.Exit(1) from None
    if not parallel.rank():
        _finish(folder, config, data, model, latest, width, as_json)


def _check_progress(losses, last):
    """Raise Diverged when the loss is tenfold what it was before training, or ends above that:
    finite, and yet no training.
    """
    if losses[-1] > losses[0] * (1 if last else 10):
        raise training.Diverged(
            f"the training loss rose from {losses[0]:.4g} to {losses[-1]:.4g}; lower the rate: --rate"
        )


def _how_to_go_on(folder):
    return f"go on with: autocnn train --run {shlex.quote(str(folder))}"


def _finish(folder, config, data, model, moment, width, as_json):
    """Draw the figures and print what came out."""
    from autocnn.plots import training as plots  # matplotlib takes a second to import

    probs = training.predict(model, moment.params, moment.state, data.x_val)
    figures = {
        "curves.png": plots.curves(moment.history),
        "confusion.png": plots.confusion(
            plots.counts(data.y_val, probs.argmax(axis=1), len(data.classes)), data.classes
        ),
        "mistakes.png": plots.mistakes(data.x_val, data.y_val, probs, data.classes),
    }
    for name, figure in figures.items():
        image = io.BytesIO()
        figure.savefig(image, format="png")
        written(atomic_write, folder / name, image.getvalue())
    files = ["config.json", "history.csv", "last.safetensors", "best.safetensors", *figures]
    came = progress.outcome(folder, config, moment.history, training.waited(moment.history), files)
    typer.echo(
        strict_json(came)
        if as_json
        else f"\n{progress.remarks(came, _how_to_go_on(folder), width)}"
    )
