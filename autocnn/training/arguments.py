"""The arguments of ``train``: checked, cast to the parameters' dtype, and given defaults."""

import contextlib
from typing import Any

import numpy as np

from autocnn.ops.arguments import integer
from autocnn.training.state import Run, TrainState
from autocnn.trees import count

__all__ = [
    "check_choice",
    "check_methods",
    "check_monitor",
    "check_start",
    "check_targets",
    "even_subset",
    "limit_threads",
]


def check_methods(model: Any, optimizer: Any) -> None:
    """Raise ValueError for anything but a network and an optimizer, or None for a default.

    Such as the function that builds one, or a learning rate.
    """
    network = "a network, such as model=ac.models.tiny_cnn()"
    sgd = "an optimizer, such as optimizer=ac.optim.sgd(0.1)"
    for name, value, methods, needed in (
        ("model", model, ("apply", "loss_and_grad"), network),
        ("optimizer", optimizer, ("init", "update"), sgd),
    ):
        if value is None or all(callable(getattr(value, method, None)) for method in methods):
            continue
        function = getattr(value, "__name__", "") if callable(value) else ""
        got = f"the function {function}, which makes one when it is called"
        raise ValueError(f"{name} must be {needed}; got {got if function else repr(value)}")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError for an option whose value is not one of its choices."""
    if value not in choices:
        *first, last = map(repr, choices)
        raise ValueError(f"{name} must be {', '.join(first)} or {last}; got {value!r}")


def check_targets(
    y: np.ndarray, class_weight: Any, monitor: str, patience: int | None, restore: str
) -> None:
    """Raise ValueError for options that need labels (N,) where the targets are not labels."""
    if y.dtype.kind in "iu" and y.ndim == 1:
        return
    if class_weight is not None:
        raise ValueError(f"class_weight needs integer labels (N,), got targets of {y.shape}")
    if monitor.endswith("_acc") and (patience is not None or restore == "best"):
        raise ValueError(
            f"targets of shape {y.shape} are not labels and have no accuracy: pass "
            "monitor='val_loss' beside patience= or restore='best'"
        )


def check_start(start: Any) -> None:
    """Raise ValueError for anything but a ``TrainState`` or None."""
    if not isinstance(start, TrainState | None):
        hint = "; this is a whole Run: pass start=run.train_state" if isinstance(start, Run) else ""
        raise ValueError(
            f"start must be the TrainState of a run to go on from; got {type(start).__name__}{hint}"
        )


def check_monitor(
    has_validation: bool, monitor: str, patience: int | None, restore: str, start: TrainState | None
) -> None:
    """Raise ValueError for a monitor of validation images where there are none, if it is used, and
    for a start whose history has other columns than this run's.
    """
    used = patience is not None or restore == "best"
    if used and not has_validation and monitor.startswith("val_"):
        raise ValueError(
            f"there are no validation images to tell the best epoch by ({monitor}): hold some out "
            "by validation=0.2, or pass monitor='train_loss'"
        )
    if start is not None and start.history and ("val_loss" in start.history) != has_validation:
        raise ValueError(
            f"start is of a run with{'out' if has_validation else ''} validation images; pass the "
            "same data and validation= to go on with it"
        )


def even_subset(n: int, size: int | None) -> slice | np.ndarray:
    """Return indices of ``size`` of n images, evenly spread; all of them for None."""
    if size is None or integer(size, "metric_subset") >= n:
        return slice(None)
    return np.arange(size) * n // size


def limit_threads(params: Any, batch_size: int) -> contextlib.AbstractContextManager:
    """Return a context in which a tiny network trains with one thread of BLAS: its matrix products
    are over before a second thread has woken.
    """
    if batch_size * count(params) > 1e6:
        return contextlib.nullcontext()
    from autocnn.fast import threadpool

    return threadpool.single_threaded_blas()
