"""The case table: every word of the vocabulary, with options that have bitten others, as (name,
build, shape).

``build(nn)`` makes the layer in any vocabulary; ``shape`` is one example's. Sizes are odd and
pairwise different where they can be, so that swapped axes show.
"""

from typing import NamedTuple


class Case(NamedTuple):
    name: str
    build: object
    shape: tuple


CASES = [
    Case("conv", lambda nn: nn.conv(3, 3), (2, 7, 6)),
    Case("conv 1x1", lambda nn: nn.conv(5, 1), (3, 4, 5)),
    Case("conv 2x5", lambda nn: nn.conv(3, (2, 5)), (2, 6, 7)),
    Case("conv whole image", lambda nn: nn.conv(4, (5, 6)), (2, 5, 6)),
    Case("conv stride leaves a rest", lambda nn: nn.conv(3, 3, stride=2), (2, 8, 6)),
    Case("conv stride beyond kernel", lambda nn: nn.conv(2, 2, stride=(3, 4)), (3, 9, 10)),
    Case("conv padded", lambda nn: nn.conv(3, 3, padding=1), (2, 5, 4)),
    Case(
        "conv uneven padding",
        lambda nn: nn.conv(3, (3, 5), stride=(2, 1), padding=(0, 2)),
        (2, 7, 5),
    ),
    Case("conv dilated", lambda nn: nn.conv(3, 3, dilation=2), (2, 8, 7)),
    Case("conv all options", lambda nn: nn.conv(6, (3, 2), (2, 3), (2, 1), (1, 2), 2), (4, 9, 8)),
    Case("conv grouped", lambda nn: nn.conv(6, 3, groups=3), (6, 5, 6)),
    Case("conv depthwise", lambda nn: nn.conv(8, 3, padding=1, groups=4), (4, 5, 4)),
    Case("conv without bias", lambda nn: nn.conv(3, 3, bias=False), (2, 5, 6)),
    Case("relu", lambda nn: nn.relu(), (2, 5, 4)),
    Case("tanh", lambda nn: nn.tanh(), (2, 5, 4)),
    Case("max_pool", lambda nn: nn.max_pool(2), (2, 6, 8)),
    Case("max_pool leaves a rest", lambda nn: nn.max_pool(2), (3, 7, 5)),
    Case("max_pool overlapping", lambda nn: nn.max_pool(3, 2), (2, 8, 7)),
    Case("max_pool padded", lambda nn: nn.max_pool(3, 2, padding=1), (2, 6, 7)),
    Case("max_pool uneven", lambda nn: nn.max_pool((2, 3), (1, 2), (1, 0)), (2, 5, 8)),
    Case("avg_pool", lambda nn: nn.avg_pool(2), (2, 6, 8)),
    Case("avg_pool overlapping", lambda nn: nn.avg_pool((3, 2), (2, 1), (1, 0)), (2, 7, 5)),
    Case("flatten", lambda nn: nn.flatten(), (2, 3, 5)),
    Case("dense", lambda nn: nn.dense(4), (7,)),
    Case("dense without bias", lambda nn: nn.dense(1, bias=False), (6,)),
    Case("dropout", lambda nn: nn.dropout(0.3), (2, 5, 4)),
    Case("dropout of nothing", lambda nn: nn.dropout(0), (5,)),
    Case("identity", lambda nn: nn.identity(), (2, 3, 4)),
    Case(
        "serial",
        lambda nn: nn.serial(nn.conv(3, 2), nn.tanh(), nn.flatten(), nn.dropout(0.4), nn.dense(2)),
        (2, 4, 5),
    ),
    Case("serial of nothing", lambda nn: nn.serial(), (3, 2, 2)),
    Case(
        "serial in serial",
        lambda nn: nn.serial(nn.serial(nn.dense(5), nn.relu()), nn.serial(nn.dense(3))),
        (4,),
    ),
    Case(
        "residual",
        lambda nn: nn.residual(nn.serial(nn.conv(2, 3, padding=1), nn.relu())),
        (2, 5, 4),
    ),
    Case(
        "residual with a shortcut",
        lambda nn: nn.residual(
            nn.serial(nn.conv(4, 3, 2, 1), nn.dropout(0.5), nn.conv(4, 1)),
            nn.serial(nn.conv(4, 1, 2, bias=False), nn.dropout(0.5)),
        ),
        (2, 7, 6),
    ),
    Case(
        "tiny_mlp",
        lambda nn: nn.serial(nn.flatten(), nn.dense(6), nn.relu(), nn.dense(3)),
        (1, 4, 4),
    ),
]
