"""Calls of ``autocnn train`` that train a tiny network for three epochs."""

from typer.testing import CliRunner

from autocnn.cli import app


def autocnn(*args):
    """Run a command and return its result; ValueErrors come through, as they do to
    ``autocnn.cli.main``.
    """
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if isinstance(result.exception, ValueError):
        raise result.exception
    return result


TRAIN = ("train", "tiny-cnn", "--epochs", 3, "--rate", 0.2, "--batch-size", 7)


def short(images, folder, *more):
    """The call that trains on ``images`` into a new folder."""
    return (*TRAIN, "--data", images, "--out", folder, *more)


def files(folder):
    """What a finished run has left, but for its figures."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".png"}


def begun(images, folder, *more):
    """The call that makes ``trained``, with --run: it begins the run, and goes on with it."""
    return autocnn(*TRAIN, "--data", images, "--run", folder, *more)
