"""Convolutions and pooling by hand: im2col, loops, Winograd, transposed, depthwise."""

import numpy as np


def im2col(x, kh, kw, stride):
    n, c, h, w = x.shape
    ho, wo = (h - kh) // stride + 1, (w - kw) // stride + 1
    cols = np.empty((n, c, kh, kw, ho, wo), dtype=x.dtype)
    for i in range(kh):
        for j in range(kw):
            cols[:, :, i, j] = x[:, :, i : i + stride * ho : stride, j : j + stride * wo : stride]
    return cols.transpose(0, 4, 5, 1, 2, 3).reshape(n * ho * wo, -1), ho, wo


def col2im(dcols, shape, kh, kw, stride):
    n, c, h, w = shape
    ho, wo = (h - kh) // stride + 1, (w - kw) // stride + 1
    d = dcols.reshape(n, ho, wo, c, kh, kw).transpose(0, 3, 4, 5, 1, 2)
    dx = np.zeros(shape)
    for i in range(kh):
        for j in range(kw):
            dx[:, :, i : i + stride * ho : stride, j : j + stride * wo : stride] += d[:, :, i, j]
    return dx


def conv_forward(x, w, b, stride=1):
    f, _, kh, kw = w.shape
    cols, ho, wo = im2col(x, kh, kw, stride)
    out = cols @ w.reshape(f, -1).T + b
    y = out.reshape(x.shape[0], ho, wo, f).transpose(0, 3, 1, 2)
    return y, (x.shape, cols, w, stride)


def conv_backward(dy, cache):
    shape, cols, w, stride = cache
    f, _, kh, kw = w.shape
    dout = dy.transpose(0, 2, 3, 1).reshape(-1, f)
    db = dout.sum(axis=0)
    dw = (dout.T @ cols).reshape(w.shape)
    dcols = dout @ w.reshape(f, -1)
    dx = col2im(dcols, shape, kh, kw, stride)
    return dx, dw, db


def conv_naive(x, w, b):
    """Padding 1, stride 1, kernel 3, in four loops."""
    n, _, h, wd = x.shape
    f = w.shape[0]
    xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((n, f, h, wd))
    for i in range(h):
        for j in range(wd):
            window = xp[:, :, i : i + 3, j : j + 3]
            y[:, :, i, j] = np.tensordot(window, w, axes=([1, 2, 3], [1, 2, 3])) + b

    def backward(dy):
        dxp = np.zeros_like(xp)
        dw = np.zeros_like(w)
        db = dy.sum(axis=(0, 2, 3))
        for i in range(h):
            for j in range(wd):
                window = xp[:, :, i : i + 3, j : j + 3]
                at = dy[:, :, i, j]
                dw += np.tensordot(at, window, axes=([0], [0]))
                dxp[:, :, i : i + 3, j : j + 3] += np.tensordot(at, w, axes=([1], [0]))
        dx = dxp[:, :, 1:-1, 1:-1]
        return {"x": dx, "w": dw, "b": db}

    return y, backward


def transposed_conv(x, w):
    """Transposed convolution in one dimension, stride 2: (N, C, L) with (C, F, K)."""
    n, _, length = x.shape
    k = w.shape[2]
    y = np.zeros((n, w.shape[1], 2 * (length - 1) + k))
    for i in range(length):
        y[:, :, 2 * i : 2 * i + k] += np.einsum("nc,cfk->nfk", x[:, :, i], w)

    def backward(dy):
        dx = np.zeros_like(x)
        dw = np.zeros_like(w)
        for i in range(length):
            piece = dy[:, :, 2 * i : 2 * i + k]
            dx[:, :, i] = np.einsum("nfk,cfk->nc", piece, w)
            dw += np.einsum("nc,nfk->cfk", x[:, :, i], piece)
        return {"x": dx, "w": dw}

    return y, backward


_B = np.array([[1, 0, 0, 0], [0, 1, -1, 1], [-1, 1, 1, 0], [0, 0, 0, -1.0]])
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1.0]])
_A = np.array([[1, 0], [1, 1], [1, -1], [0, -1.0]])


def winograd(x, w):
    """F(2, 3) in one dimension: two outputs of a three-tap filter from tiles of four."""
    tiles = (x.shape[1] - 2) // 2
    d = np.stack([x[:, 2 * t : 2 * t + 4] for t in range(tiles)], axis=1)
    v = d @ _B
    u = _G @ w
    m = v * u
    y = (m @ _A).reshape(x.shape[0], 2 * tiles)

    def backward(dy):
        dm = dy.reshape(x.shape[0], tiles, 2) @ _A.T
        du = (dm * v).sum(axis=(0, 1))
        dw = _G.T @ du
        dv = dm * u
        dd = dv @ _B.T
        dx = np.zeros_like(x)
        for t in range(tiles):
            dx[:, 2 * t : 2 * t + 4] += dd[:, t]
        return {"x": dx, "w": dw}

    return y, backward


class Depthwise:
    """One filter for each channel, dilation 2."""

    def __init__(self, seed=1):
        rng = np.random.default_rng(seed)
        self.w = rng.standard_normal((3, 3))
        self.b = rng.standard_normal(3)

    def forward(self, x):
        self.x = x
        self.n_out = x.shape[2] - 4
        out = np.zeros((x.shape[0], x.shape[1], self.n_out))
        for k in range(3):
            out += x[:, :, 2 * k : 2 * k + self.n_out] * self.w[:, k][None, :, None]
        return out + self.b[:, None]

    def backward(self, dout):
        dx = np.zeros_like(self.x)
        self.w_grad = np.zeros_like(self.w)
        for k in range(3):
            window = self.x[:, :, 2 * k : 2 * k + self.n_out]
            self.w_grad[:, k] = np.sum(dout * window, axis=(0, 2))
            dx[:, :, 2 * k : 2 * k + self.n_out] += dout * self.w[:, k][None, :, None]
        self.b_grad = dout.sum(axis=(0, 2))
        return dx


def max_pool_forward(x, size):
    n, c, h, w = x.shape
    ho, wo = h // size, w // size
    y = np.zeros((n, c, ho, wo))
    for i in range(ho):
        for j in range(wo):
            y[:, :, i, j] = x[:, :, i * size : (i + 1) * size, j * size : (j + 1) * size].max(
                axis=(2, 3)
            )
    return y, (x, y, size)


def max_pool_backward(dy, cache):
    x, y, size = cache
    dx = np.zeros_like(x)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            rows = slice(i * size, (i + 1) * size)
            cols = slice(j * size, (j + 1) * size)
            window = x[:, :, rows, cols]
            mask = window == y[:, :, i, j][:, :, None, None]
            dx[:, :, rows, cols] = mask * dy[:, :, i, j][:, :, None, None]
    return dx


def avg_pool(x, scale):
    n, c, h, w = x.shape
    tiles = x.reshape(n, c, h // 2, 2, w // 2, 2)
    pooled = tiles.mean(axis=(3, 5))
    y = pooled * scale[:, None, None]

    def backward(dy):
        dscale = (dy * pooled).sum(axis=(0, 2, 3))
        dpooled = dy * scale[:, None, None] / 4
        dx = dpooled.repeat(2, axis=2).repeat(2, axis=3)
        return {"x": dx, "scale": dscale}

    return y, backward


def bilinear_upsample(x):
    """Twice as long, by linear interpolation between neighbours."""
    y = np.empty((x.shape[0], 2 * x.shape[1] - 1))
    y[:, ::2] = x
    y[:, 1::2] = 0.5 * (x[:, :-1] + x[:, 1:])
    return y


def bilinear_upsample_vjp(dy, x):
    dx = dy[:, ::2].copy()
    between = 0.5 * dy[:, 1::2]
    dx[:, :-1] += between
    dx[:, 1:] += between
    return dx


def spatial_softmax(x, temperature):
    """The expected coordinates under a softmax over positions."""
    n, h, w = x.shape
    z = x.reshape(n, -1) / temperature
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    gx, gy = np.meshgrid(np.linspace(-1, 1, w), np.linspace(-1, 1, h))
    grid = np.stack([gx.ravel(), gy.ravel()], axis=1)
    y = p @ grid

    def backward(dy):
        dp = dy @ grid.T
        dz = p * (dp - np.sum(dp * p, axis=1, keepdims=True))
        dx = (dz / temperature).reshape(n, h, w)
        dtemperature = -np.sum(dz * z) / temperature
        return {"x": dx, "temperature": np.asarray(dtemperature)}

    return y, backward


def _normal(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


CASES = {
    "conv_im2col": (
        "pair",
        (conv_forward, conv_backward),
        _normal(0, x=(2, 2, 5, 7), w=(3, 2, 3, 3), b=(3,)) | {"stride": 2},
    ),
    "conv_naive": ("closure", (conv_naive,), _normal(1, x=(2, 2, 3, 4), w=(3, 2, 3, 3), b=(3,))),
    "transposed_conv": ("closure", (transposed_conv,), _normal(2, x=(2, 3, 4), w=(3, 2, 3))),
    "winograd": ("closure", (winograd,), _normal(3, x=(3, 8), w=(3,))),
    "depthwise": ("object", (Depthwise,), _normal(4, x=(2, 3, 7))),
    "max_pool": (
        "pair",
        (max_pool_forward, max_pool_backward),
        _normal(5, x=(2, 3, 4, 6)) | {"size": 2},
    ),
    "avg_pool": ("closure", (avg_pool,), _normal(6, x=(2, 3, 4, 6), scale=(3,))),
    "bilinear_upsample": ("vjp", (bilinear_upsample, bilinear_upsample_vjp), _normal(7, x=(3, 5))),
    "spatial_softmax": (
        "closure",
        (spatial_softmax,),
        _normal(8, x=(3, 2, 4)) | {"temperature": np.array(1.3)},
    ),
}
