"""The command line: one file for each command."""

import contextlib
import inspect
import itertools
import os
import signal
import sys
from collections.abc import Iterator
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import autocnn
from autocnn.cli import (
    chapter,
    check,
    check_kernel,
    data,
    errors,
    evaluate,
    exercise,
    explain,
    export,
    filters,
    interrupt,
    lr_find,
    output,
    page,
    predict,
    summary,
    sweep,
    trace,
    train,
    verify,
)
from autocnn.runs import own_network
from autocnn.text import visible

__all__ = ["app", "main"]

UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # click's, or Typer's copy of it


class _Program(TyperGroup):
    """The commands; a mistake in a command line is shown as text, whatever characters it holds."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _visible_errors():
            return super().make_context(*args, **options)

    def invoke(self, *args: Any) -> Any:
        with _visible_errors():
            return super().invoke(*args)


@contextlib.contextmanager
def _visible_errors() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        error.message = visible(error.message)  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    cls=_Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(interrupt.stoppable(chapter.chapter))
app.command()(interrupt.stoppable(exercise.exercise))
app.command()(interrupt.stoppable(train.train))
app.command()(interrupt.stoppable(lr_find.lr_find))
app.command()(interrupt.stoppable(evaluate.evaluate))
app.command()(interrupt.stoppable(verify.verify))
app.command()(interrupt.stoppable(sweep.sweep))
app.command()(interrupt.stoppable(predict.predict))
app.command()(interrupt.stoppable(trace.trace))
app.command()(interrupt.stoppable(explain.explain))
app.command()(interrupt.stoppable(filters.filters))
app.command()(interrupt.stoppable(summary.summary))
app.command()(interrupt.stoppable(export.export))
app.command()(interrupt.stoppable(page.page))
app.command()(interrupt.stoppable(check.check))
app.command()(interrupt.stoppable(check_kernel.check_kernel))
app.add_typer(data.app, name="data")


def _print_version(is_given: bool) -> None:
    if is_given:
        output.echo(f"autocnn {autocnn.__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Convolutional networks, written once and differentiated twice: by autograd and by hand.

    \b
    Examples:
      autocnn chapter
      autocnn summary resnet50
      autocnn train lenet5 --data fashion-mnist
      autocnn predict runs/lenet5-fashion-mnist shoe.png

    Results go to stdout, as JSON with --json; progress and errors go to stderr.
    The exit code is 0, 1 when something went wrong or a check failed, 2 for a bad
    command line or bad input, 128 + n after the signal n (130: Ctrl-C, 143: SIGTERM),
    141 when the pipe was closed.
    """
    output.log_to_stderr()


def _unwrapped(text: str) -> str:
    """Join the lines of each paragraph, so that a terminal of any width can wrap them. Those that
    begin with \\b keep their lines.
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(p if p.startswith("\b") else p.replace("\n", " ") for p in paragraphs)


for _group in (app, data.app):
    for _info in (*_group.registered_commands, _group.registered_callback):
        _info.help = _unwrapped(_info.callback.__doc__)


def main() -> None:
    """Run the command line and exit.

    Bad input is one line on stderr and exit code 2, a failure of the machine (disk, memory, a
    missing package) one line and 1. 128 + n after the signal n, see ``autocnn.cli.interrupt``; 141,
    as of any program that SIGPIPE ends, when the reader of a pipe has closed it.
    """
    output.prepare_streams()
    with interrupt.handle_signals():
        _run()


def _run() -> None:
    try:
        sys.argv[1:] = map(_with_home, sys.argv[1:])
        _check_options(sys.argv[1:])
        app(prog_name="autocnn")
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # Typer would exit with 1
            _exit_closed_pipe()
        cause = getattr(end.__context__, "__cause__", None)
        if isinstance(cause, KeyboardInterrupt):  # while Typer read the command line
            sys.exit(interrupt.stop(cause, interrupt.start_again()).exit_code)
        raise
    except BrokenPipeError:
        _exit_closed_pipe()
    except KeyboardInterrupt as stopped:  # outside of a command
        sys.exit(128 + getattr(stopped, "number", signal.SIGINT))
    except errors.EXPECTED as error:
        if isinstance(error, OSError) and output.is_closed_terminal(error):
            output.leave_closed_terminal()
            sys.exit(129)  # as of a program that SIGHUP ends
        code, message = errors.describe(error)
        place = own_network.place(error)
        output.echo(f"autocnn: {message}{f' ({visible(place)})' if place else ''}", err=True)
        sys.exit(code)
    except Exception as error:
        if (place := own_network.place(error)) is None:
            raise
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        output.error(f"your network failed: {what} ({place})")
        sys.exit(2)


def _with_home(argument: str) -> str:
    """Return --option=~/path with the home folder written out, as shells do for words that begin
    with ~, but not behind =.
    """
    name, equals, value = argument.partition("=")
    is_home = name.startswith("-") and value.split("/")[0] == "~"
    return f"{name}{equals}{os.path.expanduser(value)}" if is_home else argument


def _check_options(arguments: list[str]) -> None:
    """Refuse names of options that Typer would print as they are, and empty values: what a shell
    makes of a variable that is not set must not stand for a default.
    """
    for before, argument in itertools.pairwise(["", *arguments]):
        name, equals, value = argument.partition("=")
        if not argument or (name.startswith("--") and equals and not value):
            option = name or (before if before.startswith("-") else "an argument")
            raise ValueError(
                f"{option} is empty, perhaps by a variable that is not set; give it a value, or "
                "leave it away; see autocnn --help"
            )
        if name.startswith("-") and visible(name) != name:
            raise ValueError(f"there is no option {name}; see autocnn --help")


def _exit_closed_pipe() -> NoReturn:
    output.close_streams()
    sys.exit(141)
