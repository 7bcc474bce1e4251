"""ResNet-50: sixteen bottleneck blocks in four stages, each with a shortcut connection."""

from types import ModuleType

from autocnn import layers
from autocnn.models.width import scaled
from reference.layer import Layer

__all__ = ["resnet50"]

# Channels of the 3x3 convolutions and number of blocks of each stage; a block has four times as
# many output channels.
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


def resnet50(
    classes: int = 1000, width: float = 1.0, stem: int | None = None, nn: ModuleType = layers
) -> Layer:
    """Build ResNet-50, for images (3, 224, 224): 25,557,032 parameters in 161 leaves.

    Feature maps of 112, 56, 28, 14, 7. He, Zhang, Ren and Sun 2016, Deep residual learning for
    image recognition, Table 1, in the variant v1.5 that torchvision ships: the first block of a
    stage has its stride in the 3x3 convolution, where the paper has it in the first 1x1. Images of
    any size are accepted, since the last feature map is averaged. The 50 layers are the 49
    convolutions of the main path and the dense layer; four shortcuts have a convolution too.

    width, stem: scale the channels; see ``models.width``.
    nn: the interpretation: ``autocnn.layers``, ``autocnn.fast`` or ``reference``.
    """
    channels = scaled(width, stem, 64)

    def conv(filters, kernel, stride=1):
        return nn.conv(filters, kernel, stride, kernel // 2, bias=False), nn.batch_norm()

    def block(c, stride=1, project=False):
        main = nn.serial(*conv(c, 1), nn.relu(), *conv(c, 3, stride), nn.relu(), *conv(4 * c, 1))
        shortcut = nn.serial(*conv(4 * c, 1, stride)) if project else nn.identity()
        return nn.serial(nn.residual(main, shortcut), nn.relu())

    def stage(c, blocks, stride):
        return nn.serial(block(c, stride, project=True), *(block(c) for _ in range(blocks - 1)))

    stages = [
        stage(channels(c), blocks, stride=1 if i == 0 else 2)
        for i, (c, blocks) in enumerate(STAGES)
    ]
    return nn.serial(
        *conv(channels(64), 7, 2), nn.relu(), nn.max_pool(3, 2, padding=1),
        *stages,
        nn.global_avg_pool(),
        nn.dense(classes),
    )  # fmt: skip
