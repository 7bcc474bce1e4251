"""The interpretations of the vocabulary by name: what ``--engine`` chooses on the command line."""

import importlib
from types import ModuleType

__all__ = ["INTERPRETATIONS", "RUNTIMES", "interpretation"]

INTERPRETATIONS = {"fast": "autocnn.fast", "autograd": "autocnn.layers", "reference": "reference"}
RUNTIMES = ("onnxruntime", "openvino")  # by which ``export.predictor`` computes outputs only


def interpretation(name: str) -> ModuleType:
    """Return the module with the words (conv, relu, serial, ...) of an interpretation.

    name: "fast", "autograd" or "reference"; ValueError for another.
    """
    if name in RUNTIMES:
        raise ValueError(
            f"{name} computes outputs only, for autocnn predict and evaluate; gradients need one "
            f"of the engines {', '.join(INTERPRETATIONS)}"
        )
    if name not in INTERPRETATIONS:
        raise ValueError(
            f"there is no engine {name!r}; the engines are {', '.join(INTERPRETATIONS)}"
        )
    return importlib.import_module(INTERPRETATIONS[name])
