"""Width: one rule by which a network is made narrower or wider at its true depth."""

import math
import numbers
from collections.abc import Callable

__all__ = ["scaled"]


def scaled(width: float, stem: int | None, first: int) -> Callable[..., int]:
    """Return the function from a published number of channels to that of the scaled network.

    width: factor on every number of channels; 1.0 is the published network, 0.25 has a quarter
        of its channels.
    stem: the number of channels of the first stage, in place of ``width``; the rest follows in
        proportion. ``stem=4`` makes ResNet-50 start with 4 channels instead of 64, as
        ``width=0.0625`` does.
    first: the published number of channels of the first stage.

    The returned function is ``channels(published, groups=1)``. It rounds to the nearest multiple
    of ``groups``, at least one channel a group. Raises ValueError unless ``width`` is a positive
    finite float and ``stem`` an int of 1 or more, and for an int as ``width``, which could mean
    either.
    """
    if isinstance(width, numbers.Integral):
        raise ValueError(
            f"width is a factor, such as 0.25 or 1.0; got the int {width!r}: pass width="
            f"{float(width)} for that factor, or stem={int(width)} for the channels of the first "
            "stage"
        )
    if not isinstance(width, numbers.Real) or not 0 < width < math.inf:
        raise ValueError(f"width is a factor, a float above 0 such as 0.25; got {width!r}")
    if stem is not None:
        if not isinstance(stem, numbers.Integral) or isinstance(stem, bool) or stem < 1:
            raise ValueError(f"stem is the first stage's number of channels, an int; got {stem!r}")
        if width != 1.0:
            raise ValueError(f"pass width or stem, not both; got width={width} and stem={stem}")
        width = stem / first

    def channels(published: int, groups: int = 1) -> int:
        return groups * max(1, math.floor(published * width / groups + 0.5))

    return channels
