"""The server of a page: static files, and one websocket a window.

    with running(load(), port=0) as server:
        print(server.address)

Messages are those of ``wire``, in both directions. A window asks {"id": n, "ask": NAME, ...} and
gets {"id": n, "answer": ...} or {"id": n, "error": "one line"}. The server sends events by itself:
{"event": "changed"}, {"event": "progress", ...} and {"event": "message", "text": "one line"}. The
questions are the methods ``_ask_NAME`` of ``session.Session``.

A window has a name of its own choice, by which it finds its state again after its connection was
lost. A refused connection is accepted, told why in one message, and closed.
"""

import asyncio
import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from importlib import resources
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from autocnn.page import wire
from autocnn.page.guard import WRONG_TOKEN, Guard, is_forwarded
from autocnn.page.model import PageModel
from autocnn.page.session import Session
from autocnn.page.train import Trainer

__all__ = ["Server", "Windows", "listen", "make_app", "running"]

MAX_WINDOWS = 12  # that are open at once
KEPT = 600.0  # seconds for which a window that was lost is kept
MAX_UNSENT = 256  # messages that a window which does not read may cause to wait
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Windows:
    """The sessions of a server's windows, by the windows' names; used by the event loop alone."""

    def __init__(self, shown: PageModel, trainer: Trainer, editor: bool):
        self.shown, self.trainer, self.editor = shown, trainer, editor
        self._found: dict[str, Session] = {}
        self._left: dict[str, float] = {}  # when the window of a name was lost

    def open(self, name: str, send: Any, editor: bool) -> Session | str:
        """Return the session of a window, or in one line why there is none."""
        self._forget()
        if name in self._found and name not in self._left:
            return "this window is connected already"
        if name in self._found:
            del self._left[name]
            session = self._found[name]
            session.send = send
            return session
        if len(self._found) - len(self._left) >= MAX_WINDOWS:
            return f"{MAX_WINDOWS} windows are open, as many as this server has: close one"
        if len(self._found) >= MAX_WINDOWS:
            self._drop(min(self._left, key=self._left.__getitem__))
        session = Session(self.shown, self.trainer, send, editor and self.editor)
        self._found[name] = session
        return session

    def leave(self, name: str) -> None:
        """Keep the state of a window that has gone, for a while."""
        session = self._found[name]
        session.send = _nowhere
        session.pause()
        self._left[name] = time.monotonic()

    def close(self) -> None:
        """End all sessions."""
        for session in self._found.values():
            session.close()

    def _forget(self) -> None:
        for name, since in list(self._left.items()):
            if time.monotonic() - since > KEPT:
                self._drop(name)

    def _drop(self, name: str) -> None:
        del self._left[name]
        self._found.pop(name).close()


def _nowhere(message: dict[str, Any]) -> None:
    """Where the answers to a window that has gone are sent."""


def make_app(windows: Windows, guard: Guard) -> Starlette:
    """Return the application: "/", "/static/NAME" and the websocket "/socket"."""
    static = resources.files("autocnn.page").joinpath("static")
    files = {item.name: item for item in static.iterdir() if item.is_file()}

    def refused(request: Request, token: str | None) -> Response | None:
        reason = guard.refusal(request.headers, token)
        return None if reason is None else PlainTextResponse(reason, 403, _HEADERS)

    def file(name: str) -> Response:
        kind = _TYPES.get(name[name.rfind(".") :])
        if name not in files or kind is None:
            return PlainTextResponse("there is no such file", 404, _HEADERS)
        return Response(files[name].read_bytes(), media_type=kind, headers=_HEADERS)

    def index(request: Request) -> Response:
        return refused(request, request.query_params.get("token")) or file("index.html")

    def asset(request: Request) -> Response:
        # The page's own text, which is no secret: only the Host and the Origin are checked.
        return refused(request, guard.token) or file(request.path_params["name"])

    async def connect(websocket: WebSocket) -> None:
        await _serve_window(websocket, windows, guard)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/{name}", asset),
            WebSocketRoute("/socket", connect),
        ]
    )


async def _serve_window(websocket: WebSocket, windows: Windows, guard: Guard) -> None:
    headers, query = websocket.headers, websocket.query_params
    await websocket.accept()
    reason = guard.refusal(headers, query.get("token"), is_socket=True)
    name = query.get("window", "")
    if reason is None and not re.fullmatch(r"[\w-]{8,64}", name):
        reason = "the window has no name of 8 to 64 letters"
    if reason is None:
        loop, unsent = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any]]()

        def put(message: dict[str, Any]) -> None:
            if unsent.qsize() < MAX_UNSENT or "id" in message:
                unsent.put_nowait(message)

        def send(message: dict[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(put, message)

        opened = windows.open(name, send, not is_forwarded(headers))
        if isinstance(opened, Session):
            sender = asyncio.create_task(_send_all(websocket, unsent))
            try:
                await _receive_all(websocket, opened, send)
            finally:
                sender.cancel()
                windows.leave(name)
            return
        reason = opened
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        refusal = {"event": "refused", "text": reason, "token": reason == WRONG_TOKEN}
        await websocket.send_bytes(wire.encode(refusal))
        await websocket.close(4403)


async def _send_all(websocket: WebSocket, unsent: "asyncio.Queue[dict[str, Any]]") -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        while True:
            message = await unsent.get()
            await websocket.send_bytes(await asyncio.to_thread(wire.encode, message))


async def _receive_all(websocket: WebSocket, session: Session, send: Any) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        while True:
            received = await websocket.receive()
            if received["type"] == "websocket.disconnect":
                return
            try:
                message = wire.decode(received.get("bytes") or received.get("text"))
            except ValueError as error:
                send({"event": "message", "text": str(error)})
                continue
            session.post(message)


def listen(port: int = 0) -> socket.socket:
    """Return a socket on 127.0.0.1. ValueError for a port that is taken or not allowed."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot serve on port {port}: {reason}; try another --port") from None
    return listening


class Server(uvicorn.Server):
    """A page's server, which listens already. address: what opens the page."""

    def __init__(
        self,
        shown: PageModel,
        port: int = 0,
        editor: bool = True,
        token: str | None = None,
    ):
        self.listening = listen(port)
        self.guard = Guard(self.listening.getsockname()[1], token)
        self.address = self.guard.address
        trainer = Trainer(shown)
        for _ in range(shown.epochs):
            trainer.epoch(shown.nets)
        self.windows = Windows(shown, trainer, editor)
        super().__init__(
            uvicorn.Config(
                make_app(self.windows, self.guard),
                log_level="critical",
                lifespan="off",
                ws="websockets-sansio",
                ws_max_size=wire.MAX_MESSAGE,
                ws_per_message_deflate=False,  # compressing takes longer than sending
                limit_concurrency=256,
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )

    def run_here(self) -> None:
        """Serve until ``should_exit`` is set."""
        try:
            self.run(sockets=[self.listening])
        finally:
            self.windows.close()


@contextlib.contextmanager
def running(shown: PageModel, **options: Any) -> Iterator[Server]:
    """Serve in another thread for the ``with`` block. options: of ``Server``."""
    server = Server(shown, **options)
    thread = threading.Thread(target=server.run_here, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield server
    finally:
        server.should_exit = True
        thread.join(10)
        server.listening.close()
