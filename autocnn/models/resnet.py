"""ResNet-50: sixteen bottleneck blocks in four stages, each block added to its shortcut."""

from autocnn import layers
from autocnn.models.width import scaled

__all__ = ["resnet50"]

STAGES = (
    (64, 3),
    (128, 4),
    (256, 6),
    (512, 3),
)  # channels of the 3x3 convolution, blocks; each stage ends at four times that


def resnet50(classes=1000, width=1.0, stem=None, nn=layers):
    """Build ResNet-50, for images (3, 224, 224): 25,557,032 parameters in 161 leaves; feature maps
    of 112, 56, 28, 14, 7.

    He, Zhang, Ren and Sun 2016, Deep residual learning for image recognition, Table 1. A stage's
    first block strides in its 3x3 convolution, where the paper strides in the first 1x1: the
    variant known as v1.5, which torchvision ships. Any image size will do, since the last feature
    map is averaged. ``width`` or ``stem`` scales it: see ``models.width``.

    The 50 layers are the main path's 49 convolutions and the dense layer; 4 of the shortcuts are
    convolutions too.
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

    return nn.serial(
        *conv(channels(64), 7, 2), nn.relu(), nn.max_pool(3, 2, padding=1),
        *(stage(channels(c), blocks, stride=1 if i == 0 else 2) for i, (c, blocks) in enumerate(STAGES)),
        nn.global_avg_pool(),
        nn.dense(classes),
    )  # fmt: skip
