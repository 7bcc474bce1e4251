"""Networks, each written once: ``nn`` chooses the interpretation that computes them.

tiny_cnn and tiny_mlp are the chapter's own; lenet5, alexnet, vgg16 and resnet50 are those of its
section 25.6, as published; mobilenet_v2 and densenet121 are later ones. ``width`` scales their
channels at their true depth. ``NETWORKS`` lists them by name.
"""

from collections.abc import Callable
from types import ModuleType

from autocnn.models.alexnet import alexnet
from autocnn.models.densenet import densenet121
from autocnn.models.lenet import lenet5
from autocnn.models.mobilenet import mobilenet_v2
from autocnn.models.networks import NETWORKS, Network, build, network
from autocnn.models.resnet import resnet50
from autocnn.models.tiny import tiny_cnn, tiny_mlp
from autocnn.models.vgg import vgg16
from reference.layer import Layer

__all__ = [
    "NETWORKS",
    "Network",
    "alexnet",
    "build",
    "densenet121",
    "lenet5",
    "mobilenet_v2",
    "network",
    "rebuild",
    "resnet50",
    "tiny_cnn",
    "tiny_mlp",
    "vgg16",
]


def rebuild(model: Layer, nn: ModuleType) -> Layer:
    """Build the same network in another interpretation.

    ``rebuild(model, reference)`` is the model with gradients by hand; its trees are the same.
    Raises ValueError for a word that the interpretation does not have, and for a layer of your
    own, whatever its name: only you know what it computes.
    """
    word = getattr(nn, model.name, None)
    if word is not None and not _is_same_word(model, word):
        raise ValueError(
            f"{model!r} is a layer of your own; {getattr(nn, '__name__', nn)}.{model.name} may "
            "compute something else"
        )
    if word is None:
        raise ValueError(
            f"{getattr(nn, '__name__', nn)} has no word '{model.name}'; it cannot interpret "
            f"{model!r}"
        )
    return word(*(rebuild(part, nn) for part in model.parts), **model.options)


def _is_same_word(model: Layer, word: Callable) -> bool:
    """Whether ``word`` computes what the layer does, by name: a layer of your own may share it."""
    if not model.is_as_declared or model.word is None:
        return False
    return _is_ours(model.word) or not _is_ours(word)


def _is_ours(word: Callable) -> bool:
    return word.__module__.partition(".")[0] in ("autocnn", "reference")
