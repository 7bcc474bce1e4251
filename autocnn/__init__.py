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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autocnn import (
        augment,
        checkpoint,
        data,
        experiments,
        explanations,
        export,
        fast,
        gradcheck,
        images,
        keys,
        layers,
        losses,
        models,
        ops,
        optim,
        page,
        plots,
        runs,
        trees,
    )
    from autocnn.explanations.explain import explain
    from autocnn.inspection.summary import summary
    from autocnn.inspection.trace import trace
    from autocnn.sweeps.sweep import sweep
    from autocnn.training import evaluate, predict, train

# Functions: name -> module. All other public names are modules of the package.
_FUNCTIONS = {
    "evaluate": "autocnn.training",
    "explain": "autocnn.explanations.explain",
    "predict": "autocnn.training",
    "summary": "autocnn.inspection.summary",
    "sweep": "autocnn.sweeps.sweep",
    "trace": "autocnn.inspection.trace",
    "train": "autocnn.training",
}

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
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'autocnn' has no attribute {name!r}")
    module = importlib.import_module(_FUNCTIONS.get(name, f"autocnn.{name}"))
    found = getattr(module, name) if name in _FUNCTIONS else module
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, all of which are imported when first used."""
    return sorted({*__all__, "__all__", "__doc__", "__file__", "__name__", "__version__"})
