"""Winograd's F(2 x 2, 3 x 3): four outputs of a 3 x 3 convolution from 16 products instead of 36.

    y = A^T [(G w G^T) * (B^T d B)] A        d: a 4 x 4 tile of the image, y: 2 x 2 outputs, summed over channels in between

The 16 elementwise products, over tiles, channels and filters, are 16 matrix products. Backward, dw
goes through the same 16 products transposed, and dx is the convolution of dy with the kernels
turned by half a turn. Its rounding errors are as small as the plain sum's: the constants are 0, 1
and 1/2.

Lavin and Gray 2016, Fast algorithms for convolutional neural networks, section 4.1.
"""

import numpy as np

__all__ = ["backward", "forward"]

# Equations 5 and 8 of the paper; a kernel turned by half a turn changes the places of the first row
# and the last.
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
TURNED = G[[3, 1, 2, 0]]


def forward(kernels, x, w, scale, b, y, padding, relu):
    """Write the convolution of x (N, H, W, C) with w (F, C, 3, 3) into y (N, Ho, Wo, F),
    finished by scale, b and ``relu``.
    """
    kernels.conv_winograd(x, _transformed(kernels, w, G, swapped=False), y, scale, b, padding, relu)


def backward(kernels, dy, x, w, padding, need_dx):
    """Return (dx or None, dw) for dy (N, Ho, Wo, F)."""
    f, c = w.shape[:2]
    dw = np.empty((f, c, 9), x.dtype)
    kernels.winograd_transform_backward(
        kernels.conv_winograd_backward(dy, x, padding), np.kron(G, G).astype(x.dtype), dw
    )
    dw = dw.reshape(w.shape)
    if not need_dx:
        return None, dw
    dx = np.empty(x.shape, x.dtype)
    u, zero, one = (
        _transformed(kernels, w, TURNED, swapped=True),
        np.zeros(c, x.dtype),
        np.empty(0, x.dtype),
    )
    kernels.conv_winograd(dy, u, dx, one, zero, (2 - padding[0], 2 - padding[1]), False)
    return dx, dw


def _transformed(kernels, w, g, swapped):
    """Return g w g^T for all kernels w (F, C, 3, 3): (16, F, C), or (16, C, F) if ``swapped``."""
    f, c = w.shape[:2]
    u = np.empty((16, c, f) if swapped else (16, f, c), w.dtype)
    kernels.winograd_transform(
        np.ascontiguousarray(w).reshape(f, c, 9), np.kron(g, g).astype(w.dtype), swapped, u
    )
    return u
