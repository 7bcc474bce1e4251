"""One thread for one window: messages in order, and between them the steps of a training.

Nothing that the window owns needs a lock, since only this thread touches it. A look that waits
gives way to a newer one.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.fast import threadpool
from autocnn.training import Diverged

__all__ = ["LATER", "Message", "Worker", "one_line"]

Message = dict[str, Any]

LATER = object()  # what ``do`` returns for a message that is answered by another thread
MAX_WAITING = 64  # messages that a window may have waiting


def one_line(error: Exception) -> str:
    """Return what a person is told of an error."""
    lines = str(error).splitlines()
    if isinstance(error, ValueError | Diverged):
        return lines[0] if lines else type(error).__name__
    if isinstance(error, MemoryError):
        return "not enough memory"
    return f"a fault of this program: {type(error).__name__}: {lines[0] if lines else ''}"


class Worker:
    """The thread. do: answers a message, in this thread. idle: called while ``is_busy()``, when no
    message waits. failed: told in one line why ``idle`` stopped. send: gets every answer, as
    {"id": n, "answer": ...} or {"id": n, "error": "one line"}.
    """

    def __init__(
        self,
        do: Callable[[Message], Any],
        idle: Callable[[], None],
        is_busy: Callable[[], bool],
        failed: Callable[[str], None],
        send: Callable[[Message], None],
    ):
        self.do, self.idle, self.is_busy, self.failed, self.send = do, idle, is_busy, failed, send
        self.wake = threading.Condition()
        self.closed = False
        self._waiting: deque[Message] = deque()
        threading.Thread(target=self._work, name="autocnn-page", daemon=True).start()

    def post(self, message: Message) -> None:
        """Take a message. A look that waits is answered {"dropped": True} for a newer one."""
        with self.wake:
            if message.get("ask") == "look":
                older = [waiting for waiting in self._waiting if waiting.get("ask") == "look"]
                for waiting in older:
                    self._waiting.remove(waiting)
                    self.answer(waiting, {"dropped": True})
            if len(self._waiting) >= MAX_WAITING:
                self.refuse(message, "too many messages are waiting")
                return
            self._waiting.append(message)
            self.wake.notify()

    def close(self) -> None:
        """End the thread after what it does now."""
        with self.wake:
            self.closed = True
            self.wake.notify()

    def answer(self, message: Message, answer: Any) -> None:
        """Send the answer to a message."""
        self.send({"id": message.get("id"), "answer": answer})

    def refuse(self, message: Message, line: str) -> None:
        """Send the one line that says why a message has no answer."""
        self.send({"id": message.get("id"), "error": line})

    def _work(self) -> None:
        # A network that diverges shows infinite numbers; NumPy's warnings would say it again.
        with threadpool.single_threaded_blas(), np.errstate(all="ignore"):
            while True:
                with self.wake:
                    while not (self._waiting or self.closed or self.is_busy()):
                        self.wake.wait()
                    if self.closed:
                        return
                    message = self._waiting.popleft() if self._waiting else None
                if message is None:
                    self._idle()
                else:
                    self._answer(message)

    def _idle(self) -> None:
        try:
            self.idle()
        except Exception as error:
            self.failed(one_line(error))

    def _answer(self, message: Message) -> None:
        try:
            found = self.do(message)
        except Exception as error:
            self.refuse(message, one_line(error))
        else:
            if found is not LATER:
                self.answer(message, found)
