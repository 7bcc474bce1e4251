"""The table of networks by name: what the command line, sweeps and experiments build from."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from autocnn import layers
from autocnn.models.alexnet import alexnet
from autocnn.models.densenet import densenet121
from autocnn.models.lenet import lenet5
from autocnn.models.mobilenet import mobilenet_v2
from autocnn.models.resnet import resnet50
from autocnn.models.tiny import tiny_cnn, tiny_mlp
from autocnn.models.vgg import vgg16

__all__ = ["NETWORKS", "Network", "build", "network"]


class Network(NamedTuple):
    """A network by name.

    builder: function (classes=, width=, nn=) that returns the model; one without a width has no
        such argument.
    shape: (C, H, W) of the images that it was published for.
    classes: the published number of classes.
    has_width: whether the builder takes ``width``.
    function: the public function with all its options, if it is not the builder.
    """

    builder: Callable[..., Any]
    shape: tuple[int, int, int]
    classes: int = 1000
    has_width: bool = True
    function: Callable[..., Any] | None = None


def _tiny_cnn(classes, width=1.0, nn=layers):
    return tiny_cnn(classes, filters=max(1, round(3 * width)), nn=nn)


def _tiny_mlp(classes, width=1.0, nn=layers):
    return tiny_mlp(classes, hidden=max(1, round(18 * width)), nn=nn)


def _lenet5_1998(classes, nn=layers):
    return lenet5(classes=classes, original=True, nn=nn)


def _alexnet_2014(classes, width=1.0, nn=layers):
    return alexnet(classes=classes, width=width, towers=1, nn=nn)


NETWORKS = {
    "tiny-cnn": Network(_tiny_cnn, (1, 8, 8), 3, function=tiny_cnn),
    "tiny-mlp": Network(_tiny_mlp, (1, 8, 8), 3, function=tiny_mlp),
    "lenet5": Network(lenet5, (1, 28, 28), 10),
    "lenet5-1998": Network(_lenet5_1998, (1, 32, 32), 10, has_width=False),
    "alexnet": Network(alexnet, (3, 227, 227)),
    "alexnet-2014": Network(_alexnet_2014, (3, 224, 224)),
    "vgg16": Network(vgg16, (3, 224, 224)),
    "resnet50": Network(resnet50, (3, 224, 224)),
    "densenet121": Network(densenet121, (3, 224, 224)),
    "mobilenet-v2": Network(mobilenet_v2, (3, 224, 224)),
}


def network(name: str) -> Network:
    """Return the entry of ``NETWORKS`` for a name; ValueError for an unknown one."""
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; the networks are {', '.join(NETWORKS)}")
    return NETWORKS[name]


def build(name: str, classes: int | None = None, width: float = 1.0, nn: ModuleType = layers):
    """Build a network by its name in ``NETWORKS``.

    classes: number of classes, the published one for None. width: factor on the channels and
    units. nn: the interpretation, ``autocnn.layers``, ``reference`` or ``autocnn.fast``.

    Raises ValueError for an unknown name, or a width that the network cannot have.
    """
    entry = network(name)
    classes = entry.classes if classes is None else classes
    width = float(width)
    if not 0 < width < math.inf:
        raise ValueError(f"width is a factor such as 0.5 or 2; got {width}")
    if entry.has_width:
        return entry.builder(classes=classes, width=width, nn=nn)
    if width != 1:
        raise ValueError(f"{name} has one width only; got width {width}")
    return entry.builder(classes=classes, nn=nn)
