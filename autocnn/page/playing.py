"""The training of one window: play, pause, one step, one epoch, back to the start, and a look at
any moment of the history.
"""

import time
from collections.abc import Callable
from typing import Any

from autocnn.page import train
from autocnn.page.look import Both
from autocnn.page.worker import Message
from autocnn.trees import leaves

__all__ = ["Playing"]

SLICE = 0.01  # seconds of training between two looks
BETWEEN = 0.1  # seconds between two reports of a training that plays
STEPS = 400  # of which a report lists the losses


class Playing:
    """A trainer, and what the window shows of it. nets: returns the network in both
    interpretations, as it is broken now. send: gets the reports. is_closed: whether to give up.
    """

    def __init__(
        self,
        trainer: train.Trainer,
        nets: Callable[[], Both],
        send: Callable[[Message], None],
        is_closed: Callable[[], bool],
    ):
        self.trainer, self.nets, self.send, self.is_closed = trainer, nets, send, is_closed
        self.moment: int | None = None  # that the slider shows; None for the present
        self.is_on = False
        self._losses: list[list[float]] = []
        self._reported = 0.0

    def questions(self) -> dict[str, Callable[[Message], Any]]:
        """Return the questions that a window can ask, by name."""
        return {
            "settings": self.set,
            "play": self.play,
            "pause": self.pause,
            "step": self.step,
            "epoch": self.epoch,
            "restart": self.restart,
            "at": self.show,
        }

    def tree(self) -> tuple[Any, Any]:
        """Return (params, state) of the moment that is shown."""
        at = self.trainer.now if self.moment is None else self.trainer.history[self.moment]
        return at.params, at.state

    def status(self) -> dict[str, Any]:
        """Return where the training stands, as a message says it."""
        return {
            "settings": self.trainer.settings._asdict(),
            "optimizers": list(train.OPTIMIZERS),
            "playing": self.is_on,
            "history": [_plain(moment) for moment in self.trainer.history],
            "at": self.moment,
        }

    def set(self, message: Message) -> dict[str, Any]:
        """Go on with other settings."""
        self.trainer.set(train.checked(message, self.trainer.settings))
        return self.trainer.settings._asdict()

    def play(self, message: Message) -> None:
        """Train until paused, from the present on."""
        self._begin(playing=True)

    def pause(self, message: Message) -> None:
        """Stop after the step that runs."""
        if self.is_on:
            self.is_on = False
            self.report()

    def step(self, message: Message) -> None:
        """Take one step."""
        self._begin()
        self._step()
        self.report()

    def epoch(self, message: Message) -> None:
        """Take the steps up to the end of the epoch."""
        self._begin()
        while not self._step():
            if self.is_closed():
                return
        self.report()

    def restart(self, message: Message) -> None:
        """Go back to the initial parameters and forget the history."""
        self.is_on, self.moment, self._losses = False, None, []
        self.trainer.restart(self.nets().automatic)
        self.report(restarted=True)

    def show(self, message: Message) -> None:
        """Show a moment of the history, or the present for None."""
        k, n = message.get("moment"), len(self.trainer.history)
        if k is not None and (type(k) is not int or not 0 <= k < n):
            raise ValueError(f"the history has the moments 0 to {n - 1}")
        self.is_on, self.moment = False, k
        self.report()

    def go_on(self) -> None:
        """Train for a slice of time."""
        until = time.monotonic() + SLICE
        self._step()
        while time.monotonic() < until and not self.is_closed():
            self._step()
        if time.monotonic() - self._reported > BETWEEN:
            self.report()

    def failed(self, line: str) -> None:
        """Stop, and say why."""
        self.is_on = False
        self.send({"event": "message", "text": line})
        self.report()

    def report(self, restarted: bool = False) -> None:
        """Tell the window where the training stands, and that the parameters changed."""
        self._reported = time.monotonic()
        params, _ = self.tree()
        moment = self.trainer.history[-1 if self.moment is None else self.moment]
        kernels = next((leaf for _, leaf in leaves(params) if leaf.ndim == 4), None)
        self.send(
            {
                "event": "progress",
                "now": _plain(moment),
                "kernels": kernels,
                "batch_losses": self._losses,
                "restarted": restarted,
                **self.status(),
            }
        )
        self._losses = []
        self.send({"event": "changed"})

    def _begin(self, playing: bool = False) -> None:
        if self.trainer.shown.data is None:
            raise ValueError("this page has no images to train on")
        self.is_on, self.moment = playing, None

    def _step(self) -> bool:
        ended = self.trainer.step(self.nets())
        self._losses.append([self.trainer.now.step, self.trainer.now.loss])
        del self._losses[:-STEPS]
        return ended


def _plain(moment: train.Moment) -> dict[str, Any]:
    return {
        name: value for name, value in moment._asdict().items() if name not in ("params", "state")
    }
