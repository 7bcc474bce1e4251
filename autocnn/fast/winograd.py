"""Winograd's F(2 x 2, 3 x 3): four outputs of a 3 x 3 convolution from 16 products instead of 36.

    y = A^T [(G w G^T) * (B^T d B)] A

d is a 4 x 4 tile of the image, y are 2 x 2 outputs; * is elementwise, summed over channels. Over
tiles, channels and filters, the 16 elementwise products are 16 matrix products. Backward, dw goes
through the same 16 products transposed, and dx is the convolution of dy with the kernels rotated by
180 degrees. Rounding errors are as small as the plain sum's: the constants are 0, 1 and 1/2.

Lavin and Gray 2016, Fast algorithms for convolutional neural networks, section 4.1.
"""

from types import ModuleType

import numpy as np
from numpy import ndarray

__all__ = ["backward", "forward"]

# Equations 5 and 8 of the paper. Rotating a kernel by 180 degrees exchanges G's first and last row.
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
ROTATED = G[[3, 1, 2, 0]]


def forward(
    kernels: ModuleType,
    x: ndarray,
    w: ndarray,
    scale: ndarray,
    b: ndarray,
    y: ndarray,
    padding: tuple[int, int],
    relu: bool,
) -> None:
    """Write the convolution of x (N, H, W, C) with w (F, C, 3, 3) into y (N, Ho, Wo, F), finished
    by scale, b and ``relu``.
    """
    u = _transform(kernels, w, G, swapped=False)
    kernels.conv_winograd(x, u, y, scale, b, padding, relu)


def backward(
    kernels: ModuleType,
    dy: ndarray,
    x: ndarray,
    w: ndarray,
    padding: tuple[int, int],
    need_dx: bool,
) -> tuple[ndarray | None, ndarray]:
    """Return (dx or None, dw) for dy (N, Ho, Wo, F), x (N, H, W, C) and w (F, C, 3, 3)."""
    f, c = w.shape[:2]
    du, dw = kernels.conv_winograd_backward(dy, x, padding), np.empty((f, c, 9), x.dtype)
    kernels.winograd_transform_backward(du, np.kron(G, G).astype(x.dtype), dw)
    dw = dw.reshape(w.shape)
    if not need_dx:
        return None, dw
    u, dx = _transform(kernels, w, ROTATED, swapped=True), np.empty(x.shape, x.dtype)
    no_scale, zeros = np.empty(0, x.dtype), np.zeros(c, x.dtype)
    full = (2 - padding[0], 2 - padding[1])
    kernels.conv_winograd(dy, u, dx, no_scale, zeros, full, False)
    return dx, dw


def _transform(kernels, w, g, swapped):
    """Return g w g^T for all kernels w (F, C, 3, 3): (16, F, C), or (16, C, F) if ``swapped``."""
    f, c = w.shape[:2]
    u = np.empty((16, c, f) if swapped else (16, f, c), w.dtype)
    flat = np.ascontiguousarray(w).reshape(f, c, 9)
    kernels.winograd_transform(flat, np.kron(g, g).astype(w.dtype), swapped, u)
    return u
