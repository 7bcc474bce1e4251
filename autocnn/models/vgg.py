"""VGG-16: thirteen 3x3 convolutions and three dense layers."""

from types import ModuleType

from autocnn import layers
from autocnn.models.width import scaled
from reference.layer import Layer

__all__ = ["vgg16"]

# Channels and number of convolutions of each block, which ends with a 2x2 max-pooling.
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def vgg16(
    classes: int = 1000,
    width: float = 1.0,
    dropout: float = 0.5,
    stem: int | None = None,
    nn: ModuleType = layers,
) -> Layer:
    """Build VGG-16, for images (3, 224, 224): 138,357,544 parameters.

    The blocks end with feature maps of 112, 56, 28, 14, 7. Simonyan and Zisserman 2015, Very deep
    convolutional networks for large-scale image recognition, configuration D. For images of another
    size the first dense layer has another number of inputs (torchvision averages to 7x7 first,
    which at 224 is the identity).

    width, stem: scale the channels; see ``models.width``.
    dropout: the dropout probability after the two hidden dense layers.
    nn: the interpretation: ``autocnn.layers``, ``autocnn.fast`` or ``reference``.
    """
    channels = scaled(width, stem, 64)

    def block(filters, convolutions):
        convs = [(nn.conv(channels(filters), 3, padding=1), nn.relu()) for _ in range(convolutions)]
        return *(layer for pair in convs for layer in pair), nn.max_pool(2)

    return nn.serial(
        *(layer for filters, convolutions in BLOCKS for layer in block(filters, convolutions)),
        nn.flatten(),
        nn.dense(channels(4096)), nn.relu(), nn.dropout(dropout),
        nn.dense(channels(4096)), nn.relu(), nn.dropout(dropout),
        nn.dense(classes),
    )  # fmt: skip
