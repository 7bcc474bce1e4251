"""Arguments of the ops over windows: an int stands for a pair, and windows must fit."""

from collections.abc import Sequence

from reference import arguments
from reference.arguments import integer, pair, real

__all__ = ["Pair", "integer", "pair", "real", "window_shape"]


Pair = int | Sequence[int]


def window_shape(
    size: Sequence[int],
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    op: str = "windows",
    ceil_mode: bool = False,
) -> tuple[int, int]:
    """Return how many windows (Ho, Wo) fit into images of ``size`` (H, W).

    The same as ``reference.arguments.window_shape``, except that an int stands for a pair. ``op``
    names the op in the ValueError for a kernel that is larger than the padded image.
    """
    pairs = pair(kernel_size), pair(stride), pair(padding, least=0), pair(dilation)
    return arguments.window_shape(op, tuple(size), *pairs, bool(ceil_mode))
