"""How much a kernel looks like an oriented edge: a measure, and what chance alone would give."""

import math
from typing import Any

import numpy as np

__all__ = ["chance", "edge_share"]


def edge_share(kernel: Any) -> tuple[float, float]:
    """Return (share, angle): the share in [0, 1] of a kernel's variation that the best oriented
    derivative explains, and that derivative's direction.

    A plane a x + b y through the kernel (k, k) is a first derivative oriented along (a, b). With x
    and y centred, the best plane has a = sum(K x) / sum(x^2) and b = sum(K y) / sum(y^2), and its
    share of the variation is the coefficient of determination, (a^2 sum(x^2) + b^2 sum(y^2)) /
    sum((K - mean K)^2). The angle is atan2(b, a) in degrees: 0 for a kernel that grows to the
    right, 90 for one that grows downwards.
    """
    kernel = np.asarray(kernel, float)
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[1]]
    x, y = x - x.mean(), y - y.mean()
    a, b = (kernel * x).sum() / (x * x).sum(), (kernel * y).sum() / (y * y).sum()
    variation = ((kernel - kernel.mean()) ** 2).sum()
    share = (a * a * (x * x).sum() + b * b * (y * y).sum()) / variation if variation > 0 else 0.0
    return float(share), math.degrees(math.atan2(b, a))


def chance(share: float, cells: int = 9) -> float:
    """Return the probability that a kernel of independent normal numbers has at least this share.

    The plane takes 2 of the cells - 1 degrees of freedom, so that its share is Beta(1, (cells - 3)
    / 2) distributed.
    """
    return (1 - share) ** ((cells - 3) / 2)
