"""A time limit for one call of a kernel, which may hang inside C."""

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.problem import CallError

__all__ = ["Stage", "within"]


class Stage:
    """Which pass of a call runs now: "forward" or "backward"."""

    now = "forward"


def within(
    thunk: Callable[[Stage], Any],
    seconds: float,
    label: str,
    arguments: dict[str, np.ndarray],
    reword: bool = True,
) -> Any:
    """`thunk(stage)` in a thread, or CallError when it takes longer than `seconds`. What it raises
    is raised here, as a CallError of one line where `reword` is True."""
    found: list[tuple[bool, Any]] = []
    stage = Stage()

    def work() -> None:
        try:
            found.append((True, thunk(stage)))
        except BaseException as error:  # handed to the caller's thread
            found.append((False, error))

    context = contextvars.copy_context()  # NumPy's error settings
    worker = threading.Thread(target=context.run, args=(work,), daemon=True)
    worker.start()
    worker.join(seconds)
    if not found:
        shapes = ", ".join(f"{n} {np.shape(a)}" for n, a in arguments.items())
        raise CallError(
            f"{label}: {stage.now} did not return within {seconds:g} s for {shapes}: it hangs, or "
            "pass a larger timeout="
        )
    good, value = found[0]
    if good:
        return value
    if isinstance(value, CallError) or not reword:
        raise value
    message = (str(value).strip().splitlines() or [""])[0]
    raise CallError(f"{label} raised {type(value).__name__}: {message}") from value
