"""The page as a widget of a notebook: the same front end; messages take the kernel's channel."""

import importlib.util
from typing import Any

from autocnn.page import wire
from autocnn.page.bundle import STATIC, bundle
from autocnn.page.model import load
from autocnn.page.session import Session
from autocnn.page.train import Trainer

__all__ = ["widget"]

_STYLES = ("page.css", "panels.css")


def widget(run: Any = None, data: Any = None) -> Any:
    """Return an ``anywidget.AnyWidget``. Arguments and errors: see ``autocnn.page.page``.

    The editor is on: whoever uses the notebook runs code in its kernel anyway.
    """
    if importlib.util.find_spec("anywidget") is None:
        raise ImportError("the page in a notebook needs anywidget: pip install 'autocnn[page]'")
    import anywidget

    shown = load(run, data)
    trainer = Trainer(shown)
    for _ in range(shown.epochs):
        trainer.epoch(shown.nets)
    kind = type("Page", (anywidget.AnyWidget,), {"_esm": script(), "_css": styles()})
    made = kind()
    session = Session(shown, trainer, lambda message: _send(made, message))
    made.on_msg(lambda _, content, buffers: _receive(session, made, buffers))
    made.session = session
    return made


def script() -> str:
    """Return the front end as one ES module, as anywidget loads it."""
    return bundle("widget_page.js") + (
        'export default { render: modules["widget_page.js"].render };\n'
    )


def styles() -> str:
    """Return the front end's style sheet."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in _STYLES)


def _send(made: Any, message: dict[str, Any]) -> None:
    made.send({}, buffers=[wire.encode(message)])


def _receive(session: Session, made: Any, buffers: Any) -> None:
    try:
        if not buffers:
            raise ValueError("the message has no content")
        message = wire.decode(bytes(buffers[0]))
    except ValueError as error:
        _send(made, {"event": "message", "text": str(error)})
    else:
        session.post(message)
