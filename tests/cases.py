"""The case table: every word of the vocabulary with options that are easily got wrong, small
networks of them, and the shapes that reach each fast algorithm.

A case is (name, build, shape, tags): ``build(nn)`` makes the layer in any interpretation, ``shape``
is the shape of one example. Sizes are odd and pairwise different where they can be, so that
swapped axes show.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

__all__ = ["CASES", "Case", "parametrize", "select"]

TAGS = ("word", "network", "fused")


class Case(NamedTuple):
    """One row of the table. Its tags say what it is a case of:

    word       one word of the vocabulary
    network    several words, among them ``serial`` or ``residual``
    fused      what the fast interpretation computes together, and sizes that reach each algorithm
    """

    name: str
    build: Callable[[Any], Any]
    shape: tuple[int, ...]
    tags: tuple[str, ...] = ("word",)


def select(*tags: str) -> list[Case]:
    """List the cases with one of these tags; all of them without a tag."""
    assert set(tags) <= set(TAGS), tags
    return [case for case in CASES if not tags or set(tags) & set(case.tags)]


def parametrize(*tags: str) -> pytest.MarkDecorator:
    """Run a test once for each case that has one of these tags, as its argument ``case``."""
    return pytest.mark.parametrize("case", select(*tags), ids=lambda case: case.name)


TABLE = ((0, 2), (1,), (0, 1, 2), (2, 1))
CODES = ((1, -1, 1, 1, -1), (-1, -1, 1, -1, 1), (1, 1, -1, -1, -1))

CASES = [
    # Words.
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
        ("network",),
    ),
    Case("serial of nothing", lambda nn: nn.serial(), (3, 2, 2), ("network",)),
    Case(
        "serial in serial",
        lambda nn: nn.serial(nn.serial(nn.dense(5), nn.relu()), nn.serial(nn.dense(3))),
        (4,),
        ("network",),
    ),
    Case(
        "residual",
        lambda nn: nn.residual(nn.serial(nn.conv(2, 3, padding=1), nn.relu())),
        (2, 5, 4),
        ("network",),
    ),
    Case(
        "residual with a shortcut",
        lambda nn: nn.residual(
            nn.serial(nn.conv(4, 3, 2, 1), nn.dropout(0.5), nn.conv(4, 1)),
            nn.serial(nn.conv(4, 1, 2, bias=False), nn.dropout(0.5)),
        ),
        (2, 7, 6),
        ("network",),
    ),
    Case(
        "tiny_mlp",
        lambda nn: nn.serial(nn.flatten(), nn.dense(6), nn.relu(), nn.dense(3)),
        (1, 4, 4),
        ("network",),
    ),
    # Words and parts of the larger networks.
    Case("batch_norm", lambda nn: nn.batch_norm(), (3, 4, 5)),
    Case("batch_norm of vectors", lambda nn: nn.batch_norm(momentum=0.3, eps=1e-2), (6,)),
    Case("batch_norm of one pixel", lambda nn: nn.batch_norm(momentum=1.0), (4, 1, 1)),
    Case(
        "local_response_norm",
        lambda nn: nn.local_response_norm(5, alpha=0.5, beta=0.75, k=2.0),
        (7, 3, 4),
    ),
    Case(
        "local_response_norm even",
        lambda nn: nn.local_response_norm(4, alpha=2.0, beta=0.4),
        (6, 2, 3),
    ),
    Case("local_response_norm of one", lambda nn: nn.local_response_norm(1, alpha=1.0), (3, 2, 4)),
    Case("local_response_norm of all", lambda nn: nn.local_response_norm(9, alpha=1.0), (3, 4, 2)),
    Case("global_avg_pool", lambda nn: nn.global_avg_pool(), (4, 3, 5)),
    Case("table_conv", lambda nn: nn.table_conv(TABLE, (3, 2)), (3, 6, 5)),
    Case(
        "table_conv with an unseen channel", lambda nn: nn.table_conv(((1,), (0, 1)), 2), (4, 3, 4)
    ),
    Case("subsample", lambda nn: nn.subsample(2), (3, 6, 4)),
    Case("subsample leaves a rest", lambda nn: nn.subsample(3), (2, 7, 5)),
    Case("scaled_tanh", lambda nn: nn.scaled_tanh(), (2, 3, 4)),
    Case("rbf", lambda nn: nn.rbf(CODES), (5,)),
    Case(
        "bottleneck",
        lambda nn: nn.residual(
            nn.serial(
                nn.conv(3, 1, bias=False),
                nn.batch_norm(),
                nn.relu(),
                nn.conv(3, 3, 2, 1, bias=False),
                nn.batch_norm(eps=1e-2),
                nn.relu(),
                nn.conv(6, 1, bias=False),
                nn.batch_norm(eps=1e-2),
            ),
            nn.serial(nn.conv(6, 1, 2, bias=False), nn.batch_norm()),
        ),
        (3, 7, 6),
        ("network",),
    ),
    Case(
        "grouped convolution and response norm",
        lambda nn: nn.serial(
            nn.conv(4, 3, 2),
            nn.relu(),
            nn.local_response_norm(3, 5e-4, 0.75, 2.0),
            nn.max_pool(3, 2),
            nn.conv(6, 3, padding=1, groups=2),
            nn.global_avg_pool(),
            nn.dropout(0.5),
            nn.dense(3),
        ),
        (2, 11, 13),
        ("network",),
    ),
    # Winograd's algorithm needs 16 channels.
    Case("conv relu", lambda nn: nn.serial(nn.conv(4, 3), nn.relu()), (2, 6, 5), ("fused",)),
    Case(
        "conv relu pool",
        lambda nn: nn.serial(nn.conv(4, 3, padding=1), nn.relu(), nn.max_pool(2)),
        (2, 7, 6),
        ("fused",),
    ),
    Case(
        "conv norm",
        lambda nn: nn.serial(nn.conv(4, 3, bias=False), nn.batch_norm()),
        (2, 5, 4),
        ("fused",),
    ),
    Case(
        "conv norm relu",
        lambda nn: nn.serial(nn.conv(5, 1, bias=False), nn.batch_norm(), nn.relu()),
        (3, 4, 5),
        ("fused",),
    ),
    Case(
        "conv norm relu pool",
        lambda nn: nn.serial(
            nn.conv(4, 2, bias=False), nn.batch_norm(), nn.relu(), nn.max_pool(3, 2, 1)
        ),
        (1, 8, 7),
        ("fused",),
    ),
    Case("winograd", lambda nn: nn.conv(17, 3, padding=1), (16, 5, 4), ("fused",)),
    Case(
        "winograd unpadded",
        lambda nn: nn.serial(nn.conv(16, 3), nn.conv(18, 3, padding=(0, 2)), nn.relu()),
        (16, 7, 5),
        ("fused",),
    ),
    Case(
        "winograd norm",
        lambda nn: nn.serial(nn.conv(16, 3, padding=1, bias=False), nn.batch_norm()),
        (20, 3, 3),
        ("fused",),
    ),
    Case(
        "winograd grouped", lambda nn: nn.conv(32, 3, padding=1, groups=2), (32, 4, 3), ("fused",)
    ),
    Case(
        "product in steps",
        lambda nn: nn.serial(nn.conv(6, 1), nn.conv(70, 1, stride=(2, 3), bias=False)),
        (3, 5, 8),
        ("fused",),
    ),
    Case(
        "grey in steps",
        lambda nn: nn.serial(nn.conv(1, 1), nn.conv(3, (3, 5), stride=2, padding=2)),
        (2, 8, 9),
        ("fused",),
    ),
    Case(
        "residual relu",
        lambda nn: nn.serial(nn.residual(nn.conv(3, 3, padding=1)), nn.relu()),
        (3, 4, 5),
        ("fused",),
    ),
    Case(
        "residual between images",
        lambda nn: nn.serial(
            nn.residual(nn.conv(4, 3, 2, 1), nn.conv(4, 1, 2)), nn.relu(), nn.flatten(), nn.dense(3)
        ),
        (2, 6, 6),
        ("fused",),
    ),
    Case(
        "nothing to learn in front",
        lambda nn: nn.serial(nn.max_pool(2), nn.tanh(), nn.conv(3, 2), nn.flatten()),
        (2, 6, 7),
        ("fused",),
    ),
    Case(
        "nothing to learn at all",
        lambda nn: nn.serial(nn.relu(), nn.serial(nn.avg_pool(2)), nn.flatten()),
        (2, 4, 4),
        ("fused",),
    ),
    Case("window too large for a byte", lambda nn: nn.max_pool(17), (1, 17, 18), ("fused",)),
    # Words of later networks.
    Case("sigmoid", lambda nn: nn.sigmoid(), (2, 5, 4)),
    Case("leaky_relu", lambda nn: nn.leaky_relu(), (2, 5, 4)),
    Case("leaky_relu of a steep slope", lambda nn: nn.leaky_relu(-0.3), (7,)),
    Case("relu6", lambda nn: nn.relu6(), (2, 5, 4)),
    Case("relu6 at its kinks", lambda nn: nn.serial(nn.conv(3, 1), nn.relu6()), (2, 5, 4)),
    Case("gelu", lambda nn: nn.gelu(), (2, 5, 4)),
    Case("gelu by tanh", lambda nn: nn.gelu(approximate="tanh"), (7,)),
    Case("silu", lambda nn: nn.silu(), (2, 5, 4)),
    Case("layer_norm", lambda nn: nn.layer_norm(), (3, 4, 5)),
    Case("layer_norm of vectors", lambda nn: nn.layer_norm(eps=1e-2), (6,)),
    Case("group_norm", lambda nn: nn.group_norm(2), (6, 3, 5)),
    Case("group_norm of one group", lambda nn: nn.group_norm(1, eps=1e-2), (3, 4, 2)),
    Case("group_norm of vectors", lambda nn: nn.group_norm(3), (12,)),
    Case("conv_transpose", lambda nn: nn.conv_transpose(3, 3), (2, 5, 4)),
    Case("conv_transpose strided", lambda nn: nn.conv_transpose(4, 2, 2), (3, 4, 5)),
    Case(
        "conv_transpose all options",
        lambda nn: nn.conv_transpose(6, (3, 2), (2, 3), (2, 1), (1, 2), (1, 2), 2, False),
        (4, 5, 4),
    ),
    Case(
        "concat",
        lambda nn: nn.concat(nn.identity(), nn.conv(3, 3, padding=1)),
        (2, 5, 4),
        ("network",),
    ),
    Case(
        "concat of three paths",
        lambda nn: nn.concat(
            nn.serial(nn.batch_norm(), nn.relu(), nn.conv(3, 1)),
            nn.serial(nn.dropout(0.5), nn.conv(2, 3, padding=1)),
            nn.max_pool(3, 1, 1),
        ),
        (3, 4, 5),
        ("network",),
    ),
    Case("concat of vectors", lambda nn: nn.concat(nn.dense(3), nn.dense(2)), (5,), ("network",)),
    Case(
        "an inverted bottleneck",
        lambda nn: nn.residual(
            nn.serial(
                nn.conv(6, 1),
                nn.relu6(),
                nn.conv(6, 3, padding=1, groups=6, bias=False),
                nn.batch_norm(eps=1e-2),
                nn.relu6(),
                nn.conv(3, 1),
            )
        ),
        (3, 5, 4),
        ("network",),
    ),
    Case("conv depthwise strided", lambda nn: nn.conv(4, 3, 2, 1, groups=4), (4, 7, 6), ("fused",)),
    Case(
        "conv depthwise twice",
        lambda nn: nn.conv(8, (2, 3), 1, 1, (2, 1), 4),
        (4, 6, 7),
        ("fused",),
    ),
    Case(
        "conv depthwise norm relu pool",
        lambda nn: nn.serial(
            nn.conv(5, 3, groups=5, bias=False), nn.batch_norm(), nn.relu(), nn.max_pool(2)
        ),
        (5, 8, 7),
        ("fused",),
    ),
]
