"""Networks, each written once: ``nn`` chooses the package that interprets the vocabulary.

tiny_cnn and tiny_mlp are the chapter's own. lenet5, alexnet, vgg16 and resnet50 are those of its
section 25.6, as published, and ``width`` thins them at their true depth.
"""

from autocnn.models.alexnet import alexnet
from autocnn.models.lenet import lenet5
from autocnn.models.networks import NETWORKS, Network, build
from autocnn.models.resnet import resnet50
from autocnn.models.tiny import tiny_cnn, tiny_mlp
from autocnn.models.vgg import vgg16

__all__ = [
    "NETWORKS",
    "Network",
    "alexnet",
    "build",
    "lenet5",
    "rebuild",
    "resnet50",
    "tiny_cnn",
    "tiny_mlp",
    "vgg16",
]


def rebuild(model, nn):
    """Build the same network in another vocabulary: ``rebuild(model, reference)`` is the model
    with gradients by hand.
    """
    word = getattr(nn, model.name, None)
    if word is None:
        raise ValueError(
            f"{getattr(nn, '__name__', nn)} has no word '{model.name}'; it cannot interpret {model!r}"
        )
    return word(*(rebuild(part, nn) for part in model.parts), **model.options)
