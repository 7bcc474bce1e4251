"""Pooling over images (N, C, H, W), in the names and arguments of torch.nn.functional."""

from functools import lru_cache
from typing import Any

import autograd.numpy as np
import numpy as onp

from autocnn.autodiff import getval
from autocnn.ops.arguments import Pair, integer, pair, window_shape
from autocnn.ops.spatial import pad2d
from autocnn.ops.windows import windows
from autocnn.typing import Array

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]


def max_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Array:
    """Take the maximum of each window, (N, C, H, W) -> (N, C, Ho, Wo).

    The gradient goes to the first maximum of a window, in row-major order. The stride is
    kernel_size unless given. Padding has the value minus infinity and is at most half the window.
    ``ceil_mode`` rounds Ho and Wo up, so that the last windows may reach over the edge.

    Raises ValueError for x of another rank and for windows that do not fit.
    """
    k, s, p, out = _pool_arguments(
        "max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode
    )
    d = pair(dilation)
    image = pad2d(x, _edges(x.shape[2:], k, s, p, d, out), -onp.inf)
    cells = windows(getval(image), k, s, d)  # (kh, kw, N, C, Ho, Wo), not traced
    first = cells.reshape(k[0] * k[1], *cells.shape[2:]).argmax(axis=0)
    (n, c, h, w), (corner, offset) = image.shape, _places(image.shape[3], out, k, s, d)
    plane = (onp.arange(n * c) * (h * w)).reshape(n, c, 1, 1)
    # Indexing by constants: its derivative adds each dy to the cell that held the maximum.
    return np.reshape(image, -1)[offset[first] + (corner + plane)]


@lru_cache(maxsize=64)
def _places(w, out, k, s, d):
    """Return positions in a flattened image of width w: the first cell of each window, (Ho, Wo),
    and the offset of each cell from it, (kh kw,).
    """
    corner = onp.arange(out[0])[:, None] * (s[0] * w) + onp.arange(out[1]) * s[1]
    offset = onp.arange(k[0])[:, None] * (d[0] * w) + onp.arange(k[1]) * d[1]
    return corner, offset.ravel()


def avg_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Average each window, (N, C, H, W) -> (N, C, Ho, Wo).

    Padding counts as zeros, or with ``count_include_pad=False`` not at all; the cells that
    ``ceil_mode`` adds beyond the padding never count. ``divisor_override`` is the number to divide
    each sum by instead. Stride, ceil_mode and errors are as in ``max_pool2d``.
    """
    k, s, p, out = _pool_arguments("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    size = x.shape[2:]
    total = np.sum(windows(pad2d(x, _edges(size, k, s, p, (1, 1), out)), k, s), axis=(0, 1))
    if divisor_override is not None:
        return total / integer(divisor_override, "avg_pool2d: divisor_override")
    rows, columns = (
        _cells_counted(*axis, count_include_pad) for axis in zip(size, k, s, p, out, strict=True)
    )
    return total / onp.outer(rows, columns).astype(getval(x).dtype)


def _cells_counted(n, k, s, p, out, count_include_pad):
    """Count the cells of each of ``out`` windows along one axis, with or without the padding."""
    start = onp.arange(out) * s - p
    end = onp.minimum(start + k, n + p)
    return end - start if count_include_pad else onp.minimum(end, n) - onp.maximum(start, 0)


def adaptive_avg_pool2d(x: Array, output_size: Any) -> Array:
    """Average into images of ``output_size``, (N, C, H, W) -> (N, C, Ho, Wo).

    output_size: an int, or a pair of which None stands for the size of the input. Row i is the
    mean of the rows from floor(i H / Ho) up to, not including, ceil((i + 1) H / Ho), and likewise
    for columns. Raises ValueError for x of another rank.
    """
    _images("adaptive_avg_pool2d", x)
    size = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    size = pair(
        [n if o is None else o for n, o in zip(x.shape[2:], size, strict=True)],
        "adaptive_avg_pool2d: output_size",
    )
    for n, o in zip(x.shape[2:], size, strict=True):
        # (N, C, H, W) . (Ho, H) -> (N, C, W, Ho)
        x = np.tensordot(x, _averages(n, o, getval(x).dtype), axes=([2], [1]))
    return x


def _averages(n, out, dtype):
    """Return the matrix (out, n) whose i-th row averages the cells from floor(i n / out) up to
    ceil((i + 1) n / out).
    """
    i, cell = onp.arange(out)[:, None], onp.arange(n)
    inside = (cell >= i * n // out) & (cell < -(-(i + 1) * n // out))
    return (inside / inside.sum(axis=1, keepdims=True)).astype(dtype)


def _edges(size, k, s, p, d, out):
    """Return the padding ((top, bottom), (left, right)) with which exactly ``out`` windows fit.

    With ``ceil_mode`` it may be more than p.
    """
    last = [(o - 1) * si + di * (ki - 1) + 1 for o, si, ki, di in zip(out, s, k, d, strict=True)]
    return tuple((pi, max(pi, end - n - pi)) for pi, end, n in zip(p, last, size, strict=True))


def _pool_arguments(op, x, kernel_size, stride, padding, dilation, ceil_mode):
    _images(op, x)
    k = pair(kernel_size, f"{op}: kernel_size")
    s = k if stride is None else pair(stride, f"{op}: stride")
    p = pair(padding, f"{op}: padding", least=0)
    if any(2 * pi > ki for pi, ki in zip(p, k, strict=True)):
        raise ValueError(f"{op}: padding {p} must be at most half the window {k}")
    d = pair(dilation, f"{op}: dilation")
    return k, s, p, window_shape(x.shape[2:], k, s, p, d, op=op, ceil_mode=ceil_mode)


def _images(op, x):
    if len(x.shape) != 4:
        raise ValueError(f"{op} needs images (N, C, H, W); got {x.shape}")
