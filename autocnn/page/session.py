"""One window: what it asks, and what it is answered.

A window asks {"ask": NAME, ...}; NAME is a key of ``Session.questions``. It is answered by a thread
of its own (``worker``). Checks run in processes, each watched by another thread.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.inspection.walk import named_layers, rebuild, walk
from autocnn.page import texts, train
from autocnn.page.checking import Cancelled, Checker
from autocnn.page.images import choices, read_image
from autocnn.page.look import Both, Look, look
from autocnn.page.mistakes import MISTAKES
from autocnn.page.model import PageModel, prepared
from autocnn.page.playing import Playing
from autocnn.page.worker import LATER, Message, Worker, one_line
from autocnn.trees import tree_map
from reference.loss import cross_entropy

__all__ = ["Session"]


class Session:
    """The state of one window. ``send`` gets every answer and event, from threads of its own.

    trainer: where the training begins; it is not changed. editor: whether texts of the window are
    checked, which runs them.
    """

    def __init__(
        self,
        shown: PageModel,
        trainer: train.Trainer,
        send: Callable[[Message], None],
        editor: bool = True,
    ):
        self.shown, self.send, self.editor = shown, send, editor
        self.right: Both = shown.nets
        self.nets, self.broken = self.right, None
        pairs = zip(named_layers(shown.model), walk(self.right.by_hand), strict=True)
        self.layers = {name: (path, layer) for (path, name), (_, layer) in pairs}
        self.make_checker: Callable[[], Checker] = Checker
        self._checker: Checker | None = None
        self.playing = Playing(trainer.fork(), lambda: self.nets, self._send, self._is_closed)
        self.questions: dict[str, Callable[[Message], Any]] = {
            "info": self.info,
            "look": self.look,
            "image": self.image,
            "mistakes": self.mistakes,
            "break": self.break_layer,
            "source": self.source,
            "check": self.check,
            **self.playing.questions(),
        }
        self.worker = Worker(
            self._do,
            self.playing.go_on,
            lambda: self.playing.is_on,
            self.playing.failed,
            self._send,
        )

    def post(self, message: Message) -> None:
        """Take a message of the window."""
        self.worker.post(message)

    def pause(self) -> None:
        """Stop a training that plays, such as when the window has gone."""
        self.worker.post({"ask": "pause"})

    def close(self) -> None:
        """End the threads, and a check that runs."""
        self.worker.close()
        with self.worker.wake:
            checker = self._checker
        if checker is not None:
            checker.cancel()

    def _send(self, message: Message) -> None:
        self.send(message)  # looked up each time: a window that comes back has another one

    def _is_closed(self) -> bool:
        return self.worker.closed

    def _do(self, message: Message) -> Any:
        ask = message.get("ask")
        if not isinstance(ask, str) or ask not in self.questions:
            raise ValueError(f"the page does not know the question {ask!r:.40}")
        return self.questions[ask](message)

    # ---- the network and its images

    def info(self, message: Message) -> dict[str, Any]:
        """Return what the window needs before it draws anything."""
        shown = self.shown
        seen = _plain(self._seen(np.zeros(shown.shape, np.float32), None))
        has_texts = bool(self._texts())
        return {
            "name": shown.name,
            "title": shown.title or shown.name,
            "about": shown.about,
            "input": shown.shape,
            "classes": shown.classes,
            "images": choices(shown, self.right.automatic, *self.playing.tree()),
            "notes": shown.notes,
            "offers": {
                "train": shown.data is not None,
                "break": has_texts,
                "check": has_texts,
                "edit": has_texts and self.editor,
                "image": True,
            },
            "stages": [
                {key: stage[key] for key in ("name", "word", "shape", "options", "weights")}
                for stage in seen["stages"]
            ],
            "training": self.playing.status(),
            "broken": self.broken,
        }

    def look(self, message: Message) -> dict[str, Any]:
        """Return one image's way through the network; pixels: (C, H, W) in [0, 1]."""
        pixels, label, shape = message.get("pixels"), message.get("label"), self.shown.shape
        classes = len(self.shown.classes)
        if not isinstance(pixels, np.ndarray) or pixels.size != int(np.prod(shape)):
            raise ValueError(f"a look needs the pixels of one image of {shape}")
        if not np.isfinite(pixels).all():
            raise ValueError("the image has pixels that are not finite numbers")
        if label is not None and (type(label) is not int or not 0 <= label < classes):
            raise ValueError(f"the label is a number from 0 to {classes - 1}, or none")
        return _plain(self._seen(pixels.reshape(shape), label))

    def image(self, message: Message) -> dict[str, Any]:
        """Return an image file's pixels, fitted to the network, and what was done to it."""
        file = message.get("file")
        if not isinstance(file, np.ndarray) or file.dtype != np.uint8:
            raise ValueError("there is no image file in the message")
        pixels, steps = read_image(self.shown, file.tobytes(), message.get("name"))
        return {"pixels": pixels, "steps": steps}

    def _seen(self, pixels: np.ndarray, label: int | None) -> Look:
        # In float64, so that the digits are those of the two paths and not of the numbers' type.
        params, state = (
            tree_map(lambda leaf: leaf.astype("float64"), tree) for tree in self.playing.tree()
        )
        x = prepared(self.shown, pixels[None].astype("float64"))[0]
        return look(self.nets, params, state, x, label)

    # ---- breaking, checking, writing

    def _texts(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """{name: (word, options)} of the layers that have a text, and of the loss."""
        found = {name: (texts.word_of(layer), layer) for name, (_, layer) in self.layers.items()}
        named = {name: (word, layer.options) for name, (word, layer) in found.items() if word}
        return named | {texts.LOSS: (cross_entropy.name, {})}

    def _layer(self, message: Message) -> tuple[str, str, dict[str, Any]]:
        name, known = message.get("layer"), self._texts()
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"there is no layer {name!r:.40}; there are {', '.join(known)}")
        return name, *known[name]

    def mistakes(self, message: Message) -> list[dict[str, Any]]:
        """List the layers that can be broken, with their planted mistakes."""
        return [
            {"layer": name, "word": word, "mistakes": [m.name for m in MISTAKES[word]]}
            for name, (word, _) in self._texts().items()
        ]

    def break_layer(self, message: Message) -> dict[str, Any]:
        """Plant a mistake in one layer of the path by hand, or mend it for the mistake None."""
        mistake = message.get("mistake")
        if mistake is None:
            self.nets, self.broken = self.right, None
        else:
            name, word, _ = self._layer(message)
            texts.source(word, mistake)  # ValueError for one that it does not have
            if name == texts.LOSS:
                self.nets = self.right._replace(loss=texts.broken_loss(mistake))
            else:
                place = self.layers[name][0]
                model = rebuild(
                    self.right.by_hand,
                    lambda path, layer: texts.broken(layer, mistake) if path == place else layer,
                )
                self.nets = self.right._replace(by_hand=model)
            self.broken = {"layer": name, "mistake": mistake}
        self.send({"event": "changed"})
        return {"broken": self.broken}

    def source(self, message: Message) -> dict[str, Any]:
        """Return a layer's text; start: None, "blank", or a planted mistake."""
        name, word, _ = self._layer(message)
        start = message.get("start")
        text = texts.blank(word) if start == "blank" else texts.source(word, start)
        return {"layer": name, "word": word, "text": text}

    def check(self, message: Message) -> Any:
        """Run the gradient checker on a text of the window, or on a planted mistake's."""
        _, word, options = self._layer(message)
        text = message.get("text")
        if text is None:
            text = texts.source(word, message.get("mistake"))
        elif not self.editor:
            raise ValueError("the editor is off: the page was not started from this machine")
        checker = self.make_checker()
        with self.worker.wake:
            older, self._checker = self._checker, checker
        if older is not None:
            older.cancel()
        arguments = checker, message, word, options, text
        threading.Thread(target=self._check, args=arguments, daemon=True).start()
        return LATER

    def _check(
        self, checker: Checker, message: Message, word: str, options: dict[str, Any], text: str
    ) -> None:
        try:
            self.worker.answer(message, checker.check(word, options, text) | {"source": text})
        except Cancelled:
            self.worker.answer(message, {"dropped": True})
        except Exception as error:
            self.worker.refuse(message, one_line(error))
        with self.worker.wake:
            if self._checker is checker:
                self._checker = None


def _plain(seen: Look) -> dict[str, Any]:
    """A look as a message says it: arrays with their shapes beside them."""
    stages = []
    for stage in seen.stages:
        weights = {
            name: w._asdict() | {"shape": w.values.shape} for name, w in stage.weights.items()
        }
        stages.append(stage._asdict() | {"shape": stage.values.shape, "weights": weights})
    return {"loss": seen.loss, "probabilities": seen.probabilities, "stages": stages}
