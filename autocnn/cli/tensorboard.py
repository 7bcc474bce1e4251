"""Logs for TensorBoard: the metrics of each epoch, as scalars (``autocnn train --tensorboard``)."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from autocnn.training import TrainState, mpi

__all__ = ["FOLDER", "NAMES", "check_installed", "open_log"]

FOLDER = "tensorboard"  # inside a run folder
# Both curves of one kind are drawn in one chart when their names share what is before the slash.
NAMES = {
    "train_loss": "loss/training",
    "val_loss": "loss/validation",
    "train_acc": "accuracy/training",
    "val_acc": "accuracy/validation",
}


@contextlib.contextmanager
def open_log(folder: Path, wanted: bool) -> Iterator[Callable[[TrainState], None] | None]:
    """Keep a file of events in a run folder for a ``with`` block. Yields the function that writes
    an epoch into it; None where none is wanted, and on other ranks than 0.

    Every epoch is on the disk when the function returns: tensorboardX's SummaryWriter would leave
    it to a thread, which a signal ends. ImportError where tensorboardX is not installed.
    """
    if not wanted or mpi.rank():
        yield None
        return
    check_installed()
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.summary import scalar

    place = Path(folder) / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    # A run that goes on begins another file, perhaps in the second that the first one is named by.
    writer = EventsWriter(str(place / "events"), f".{len(list(place.iterdir()))}")

    def write(now: TrainState) -> None:
        epoch = now.history["epoch"][-1]
        for column, name in NAMES.items():
            if values := now.history.get(column):
                summary = scalar(name, values[-1])
                writer.write_event(Event(wall_time=time.time(), step=epoch, summary=summary))
        writer.flush()

    try:
        yield write
    finally:
        writer.close()


def check_installed() -> None:
    """Raise ImportError, with what to install, where tensorboardX is missing."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "--tensorboard needs the package tensorboardX: pip install 'autocnn[tensorboard]'"
        ) from error
