"""Data for ``CNNClassifier``: images, labels and weights, checked and scaled."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import validate_data

from autocnn.fast.predictor import predictor
from autocnn.runs.answers import network_outputs
from autocnn.runs.calibration import calibrate
from autocnn.sklearn.images import (
    flatten,
    float_dtype,
    from_tensor,
    image_shape,
    mean_and_std,
    shape_of_row,
    split_validation,
    warn_ambiguous_row,
)
from autocnn.text import shape_text
from autocnn.training import Run
from autocnn.training.sample_weight import example_weights as normalized_weights
from autocnn.trees import leaves

__all__ = [
    "divide",
    "example_weights",
    "go_on",
    "temperature",
    "validate_again",
    "validate_first",
]


def validate_first(
    estimator: Any, X: Any, y: Any, classes: Any, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Set the labels, the images' shape and their scale; return x (N, C, H, W), y as indices
    (N,), and weights.
    """
    X, y = from_tensor(X), _one_column(y)
    shape = image_shape(X)
    rows, y = validate_data(estimator, flatten(X), y, dtype=float_dtype(X))
    check_classification_targets(y)
    estimator.classes_ = np.unique(y) if classes is None else unique_labels(classes)
    estimator.image_shape_ = shape or shape_of_row(rows.shape[1], estimator.image_shape)
    if shape is None and estimator.image_shape is None:
        warn_ambiguous_row(rows.shape[1])
    y = _label_indices(estimator, y)
    weights = normalized_weights(y, len(estimator.classes_), sample_weight)
    estimator._mean, std = mean_and_std(rows, weights)
    estimator._std = std or 1.0
    return _scale_rows(estimator, rows), y, example_weights(estimator, y, sample_weight)


def go_on(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple:
    """Check data for parameters that are there; return them as well."""
    x, y = validate_again(estimator, X, y)
    weight = example_weights(estimator, y, sample_weight)
    return x, y, weight, estimator._model(), estimator.params_, estimator.state_


def validate_again(
    estimator: Any, X: Any, y: Any = "no_validation", dtype: Any = None
) -> list[np.ndarray]:
    """Return [x] or [x, y as indices], for a network that was fitted or is about to be."""
    X, y = from_tensor(X), _one_column(y)
    one = estimator.image_shape_[1:]
    if isinstance(X, np.ndarray) and X.shape == one != (1, estimator.n_features_in_):
        raise ValueError(f"X is one image of {shape_text(one, 'x')}; pass X[None]")
    shape = image_shape(X)
    if shape not in (None, estimator.image_shape_):
        raise ValueError(
            f"X has images of shape {shape}, but the network was fitted to images of "
            f"{estimator.image_shape_}"
        )
    dtype = leaves(estimator.params_)[0][1].dtype if dtype is None else dtype
    checked = validate_data(estimator, flatten(X), y, reset=False, dtype=dtype)
    if not isinstance(checked, tuple):
        return [_scale_rows(estimator, checked)]
    rows, y = checked
    return [_scale_rows(estimator, rows), _label_indices(estimator, y)]


def _scale_rows(estimator: Any, rows: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, C, H, W), (rows - mean) / std in the same dtype."""
    number = rows.dtype.type
    return ((rows - number(estimator._mean)) / number(estimator._std)).reshape(
        -1, *estimator.image_shape_
    )


def _one_column(y: Any) -> Any:
    y = from_tensor(y)
    if getattr(y, "ndim", 1) == 2 and y.shape[1] > 1:
        raise ValueError(
            f"y should be a 1d array of labels, got shape {y.shape}; "
            "of one-hot rows, pass y.argmax(axis=1)"
        )
    return y


def _label_indices(estimator: Any, y: np.ndarray) -> np.ndarray:
    unknown = np.setdiff1d(y, estimator.classes_)
    if len(unknown):
        raise ValueError(
            f"y has labels that are not among the classes {estimator.classes_}: {unknown}"
        )
    return np.searchsorted(estimator.classes_, y)


def example_weights(estimator: Any, y: np.ndarray, sample_weight: Any) -> np.ndarray | None:
    """Return each image's weight by ``class_weight`` and sample_weight, None for equal ones."""
    class_weight = estimator.class_weight
    if isinstance(class_weight, Mapping):
        labels = estimator.classes_.tolist()
        unknown = [label for label in class_weight if label not in labels]
        if unknown:
            raise ValueError(
                f"class_weight names labels that are not among the classes {estimator.classes_}: "
                f"{unknown}"
            )
        class_weight = [class_weight.get(label, 1.0) for label in labels]
    return normalized_weights(y, len(estimator.classes_), sample_weight, class_weight)


def divide(
    estimator: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None, validation_data: Any
) -> tuple[tuple[np.ndarray, ...], np.ndarray | None]:
    """Return (x, y) or, with data to validate on, (x, y, x_val, y_val); and weights."""
    if validation_data is not None:
        if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
            raise ValueError(
                "validation_data is a pair (X, y), as in fit(X, y, validation_data=(X2, y2)); "
                f"got {type(validation_data).__name__}"
            )
        images, labels = validation_data
        return (x, y, *validate_again(estimator, images, labels, dtype=x.dtype)), weight
    if not estimator.early_stopping:
        return (x, y), weight
    kept, held_out = split_validation(y, estimator.validation_fraction, estimator._seed)
    weight = None if weight is None else weight[kept]
    return (x[kept], y[kept], x[held_out], y[held_out]), weight


def temperature(model: Any, run: Run, parts: tuple[np.ndarray, ...]) -> float:
    """The temperature of ``runs.calibration`` that fits a trained network's outputs to the data to
    validate on, the last two of four parts; 1 where there is none or too little of it.
    """
    if len(parts) < 4:
        return 1.0
    outputs_of = predictor(model, run.params, run.state, copy=False)
    found = calibrate(network_outputs(outputs_of, parts[2]), parts[3])
    return 1.0 if found is None else found.temperature
