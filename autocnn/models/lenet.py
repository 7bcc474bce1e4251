"""LeNet-5: in today's usual form, and exactly as in LeCun et al. 1998."""

from types import ModuleType

from autocnn import layers
from autocnn.models.width import scaled
from reference.layer import Layer

__all__ = ["lenet5"]

# Which of S2's six maps each of C3's sixteen filters sees: Table I of the paper, one row a filter.
TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# The code of each class, the output that layer F6 should have: an image of the digit with 7 x 12
# pixels, # for +1 and . for -1. The images are our own, in the style of the paper's figure 3.
DIGITS = """
    ..###.. ...#... ..###.. ..###.. .....#. ####### ...###. ####### ..###.. ..###..
    .#...#. ..##... .#...#. .#...#. ....##. #...... ..#.... ......# .#...#. .#...#.
    #.....# .#.#... #.....# #.....# ...#.#. #...... .#..... ......# #.....# #.....#
    #.....# ...#... ......# ......# ...#.#. #...... #...... .....#. #.....# #.....#
    #.....# ...#... ......# .....#. ..#..#. #.###.. #.###.. .....#. .#...#. #.....#
    #.....# ...#... .....#. ..###.. ..#..#. ##...#. ##...#. ....#.. ..###.. .#...##
    #.....# ...#... ....#.. .....#. .#...#. ......# #.....# ....#.. .#...#. ..###.#
    #.....# ...#... ...#... ......# #....#. ......# #.....# ...#... #.....# ......#
    #.....# ...#... ..#.... ......# ####### ......# #.....# ...#... #.....# ......#
    #.....# ...#... .#..... #.....# .....#. #.....# #.....# ..#.... #.....# .....#.
    .#...#. ...#... #...... .#...#. .....#. .#...#. .#...#. ..#.... .#...#. ....#..
    ..###.. .#####. ####### ..###.. .....#. ..###.. ..###.. ..#.... ..###.. .###...
"""


def lenet5(
    classes: int = 10,
    width: float = 1.0,
    activation: str = "relu",
    original: bool = False,
    stem: int | None = None,
    nn: ModuleType = layers,
) -> Layer:
    """Build LeNet-5, for images (1, 28, 28): 61,706 parameters; feature maps of 28, 14, 10, 5.

    Two 5x5 convolutions of 6 filters (padding 2) and 16, each followed by 2x2 max-pooling, and
    dense layers of 120, 84 and ``classes`` units.

    width, stem: scale the channels; see ``models.width``.
    activation: "relu" or "tanh".
    original: build the network of LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning
        applied to document recognition, section II.B, for images (1, 32, 32) and 1 to 10 classes:
        60,000 trainable parameters, with the connection table, trainable subsampling,
        1.7159 tanh(2/3 x) after each layer up to F6, and outputs that are minus the squared
        distances of F6 from a fixed code of each class, an image of 7 x 12. Cross-entropy of these
        is the paper's equation 9 without its constant; see ``layers.rbf``. Weights are drawn from
        N(0, 2 / fan_in), where the paper draws from U(-2.4, 2.4) / fan_in.
    nn: the interpretation: ``autocnn.layers``, ``autocnn.fast`` or ``reference``.

    Raises ValueError for other activations, and for width, stem or activation beside original.
    """
    if original:
        if width != 1.0 or stem is not None or activation != "relu":
            raise ValueError(
                "lenet5: the original has one width and one activation; "
                "leave width, stem and activation out"
            )
        return _lenet5_1998(classes, nn)
    if activation not in ("relu", "tanh"):
        raise ValueError(f'lenet5: activation is "relu" or "tanh"; got {activation!r}')
    activate, channels = getattr(nn, activation), scaled(width, stem, 6)
    return nn.serial(
        nn.conv(channels(6), 5, padding=2), activate(), nn.max_pool(2),
        nn.conv(channels(16), 5), activate(), nn.max_pool(2),
        nn.flatten(),
        nn.dense(channels(120)), activate(),
        nn.dense(channels(84)), activate(),
        nn.dense(classes),
    )  # fmt: skip


def _lenet5_1998(classes, nn):
    if classes not in range(1, 11):
        raise ValueError(
            f"lenet5: the original has codes for 10 digits, so 1 to 10 classes; got {classes!r}"
        )
    return nn.serial(
        nn.conv(6, 5), nn.scaled_tanh(),  # C1: 6 @ 28 x 28
        nn.subsample(2), nn.scaled_tanh(),  # S2: 6 @ 14 x 14
        nn.table_conv(TABLE, 5), nn.scaled_tanh(),  # C3: 16 @ 10 x 10
        nn.subsample(2), nn.scaled_tanh(),  # S4: 16 @ 5 x 5
        nn.conv(120, 5), nn.scaled_tanh(),  # C5: 120 @ 1 x 1
        nn.flatten(),
        nn.dense(84), nn.scaled_tanh(),  # F6: 84, an image of 7 x 12
        nn.rbf(_codes()[:classes]),
    )  # fmt: skip


def _codes():
    """Return the images of the ten digits as rows of 84 numbers, +1 or -1, row by row."""
    images = zip(*(line.split() for line in DIGITS.strip().splitlines()), strict=True)
    return tuple(tuple(1 if pixel == "#" else -1 for pixel in "".join(rows)) for rows in images)
