"""Winograd's F(2 x 2, 3 x 3) on blocks of rows of tiles that fit into the cache.

``autocnn.fast.winograd`` has the formulas.
"""

import numpy as np

from autocnn.fast.kernels import tuning
from autocnn.fast.kernels.numpy.matmul import finish

__all__ = [
    "conv_winograd",
    "conv_winograd_backward",
    "winograd_transform",
    "winograd_transform_backward",
]


def winograd_transform(w, g, swapped, u):
    """Write g w^T into u (16, F, C): g (16, 9), w (F, C, 9); with ``swapped``, u is (16, C, F)."""
    w = w.swapaxes(0, 1) if swapped else w
    np.matmul(g, w.reshape(-1, 9).T, out=u.reshape(16, -1))  # (16, 9) . (9, F C)


def winograd_transform_backward(du, g, dw):
    """Write g^T du into dw (F, C, 9): du (16, F, C), g (16, 9)."""
    np.matmul(du.reshape(16, -1).T, g, out=dw.reshape(-1, 9))  # (F C, 16) . (16, 9)


def conv_winograd(x, u, y, scale, b, padding, relu):
    """Write the convolution of x (N, H, W, C) with transformed kernels u (16, F, C), finished, into
    y (N, Ho, Wo, F).
    """
    th, tw, blocks = _blocks(y, max(x.shape[3], y.shape[3]))
    for r0, r1 in blocks:
        v = _image(x, r0, r1, th, tw, padding)
        m = np.matmul(v, u.swapaxes(1, 2))  # 16 x (tiles, C) . (C, F)
        _output(m, y, r0, r1, th, tw, scale, b, relu)


def conv_winograd_backward(dy, x, padding):
    """Return the gradient (16, F, C) of the transformed kernels, for dy (N, Ho, Wo, F) and
    x (N, H, W, C).
    """
    du = np.zeros((16, dy.shape[3], x.shape[3]), x.dtype)
    th, tw, blocks = _blocks(dy, max(x.shape[3], dy.shape[3]))
    for r0, r1 in blocks:
        v, z = _image(x, r0, r1, th, tw, padding), _gradient(dy, r0, r1, th, tw)
        du += np.matmul(z.swapaxes(1, 2), v)  # 16 x (F, tiles) . (tiles, C)
    return du


def _blocks(y, channels):
    """Return (th, tw, blocks): how many 2 x 2 tiles cover y down and across, and the blocks
    (r0, r1) of rows of tiles, counted over all images.
    """
    th, tw = (y.shape[1] + 1) // 2, (y.shape[2] + 1) // 2
    n, size = (
        len(y) * th,
        max(1, max(tuning.NUMPY_WINOGRAD_BLOCK // channels, tuning.WINOGRAD_MIN_TILES) // tw),
    )
    return th, tw, [(r, min(r + size, n)) for r in range(0, n, size)]


def _image(x, r0, r1, th, tw, padding):
    """Transform rows r0 <= r < r1 of 4 x 4 tiles, which overlap by 2: return (16, tiles, C), whose
    matrix 4 a + b is (B^T d B)[a, b].

    x (N, H, W, C) is not padded: cells outside count as zero.
    """
    _, h, w, c = x.shape
    ph, pw = padding
    v, t = np.empty((4, 4, r1 - r0, tw, c), x.dtype), np.empty((4, 2 * tw + 2, c), x.dtype)
    for k, r in enumerate(range(r0, r1)):
        n, top = r // th, 2 * (r % th) - ph
        rows = np.zeros((4, 2 * tw + 2, c), x.dtype)
        up, down, right = max(0, top), min(h, top + 4), min(w, 2 * tw + 2 - pw)
        rows[up - top : down - top, pw : pw + right] = x[n, up:down, :right]
        _differences(rows, t)
        e, o = (
            t[:, 0::2],
            t[:, 1::2],
        )  # even and odd columns: a tile's four are e[j], o[j], e[j + 1], o[j + 1]
        np.subtract(e[:, :-1], e[:, 1:], out=v[:, 0, k])
        np.add(o[:, :-1], e[:, 1:], out=v[:, 1, k])
        np.subtract(e[:, 1:], o[:, :-1], out=v[:, 2, k])
        np.subtract(o[:, :-1], o[:, 1:], out=v[:, 3, k])
    return v.reshape(16, -1, c)


def _differences(d, out):
    """Write B^T d into out: rows 0 - 2, 1 + 2, 2 - 1 and 1 - 3 of d (4, W, C)."""
    np.subtract(d[0], d[2], out=out[0])
    np.add(d[1], d[2], out=out[1])
    np.subtract(d[2], d[1], out=out[2])
    np.subtract(d[1], d[3], out=out[3])


def _output(m, y, r0, r1, th, tw, scale, b, relu):
    """Transform products m (16, tiles, F) into A^T m A, finished: rows r0 <= r < r1 of 2 x 2 tiles
    of y (N, Ho, Wo, F).
    """
    _, h, w, f = y.shape
    m = m.reshape(4, 4, r1 - r0, tw, f)
    for k, r in enumerate(range(r0, r1)):
        n, i = r // th, r % th
        for a in range(min(2, h - 2 * i)):
            p, q, z = m[a, :, k], m[a + 1, :, k], m[a + 2, :, k]
            t = p + q + z if a == 0 else p - q - z
            row = y[n, 2 * i + a]
            row[0::2] = t[0] + t[1] + t[2]
            row[1::2] = (t[1] - t[2] - t[3])[: w // 2]
            finish(row, scale, b, relu)


def _gradient(dy, r0, r1, th, tw):
    """Transform rows r0 <= r < r1 of 2 x 2 tiles of dy, the transpose of ``_output``: return
    (16, tiles, F), whose matrix 4 a + b is (A dy A^T)[a, b].
    """
    _, _, w, f = dy.shape
    z = np.empty((4, 4, r1 - r0, tw, f), dy.dtype)
    for k, r in enumerate(range(r0, r1)):
        n, i = r // th, r % th
        d = np.zeros((2, tw, 2, f), dy.dtype)
        rows = dy[n, 2 * i : 2 * i + 2]
        d.reshape(2, 2 * tw, f)[: len(rows), :w] = rows
        for b, column in enumerate(
            (d[:, :, 0], d[:, :, 0] + d[:, :, 1], d[:, :, 0] - d[:, :, 1], -d[:, :, 1])
        ):
            z[0, b, k] = column[0]
            np.add(column[0], column[1], out=z[1, b, k])
            np.subtract(column[0], column[1], out=z[2, b, k])
            np.negative(column[1], out=z[3, b, k])
    return z.reshape(16, -1, f)
