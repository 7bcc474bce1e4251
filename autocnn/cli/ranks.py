"""Commands on several ranks: rank 0 alone prints and writes files."""

import contextlib
import functools
import io
from collections.abc import Callable
from typing import Any

import typer

from autocnn.cli import errors
from autocnn.training import agreement, mpi

__all__ = ["meet", "on_all_ranks", "stop_on_any_rank"]


def on_all_ranks(command: Callable) -> Callable:
    """Wrap a command so that mpiexec can start it on several ranks.

    Rank 0 alone prints. A rank on which the command fails ends all others, and it alone says why:
    of several ranks the first.
    """

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        world = mpi.world()
        if world.size == 1:
            command(*args, **kwargs)
            return
        hidden, name = io.StringIO(), f"rank {world.rank} of {world.size}: " if world.rank else ""
        try:
            with contextlib.ExitStack() as stack:
                if world.rank:
                    stack.enter_context(contextlib.redirect_stdout(hidden))
                    stack.enter_context(contextlib.redirect_stderr(hidden))
                command(*args, **kwargs)
            agreement.come_to_end(world)
        except typer.Exit as end:
            message, code = "\n".join(hidden.getvalue().splitlines()[-1:]), end.exit_code
        except errors.EXPECTED as error:
            code, message = errors.describe(error)
            message = f"autocnn: {name}{message}"
        else:
            return
        agreement.end_job(world, message, code)
        raise typer.Exit(code)

    return wrapper


def stop_on_any_rank(number: int) -> int:
    """Return the signal that stops the command on any of the ranks, 0 for none: all stop after the
    same step. Every rank must call this.
    """
    world = mpi.world()
    return number if world.size == 1 else agreement.exchange(world, stop=number)


def meet() -> None:
    """Wait until all ranks are here, however long it takes: none ends while rank 0 still saves, for
    then mpiexec would end rank 0 too.
    """
    world = mpi.world()
    if world.size > 1:
        agreement.exchange(world)
