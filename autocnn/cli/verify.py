"""``autocnn verify``: whether every file of a run folder is as it was written."""

import typer

from autocnn import runs
from autocnn.cli.output import echo
from autocnn.cli.run_options import Json, Run
from autocnn.text import strict_json, table

__all__ = ["verify"]

WORDS = {True: "whole", False: "damaged", None: "unknown"}


def verify(run: Run, as_json: Json = False) -> None:
    """Check every bit of a run folder against the sums in it.

    Prints a row for each file. The exit code is 1 when one is damaged, was changed
    by hand, or belongs to another run. autocnn train --run RUN mends what it can
    from the other files.

    \b
    Examples:
      autocnn verify runs/lenet5-mnist
      autocnn verify runs/lenet5-mnist --json | jq .whole
    """
    rows = runs.verify(run)
    damaged = [row for row in rows if row["ok"] is False]
    if as_json:
        echo(strict_json({"run": run, "whole": not damaged, "files": rows}))
    else:
        cells = [
            (
                row["file"],
                WORDS[row["ok"]],
                "" if row["epoch"] is None else str(row["epoch"]),
                row["problem"] or "",
            )
            for row in rows
        ]
        echo(table(("file", "state", "epoch", "problem"), cells))
    if damaged:
        names = ", ".join(row["file"] for row in damaged)
        echo(
            f"autocnn: {run}: {names} cannot be used as it is; mend what the other files hold by: "
            f"autocnn train --run {run}",
            err=True,
        )
        raise typer.Exit(1)
