"""LeNet-5: today's form, and LeCun et al. 1998 exactly."""

from autocnn import layers
from autocnn.models.width import scaled

__all__ = ["lenet5"]

# Which of S2's six maps each of C3's sixteen filters sees: Table I of the paper, one row a filter.
TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# What F6 is to paint for each class: a digit of 7 x 12 pixels, # for +1 and . for -1. Drawn anew in
# the paper's manner.
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


def lenet5(classes=10, width=1.0, activation="relu", original=False, stem=None, nn=layers):
    """Build LeNet-5, for images (1, 28, 28): 61,706 parameters. ``activation`` is "relu" or "tanh";
    pooling takes maxima.

    conv 6@5x5 (padded) - pool - conv 16@5x5 - pool - dense 120 - dense 84 - dense: 28, 14, 10, 5.
    ``width`` or ``stem`` scales it: see ``models.width``.

    ``original=True`` is LeCun, Bottou, Bengio and Haffner 1998, section II.B, for images (1, 32,
    32): the connection table, trainable subsampling, 1.7159 tanh(2/3 x) after each layer up to F6,
    and outputs that compare F6 with fixed codes. 60,000 trainable parameters; at most 10 classes,
    since each has a drawn code; no other width. The outputs are minus the squared distances, so
    that cross-entropy trains with the paper's equation 9 (see ``layers.rbf``). Initial weights
    follow this project's rule N(0, 2 / fan_in), where the paper draws from U(-2.4, 2.4) / fan_in.
    """
    if original:
        if width != 1.0 or stem is not None or activation != "relu":
            raise ValueError(
                "lenet5: the original has one width and one activation; leave width, stem and activation out"
            )
        return _lenet5_1998(classes, nn)
    if activation not in ("relu", "tanh"):
        raise ValueError(f'lenet5: activation is "relu" or "tanh"; got {activation!r}')
    squash, channels = getattr(nn, activation), scaled(width, stem, 6)
    return nn.serial(
        nn.conv(channels(6), 5, padding=2), squash(), nn.max_pool(2),
        nn.conv(channels(16), 5), squash(), nn.max_pool(2),
        nn.flatten(),
        nn.dense(channels(120)), squash(),
        nn.dense(channels(84)), squash(),
        nn.dense(classes),
    )  # fmt: skip


def _lenet5_1998(classes, nn):
    if classes not in range(1, 11):
        raise ValueError(
            f"lenet5: the original knows codes for 10 digits, 1 to 10 classes; got {classes!r}"
        )
    return nn.serial(
        nn.conv(6, 5), nn.scaled_tanh(),  # C1: 6 @ 28 x 28
        nn.subsample(2), nn.scaled_tanh(),  # S2: 6 @ 14 x 14
        nn.table_conv(TABLE, 5), nn.scaled_tanh(),  # C3: 16 @ 10 x 10
        nn.subsample(2), nn.scaled_tanh(),  # S4: 16 @ 5 x 5
        nn.conv(120, 5), nn.scaled_tanh(),  # C5: 120 @ 1 x 1
        nn.flatten(),
        nn.dense(84), nn.scaled_tanh(),  # F6: 84, a picture of 7 x 12
        nn.rbf(_codes()[:classes]),
    )  # fmt: skip


def _codes():
    """The ten digits as rows of 84 numbers, +1 and -1, picture rows from top to bottom."""
    pictures = zip(*(line.split() for line in DIGITS.strip().splitlines()), strict=True)
    return tuple(tuple(1 if pixel == "#" else -1 for pixel in "".join(rows)) for rows in pictures)
