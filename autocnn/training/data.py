"""The data of ``train``: a ``Dataset``, a dict or tuple of arrays, or (x, y) and ``validation``."""

from typing import Any, NamedTuple

import numpy as np

from autocnn.data.labels import hold_out
from autocnn.data.scale import warn_unscaled
from autocnn.trees import leaves
from reference import validate

__all__ = ["TrainingData", "training_data"]

NAMES = ("x_train", "y_train", "x_val", "y_val")


class TrainingData(NamedTuple):
    """Images in the parameters' dtype with their labels; x_val and y_val are None for none.

    kept: indices of the images that are trained on among those that were passed.
    """

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray | None
    y_val: np.ndarray | None
    kept: slice | np.ndarray


def training_data(params: Any, data: Any, validation: Any) -> TrainingData:
    """Check the data and return what is trained and validated on, images in params' dtype.

    validation: a pair (x, y), the share of the training images to hold out, or None. ValueError
    for parameters without leaves, data that do not fit, and a validation beside that of the data.
    """
    dtype = _dtype(params)
    x_train, y_train, x_held, y_held = _arrays(data)
    x, y = np.asarray(x_train), np.asarray(y_train)
    x_val = None if x_held is None else np.asarray(x_held)
    y_val = None if x_held is None else np.asarray(y_held)
    kept: slice | np.ndarray = slice(None)
    if validation is not None:
        if x_val is not None:
            raise ValueError(
                "data hold validation images already, and validation= names others: pass "
                "(x_train, y_train) with validation="
            )
        if isinstance(validation, tuple | list):
            if len(validation) != 2:
                raise ValueError(
                    "validation must be a share such as 0.2, or a pair (x, y); got "
                    f"{len(validation)} values"
                )
            x_val, y_val = map(np.asarray, validation)
        else:
            if len(x) != len(y):
                raise ValueError(f"there are {len(x)} images and {len(y)} labels in data")
            strata = y if y.ndim == 1 and y.dtype.kind in "iu" else np.zeros(len(x), int)
            held = hold_out(strata, validation)
            kept = np.flatnonzero(~held)
            x, y, x_val, y_val = x[kept], y[kept], x[held], y[held]
    for name, images in (("x_train", x), ("x_val", x_val)):
        if images is not None:
            _check_images(name, images)
    warn_unscaled(x, "data.x_train")
    x = x.astype(dtype, copy=False)
    return TrainingData(
        x, y, None if x_val is None else x_val.astype(dtype, copy=False), y_val, kept
    )


def _dtype(params: Any) -> np.dtype:
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
    if pairs[0][0] == "" and not hasattr(params, "dtype"):  # a network, its name, a module of torch
        raise ValueError(
            f"params must be a tree of float arrays, got {type(params).__name__}; draw them by "
            "_, params, _ = model.init(0, data.x_train.shape[1:]) and call "
            "ac.train(params, data, model=model), where model is a network such as "
            "ac.models.lenet5()"
        )
    for path, leaf in pairs:
        validate.floats(f"params leaf '{path}'", leaf)
    return pairs[0][1].dtype


def _check_images(name: str, images: np.ndarray) -> None:
    if images.ndim == 0 or len(images) == 0:
        raise ValueError(f"data.{name} is empty; a data set needs at least one image")
    if images.dtype.kind in "iu":
        raise ValueError(
            f"data.{name} must be floats in [0, 1], got {images.dtype}; scale them: "
            "images.astype('float32') / 255, or ac.data.from_arrays(images, labels)"
        )
    validate.floats(f"data.{name}", images)


def _arrays(data: Any) -> list[Any]:
    """Return x_train, y_train, x_val and y_val of a data set, a dict or a tuple of four, the last
    two None where there is nothing to validate on.
    """
    if isinstance(data, dict):
        if set(NAMES) <= set(data):
            return [data[name] for name in NAMES]
        if set(NAMES[:2]) <= set(data) and not set(NAMES[2:]) & set(data):
            return [data["x_train"], data["y_train"], None, None]
    if all(hasattr(data, name) for name in NAMES):
        return [getattr(data, name) for name in NAMES]
    if isinstance(data, tuple | list) and len(data) == 4:
        return list(data)
    if isinstance(data, tuple | list) and len(data) == 2:
        if isinstance(data[0], tuple | list) and len(data[0]) == 2 and len(data[1]) == 2:
            return [*data[0], *data[1]]  # as Keras' load_data returns them
        return [*data, None, None]
    got = type(data).__name__
    if isinstance(data, tuple | list):
        got += f" of {len(data)}"
    if isinstance(data, dict):
        got += f" with {', '.join(map(str, list(data)[:6]))}"
    make = "ac.data.from_arrays(images, labels)"
    if isinstance(data, str):
        make = f"ac.data.load({data!r})"
    raise ValueError(
        f"data needs x_train, y_train, x_val and y_val, got {got}; use {make}, or pass (x, y)"
    )
