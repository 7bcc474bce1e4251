"""DenseNet-121: every layer of a block sees the outputs of all layers before it."""

from types import ModuleType

from autocnn import layers
from autocnn.models.width import scaled
from reference.layer import Layer

__all__ = ["densenet121"]

BLOCKS = (6, 12, 24, 16)  # layers of each dense block
GROWTH = 32  # channels that each layer adds


def densenet121(
    classes: int = 1000, width: float = 1.0, stem: int | None = None, nn: ModuleType = layers
) -> Layer:
    """Build DenseNet-121, for images (3, 224, 224): 7,978,856 parameters in 364 leaves.

    Feature maps of 112, 56, 28, 14, 7. Huang, Liu, van der Maaten and Weinberger 2017, Densely
    connected convolutional networks, Table 1, with bottleneck layers and compression 0.5. Any
    image size from 32 on will do, since the last feature map is averaged. ``width`` or ``stem``
    scales the growth rate and the first convolution: see ``models.width``.
    """
    channels = scaled(width, stem, 64)

    def conv(filters, kernel, stride=1):
        return nn.conv(filters, kernel, stride, kernel // 2, bias=False)

    def layer():
        growth = channels(GROWTH)
        return nn.serial(
            nn.batch_norm(), nn.relu(), conv(4 * growth, 1),
            nn.batch_norm(), nn.relu(), conv(growth, 3),
        )  # fmt: skip

    def transition(filters):
        return nn.serial(nn.batch_norm(), nn.relu(), conv(filters, 1), nn.avg_pool(2))

    stages, c = [], channels(64)
    for i, n in enumerate(BLOCKS):
        stages.append(nn.serial(*(nn.concat(nn.identity(), layer()) for _ in range(n))))
        c += n * channels(GROWTH)
        if i < len(BLOCKS) - 1:
            c //= 2
            stages.append(transition(c))
    return nn.serial(
        conv(channels(64), 7, 2), nn.batch_norm(), nn.relu(), nn.max_pool(3, 2, 1),
        *stages,
        nn.batch_norm(), nn.relu(), nn.global_avg_pool(),
        nn.dense(classes),
    )  # fmt: skip
