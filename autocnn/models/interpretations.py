"""Engines: the interpretations of the vocabulary by name, imported when asked for."""

import importlib

__all__ = ["ENGINES", "engine"]

ENGINES = {"fast": "autocnn.fast", "autograd": "autocnn.layers", "reference": "reference"}


def engine(name):
    """Return the vocabulary that ``name`` stands for, a module with the words conv, relu,
    serial, ...
    """
    if name not in ENGINES:
        raise ValueError(f"there is no engine {name!r}; the engines are {', '.join(ENGINES)}")
    return importlib.import_module(ENGINES[name])
