"""VGG-16: thirteen 3x3 convolutions and three dense layers."""

from autocnn import layers
from autocnn.models.width import scaled

__all__ = ["vgg16"]

BLOCKS = (
    (64, 2),
    (128, 2),
    (256, 3),
    (512, 3),
    (512, 3),
)  # channels, convolutions; a 2x2 max-pool ends each block


def vgg16(classes=1000, width=1.0, dropout=0.5, stem=None, nn=layers):
    """Build VGG-16, for images (3, 224, 224): 138,357,544 parameters; the blocks end at 112, 56,
    28, 14, 7.

    Simonyan and Zisserman 2015, Very deep convolutional networks for large-scale image recognition,
    configuration D. Other image sizes change what the first dense layer sees, hence its parameters
    (torchvision averages to 7x7 first, which at 224 is the identity). ``width`` or ``stem`` scales it: see
    ``models.width``.
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
