"""Pooling over images (N, C, H, W), in the names and arguments of torch.nn.functional."""

from functools import lru_cache

import autograd.numpy as np
import numpy as onp

from autocnn.autodiff import getval
from autocnn.ops.arguments import integer, pair, window_shape
from autocnn.ops.spatial import pad2d
from autocnn.ops.windows import windows

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Take the maximum of each window; stride=None steps by the window's size. (N, C, H, W) -> (N,
    C, Ho, Wo).

    The first maximum in a window, row by row, takes all of the gradient. Padding never wins; it may
    be at most half the window, so that every window holds a real cell. ``ceil_mode`` admits a last
    window that hangs over the edge.
    """
    k, s, p, out = _pool_arguments(
        "max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode
    )
    d = pair(dilation)
    image = pad2d(x, _edges(x.shape[2:], k, s, p, d, out), -onp.inf)
    cells = windows(getval(image), k, s, d)  # (kh, kw, N, C, Ho, Wo), values only: where, not what
    first = cells.reshape(-1, *cells.shape[2:]).argmax(axis=0)
    (n, c, h, w), (corner, offset) = image.shape, _places(image.shape[3], out, k, s, d)
    plane = onp.arange(0, n * c * h * w, h * w).reshape(n, c, 1, 1)
    # A gather by constant indices: its derivative puts each dy where the maximum was and adds where
    # windows share it.
    return np.reshape(image, -1)[offset[first] + (corner + plane)]


@lru_cache(maxsize=64)
def _places(w, out, k, s, d):
    """Positions in a flattened image w wide: each window's corner (Ho, Wo), and each of its
    cells' distance from that.
    """
    corner = onp.arange(out[0])[:, None] * (s[0] * w) + onp.arange(out[1]) * s[1]
    offset = onp.arange(k[0])[:, None] * (d[0] * w) + onp.arange(k[1]) * d[1]
    return corner, offset.ravel()


def avg_pool2d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """Average each window; stride=None steps by the window's size. (N, C, H, W) -> (N, C, Ho, Wo).

    Padding counts as zeros, or with ``count_include_pad=False`` not at all. What a window of
    ``ceil_mode`` has beyond the padding never counts. ``divisor_override`` divides each sum by that
    number instead.
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
    """Count the cells of each of ``out`` windows along one axis: those of the padded image, or
    of the image itself.
    """
    start = onp.arange(out) * s - p
    end = onp.minimum(start + k, n + p)
    return end - start if count_include_pad else onp.minimum(end, n) - onp.maximum(start, 0)


def adaptive_avg_pool2d(x, output_size):
    """Average into images of ``output_size`` (None keeps an axis): (N, C, H, W) -> (N, C, Ho, Wo).

    Row i is the mean of the rows from floor(i H / Ho) to ceil((i + 1) H / Ho): one product with a
    matrix of averages an axis.
    """
    _images("adaptive_avg_pool2d", x)
    size = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    size = pair(
        [n if o is None else o for n, o in zip(x.shape[2:], size, strict=True)],
        "adaptive_avg_pool2d: output_size",
    )
    for n, o in zip(x.shape[2:], size, strict=True):
        x = np.tensordot(
            x, _averages(n, o, getval(x).dtype), axes=([2], [1])
        )  # (N, C, H, W) . (Ho, H) -> (N, C, W, Ho)
    return x


def _averages(n, out, dtype):
    """The matrix (out, n) whose i-th row averages the cells from floor(i n / out) to ceil((i +
    1) n / out).
    """
    i, cell = onp.arange(out)[:, None], onp.arange(n)
    inside = (cell >= i * n // out) & (cell < -(-(i + 1) * n // out))
    return (inside / inside.sum(axis=1, keepdims=True)).astype(dtype)


def _edges(size, k, s, p, d, out):
    """The padding ((top, bottom), (left, right)) that gives exactly ``out`` windows room; ceil
    mode may need more than p.
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
    return (
        k,
        s,
        p,
        window_shape(
            x.shape[2:], k, s, p, pair(dilation, f"{op}: dilation"), op=op, ceil_mode=ceil_mode
        ),
    )


def _images(op, x):
    if len(x.shape) != 4:
        raise ValueError(f"{op} needs images (N, C, H, W); got {x.shape}")
