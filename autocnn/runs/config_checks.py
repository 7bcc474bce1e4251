"""What a setting of a run's config may be in JSON, so that no reader has to check it again."""

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["CHECKS", "REQUIRED"]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_identity(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{32}", value))


def _is_data(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _is_natural(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_count(value: Any) -> bool:
    return _is_natural(value) and value > 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= 1e9  # nor NaN


def _is_float(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= 1e308


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_options(value: Any) -> bool:
    return isinstance(value, dict) and all(name.isidentifier() for name in value)


def _is_sum(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("([0-9a-f]{64})?", value))


def _is_size(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", value))


def _is_share(value: Any) -> bool:
    return type(value) is float and 0 < value < 1


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_count, value))


def _is_class_weight(value: Any) -> bool:
    return value in (None, "balanced")


def _optional(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _object(
    checks: Mapping[str, Callable[[Any], bool]], required: tuple[str, ...] = ()
) -> Callable[[Any], bool]:
    """Return the check of a JSON object: known fields only, each of which passes its check."""

    def check(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and {*required} <= value.keys() <= checks.keys()
            and all(checks[name](part) for name, part in value.items())
        )

    return check


_INPUTS = {"pad": _is_natural, "low": _is_number, "high": _is_number}
_RECIPE = {
    "epochs": _is_count,
    "batch_size": _is_count,
    "optimizer": _is_text,
    "rate": _is_float,
    "weight_decay": _is_float,
    "warmup": _is_float,
    "clip": _optional(_is_float),
    "shift": _is_natural,
    "flip": _is_flag,
    "schedule": _is_text,
    "patience": _optional(_is_count),
    "class_weight": _is_class_weight,
    "label_smoothing": _is_float,
    "augment": _is_text,
}
# What each setting may be in JSON: which of the names and numbers exist is for their users to say.
CHECKS = {
    "autocnn": _is_text,
    "run": _is_identity,
    "network": _is_text,
    "width": _is_number,
    "build_options": _is_options,
    "source": _object({"file": _is_sum, "network": _is_sum}, required=("file", "network")),
    "weights": _object({"path": _is_data, "sha256": _is_sum}, required=("path", "sha256")),
    "engine": _is_text,
    "dtype": _is_text,
    "data": _is_data,
    "limit": _optional(_is_count),
    "validation": _optional(_is_share),
    "size": _optional(_is_size),
    "content": _optional(_is_sum),
    "known_as": _is_text,
    "classes": _is_names,
    "shape": _is_shape,
    "inputs": _object(_INPUTS),
    "seed": _is_natural,
    "recipe": _object(_RECIPE, required=("epochs", "batch_size")),
    "steps_per_epoch": _is_count,
}
_OPTIONAL = {"autocnn", "build_options", "content", "dtype", "run", "size", "source", "validation"}
_OPTIONAL |= {"known_as", "weights"}
REQUIRED = [name for name in CHECKS if name not in _OPTIONAL]
