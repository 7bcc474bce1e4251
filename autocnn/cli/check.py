"""`autocnn check FILE.py:NAME`: is the backward pass in this file right, and if not, what is
wrong with it?
"""

from pathlib import Path
from typing import Annotated

import typer

from autocnn.cli import output
from autocnn.cli.check_run import Options, check_file
from autocnn.gradcheck.isolation import run_in_process, stdout_to_stderr

__all__ = ["check"]


def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:NAME]",
            help="The function, pair or class to check. Without NAME: all that the file has.",
        ),
    ],
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="An argument: x=3,4,9,8 is a normal array, labels=5:10 five integers below 10, "
            "params.W=3,4 an array in a dict."
        ),
    ] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(
            help="Another argument, as JSON or a Python literal: stride=2, "
            'bn_param=\'{"mode": "train"}\'.'
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the arrays and of the directions.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not look for the wrong statement in the source.")
    ] = False,
    batched: Annotated[
        bool,
        typer.Option(
            "--batched", help="Also give backward a batch of cotangents: dy with one more axis."
        ),
    ] = False,
    fix_diff: Annotated[
        Path | None,
        typer.Option(help="Write the verified edit here, as a patch for git apply."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a figure of the worst leaf here (.png, .svg, .pdf).")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds that the whole check may take. Implies --isolate."),
    ] = None,
    isolate: Annotated[
        bool,
        typer.Option(
            "--isolate", help="Run the code in a process of its own, which may crash or exit."
        ),
    ] = False,
) -> None:
    """Check a hand-written backward pass and name what is wrong with it.

    NAME is one of: a function f(x, w) -> (y, backward); NAME_forward -> (y,
    cache) with NAME_backward(dy, cache) beside it (also NAME_forward_naive with
    NAME_backward_naive); NAME with NAME_vjp(dy, x, w) beside it; a class or an
    object with forward(x) and backward(dy); a torch.autograd.Function. FILE may
    be a notebook. Without --shape the arrays come from NAME_inputs (a dict, or a
    function of the seed that returns one), from NAME_shapes (a dict of shapes),
    or from defaults that are arrays.

    Exit code 0: the gradients agree. 1: something is wrong. 2: it could not be checked.

    \b
    Examples:
      autocnn check layers.py:conv --shape x=2,3,8,8 --shape w=4,3,3,3
      autocnn check layers.py --timeout 60
    """
    try:
        if plot:
            _must_be_drawable(plot)
        options = Options(
            target,
            shape or [],
            arg or [],
            seed,
            json,
            quick,
            str(fix_diff) if fix_diff else None,
            str(plot) if plot else None,
            timeout,
            batched,
        )
        if isolate or timeout is not None:
            code, text, remark = run_in_process(
                "autocnn.cli.check:_check_in_child", options._asdict(), timeout
            )
        else:
            with stdout_to_stderr():  # what the code prints; stdout carries the report alone
                code, text, remark = check_file(options)
    except ValueError as error:
        lines = str(error).splitlines()
        output.echo(f"autocnn check: {lines[0] if lines else type(error).__name__}", err=True)
        raise typer.Exit(2) from error
    if remark:
        output.echo(f"autocnn check: {remark}", err=True)
    output.echo(text)
    raise typer.Exit(code)


def _check_in_child(arguments: dict) -> tuple[int, str, str]:
    return check_file(Options(**arguments))


def _must_be_drawable(path: Path) -> None:
    if path.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise ValueError(f"--plot {path}: the name must end in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise ValueError(f"--plot {path}: there is no folder {path.parent}")
