"""``serve``: start the server, say where it is, and open the browser."""

import importlib.util
import sys
import threading
import time
import webbrowser
from typing import Any

from autocnn.page.guard import is_remote_shell
from autocnn.page.model import load
from autocnn.text import strict_json

__all__ = ["need_packages", "serve"]


def need_packages() -> None:
    """Raise ImportError that says what to install where the server's packages are missing."""
    missing = [
        name
        for name in ("starlette", "uvicorn", "websockets")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise ImportError(
            f"the page needs {', '.join(missing)}: pip install 'autocnn[page]'; "
            "autocnn page --export page.html needs none of them"
        )


def serve(
    what: Any = None,
    data: Any = None,
    port: int = 0,
    browser: bool = True,
    as_json: bool = False,
) -> None:
    """Serve a page until Ctrl-C. Arguments and errors: see ``autocnn.page.serve``. as_json: print
    the address as JSON.
    """
    need_packages()
    from autocnn.page.server import Server

    shown = load(what, data)
    editor = not is_remote_shell()
    server = Server(shown, port, editor)
    for note in shown.notes:
        print(note, file=sys.stderr)
    if not editor:
        print("the editor is off: this program was started from another machine", file=sys.stderr)
    if as_json:
        print(strict_json({"address": server.address}), flush=True)
    else:
        print(f"{server.address}\nCtrl-C ends it.", flush=True)
    if browser:
        threading.Thread(target=_open, args=(server,), daemon=True).start()
    # In another thread, so that signals stay with the command that started this.
    serving = threading.Thread(target=server.run_here, daemon=True)
    serving.start()
    try:
        while serving.is_alive():
            serving.join(0.5)
    finally:
        server.should_exit = True
        serving.join(5)


def _open(server: Any) -> None:
    while not server.started and not server.should_exit:
        time.sleep(0.01)
    webbrowser.open(server.address)
