"""The command line: one file a command; results on stdout, progress on stderr, exit code 2 for bad input."""

import sys

import typer

from autocnn.cli import chapter, check, data, exercise, output, predict, summary, sweep, train

__all__ = ["app", "main"]

app = typer.Typer(
    help="Convolutional networks, written once and differentiated twice: by autograd and by hand.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(chapter.chapter)
app.command()(exercise.exercise)
app.command()(train.train)
app.command()(train.evaluate)
app.command()(sweep.sweep)
app.command()(predict.predict)
app.command()(predict.trace)
app.command()(predict.filters)
app.command()(summary.summary)
app.command()(predict.export)
app.command()(check.check)
app.add_typer(data.app, name="data")


def main():
    """Run the command line. What a user did wrong is one line on stderr and exit code 2, what the machine did exit code 1.

    Ctrl-C is exit code 130; 141, as of any program that SIGPIPE ends, when whoever reads the output has closed the pipe.
    """
    output.prepare()
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
        _end(1, f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error)


def _end(code, words):
    typer.echo(f"autocnn: {words}", err=True)
    sys.exit(code)


def _closed():
    output.close()
    sys.exit(141)
