"""One window: what it asks, and what it is answered.

All that a window asks is done by one thread of its own, in order, so that nothing needs a lock:
messages, of which a newer look replaces an older one that has not begun, and between them the steps
of a training that plays. Checks run in processes, watched by a second thread.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.fast import threadpool
from autocnn.inspection.walk import named_layers, rebuild, walk
from autocnn.page import texts, train
from autocnn.page.checking import Cancelled, Checker
from autocnn.page.look import Both, Look, look
from autocnn.page.mistakes import MISTAKES
from autocnn.page.model import PageModel, prepared
from autocnn.page.images import choices, read_image
from autocnn.training import Diverged
from autocnn.trees import tree_map
from reference.loss import cross_entropy

__all__ = ["Session"]

SLICE = 0.02  # seconds of training between two looks
BETWEEN = 0.1  # seconds between two reports of a training that plays
MAX_WAITING = 64  # messages that a window may have waiting
_STEPS = 400  # of which a report lists the losses

Send = Callable[[dict[str, Any]], None]


class Session:
    """The state of one window. ``send`` gets every answer and event, from threads of its own."""

    def __init__(
        self, shown: PageModel, trainer: train.Trainer, send: Send, editor: bool = True,
        checker: Callable[[], Checker] = Checker,
    ):  # fmt: skip
        self.shown, self.trainer, self.send, self.editor = shown, trainer.fork(), send, editor
        self.right = shown.nets
        self.nets: Both = self.right
        self.broken: tuple[str, str] | None = None
        self.at: int | None = None  # the moment that the slider shows; None for the present
        self.playing = False
        self._checker, self._make_checker = None, checker
        self._waiting: deque[dict[str, Any]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._losses: list[list[float]] = []
        self._reported = 0.0
        pairs = zip(named_layers(shown.model), walk(self.right.by_hand), strict=True)
        self.layers = {name: (path, layer) for (path, name), (_, layer) in pairs}
        self._thread = threading.Thread(target=self._work, name="autocnn-page", daemon=True)
        self._thread.start()

    def post(self, message: dict[str, Any]) -> None:
        """Take a message. A look that waits gives way to a newer one, and is answered so."""
        with self._wake:
            if message.get("ask") == "look":
                older = [m for m in self._waiting if m.get("ask") == "look"]
                for m in older:
                    self._waiting.remove(m)
                    self._answer(m, {"dropped": True})
            if len(self._waiting) >= MAX_WAITING:
                self._answer(message, error="too many messages are waiting")
                return
            self._waiting.append(message)
            self._wake.notify()

    def pause(self) -> None:
        """Stop a training that plays, such as when the window has gone."""
        self.post({"ask": "pause"})

    def close(self) -> None:
        """End the threads and a check that runs."""
        with self._wake:
            self._closed = True
            self._wake.notify()
            checker = self._checker
        if checker is not None:
            checker.cancel()

    def _work(self) -> None:
        with threadpool.single_threaded_blas():
            while True:
                with self._wake:
                    while not (self._waiting or self.playing or self._closed):
                        self._wake.wait()
                    if self._closed:
                        return
                    message = self._waiting.popleft() if self._waiting else None
                if message is None:
                    self._guarded(None, self._play)
                else:
                    self._guarded(message, lambda m=message: self._do(m))

    def _guarded(self, message: dict[str, Any] | None, call: Callable[[], Any]) -> None:
        """Every error is one line to the person; the window lives on."""
        try:
            call()
        except (ValueError, Diverged) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
        except MemoryError:
            text = "not enough memory"
        except Exception as error:
            text = f"a fault of this program: {type(error).__name__}: {error}".splitlines()[0]
        else:
            return
        if message is None:
            self.playing = False
            self.send({"event": "message", "text": text})
            self._report()
        else:
            self._answer(message, error=text)

    def _answer(self, message: dict[str, Any], answer: Any = None, error: str = "") -> None:
        head = {"id": message.get("id")}
        self.send(head | ({"error": error} if error else {"answer": answer}))

    def _do(self, message: dict[str, Any]) -> None:
        ask = message.get("ask")
        call = getattr(self, f"_ask_{ask}", None) if isinstance(ask, str) else None
        if call is None:
            raise ValueError(f"the page does not know the question {ask!r:.40}")
        answer = call(message)
        if answer is not NotImplemented:  # it is answered later
            self._answer(message, answer)

    # ---- the network and its images

    def _ask_info(self, message: dict[str, Any]) -> dict[str, Any]:
        shown = self.shown
        params, state = self._tree()
        seen = self._seen(np.zeros(shown.shape, np.float32), None)
        trains = shown.data is not None
        breakable = [name for name in self._texts()]
        return {
            "name": shown.name,
            "input": list(shown.shape),
            "classes": list(shown.classes),
            "images": choices(shown, self.right.automatic, params, state),
            "notes": list(shown.notes),
            "offers": {
                "train": trains,
                "break": bool(breakable),
                "check": bool(breakable),
                "edit": bool(breakable) and self.editor,
                "image": True,
            },
            "stages": [
                {
                    "name": stage.name,
                    "word": stage.word,
                    "shape": list(stage.values.shape),
                    "options": stage.options,
                    "weights": {
                        key: {"shape": list(w.values.shape), "values": w.values}
                        for key, w in stage.weights.items()
                    },
                }
                for stage in seen.stages
            ],
            "training": self._training(),
        }

    def _ask_look(self, message: dict[str, Any]) -> dict[str, Any]:
        pixels, label = message.get("pixels"), message.get("label")
        shape = self.shown.shape
        if not isinstance(pixels, np.ndarray) or pixels.size != int(np.prod(shape)):
            raise ValueError(f"a look needs the pixels of one image of {shape}")
        if not np.isfinite(pixels).all():
            raise ValueError("the image has pixels that are not finite numbers")
        if label is not None and (type(label) is not int or not 0 <= label < self._classes):
            raise ValueError(f"the label is a number from 0 to {self._classes - 1}, or none")
        return _plain(self._seen(pixels.reshape(shape), label))

    def _ask_image(self, message: dict[str, Any]) -> dict[str, Any]:
        file, name = message.get("file"), message.get("name")
        if not isinstance(file, np.ndarray) or file.dtype != np.uint8:
            raise ValueError("there is no image file in the message")
        pixels, steps = read_image(self.shown, file.tobytes(), name)
        return {"pixels": pixels, "steps": list(steps)}

    @property
    def _classes(self) -> int:
        return len(self.shown.classes)

    def _tree(self) -> tuple[Any, Any]:
        """(params, state) of the moment that is shown."""
        now = self.trainer.now if self.at is None else self.trainer.history[self.at]
        return now.params, now.state

    def _seen(self, pixels: np.ndarray, label: int | None) -> Look:
        # In float64, so that the digits are those of the two paths and not of the numbers' type.
        params, state = (
            tree_map(lambda leaf: leaf.astype("float64"), tree) for tree in self._tree()
        )
        x = prepared(self.shown, pixels[None].astype("float64"))[0]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return look(self.nets, params, state, x, label)

    # ---- training

    def _training(self) -> dict[str, Any]:
        return {
            "settings": self.trainer.settings._asdict(),
            "optimizers": list(train.OPTIMIZERS),
            "playing": self.playing,
            "history": self._history(),
            "at": self.at,
            "broken": self.broken,
        }

    def _history(self) -> list[dict[str, Any]]:
        return [
            {
                "step": m.step,
                "epoch": m.epoch,
                "loss": m.loss,
                "losses": m.losses,
                "accuracies": m.accuracies,
                "norms": m.norms,
            }
            for m in self.trainer.history
        ]

    def _needs_data(self) -> None:
        if self.shown.data is None:
            raise ValueError("this page has no images to train on")

    def _ask_settings(self, message: dict[str, Any]) -> dict[str, Any]:
        self.trainer.set(train.checked(message, self.trainer.settings))
        return self.trainer.settings._asdict()

    def _ask_play(self, message: dict[str, Any]) -> None:
        self._needs_data()
        self.playing, self.at = True, None

    def _ask_pause(self, message: dict[str, Any]) -> None:
        if self.playing:
            self.playing = False
            self._report()

    def _ask_step(self, message: dict[str, Any]) -> None:
        self._needs_data()
        self.playing, self.at = False, None
        self._one_step()
        self._report()

    def _ask_epoch(self, message: dict[str, Any]) -> None:
        self._needs_data()
        self.playing, self.at = False, None
        while not self._one_step():
            if self._closed:
                return
        self._report()

    def _ask_restart(self, message: dict[str, Any]) -> None:
        self.playing, self.at = False, None
        self.trainer.restart(self.right.automatic)
        self._losses = []
        self._report(restarted=True)

    def _ask_at(self, message: dict[str, Any]) -> None:
        k = message.get("moment")
        n = len(self.trainer.history)
        if k is not None and (type(k) is not int or not 0 <= k < n):
            raise ValueError(f"the history has the moments 0 to {n - 1}")
        self.playing, self.at = False, k
        self._report()

    def _one_step(self) -> bool:
        ended = self.trainer.step(self.nets)
        self._losses.append([self.trainer.now.step, self.trainer.now.loss])
        del self._losses[:-_STEPS]
        return ended

    def _play(self) -> None:
        until = time.monotonic() + SLICE
        while time.monotonic() < until and not self._closed:
            self._one_step()
        if time.monotonic() - self._reported > BETWEEN:
            self._report()

    def _report(self, restarted: bool = False) -> None:
        """Tell the window where the training stands, and that the parameters changed."""
        self._reported = time.monotonic()
        params, _ = self._tree()
        history = self.trainer.history
        moment = history[-1] if self.at is None else history[self.at]
        kernels = next((leaf for leaf in _leaves(params) if leaf.ndim == 4), None)
        event = {
            "event": "progress",
            "step": moment.step,
            "epoch": moment.epoch,
            "loss": moment.loss,
            "norms": moment.norms,
            "kernels": kernels,
            "batch_losses": self._losses,
            "restarted": restarted,
            **self._training(),
        }
        self._losses = []
        self.send(event)
        self.send({"event": "changed"})

    # ---- breaking, checking, writing

    def _texts(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """{name: (word, options)} of the layers that have a text, and of the loss."""
        found = {
            name: (texts.word_of(layer), layer.options)
            for name, (_, layer) in self.layers.items()
            if texts.word_of(layer)
        }
        return found | {texts.LOSS: (cross_entropy.name, {})}

    def _layer(self, message: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
        name, known = message.get("layer"), self._texts()
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"there is no layer {name!r:.40}; there are {', '.join(known)}")
        return name, *known[name]

    def _ask_mistakes(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"layer": name, "word": word, "mistakes": [m.name for m in MISTAKES[word]]}
            for name, (word, _) in self._texts().items()
        ]

    def _ask_break(self, message: dict[str, Any]) -> dict[str, Any]:
        mistake = message.get("mistake")
        if mistake is None:
            self.nets, self.broken = self.right, None
        else:
            name, word, _ = self._layer(message)
            texts.source(word, str(mistake))  # ValueError for one that it does not have
            if name == texts.LOSS:
                self.nets = self.right._replace(loss=texts.broken_loss(mistake))
            else:
                at = self.layers[name][0]
                model = rebuild(
                    self.right.by_hand,
                    lambda path, layer: texts.broken(layer, mistake) if path == at else layer,
                )
                self.nets = self.right._replace(by_hand=model)
            self.broken = (name, mistake)
        self.send({"event": "changed"})
        return {"broken": self.broken}

    def _ask_source(self, message: dict[str, Any]) -> dict[str, Any]:
        name, word, _ = self._layer(message)
        start = message.get("start")
        text = texts.blank(word) if start == "blank" else texts.source(word, start)
        return {"layer": name, "word": word, "text": text}

    def _ask_check(self, message: dict[str, Any]) -> Any:
        _, word, options = self._layer(message)
        text = message.get("text")
        if text is None:
            text = texts.source(word, message.get("mistake"))
        elif not self.editor:
            raise ValueError("the editor is off: the page was not started from this machine")
        with self._wake:
            if self._checker is not None:
                self._checker.cancel()
            self._checker = checker = self._make_checker()
        threading.Thread(
            target=self._check, args=(checker, message, word, options, text), daemon=True
        ).start()
        return NotImplemented

    def _check(self, checker: Checker, message: dict, word: str, options: dict, text: str) -> None:
        def call() -> None:
            try:
                self._answer(message, checker.check(word, options, text) | {"source": text})
            except Cancelled:
                self._answer(message, {"dropped": True})

        self._guarded(message, call)
        with self._wake:
            if self._checker is checker:
                self._checker = None


def _leaves(tree: Any) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    tree_map(found.append, tree)
    return found


def _plain(seen: Look) -> dict[str, Any]:
    stages = [
        {**stage._asdict(), "shape": list(stage.values.shape)}
        | {
            "weights": {
                name: {**w._asdict(), "shape": list(w.values.shape)}
                for name, w in stage.weights.items()
            }
        }
        for stage in seen.stages
    ]
    return {"loss": seen.loss, "probabilities": seen.probabilities, "stages": stages}
