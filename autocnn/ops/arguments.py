"""Arguments of the windowed ops: an int stands for a pair, and windows must fit."""

from reference import arguments
from reference.arguments import integer, pair, real

__all__ = ["integer", "pair", "real", "window_shape"]


def window_shape(
    size, kernel_size, stride=1, padding=0, dilation=1, op="windows", ceil_mode=False
) -> tuple[int, int]:
    """Return how many windows (Ho, Wo) fit into images of ``size`` (H, W).

    ``reference.arguments.window_shape`` with ints in place of pairs.
    """
    pairs = pair(kernel_size), pair(stride), pair(padding, least=0), pair(dilation)
    return arguments.window_shape(op, tuple(size), *pairs, bool(ceil_mode))
