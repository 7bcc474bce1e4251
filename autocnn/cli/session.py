"""One training session of ``autocnn train``: from where a run stands to where it is to stop, what
it prints, what it saves, and how it ends.
"""

import contextlib
import io
import shlex
import shutil
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer
from tqdm import tqdm

from autocnn import runs, training
from autocnn.checkpoint.lock import LockedError, held
from autocnn.cli import interrupt, output, progress, ranks
from autocnn.data.dataset import Dataset
from autocnn.files import atomic_write
from autocnn.optim import Optimizer
from autocnn.runs import RunConfig, calibration, recipes
from autocnn.runs.answers import save_calibration
from autocnn.runs.preprocessing import prepare
from autocnn.text import strict_json
from autocnn.training import TrainState, mpi

__all__ = ["begin", "lock_run", "train_run", "write_or_exit"]

BAR_BATCHES = 50  # over which the bar averages the loss
METRIC_SUBSET = 5000  # training images on which an epoch's training metrics are taken
BAR = "{desc}  {remaining} left  {percentage:3.0f}% |{bar}|"
COMPILING = "compiling kernels for this processor, which may take half a minute the first time"


@contextlib.contextmanager
def lock_run(folder: Path) -> Iterator[Path]:
    """Lock a run folder for the ``with`` block. Exits with one line when another process trains
    into it, or it cannot be written. Only rank 0 locks.
    """
    with contextlib.ExitStack() as stack:
        write_or_exit(lambda folder: stack.enter_context(runs.lock(folder)), folder)
        yield Path(folder)


def write_or_exit(write: Callable[..., Any], folder: Path, *args: Any) -> None:
    """Call ``write(folder, *args)`` on rank 0. Exits with one line and code 1 when the folder is
    locked or cannot be written, such as when the disk is full.
    """
    if mpi.rank():
        return
    try:
        write(folder, *args)
    except LockedError as error:
        output.error(error)
        raise typer.Exit(1) from None
    except OSError as error:
        path, why = error.filename or folder, error.strerror or error
        rest = ""
        with contextlib.suppress(OSError):
            rest = f"; mend that, and {_how_to_go_on(folder)}" if runs.has_config(folder) else ""
        output.error(f"cannot write to {path}: {why}{rest}")
        raise typer.Exit(1) from None


def begin(folder: Path, config: RunConfig) -> None:
    """Write the config of a new run; a signal that stops the command meanwhile names the run."""
    try:
        with interrupt.deferred_interrupt():
            write_or_exit(runs.create, folder, config)
    except KeyboardInterrupt as error:
        raise interrupt.stop(error, _how_to_go_on(folder)) from None


def train_run(
    folder: Path,
    config: RunConfig,
    data: Dataset,
    model: Any,
    optimizer: Optimizer,
    start: TrainState,
    until: int | None = None,
    as_json: bool = False,
    log: Callable[[TrainState], None] | None = None,
) -> None:
    """Train from ``start`` to the last epoch, or to epoch ``until``, and draw the figures.

    Saves the run after every epoch. Prints a table, or with ``as_json`` a line of JSON an epoch and
    one at the end, and everything else on stderr. A signal that stops the command saves, as does an
    OSError, such as of a terminal that is closed. Exits with 1 when the run diverges, or has come
    to its end without having learned anything. log: called after every epoch.
    """
    width = shutil.get_terminal_size((100, 24)).columns
    steps, last = config.steps_per_epoch, config.recipe.epochs if until is None else until
    session = _Session(folder, config, start, width, as_json, log)
    try:
        with (
            interrupt.deferred_interrupt(ranks.stop_on_any_rank) as session.check_interrupt,
            progress_bar(last * steps, start.step) as session.bar,
        ):
            data = data._replace(
                x_train=prepare(data.x_train, config.inputs),
                x_val=prepare(data.x_val, config.inputs),
            )
            session.introduce(data)
            found = session.train(data, model, optimizer, last)
    except (KeyboardInterrupt, OSError) as error:
        write_or_exit(runs.save, folder, session.latest, "last", config)
        if isinstance(error, OSError):
            raise
        ranks.meet()
        where = f" after step {session.latest.step} of {config.recipe.epochs * steps}"
        raise interrupt.stop(error, _how_to_go_on(folder), where) from None
    except training.Diverged as error:
        output.error(error)
        raise typer.Exit(1) from None
    if mpi.rank():
        return
    try:
        stopped = _finish(folder, config, data, model, session.latest, width, as_json)
    except KeyboardInterrupt as error:
        rest = f"all of it is saved but for the figures; draw them with: {_command(folder)}"
        raise interrupt.stop(error, rest) from None
    if found is not None and stopped != "until":
        output.error(found.text(_usual_rate(config), "--rate"))
        raise typer.Exit(1)


def progress_bar(steps: int, done: int) -> tqdm:
    """Return a bar of ``steps`` steps, which shows itself on terminals only."""
    return tqdm(
        total=steps,
        initial=done,
        disable=None,
        dynamic_ncols=True,
        bar_format=BAR,
        smoothing=0.05,
        leave=False,
    )


class _Session:
    """The callbacks of one training and what they share; ``latest`` is where the run stands."""

    check_interrupt: Callable[[], None]  # these two are set once they are there
    bar: tqdm

    def __init__(self, folder, config, start, width, as_json, log):
        self.folder, self.config, self.latest = folder, config, start
        self.width, self.as_json, self.log = width, as_json, log
        self.began, self.losses = time.monotonic(), deque(maxlen=BAR_BATCHES)

    def introduce(self, data: Dataset) -> None:
        """Say what is about to be trained."""
        text = progress.introduction(
            self.config, data, self.latest.params, METRIC_SUBSET, self.width
        )
        output.echo(text, err=self.as_json)
        if not self.as_json:
            output.echo(f"\n{progress.head(self.width)}")

    def train(
        self, data: Dataset, model: Any, optimizer: Optimizer, epochs: int
    ) -> training.Diagnosis | None:
        """Train up to epoch ``epochs``; KeyboardInterrupt after a signal.

        Returns why nothing was learned, or None.
        """
        from autocnn.fast import compiling  # which no other command has to wait for

        recipe, start = self.config.recipe, self.latest
        with contextlib.ExitStack() as stack:
            stack.enter_context(
                compiling.on_compile(lambda: self.bar.write(COMPILING, file=sys.stderr))
            )
            # Numbers that are not finite end the run with one line, without numpy's warnings.
            stack.enter_context(np.errstate(over="ignore", invalid="ignore", divide="ignore"))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", training.ConvergenceWarning)
            run = training.train(
                start.params,
                data,
                mpi.shard(model),
                start.state,
                optimizer,
                epochs,
                recipe.batch_size,
                self.config.seed,
                snapshots=(),
                augment=recipes.augmentation(recipe, self.config.inputs.low),
                metric_subset=METRIC_SUBSET,
                class_weight=recipe.class_weight,
                patience=recipe.patience,
                on_step=self.on_step,
                on_epoch=self.on_epoch,
                start=start if start.history else None,
                loss=recipes.loss(recipe),
            )
        return run.diagnosis

    def on_step(self, now: TrainState) -> None:
        """Move the bar."""
        self.latest = now
        self.losses.append(now.loss)
        epoch, accuracy = len(now.history["epoch"]), now.history["val_acc"][-1]
        mean = sum(self.losses) / len(self.losses)
        text = progress.describe(mean, epoch, self.config.recipe.epochs, accuracy, self.width)
        self.bar.set_description_str(text, refresh=False)
        self.bar.update()
        self.check_interrupt()

    def on_epoch(self, now: TrainState) -> None:
        """Save the run and print a row."""
        self.latest = now
        write_or_exit(runs.save, self.folder, now, "last", self.config)
        # Not earlier: a run that is stopped here takes the best from the last.
        if not training.epochs_since_best(now.history):
            write_or_exit(runs.save, self.folder, now, "best", self.config)
        if self.log is not None:
            self.log(now)
        seconds = time.monotonic() - self.began
        if self.as_json:
            self.bar.write(progress.line(now.history, seconds))
        else:
            self.bar.write(progress.row(now.history, seconds, self.width))
        sys.stdout.flush()  # a program that reads a pipe waits for this row
        steps = self.config.recipe.epochs * self.config.steps_per_epoch
        check_progress(now.history["train_loss"], is_last=now.step == steps)
        self.check_interrupt()


def check_progress(losses: list[float], is_last: bool) -> None:
    """Raise ``Diverged`` when the training loss stays finite but grows.

    That is: it is ten times what it was before training, or at the end of the run above it.
    """
    if losses[-1] > losses[0] * (1 if is_last else 10):
        raise training.Diverged(
            f"the training loss rose from {losses[0]:.4g} to {losses[-1]:.4g}; "
            "lower the rate: --rate"
        )


def _usual_rate(config: RunConfig) -> tuple[float, str] | None:
    """The recipe's rate, to compare with; None where it is of another optimizer."""
    known = recipes.recipe(config.network, config.known_as or config.data)
    same = known.optimizer == config.recipe.optimizer
    return (known.rate, "in the recipe") if same else None


def _command(folder: Path) -> str:
    return f"autocnn train --run {shlex.quote(str(folder))}"


def _how_to_go_on(folder: Path) -> str:
    return f"go on with: {_command(folder)}"


def _write(folder: Path, name: str, content: bytes) -> None:
    with held(folder):
        atomic_write(folder / name, content)


def _finish(
    folder: Path,
    config: RunConfig,
    data: Dataset,
    model: Any,
    end: TrainState,
    width: int,
    as_json: bool,
) -> str | None:
    """Draw the figures, print the outcome, and return why the run stopped before its last epoch."""
    from autocnn.plots import training as plots  # matplotlib takes a second to import

    probs = training.predict(model, end.params, end.state, data.x_val)
    confusion = plots.counts(data.y_val, probs.argmax(axis=1), len(data.classes))
    figures = {
        "curves.png": plots.curves(end.history),
        "confusion.png": plots.confusion(confusion, data.classes),
        "mistakes.png": plots.mistakes(data.x_val, data.y_val, probs, data.classes),
    }
    for name, figure in figures.items():
        image = io.BytesIO()
        figure.savefig(image, format="png", metadata={"autocnn run": str(config.run)})
        write_or_exit(_write, folder, name, image.getvalue())
    write_or_exit(save_calibration, folder, config, model, data)
    files = [name for name in (*runs.FILES, calibration.FILE, *figures) if (folder / name).exists()]
    outcome = progress.outcome(folder, config, end.history, files, len(data.x_val))
    if as_json:
        output.echo(strict_json(outcome))
    else:
        output.echo(f"\n{progress.remarks(outcome, _how_to_go_on(folder), width)}")
    return outcome["stopped"]
