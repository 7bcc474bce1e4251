"""A fitted ``CNNClassifier`` as a file: safetensors with JSON, which runs no code when it is read,
and ONNX.
"""

import contextlib
import math
import numbers
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from autocnn import checkpoint
from autocnn.export import save_onnx
from autocnn.runs.preprocessing import Inputs
from autocnn.text import visible
from autocnn.training.evaluation import probabilities
from autocnn.trees import leaves
from reference.warn import warn

if TYPE_CHECKING:
    from autocnn.sklearn.classifier import CNNClassifier

__all__ = ["export", "load", "save"]

FITTED = ("n_features_in_", "epoch_", "n_iter_", "history_", "loss_curve_", "temperature_")
PRIVATE = ("_mean", "_std", "_seed")
TINY = 1e-30  # below any standard deviation that images have; dividing by less overflows
KIND = "autocnn.sklearn.CNNClassifier"


def save(estimator: "CNNClassifier", path: str | Path) -> None:
    """Write a fitted estimator to a safetensors file. ValueError for labels that JSON cannot hold.

    Settings that are no plain values (a function as network, an ``Optimizer``, a ``RandomState``)
    are named in the file but not stored.
    """
    check_is_fitted(estimator, "params_")
    settings = {name: _plain(value) for name, value in estimator.get_params(deep=False).items()}
    fitted = {name: getattr(estimator, name) for name in FITTED if hasattr(estimator, name)}
    about = {
        "kind": KIND,
        "settings": {name: value for name, value in settings.items() if "left_out" not in value},
        "left_out": {name: v["left_out"] for name, v in settings.items() if "left_out" in v},
        "classes": _labels(estimator.classes_),
        "image_shape": list(estimator.image_shape_),
        "fitted": fitted,
        "private": {name: getattr(estimator, name) for name in PRIVATE},
        "feature_names": list(getattr(estimator, "feature_names_in_", [])),
    }
    trees = {"network": estimator.state_, "optimizer": estimator._opt_state or {}}
    checkpoint.save(path, estimator.params_, trees, about)


def load(cls: type["CNNClassifier"], path: str | Path, **settings: Any) -> "CNNClassifier":
    """Read what ``save`` wrote.

    settings: in place of those in the file. A network that is a function must be given. ValueError
    for another kind of file, and as ``checkpoint.load`` for a damaged one.
    """
    params, state, about = checkpoint.load(path)
    if about.get("kind") != KIND:
        raise ValueError(f"{path} holds no {KIND}; it was not written by its save(path)")
    with _damage(path):
        given, left_out = _settings(cls, about)
    missing = {name: text for name, text in left_out.items() if name not in settings}
    if "network" in missing:
        raise ValueError(
            f"{path} was fitted with a function as network, {missing['network']}, which no file "
            "holds: CNNClassifier.load(path, network=the function)"
        )
    if missing:
        text = ", ".join(f"{name}={value}" for name, value in missing.items())
        names = ", ".join(f"{name}=..." for name in missing)
        warn(
            f"{path} does not hold {text}, which fit would use: CNNClassifier.load(path, {names})",
        )
    estimator = cls(**(given | settings))
    with _damage(path):
        _restore(estimator, about)
        estimator.params_, estimator.state_ = params, state["network"]
        estimator._opt_state = state["optimizer"] or None
        _try(estimator)
    return estimator


@contextlib.contextmanager
def _damage(path: str | Path) -> Iterator[None]:
    """Make one ValueError of what a description that makes no sense leads to."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        text = visible(" ".join(f"{error}".split()))
        raise ValueError(
            f"{path} is damaged, or of other settings: {type(error).__name__}: {text:.300}"
        ) from error


def _settings(
    cls: type["CNNClassifier"], about: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings in the file, and {name: text} of those that it only names."""
    given = {name: _unplain(value) for name, value in about["settings"].items()}
    left_out = {name: visible(text) for name, text in about["left_out"].items()}
    known = cls._get_param_names()
    unknown = [name for name in (*given, *left_out) if name not in known]
    if unknown:
        raise ValueError(f"there is no setting {unknown[0]!r}")
    return given, left_out


def _restore(estimator: "CNNClassifier", about: dict[str, Any]) -> None:
    """Give an estimator what its description says of the fit."""
    for names, values in ((FITTED, about["fitted"]), (PRIVATE, about["private"])):
        for name, value in values.items():
            if name not in names:
                raise ValueError(f"there is no attribute {name!r}")
            setattr(estimator, name, value)
    temperature = getattr(estimator, "temperature_", 1.0)
    if type(temperature) is not float or not 0 < temperature < math.inf:
        raise ValueError("its temperature makes no sense")
    values, dtype = about["classes"]["values"], np.dtype(about["classes"]["dtype"])
    classes = np.array(values, dtype)
    if classes.ndim != 1 or dtype.kind not in "iubfUO" or classes.tolist() != values:
        raise ValueError("its classes are not labels")
    estimator.classes_ = classes
    shape = estimator.image_shape_ = tuple(about["image_shape"])
    are_sizes = len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)
    if not are_sizes or estimator.n_features_in_ != math.prod(shape):
        raise ValueError(f"its images of {shape} do not have {estimator.n_features_in_} numbers")
    numbers = [estimator._mean, estimator._std]
    if not np.isfinite(numbers).all() or estimator._std < TINY or type(estimator._seed) is not int:
        raise ValueError("its scaling or its seed makes no sense")
    if features := about["feature_names"]:
        if len(features) != estimator.n_features_in_ or not all(
            isinstance(name, str) for name in features
        ):
            raise ValueError("its features' names are not one for each number of an image")
        estimator.feature_names_in_ = np.array(features, object)


def _try(estimator: "CNNClassifier") -> None:
    """Answer for an image of zeros, which fails where parameters do not fit the network."""
    x = np.zeros((1, *estimator.image_shape_), leaves(estimator.params_)[0][1].dtype)
    found = probabilities(estimator._model(), estimator.params_, estimator.state_, x)
    if found.shape != (1, len(estimator.classes_)):
        raise ValueError(f"the network has {found.shape[1]} outputs for its classes")


def export(estimator: "CNNClassifier", path: str | Path, **options: Any) -> None:
    """Write a fitted estimator as an ONNX file, with its scaling as the graph's first nodes."""
    check_is_fitted(estimator, "params_")
    low, high = -estimator._mean / estimator._std, (1 - estimator._mean) / estimator._std
    save_onnx(
        path,
        estimator._model(),
        estimator.params_,
        estimator.state_,
        estimator.image_shape_,
        _labels(estimator.classes_)["values"],
        Inputs(0, low, high),
        **options,
    )


def _labels(classes: np.ndarray) -> dict[str, Any]:
    """Return labels as JSON can hold them. ValueError for others than numbers, words and bools."""
    values = classes.tolist()
    if classes.dtype.kind == "O" and all(isinstance(v, str) for v in values):
        return {"dtype": "object", "values": values}
    if classes.dtype.kind not in "iubfU":
        raise ValueError(
            f"classes of dtype {classes.dtype} cannot be written: fit with labels that are numbers "
            "or strings, such as y.astype(str)"
        )
    return {"dtype": classes.dtype.str, "values": values}


def _plain(value: Any) -> dict[str, Any]:
    """Return a setting as JSON can hold it, or its text where it is no plain value."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | numbers.Real):
        return {"value": value}
    if isinstance(value, tuple | list) and all("value" in _plain(v) for v in value):
        return {"tuple": [_plain(v)["value"] for v in value]}
    if isinstance(value, dict) and all("value" in _plain(v) for kv in value.items() for v in kv):
        return {"items": [[_plain(k)["value"], _plain(v)["value"]] for k, v in value.items()]}
    name = getattr(value, "__qualname__", None)
    return {"left_out": f"{value.__module__}.{name}" if name else repr(value)}


def _unplain(value: dict[str, Any]) -> Any:
    if "tuple" in value:
        return tuple(value["tuple"])
    return dict(value["items"]) if "items" in value else value["value"]
