"""Thinning: one rule by which ``width`` scales a network's channels at its true depth."""

import math
import numbers

__all__ = ["thinned"]


def thinned(width, first):
    """Return the function from a published number of channels to a thinned one; ``first`` is that
    of the first stage.

    A float is a factor: 1.0 is the published network, 0.25 has a quarter of its channels. An int is
    the number of channels of the first stage, with the rest in proportion: ``width=4`` makes
    ResNet-50 start with 4 channels instead of 64, as 0.0625 does. Numbers are rounded to the
    nearest multiple of the groups that must divide them, at least one for each group. Raises
    ValueError unless ``width`` is positive and finite.
    """
    good = isinstance(width, numbers.Real) and not isinstance(width, bool) and 0 < width < math.inf
    if not good:
        raise ValueError(
            f"width is a factor such as 0.25, or the channels of the first stage as an int; got {width!r}"
        )
    factor = width / first if isinstance(width, numbers.Integral) else width

    def channels(published, groups=1):
        return groups * max(1, math.floor(published * factor / groups + 0.5))

    return channels
