"""A fitted ``CNNClassifier`` as a file: safetensors with JSON, which runs no code when it is read,
and ONNX.
"""

import numbers
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from autocnn import checkpoint
from autocnn.export import save_onnx
from autocnn.runs.preprocessing import Inputs

if TYPE_CHECKING:
    from autocnn.sklearn.classifier import CNNClassifier

__all__ = ["export", "load", "save"]

FITTED = ("n_features_in_", "epoch_", "n_iter_", "history_", "loss_curve_")
PRIVATE = ("_mean", "_std", "_seed")
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
    missing = {name: text for name, text in about["left_out"].items() if name not in settings}
    if "network" in missing:
        raise ValueError(
            f"{path} was fitted with a function as network, {missing['network']}, which no file "
            "holds: CNNClassifier.load(path, network=the function)"
        )
    if missing:
        text = ", ".join(f"{name}={value}" for name, value in missing.items())
        names = ", ".join(f"{name}=..." for name in missing)
        warnings.warn(
            f"{path} does not hold {text}, which fit would use: CNNClassifier.load(path, {names})",
            UserWarning,
            stacklevel=3,
        )
    given = {name: _unplain(value) for name, value in about["settings"].items()}
    estimator = cls(**(given | settings))
    for name, value in (about["fitted"] | about["private"]).items():
        setattr(estimator, name, value)
    estimator.classes_ = np.array(about["classes"]["values"], about["classes"]["dtype"])
    estimator.image_shape_ = tuple(about["image_shape"])
    if about["feature_names"]:
        estimator.feature_names_in_ = np.array(about["feature_names"], object)
    estimator.params_, estimator.state_ = params, state["network"]
    estimator._opt_state = state["optimizer"] or None
    return estimator


def export(estimator: "CNNClassifier", path: str | Path, **options: Any) -> None:
    """Write a fitted estimator as an ONNX file, with its scaling as the graph's first nodes."""
    check_is_fitted(estimator, "params_")
    low, high = -estimator._mean / estimator._std, (1 - estimator._mean) / estimator._std
    save_onnx(
        path,
        estimator._make_model(),
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
