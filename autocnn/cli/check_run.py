"""The work of `autocnn check`: load the file, find the backward passes, check them, and say in one
line what could not be checked."""

import inspect
import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from autocnn import gradcheck
from autocnn.cli.check_arguments import (
    default_arguments,
    given_arguments,
    in_library,
    require_fit,
    suggestion,
)
from autocnn.cli.check_find import Target, all_targets, find
from autocnn.gradcheck.loading import loaded
from autocnn.gradcheck.protection import describe, is_own_exception, protected
from autocnn.text import strict_json

__all__ = ["Options", "check_file"]


class Options(NamedTuple):
    """The command line of `autocnn check`."""

    target: str
    shape: list[str]
    arg: list[str]
    seed: int = 0
    json: bool = False
    quick: bool = False
    fix_diff: str | None = None
    plot: str | None = None
    timeout: float | None = None
    batched: bool = False

    def call(self, name: str = "") -> str:
        """The command as it was given, to be repeated in a message; `name` is added to a file."""
        target = f"{self.target}:{name}" if name else self.target
        words = ["autocnn", "check", target]
        words += [w for text in self.shape for w in ("--shape", text)]
        words += [w for text in self.arg for w in ("--arg", text)]
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--timeout", f"{self.timeout:g}"] if self.timeout else []
        words += ["--json"] if self.json else []
        words += ["--quick"] if self.quick else []
        words += ["--batched"] if self.batched else []
        words += ["--fix-diff", self.fix_diff] if self.fix_diff else []
        words += ["--plot", self.plot] if self.plot else []
        return shlex.join(words)


class _Row(NamedTuple):
    """One line of the table of a whole file."""

    name: str
    verdict: str  # "ok", "WRONG" or "not checked"
    text: str
    report: gradcheck.Report | None


def check_file(options: Options) -> tuple[int, str, str]:
    """(exit code, report, remark or "") of `options.target`, FILE or FILE:NAME.

    Raises ValueError, of one line, for what cannot be checked.
    """
    path, name = _split(options.target)
    if not name and (options.plot or options.fix_diff):
        option = "--plot" if options.plot else "--fix-diff"
        raise ValueError(f"{option} is of one report: name the function, FILE.py:NAME")
    with protected(options.timeout), loaded(Path(path)) as module:
        given = given_arguments(options.shape, options.arg, options.seed)
        if not name:
            rows = _check_all(module, path, given, options)
        else:
            report = _check_one(module, find(module, name, path), given, options, options.call())
        text, patch = ("", "") if not name else _shown(report)
    if not name:
        return *_summary(rows, path, options), ""
    if options.plot:
        _draw(report, options.plot)
    remark = ""
    if options.fix_diff and patch:
        Path(options.fix_diff).write_text(patch, encoding="utf-8", newline="")
    elif options.fix_diff:
        remark = f"there is no verified edit, {options.fix_diff} is not written"
    return 0 if report.ok else 1, report.to_json() if options.json else text, remark


def _shown(report: gradcheck.Report) -> tuple[str, str]:
    """The report, with the source around the wrong statement and the edit as a diff, and that diff
    alone."""
    patch = report.fix.diff if report.fix else ""
    parts = [str(report), report.excerpt(), patch]
    return "\n\n".join(part.rstrip("\n") for part in parts if part), patch


def _split(target: str) -> tuple[str, str]:
    """FILE.py:NAME or FILE.py -> (file, name or "")."""
    path, colon, name = target.rpartition(":")
    if colon and name.isidentifier():
        return path, name
    if target.endswith((".py", ".ipynb")) or Path(target).is_file():
        return target, ""
    raise ValueError(f"{target!r} is not FILE.py:NAME, for example layers.py:conv")


def _draw(report: gradcheck.Report, path: str) -> None:
    from autocnn.plots.gradcheck import overview
    from autocnn.plots.style import save

    save(overview(report), path)


def _check_one(
    module: Any, target: Target, given: dict[str, Any], options: Options, call: str
) -> gradcheck.Report:
    own = default_arguments(module, target, options.seed)
    arguments = {**own, **in_library(module, target, given)}
    how: dict[str, Any] = {"quick": options.quick, "batched": options.batched, "seed": options.seed}
    if target.kind == "object":
        return _check_object(target, arguments, options, call)
    require_fit(target, arguments, call)
    if target.kind == "pair":
        return gradcheck.check_pair(*target.functions, **how, **arguments)
    if target.kind == "vjp":
        names = inspect.signature(target.functions[0]).parameters
        ordered = [arguments[n] for n in names if n in arguments]
        return gradcheck.check_vjp(*target.functions, *ordered, **how)
    return gradcheck.check(target.functions[0], **how, **arguments)


def _check_object(
    target: Target, given: dict[str, Any], options: Options, call: str
) -> gradcheck.Report:
    """A class is constructed with the arguments of its __init__ that were given, or is the `layer`
    entry of NAME_inputs."""
    value, name = target.functions[0], target.name
    layer = given.pop("layer", None)
    if layer is None and inspect.isclass(value):
        wanted = inspect.signature(value).parameters
        named = {n: given.pop(n) for n in list(given) if n in wanted}
        missing = [
            n
            for n, p in wanted.items()
            if p.default is p.empty
            and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
            and n not in named
        ]
        if missing:
            extra = " ".join(f"--arg {n}=4" for n in missing)
            raise ValueError(
                f"{name}({', '.join(wanted)}) needs arguments: {call} {extra}, or put an "
                f'instance into {name}_inputs as "layer"'
            )
        try:
            layer = value(**named)
        except Exception as error:
            raise ValueError(f"{name}() {describe(error)}") from error
    layer = value if layer is None else layer
    first = next((n for n in ("x", "inputs", "input", *given) if n in given), None)
    if first is None:
        raise ValueError(f"{name}.forward needs an array: {suggestion(call, value, ['x'])}")
    how: dict[str, Any] = {"quick": options.quick, "batched": options.batched}
    return gradcheck.check_object(layer, given.pop(first), seed=options.seed, **how, **given)


def _check_all(module: Any, path: str, given: dict[str, Any], options: Options) -> list[_Row]:
    targets = all_targets(module)
    if not targets:
        raise ValueError(
            f"{path} has no backward pass that can be found by name: NAME_forward with "
            "NAME_backward, a class with forward and backward, NAME_vjp, or a function with "
            f"NAME_inputs beside it; name one, autocnn check {path}:NAME"
        )
    return [_row(module, target, given, options) for target in targets]


def _row(module: Any, target: Target, given: dict[str, Any], options: Options) -> _Row:
    call = options.call(target.name)
    try:
        mine = {n: v for n, v in given.items() if n in _takes(target)}
        report = _check_one(module, target, mine, options, call)
    except BaseException as error:
        if is_own_exception(error) or not isinstance(error, Exception | SystemExit):
            raise
        lines = str(error).splitlines()
        text = lines[0] if isinstance(error, ValueError) and lines else describe(error)
        return _Row(target.name, "not checked", text, None)
    text = _leaves(report)
    if not report.ok:
        cause = next((c for c in report.causes if c.level == "error"), None)
        if cause is not None:
            text = f"{cause.leaf + ': ' if cause.leaf else ''}{cause.code}: {cause.message}"
    return _Row(target.name, "ok" if report.ok else "WRONG", text, report)


def _takes(target: Target) -> set[str]:
    names: set[str] = set()
    for f in target.functions[:1]:
        for g in (f, getattr(f, "forward", None)):
            try:
                names |= set(inspect.signature(g).parameters) if callable(g) else set()
            except (TypeError, ValueError):
                continue
    return names


def _leaves(report: gradcheck.Report) -> str:
    count = len(report.leaves)
    return f"{count} gradient{'s agree' if count != 1 else ' agrees'}"


def _summary(rows: list[_Row], path: str, options: Options) -> tuple[int, str]:
    verdicts = [row.verdict for row in rows]
    code = 1 if "WRONG" in verdicts else 2 if "not checked" in verdicts else 0
    if options.json:
        checks = [
            {"name": r.name, "verdict": r.verdict, "text": r.text}
            | ({"report": json.loads(r.report.to_json())} if r.report is not None else {})
            for r in rows
        ]
        return code, strict_json({"file": path, "checks": checks})
    wide = max(len(r.name) for r in rows)
    lines = [f"{r.name:{wide}}  {r.verdict:11}  {r.text}".rstrip() for r in rows]
    counts = ", ".join(
        f"{verdicts.count(v)} {v}" for v in ("ok", "WRONG", "not checked") if v in verdicts
    )
    lines.append(f"{path}: {counts}")
    return code, "\n".join(lines)
