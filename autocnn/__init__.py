"""Networks written once, as pure functions over parameter trees, and differentiated twice: by
autograd and by hand.

import autocnn as ac, reference
data = ac.data.patterns()
_, params, state = ac.models.tiny_cnn().init(3, (1, 8, 8))
run = ac.train(params, data)                                                  # autograd's gradients
run = ac.train(params, data, model=ac.models.tiny_cnn(nn=reference))          # gradients by hand
"""

import importlib

from autocnn import augment, data, keys, layers, models, ops, optim, trees
from autocnn.inspection.summary import summary
from autocnn.inspection.trace import trace
from autocnn.training import evaluate, predict, train

__all__ = [
    "augment",
    "checkpoint",
    "data",
    "evaluate",
    "experiments",
    "fast",
    "gradcheck",
    "keys",
    "layers",
    "models",
    "ops",
    "optim",
    "plots",
    "predict",
    "summary",
    "sweep",
    "trace",
    "train",
    "trees",
]
__version__ = "0.1.0"


def __getattr__(name):
    """Import the heavier modules (``ac.plots``, ``ac.gradcheck``, ...) when first asked for."""
    if name == "sweep":
        return importlib.import_module("autocnn.sweeps").sweep
    if name == "images":
        return importlib.import_module("autocnn.runs.image_files")
    if name in ("checkpoint", "export", "experiments", "fast", "gradcheck", "plots"):
        return importlib.import_module(f"autocnn.{name}")
    raise AttributeError(f"module 'autocnn' has no attribute {name!r}")
