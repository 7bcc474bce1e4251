"""The live page: draw an image, see a network compute forward and backward by two gradient paths,
train it, break its backward pass and have it checked.

    ac.page(run, data)                     in a notebook: what ``ac.train`` returned
    ac.page("runs/lenet5-mnist")           a run folder
    ac.page.serve("lenet5")                in a browser; on the command line ``autocnn page``
    ac.page.export("page.html")            one file that computes by itself, in JavaScript
"""

import os
import sys
import types
from pathlib import Path
from typing import Any

__all__ = ["export", "page", "serve"]


def page(run: Any = None, data: Any = None) -> Any:
    """Return the page as a widget, for the last line of a notebook's cell.

    run: what ``ac.train`` returned, with the ``data`` that it was given; a run folder; a network's
    name; or None for the chapter's TinyCNN. ValueError for anything else, ImportError without the
    package anywidget.
    """
    from autocnn.page.widget import widget

    return widget(run, data)


def serve(what: Any = None, data: Any = None, port: int = 0, browser: bool = True) -> None:
    """Serve the page on this machine until Ctrl-C, and open the browser.

    what, data: as for ``page``. port: 0 for any that is free. ValueError for a port that is taken,
    ImportError without the packages starlette and uvicorn.
    """
    from autocnn.page.serving import serve

    serve(what, data, port, browser)


def export(path: str | os.PathLike, *sources: Any) -> Path:
    """Write the page as one HTML file that needs neither Python nor a network.

    sources: run folders, or "tiny-cnn" and "lenet5", which are trained for the page; both for
    none. Returns the path. ValueError for a source that is none of these, or a network that the
    page cannot compute.
    """
    from autocnn.page.exporting import export

    return export(path, *sources)


class _Page(types.ModuleType):
    """The module, which can be called: ``ac.page(run)``."""

    def __call__(self, run: Any = None, data: Any = None) -> Any:
        return page(run, data)


sys.modules[__name__].__class__ = _Page
