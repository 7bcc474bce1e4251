"""Sliding windows and their adjoint, from which convolution and pooling are made.

``windows`` returns every window of an image, as a strided view without a copy; ``unwindows`` adds
every cell of every window back to where it came from. For all x and p, <windows(x), p> =
<x, unwindows(p)>, so the vjp of each is the other one, at every order. autograd has no gradient
for strided views; everything else in the package is composed of autograd's own primitives.
"""

from collections.abc import Sequence

import numpy as np
from autograd.extend import defjvp, defvjp, primitive

from autocnn.ops.arguments import Pair, pair, window_shape
from autocnn.typing import Array

__all__ = ["unwindows", "windows"]


@primitive
def windows(x: Array, kernel_size: Pair, stride: Pair = 1, dilation: Pair = 1) -> Array:
    """View images (N, C, H, W) as windows (kh, kw, N, C, Ho, Wo).

    windows[u, v, n, c, i, j] = x[n, c, i s + u d, j s + v d]. Rows and columns beyond the last full
    window are left out (Ho is rounded down). The view is read-only. Raises ValueError for a kernel
    larger than the image.
    """
    # The kernel's axes come first because a sum over leading axes adds large planes, ten times
    # faster than a sum over short last axes.
    (kh, kw), (sh, sw), (dh, dw) = pair(kernel_size), pair(stride), pair(dilation)
    n, c, h, w = x.shape
    ho, wo = window_shape((h, w), (kh, kw), (sh, sw), dilation=(dh, dw))
    a, b, row, col = x.strides
    return np.lib.stride_tricks.as_strided(
        x, (kh, kw, n, c, ho, wo), (row * dh, col * dw, a, b, row * sh, col * sw), writeable=False
    )


@primitive
def unwindows(p: Array, size: Sequence[int], stride: Pair = 1, dilation: Pair = 1) -> Array:
    """Add windows (kh, kw, N, C, Ho, Wo) into images (N, C, *size), the adjoint of ``windows``.

    x[n, c, i s + u d, j s + v d] is the sum of all p[u, v, n, c, i, j].
    """
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    kh, kw, n, c, ho, wo = p.shape
    x = np.zeros((n, c, *size), p.dtype)
    for u in range(kh):
        for v in range(kw):
            # The cells of one offset are distinct, so a strided += adds each of them.
            x[:, :, u * dh : u * dh + ho * sh : sh, v * dw : v * dw + wo * sw : sw] += p[u, v]
    return x


# The closures keep sizes, not arrays: to hold x for its shape alone would keep every layer's input
# in memory.
def _windows_vjp(ans, x, kernel_size, stride=1, dilation=1):
    size = x.shape[2:]
    return lambda g: unwindows(g, size, stride, dilation)


def _unwindows_vjp(ans, p, size, stride=1, dilation=1):
    kernel_size = p.shape[:2]
    return lambda g: windows(g, kernel_size, stride, dilation)


defvjp(windows, _windows_vjp, None, None, None)
defvjp(unwindows, _unwindows_vjp, None, None, None)
# Both are linear, so that forward mode applies the same function to the tangent.
defjvp(windows, "same")
defjvp(unwindows, "same")
