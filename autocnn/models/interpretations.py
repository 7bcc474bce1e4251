"""The interpretations of the vocabulary by name: what ``--engine`` chooses on the command line."""

import importlib
from types import ModuleType

__all__ = ["INTERPRETATIONS", "interpretation"]

INTERPRETATIONS = {"fast": "autocnn.fast", "autograd": "autocnn.layers", "reference": "reference"}


def interpretation(name: str) -> ModuleType:
    """Return the module with the words (conv, relu, serial, ...) of an interpretation.

    name: "fast", "autograd" or "reference"; ValueError for another.
    """
    if name not in INTERPRETATIONS:
        raise ValueError(
            f"there is no engine {name!r}; the engines are {', '.join(INTERPRETATIONS)}"
        )
    return importlib.import_module(INTERPRETATIONS[name])
