"""`autocnn check FILE.py:NAME`: is the backward pass in this file right, and if not, what is
wrong with it?
"""

import contextlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from autocnn import gradcheck

__all__ = ["check"]


def check(
    target: Annotated[
        str, typer.Argument(metavar="FILE.py:NAME", help="The function, pair or class to check.")
    ],
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="An argument: x=3,4,9,8 is a normal array, labels=5:10 five integers below 10."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the arrays and of the directions.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not look for the wrong statement in the source.")
    ] = False,
    fix_diff: Annotated[
        Path | None,
        typer.Option(help="Write the verified edit here, as a patch for git apply."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a figure of the worst leaf here (.png, .svg, .pdf).")
    ] = None,
):
    """Check a hand-written backward pass and name what is wrong with it.

    NAME is one of: a function f(x, w) -> (y, backward); NAME_forward -> (y,
    cache) with NAME_backward(dy, cache) beside it; NAME with NAME_vjp(dy, x, w)
    beside it; a class or an object with forward(x) and backward(dy); a
    torch.autograd.Function. Without --shape the arrays come from NAME_inputs (a
    dict, or a function of the seed that returns one), from NAME_shapes (a dict
    of shapes), or from defaults that are arrays.

    Exit code 0: the gradients agree. 1: something is wrong. 2: it could not be checked.

    \b
    Example:
      autocnn check layers.py:conv --shape x=2,3,8,8 --shape w=4,3,3,3
    """
    try:
        if plot:
            _must_be_drawable(plot)
        with contextlib.redirect_stdout(
            sys.stderr
        ):  # what the file prints; stdout carries the report alone
            report = _run(target, shape or [], seed, quick)
        if plot:
            _draw(report, plot)
    except ValueError as error:
        lines = str(error).splitlines()
        typer.echo(f"autocnn check: {lines[0] if lines else type(error).__name__}", err=True)
        raise typer.Exit(2) from error
    if fix_diff and report.fix:
        fix_diff.write_text(report.fix.diff, newline="")
    elif fix_diff:
        typer.echo(f"autocnn check: there is no verified edit, {fix_diff} is not written", err=True)
    typer.echo(report.to_json() if json else _shown(report))
    raise typer.Exit(0 if report.ok else 1)


def _shown(report: gradcheck.Report) -> str:
    """The report, then the source around the wrong statement and the edit as a diff."""
    parts = [str(report), report.excerpt(), report.fix.diff if report.fix else ""]
    return "\n\n".join(part.rstrip("\n") for part in parts if part)


def _must_be_drawable(path: Path) -> None:
    if path.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise ValueError(f"--plot {path}: the name must end in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise ValueError(f"--plot {path}: there is no folder {path.parent}")


def _draw(report: gradcheck.Report, path: Path) -> None:
    from autocnn.plots.gradcheck import overview

    overview(report).savefig(path)


def _run(target: str, shapes: list[str], seed: int, quick: bool) -> gradcheck.Report:
    path, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        raise ValueError(f"{target!r} is not FILE.py:NAME, for example layers.py:conv")
    module = _load(Path(path))
    kind, found = _find(module, name, path)
    given = _arrays(shapes, seed)
    if not given:
        given = _default_arrays(module, name, found[0], seed)
    if kind == "object":
        return _check_object(found[0], name, given, seed, quick)
    _must_fit(found[0], name, given, target)
    if kind == "pair":
        return gradcheck.check_pair(*found, seed=seed, quick=quick, **given)
    if kind == "vjp":
        return gradcheck.check_vjp(*found, *_ordered(found[0], given), seed=seed, quick=quick)
    return gradcheck.check(found[0], seed=seed, quick=quick, **given)


def _load(path: Path):
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles of the file look themselves up there
    sys.path.insert(0, str(path.resolve().parent))  # so that the file can import its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return module


def _find(module, name: str, path: str) -> tuple[str, tuple]:
    """(kind, functions) for a name, by the conventions in the help."""
    value = getattr(module, name, None)
    stem = name.removesuffix("_forward")
    forward, backward = (
        getattr(module, f"{stem}_forward", None),
        getattr(module, f"{stem}_backward", None),
    )
    if callable(forward) and callable(backward) and (value is None or value is forward):
        return "pair", (forward, backward)
    if value is None:
        public = [
            n
            for n, v in vars(module).items()
            if callable(v) and not n.startswith("_") and _from(v, module)
        ]
        raise ValueError(
            f"there is no {name} in {path}; it has {', '.join(public) or 'no functions'}"
        )
    if inspect.isclass(value) and any(
        c.__module__.startswith("torch.autograd") for c in value.__mro__
    ):
        return "closure", (value,)
    if hasattr(value, "forward") and hasattr(value, "backward"):
        return "object", (value,)
    vjp = getattr(module, f"{name}_vjp", None)
    if callable(vjp):
        return "vjp", (value, vjp)
    if not callable(value) or inspect.isclass(value):
        raise ValueError(
            f"{name} in {path} is a {type(value).__name__}: it needs forward and backward, or must be a function"
        )
    return "closure", (value,)


def _from(value, module) -> bool:
    return getattr(value, "__module__", None) == module.__name__


def _arrays(shapes: list[str], seed: int) -> dict[str, Any]:
    """x=3,4 -> standard normal (3, 4); labels=5:10 -> five integers in 0..9; keep=0.7 and flags
    -> the number itself.
    """
    rng, arrays = np.random.default_rng(seed), {}
    for text in shapes:
        name, equals, size = text.partition("=")
        size, colon, top = size.partition(":")
        try:
            if not equals or not name.isidentifier():
                raise ValueError
            if "." in size:
                arrays[name] = float(size)
                continue
            dims = tuple(int(n) for n in size.split(",") if n.strip())
            if any(n < 1 for n in dims) or (colon and int(top) < 1):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"--shape {text} is not NAME=SIZES, for example --shape x=3,4,9,8 or --shape labels=5:10"
            ) from None
        arrays[name] = (
            rng.integers(int(top), size=dims) if colon else np.asarray(rng.standard_normal(dims))
        )
    return arrays


def _default_arrays(module, name: str, function, seed: int) -> dict[str, Any]:
    stem = name.removesuffix("_forward")
    for candidate in (name, stem):
        inputs = getattr(module, f"{candidate}_inputs", None)
        if inputs is not None:
            if callable(inputs):
                inputs = inputs(seed) if inspect.signature(inputs).parameters else inputs()
            if not isinstance(inputs, dict):
                raise ValueError(
                    f"{candidate}_inputs must be a dict of arrays by argument name, got {type(inputs).__name__}"
                )
            return dict(inputs)
        shapes = getattr(module, f"{candidate}_shapes", None)
        if isinstance(shapes, dict):
            rng = np.random.default_rng(seed)
            return {n: np.asarray(rng.standard_normal(s)) for n, s in shapes.items()}
    parameters = _parameters(function)
    defaults = {p.name: p.default for p in parameters if isinstance(p.default, np.ndarray)}
    if defaults:
        return defaults
    wanted = [p.name for p in parameters if p.default is p.empty] or ["x"]
    example = " ".join(f"--shape {n}={'3,4' if k == 0 else '4'}" for k, n in enumerate(wanted))
    raise ValueError(
        f"{name} needs arrays: give their shapes ({example}), or define {stem}_inputs or {stem}_shapes beside it"
    )


def _parameters(function) -> list[inspect.Parameter]:
    if hasattr(function, "forward"):
        function = function.forward
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []
    return [
        p
        for p in found
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in ("self", "ctx")
    ]


def _must_fit(function, name: str, given: dict[str, Any], target: str) -> None:
    """Every argument that has no default is given, and nothing else."""
    parameters = _parameters(function)
    if not parameters:
        return
    names = [p.name for p in parameters]
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in given]
    extra = [n for n in given if n not in names]
    if missing:
        raise ValueError(
            f"{name}({', '.join(names)}) also needs {', '.join(missing)}: autocnn check {target} --shape {missing[0]}=3,4"
        )
    if extra:
        raise ValueError(f"{name}({', '.join(names)}) has no argument {', '.join(extra)}")


def _ordered(function, given: dict[str, Any]) -> list[Any]:
    names = [p.name for p in _parameters(function)]
    return [given[n] for n in names if n in given]


def _check_object(
    value, name: str, given: dict[str, Any], seed: int, quick: bool
) -> gradcheck.Report:
    """A class is constructed without arguments, or by the `layer` entry of NAME_inputs."""
    layer = given.pop("layer", None)
    if layer is None and inspect.isclass(value):
        try:
            layer = value()
        except TypeError as error:
            raise ValueError(
                f'{name}() needs arguments ({error}): put an instance into {name}_inputs as "layer"'
            ) from error
    layer = value if layer is None else layer
    first = next((n for n in ("x", "inputs", "input", *given) if n in given), None)
    if first is None:
        raise ValueError(f"{name}.forward needs an array: --shape x=3,4")
    return gradcheck.check_object(layer, given.pop(first), seed=seed, quick=quick, **given)
