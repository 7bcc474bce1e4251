"""Pooling over channels-last images, one cell of all windows at a time."""

import numpy as np

__all__ = ["avg_pool", "avg_pool_backward", "max_pool", "max_pool_backward"]


def max_pool(x, y, indices, size, stride, padding):
    """Write each window's maximum into y, and unless ``indices`` is empty, its offset into that."""
    keep = len(indices) > 0
    if keep and size == stride == (2, 2) and padding == (0, 0):
        _max_pool_2x2(x, y, indices)
        return
    y[...] = -np.inf
    if keep:
        indices[...] = 0
    for k, inside, cells in _window_cells(x, y.shape, *size, *stride, *padding):
        best = y[inside]
        if keep:
            better = cells > best
            np.copyto(best, cells, where=better)
            np.copyto(indices[inside], k, where=better)
        else:
            np.maximum(best, cells, out=best)
    if keep and any(padding):
        _mark_all_infinite(y, indices, *size, *stride, *padding)


def _max_pool_2x2(x, y, indices):
    """Pool by 2 x 2, the window of nearly every network: first over columns, then over rows."""
    cells = _cells_2x2(x, y.shape)
    left, right = cells[..., 0, :], cells[..., 1, :]  # (N, Ho, 2, Wo, C)
    best, column = np.maximum(left, right), (right > left).view(np.uint8)
    upper, lower = best[:, :, 0], best[:, :, 1]
    np.maximum(upper, lower, out=y)
    indices[...] = np.where(lower > upper, column[:, :, 1] + np.uint8(2), column[:, :, 0])


def _cells_2x2(x, shape):
    """Return a view of x (N, H, W, C), cut to what windows cover, as (N, Ho, 2, Wo, 2, C)."""
    n, ho, wo, c = shape
    if x.shape[1:3] != (2 * ho, 2 * wo):
        a, b, d, e = x.strides
        return np.ndarray((n, ho, 2, wo, 2, c), x.dtype, x, 0, (a, 2 * b, b, 2 * d, d, e))
    return x.reshape(n, ho, 2, wo, 2, c)


def _mark_all_infinite(y, indices, kh, kw, sh, sw, ph, pw):
    """Let the first cell inside the image, not the padding, win a window of -inf alone."""
    infinite = np.isneginf(y)
    if infinite.any():
        u = np.maximum(0, ph - sh * np.arange(y.shape[1]))[:, None]
        v = np.maximum(0, pw - sw * np.arange(y.shape[2]))[None, :]
        indices[infinite] = np.broadcast_to((u * kw + v)[None, :, :, None], y.shape)[infinite]


def max_pool_backward(dy, indices, dx, size, stride, padding):
    """Add dy to each window's maximum in dx, which holds zeros."""
    if size == stride == (2, 2) and padding == (0, 0):
        cells = _cells_2x2(dx, dy.shape)
        for k in range(4):
            np.multiply(dy, indices == k, out=cells[:, :, k // 2, :, k % 2])
        return
    apart = stride == size  # windows do not overlap: each cell is written once
    for k, inside, cells in _window_cells(dx, dy.shape, *size, *stride, *padding):
        if apart:
            np.multiply(dy[inside], indices[inside] == k, out=cells)
        else:
            cells += dy[inside] * (indices[inside] == k)


def avg_pool(x, y, size, stride, padding):
    """Write each window's mean into y (N, Ho, Wo, C); padding counts as zeros."""
    y[...] = 0
    for _, inside, cells in _window_cells(x, y.shape, *size, *stride, *padding):
        y[inside] += cells
    y *= x.dtype.type(1 / (size[0] * size[1]))


def avg_pool_backward(dy, dx, size, stride, padding):
    """Write each dy, divided by the window's size, added over all windows of a cell, into dx."""
    dx[...] = 0
    g = dy * dy.dtype.type(1 / (size[0] * size[1]))
    for _, inside, cells in _window_cells(dx, dy.shape, *size, *stride, *padding):
        cells += g[inside]


def _window_cells(x, shape, kh, kw, sh, sw, ph, pw):
    """For each offset (u, v) in a window, yield (u kw + v, index of the outputs whose cell there
    lies inside the image, view of these cells of x).
    """
    (_, h, w, _), (_, ho, wo, _) = x.shape, shape
    for u in range(kh):
        i0, i1 = _inside(u - ph, sh, h, ho)
        for v in range(kw):
            j0, j1 = _inside(v - pw, sw, w, wo)
            if i0 < i1 and j0 < j1:
                top, left = i0 * sh + u - ph, j0 * sw + v - pw
                cells = x[
                    :,
                    top : top + (i1 - i0 - 1) * sh + 1 : sh,
                    left : left + (j1 - j0 - 1) * sw + 1 : sw,
                ]
                yield u * kw + v, (slice(None), slice(i0, i1), slice(j0, j1)), cells


def _inside(shift, stride, size, out):
    """Return (i0, i1): the outputs i0 <= i < i1 have 0 <= i stride + shift < size."""
    return max(0, -(shift // stride)), min(out, (size - 1 - shift) // stride + 1)
