"""`autocnn check-kernel FILE.py:TARGET`: are a kernel's gradients right in its own precision?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from autocnn import gradcheck
from autocnn.cli import output
from autocnn.cli.check_arguments import default_arguments, given_arguments
from autocnn.cli.check_find import Target, is_from
from autocnn.gradcheck.isolation import stdout_to_stderr
from autocnn.gradcheck.loading import loaded
from autocnn.gradcheck.protection import protected

__all__ = ["check_kernel"]


def check_kernel(
    target: Annotated[str, typer.Argument(metavar="FILE.py:TARGET", help="The function to check.")],
    reference: Annotated[
        str | None,
        typer.Option(
            help="A plain function in the same file. Default: the framework (torch, jax) "
            "differentiates TARGET's own forward pass."
        ),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, bf16, fp16 or float64. Default: the arrays' own.")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="An argument: x=3,4 is a normal array, labels=5:10 five integers below 10."
        ),
    ] = None,
    library: Annotated[
        str | None,
        typer.Option(help="numpy, torch or jax. Default: what the file imports."),
    ] = None,
    wrt: Annotated[
        list[str] | None, typer.Option(help="An argument to differentiate. Default: all floats.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one call may take.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Seed of the arrays and of the cotangents.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
):
    """Check a kernel's gradients against a reference in float64, judged by the kernel's rounding.

    Without --shape the arrays come from TARGET_inputs (a dict, or a function of
    the seed that returns one) or TARGET_shapes (a dict of shapes) in the file.

    Exit code 0: pass, or pass with limits. 1: wrong. 2: it could not be checked,
    or rounding hides the gradient (undecidable).

    \b
    Example:
      autocnn check-kernel norm.py:layer_norm --reference plain --dtype bf16 \\
          --shape x=8,64 --shape w=64
    """
    try:
        with stdout_to_stderr():
            report = _run(target, reference, dtype, shape or [], library, wrt, timeout, seed)
    except (ValueError, ImportError) as error:
        output.echo(f"autocnn check-kernel: {str(error).splitlines()[0]}", err=True)
        raise typer.Exit(2) from error
    output.echo(report.to_json() if json else str(report))
    raise typer.Exit({"wrong": 1, "undecidable": 2}.get(report.verdict, 0))


def _run(target, reference, dtype, shapes, library, wrt, timeout, seed) -> gradcheck.KernelReport:
    path, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        raise ValueError(f"{target!r} is not FILE.py:NAME, for example norm.py:layer_norm")
    with protected(), loaded(Path(path)) as module:
        function, plain = _named(module, name, path), None
        if reference is not None:
            plain = _named(module, reference, path)
        given = given_arguments(shapes, [], seed)
        given = given or default_arguments(module, Target(name, "closure", (function,)), seed)
        return gradcheck.check_kernel(
            function,
            plain,
            dtype=dtype,
            wrt=wrt or None,
            library=library or _library(module),
            seed=seed,
            timeout=timeout,
            **given,
        )


def _named(module: Any, name: str, path: str) -> Any:
    value = getattr(module, name, None)
    if callable(value):
        return value
    public = [n for n, v in vars(module).items() if callable(v) and is_from(v, module)]
    raise ValueError(f"there is no function {name} in {path}; it has {', '.join(public)}")


def _library(module: Any) -> str | None:
    """torch or jax where the file imports it (torch first), else None: by the arrays."""
    homes = {getattr(v, "__name__", "").split(".")[0] for v in vars(module).values()}
    return next((n for n in ("torch", "jax") if n in homes), None)
