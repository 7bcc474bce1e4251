"""The command line: one file a command; results on stdout, progress on stderr, exit code 2 for
bad input.
"""

import sys
from typing import Annotated

import typer

import autocnn
from autocnn.cli import (
    chapter,
    check,
    check_kernel,
    data,
    evaluate,
    exercise,
    export,
    filters,
    output,
    predict,
    summary,
    sweep,
    trace,
    train,
)

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(chapter.chapter)
app.command()(exercise.exercise)
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(sweep.sweep)
app.command()(predict.predict)
app.command()(trace.trace)
app.command()(filters.filters)
app.command()(summary.summary)
app.command()(export.export)
app.command()(check.check)
app.command()(check_kernel.check_kernel)
app.add_typer(data.app, name="data")


def _tell_version(wanted: bool):
    if wanted:
        typer.echo(f"autocnn {autocnn.__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_tell_version, is_eager=True
        ),
    ] = False,
):
    """Convolutional networks, written once and differentiated twice: by autograd and by hand.

    \b
    Examples:
      autocnn chapter
      autocnn summary resnet50
      autocnn train lenet5 --data fashion-mnist
      autocnn predict runs/lenet5-fashion-mnist shoe.png

    Results go to stdout, as JSON with --json; progress and errors go to stderr.
    The exit code is 0, 1 when something went wrong or a check failed, 2 for a bad
    command line or bad input, 130 after Ctrl-C, 141 when the pipe was closed.
    """


def main():
    """Run the command line. What a user did wrong is one line on stderr and exit code 2, what the
    machine did exit code 1.

    Ctrl-C is exit code 130; 141, as of any program that SIGPIPE ends, when whoever reads the output
    has closed the pipe.
    """
    output.prepare_streams()
    try:
        app(prog_name="autocnn")
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # which Typer ends with 1
            _closed()
        raise
    except BrokenPipeError:
        _closed()
    except KeyboardInterrupt:
        sys.exit(130)
    except ValueError as error:
        _end(2, error)
    except ImportError as error:  # a package of an extra, which the message names
        _end(1, error)
    except MemoryError as error:
        _end(1, f"not enough memory: {error}" if str(error) else "not enough memory")
    except OSError as error:
        _end(
            1, f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        )


def _end(code, words):
    typer.echo(f"autocnn: {words}", err=True)
    sys.exit(code)


def _closed():
    output.close_streams()
    sys.exit(141)
