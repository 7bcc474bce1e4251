"""Convolutional networks, written once as pure functions over parameter trees and differentiated
twice: by autograd and by hand.

    import autocnn as ac, reference

    data = ac.data.patterns()                                     # 8x8 images of three classes
    model = ac.models.tiny_cnn()                                  # gradients by autograd
    out_shape, params, state = model.init(3, (1, 8, 8))           # key, shape of one image
    run = ac.train(params, data)                                  # tiny_cnn through ac.fast
    by_hand = ac.models.tiny_cnn(nn=reference)                    # gradients by hand
    run = ac.train(params, data, model=by_hand)

``models`` builds networks from the words in ``layers``; ``reference`` and ``fast`` interpret the
same words. ``train``, ``evaluate``, ``predict``, ``summary`` and ``trace`` take a network of any
interpretation. ``gradcheck`` checks backward passes that you wrote. ``dir(autocnn)`` lists all.
"""

import importlib
from typing import Any

from autocnn import augment, data, keys, layers, losses, models, ops, optim, trees
from autocnn.inspection.summary import summary
from autocnn.inspection.trace import trace
from autocnn.training import evaluate, predict, train

# Modules that take long to import, imported when first used: attribute -> module.
_LAZY = {
    name: f"autocnn.{name}"
    for name in (
        "checkpoint",
        "experiments",
        "explanations",
        "export",
        "fast",
        "gradcheck",
        "page",
        "plots",
        "runs",
    )
} | {"images": "autocnn.images"}

__all__ = [
    "augment",
    "checkpoint",
    "data",
    "evaluate",
    "experiments",
    "explain",
    "explanations",
    "export",
    "fast",
    "gradcheck",
    "images",
    "keys",
    "layers",
    "losses",
    "models",
    "ops",
    "optim",
    "page",
    "plots",
    "predict",
    "runs",
    "summary",
    "sweep",
    "trace",
    "train",
    "trees",
]

__version__ = "0.2.0"  # the one place; pyproject.toml reads it


def __getattr__(name: str) -> Any:
    """Import ``ac.plots``, ``ac.gradcheck`` and other heavy modules when first used."""
    if name == "explain":
        return importlib.import_module("autocnn.explanations").explain
    if name == "sweep":
        return importlib.import_module("autocnn.sweeps").sweep
    if name in _LAZY:
        return importlib.import_module(_LAZY[name])
    raise AttributeError(f"module 'autocnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, those that are imported when first used included."""
    return sorted({*__all__, "__all__", "__doc__", "__file__", "__name__", "__version__"})
