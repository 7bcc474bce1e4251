"""What the tests of the page share."""

import threading

import pytest

from autocnn.page.model import load
from autocnn.page.train import Trainer


@pytest.fixture(scope="session")
def shown():
    """The chapter's TinyCNN, as the page loads it."""
    return load()


@pytest.fixture(scope="session")
def trained(shown):
    """A trainer after two epochs, which no test changes: sessions fork it."""
    trainer = Trainer(shown)
    for _ in range(2):
        trainer.epoch(shown.nets)
    return trainer


class Window:
    """A session without a browser: ask and get the answer."""

    def __init__(self, make):
        self.events, self._answers, self._arrived, self._count = [], {}, threading.Condition(), 0
        self.session = make(self._take)

    def _take(self, message):
        with self._arrived:
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self.events.append(message)
            self._arrived.notify_all()

    def post(self, ask, **fields):
        """Send a question and return its number."""
        self._count += 1
        self.session.post({"id": self._count, "ask": ask, **fields})
        return self._count

    def wait(self, number):
        """Return the answer to a question; ValueError with the line of an error."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: number in self._answers, 120), "no answer"
            message = self._answers[number]
        if "error" in message:
            raise ValueError(message["error"])
        return message["answer"]

    def ask(self, ask, **fields):
        """Send a question and return its answer."""
        return self.wait(self.post(ask, **fields))

    def event(self, name, after=0):
        """Wait for an event of that name, after the first so many events, and return it."""

        def found():
            return [e for e in self.events[after:] if e["event"] == name]

        with self._arrived:
            assert self._arrived.wait_for(found, 120), f"no {name}"
            return found()[0]


@pytest.fixture
def window(shown, trained):
    """A window on the chapter's TinyCNN."""
    from autocnn.page.session import Session

    opened = Window(lambda send: Session(shown, trained, send))
    yield opened
    opened.session.close()
