"""MobileNetV2: inverted bottlenecks, whose 3x3 convolutions see one channel each."""

from types import ModuleType

from autocnn import layers
from autocnn.models.width import scaled
from reference.layer import Layer

__all__ = ["mobilenet_v2"]

# Expansion of the channels inside, channels out, blocks, stride of the first block: Table 2.
STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


def mobilenet_v2(
    classes: int = 1000,
    width: float = 1.0,
    dropout: float = 0.2,
    stem: int | None = None,
    nn: ModuleType = layers,
) -> Layer:
    """Build MobileNetV2, for images (3, 224, 224): 3,504,872 parameters in 158 leaves.

    Feature maps of 112, 56, 28, 14, 7. Sandler, Howard, Zhu, Zhmoginov and Chen 2018, MobileNetV2:
    inverted residuals and linear bottlenecks, Table 2, in the variant that torchvision ships. Any
    image size will do, since the last feature map is averaged. ``width`` or ``stem`` scales it:
    see ``models.width``; unlike torchvision's, the scaled numbers of channels are not rounded to
    multiples of 8.
    """
    channels = scaled(width, stem, 32)

    def conv(filters, kernel, stride=1, groups=1):
        geometry = dict(stride=stride, padding=kernel // 2, groups=groups, bias=False)
        return nn.conv(filters, kernel, **geometry), nn.batch_norm()

    def block(c_in, c_out, expansion, stride):
        inside = c_in * expansion
        main = nn.serial(
            *([] if expansion == 1 else [*conv(inside, 1), nn.relu6()]),
            *conv(inside, 3, stride, groups=inside), nn.relu6(),
            *conv(c_out, 1),
        )  # fmt: skip
        return nn.residual(main) if stride == 1 and c_in == c_out else main

    blocks, c = [], channels(32)
    for expansion, c_out, n, stride in STAGES:
        for i in range(n):
            blocks.append(block(c, channels(c_out), expansion, stride if i == 0 else 1))
            c = channels(c_out)
    return nn.serial(
        nn.serial(*conv(channels(32), 3, 2), nn.relu6()),
        *blocks,
        nn.serial(*conv(channels(1280), 1), nn.relu6()),
        nn.global_avg_pool(), nn.dropout(dropout), nn.dense(classes),
    )  # fmt: skip
