"""Session: one training into one run folder, from wherever the run stands; what it prints, what it saves, how it ends."""

import contextlib
import io
import shlex
import sys
import time
from collections import deque
from pathlib import Path

import numpy as np
import typer
from tqdm import tqdm

from autocnn import locks, parallel, recipes, runs, training
from autocnn.trees import count

__all__ = ["held", "train", "written"]

BATCHES = 50  # over which the bar averages the loss
MEASURED = 5000  # training images on which an epoch's training metrics are taken
BAR = "{desc}  {remaining} left  {percentage:3.0f}% |{bar}|"
HEADS = "         training          validation\nepoch    loss  accuracy    loss  accuracy       time"


@contextlib.contextmanager
def held(folder):
    """Hold a run folder for the body of ``with``; a folder that another process trains into ends the program in one line."""
    if parallel.rank():
        yield Path(folder)
        return
    with contextlib.ExitStack() as stack:
        yield written(lambda folder: stack.enter_context(runs.held(folder)), folder)


def written(write, folder, *args):
    """Do ``write(folder, *args)``; a disk that is full or a folder that cannot be written ends the program in one line."""
    if parallel.rank():
        return Path(folder)
    try:
        return write(folder, *args)
    except locks.Busy as error:
        typer.echo(f"autocnn: {error}", err=True)
    except OSError as error:
        typer.echo(f"autocnn: cannot write to {folder}: {error.strerror or error}", err=True)
    raise typer.Exit(1)


def train(folder, config, data, model, optimizer, moment, until=None):
    """Train from ``moment`` to the end, or to the end of epoch ``until``, keeping the run folder up to date; draw the figures.

    Ctrl-C saves and ends the program with 130, a run that diverges with 1.
    """
    recipe, inputs = recipes.Recipe(**config["recipe"]), recipes.Inputs(**config["inputs"])
    data = data._replace(x_train=recipes.prepare(data.x_train, inputs), x_val=recipes.prepare(data.x_val, inputs))
    _introduce(config, recipe, data, moment.params)
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
            bar.set_description_str(f"epoch {epoch}/{recipe.epochs}  loss {mean:.4f}  accuracy {accuracy:.2%}", refresh=False)
            bar.update()

        def on_epoch(after):
            nonlocal latest
            if not training.waited(after.history):
                written(runs.save, folder, after, "best")
            latest = after  # not earlier: a run that is stopped before the best is written makes it again
            written(runs.save, folder, after, "last")
            bar.write(_row(after.history, time.monotonic() - start), file=sys.stdout)
            _check_progress(after.history["train_loss"], last=after.step == steps)

        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a loss that diverges is told in one line
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
            typer.echo(f"stopped after step {latest.step} of {steps}; {_how_to_go_on(folder)}", err=True)
            raise typer.Exit(130) from None
        except training.Diverged as error:
            bar.close()
            typer.echo(f"autocnn: {error}", err=True)
            raise typer.Exit(1) from None
    if not parallel.rank():
        _finish(folder, data, model, latest, recipe)


def _check_progress(losses, last):
    """Raise Diverged when the loss is tenfold what it was before training, or ends above that: finite, and yet no training."""
    if losses[-1] > losses[0] * (1 if last else 10):
        raise training.Diverged(f"the training loss rose from {losses[0]:.4g} to {losses[-1]:.4g}; lower the rate: --rate")


def _how_to_go_on(folder):
    return f"go on with: autocnn train --run {shlex.quote(str(folder))}"


def _introduce(config, recipe, data, params):
    """Print what is about to happen, and the head of the table."""
    size = "x".join(map(str, config["shape"]))
    course = "falling as a cosine" if recipe.schedule == "cosine" else "staying there"
    schedule = f"{recipe.optimizer}, rate {recipe.rate:g} {course}, weight decay {recipe.weight_decay:g}"
    changes = [f"shifts of up to {recipe.shift}"] if recipe.shift else []
    changes += ["mirror images"] if recipe.flip else []
    schedule += f", gradients no longer than {recipe.clip:g}" if recipe.clip else ""
    typer.echo(f"{config['network']}, {count(params):,} parameters, gradients by {config['engine']}, seed {config['seed']}")
    typer.echo(f"{config['data']}: {len(data.x_train):,} training and {len(data.x_val):,} validation images of {size}")
    typer.echo(f"{schedule}; batches of {recipe.batch_size}; {' and '.join(changes) or 'images as they are'}")
    if recipe.class_weight:
        typer.echo("in the loss, every class weighs the same, however many images it has")
    if recipe.patience:
        typer.echo(f"at most {recipe.epochs} epochs, and no more than {recipe.patience} without a better validation accuracy")
    if len(data.x_train) > MEASURED:
        typer.echo(f"training columns: measured on {MEASURED:,} of the training images")
    typer.echo(f"\n{HEADS}")


def _row(history, seconds):
    epoch, loss, accuracy, val_loss, val_accuracy = (values[-1] for values in history.values())
    minutes, seconds = divmod(round(seconds), 60)
    return f"{epoch:5d}  {loss:6.4f}  {accuracy:8.2%}  {val_loss:6.4f}  {val_accuracy:8.2%}  {minutes:6d}:{seconds:02d}"


def _finish(folder, data, model, moment, recipe):
    """Draw the figures and print what came out."""
    from autocnn.plots import training as plots  # matplotlib takes a second to import

    probs = training.predict(model, moment.params, moment.state, data.x_val)
    figures = {
        "curves.png": plots.curves(moment.history),
        "confusion.png": plots.confusion(plots.counts(data.y_val, probs.argmax(axis=1), len(data.classes)), data.classes),
        "mistakes.png": plots.mistakes(data.x_val, data.y_val, probs, data.classes),
    }
    for name, figure in figures.items():
        image = io.BytesIO()
        figure.savefig(image, format="png")
        written(runs.write, folder / name, image.getvalue())
    accuracy, epoch = moment.history["val_acc"], moment.history["epoch"][-1]
    best, waited = int(np.argmax(accuracy)), training.waited(moment.history)
    typer.echo(f"\nvalidation accuracy {accuracy[-1]:.2%}; the best epoch was {best} with {accuracy[best]:.2%}")
    if epoch < recipe.epochs and recipe.patience is not None and waited >= recipe.patience:
        typer.echo(f"stopped early, after epoch {epoch} of {recipe.epochs}: {waited} in a row were not better than the best")
    elif epoch < recipe.epochs:
        typer.echo(f"stopped after epoch {epoch} of {recipe.epochs}; {_how_to_go_on(folder)}")
    typer.echo(f"{folder}: config.json, history.csv, last.safetensors, best.safetensors, {', '.join(figures)}")
