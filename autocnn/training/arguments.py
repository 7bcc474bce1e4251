"""The arguments of ``train``: checked, cast to the parameters' dtype, and given defaults."""

import contextlib
from typing import Any

import numpy as np

from autocnn import models
from autocnn.ops.arguments import integer
from autocnn.training.state import Run, TrainState
from autocnn.trees import count, leaves
from reference import validate

__all__ = [
    "cast_data",
    "check_choice",
    "check_methods",
    "check_start",
    "check_targets",
    "even_subset",
    "limit_threads",
    "tiny_cnn_of",
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
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}; got {value!r}")


def check_targets(
    y: np.ndarray, class_weight: Any, monitor: str, patience: int | None, restore: str
) -> None:
    """Raise ValueError for options that need labels (N,) where the targets are not labels."""
    if y.dtype.kind in "iu" and y.ndim == 1:
        return
    if class_weight is not None:
        raise ValueError(f"class_weight needs integer labels (N,), got targets of {y.shape}")
    if monitor == "val_acc" and (patience is not None or restore == "best"):
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


def cast_data(params: Any, data: Any) -> tuple[np.ndarray, ...]:
    """Check the data and return (x, y, x_val, y_val), the images in the parameters' dtype."""
    if isinstance(params, tuple) and len(params) == 3 and isinstance(params[0], tuple):
        raise ValueError(
            "params are all that init returns, (out_shape, params, state): pass "
            "out_shape, params, state = model.init(key, shape), then train(params, data, ...)"
        )
    pairs = leaves(params)
    if not pairs:
        raise ValueError(
            "there is nothing to train: params have no leaves; make them by model.init(key, shape)"
        )
    for path, leaf in pairs:
        validate.floats(f"params leaf '{path}'", leaf)
    x, y, x_val, y_val = map(np.asarray, _four_arrays(data))
    for name, images in (("x_train", x), ("x_val", x_val)):
        if len(images) == 0:
            raise ValueError(
                f"data.{name} is empty; a data set needs at least one image for training and one "
                "for validation"
            )
        if images.dtype.kind in "iu":
            raise ValueError(
                f"data.{name} must be floats in [0, 1], got {images.dtype}; scale them: "
                "images.astype('float32') / 255, or ac.data.from_arrays(images, labels)"
            )
        validate.floats(f"data.{name}", images)
    dtype = pairs[0][1].dtype
    return x.astype(dtype, copy=False), y, x_val.astype(dtype, copy=False), y_val


def _four_arrays(data: Any) -> list[Any]:
    """Return x_train, y_train, x_val and y_val of a data set, a dict or a tuple of four."""
    names = ("x_train", "y_train", "x_val", "y_val")
    if isinstance(data, dict) and set(names) <= set(data):
        return [data[name] for name in names]
    if all(hasattr(data, name) for name in names):
        return [getattr(data, name) for name in names]
    if isinstance(data, tuple | list) and len(data) == 4:
        return list(data)
    got = type(data).__name__
    if isinstance(data, tuple | list):
        got += f" of {len(data)}"
    pair = isinstance(data, tuple | list) and len(data) == 2
    make = "ac.data.from_arrays(*data)" if pair else "ac.data.from_arrays(images, labels)"
    if isinstance(data, str):
        make = f"ac.data.load({data!r})"
    raise ValueError(f"data needs x_train, y_train, x_val and y_val, got {got}; use {make}")


def tiny_cnn_of(params: Any) -> Any:
    """Return the fast TinyCNN whose parameters these are, its sizes read off their shapes."""
    from autocnn import fast  # costs a tenth of a second, which only training should pay

    shapes = {path: np.shape(leaf) for path, leaf in leaves(params)}
    w, out = shapes.get("0.w", ()), shapes.get("4.w", ())
    if list(shapes) != ["0.w", "0.b", "4.w", "4.b"] or len(w) != 4 or len(out) != 2:
        raise ValueError(
            "train assumes TinyCNN, whose leaves are 0.w, 0.b, 4.w and 4.b; these params have "
            f"{', '.join(shapes) or 'none'}. Pass the network that they belong to: "
            "train(params, data, model=...)"
        )
    return models.tiny_cnn(classes=out[1], filters=w[0], kernel=w[2:], nn=fast)


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
