"""Commands on several ranks: rank 0 alone prints and writes files."""

import contextlib
import functools
import io
import time
from collections.abc import Callable
from typing import Any

import typer

from autocnn.training import mpi

__all__ = ["on_all_ranks"]


def on_all_ranks(command: Callable) -> Callable:
    """Wrap a command so that mpiexec can start it on several ranks.

    Rank 0 alone prints. A rank on which the command fails ends all others with its message.
    """

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        world = mpi.world()
        if world.size == 1:
            command(*args, **kwargs)
            return
        hidden, rank = io.StringIO(), f"rank {world.rank} of {world.size}: " if world.rank else ""
        try:
            with contextlib.ExitStack() as stack:
                if world.rank:
                    stack.enter_context(contextlib.redirect_stdout(hidden))
                    stack.enter_context(contextlib.redirect_stderr(hidden))
                command(*args, **kwargs)
            finished = world.comm.Ibarrier()
            while not finished.Test():  # a plain Barrier would keep the processor busy meanwhile
                time.sleep(0.01)
        except ValueError as error:
            mpi.abort(world, f"autocnn: {rank}{error}", 2)
        except typer.Exit as end:
            mpi.abort(world, "\n".join(hidden.getvalue().splitlines()[-1:]), end.exit_code)

    return wrapper
