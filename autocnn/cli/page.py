"""``autocnn page``: the live page of a network."""

from typing import Annotated

import typer

from autocnn.cli import output
from autocnn.cli.interrupt import stop
from autocnn.cli.run_options import Json
from autocnn.text import strict_json, visible

__all__ = ["page"]


def page(
    network: Annotated[
        str,
        typer.Argument(
            help="A network's name, or a run folder made by autocnn train", metavar="[NETWORK|RUN]"
        ),
    ] = "",
    export: Annotated[
        str,
        typer.Option(help="Write one HTML file that needs no server, and end", metavar="FILE.html"),
    ] = "",
    port: Annotated[
        int, typer.Option(help="Port on this machine; 0: any that is free", min=0, max=65535)
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser")
    ] = True,
    as_json: Json = False,
) -> None:
    """Open a page to draw on: the network computes forward and backward.

    Every gradient is computed twice, by autograd and by hand. Train the network,
    break its backward pass, have it checked, and write your own. Without a
    network: TinyCNN, which is trained in a second.

    The server answers this machine's browsers only, at the address that it
    prints. Ctrl-C ends it. It writes no files.

    \b
    Examples:
      autocnn page
      autocnn page runs/lenet5-mnist
      autocnn page --export page.html
    """
    if export:
        from autocnn.page import export as write

        path = write(export, *([network] if network else []))
        output.echo(strict_json({"file": path}) if as_json else visible(path))
        return
    from autocnn.page.serving import serve

    try:
        serve(network or None, port=port, browser=browser, as_json=as_json)
    except KeyboardInterrupt as interrupt:
        raise stop(interrupt, "the page is closed") from None
