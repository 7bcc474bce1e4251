"""Convolution and pooling by hand, as sums over the kernel's offsets.

For one offset (u, v) of the kernel, the cells that it meets form a strided slice of the image as
large as the output, x_uv[c, i, j] = x[c, i s + u d, j s + v d]. So a convolution is a sum of plain
products, and so is each gradient:

    y[f]       = b[f] + sum_{u,v,c} w[f,c,u,v] x_uv[c]             db[f]   = sum_{n,i,j} dy[f]
    dw[f,c,u,v] = sum_{n,i,j} dy[f] x_uv[c]                         dx_uv[c] += sum_f w[f,c,u,v] dy[f]

The offsets of one kernel row go into one matrix product, so that kh products do and no more than kw
copies of the image are in memory at a time.
"""

import numpy as np

from reference.checks import pair, whole, window_shape
from reference.initial import he_normal, zeros
from reference.layer import Layer

__all__ = ["avg_pool", "conv", "global_avg_pool", "max_pool"]


def conv(filters, kernel, stride=1, padding=0, dilation=1, groups=1, bias=True):
    """Convolve with learned kernels, (C, H, W) -> (filters, Ho, Wo); params w (filters, C /
    groups, kh, kw), b (filters,).
    """
    filters, groups = whole(filters, "conv: filters"), whole(groups, "conv: groups")
    kernel, stride = pair(kernel, "conv: kernel"), pair(stride, "conv: stride")
    padding, dilation = pair(padding, "conv: padding", least=0), pair(dilation, "conv: dilation")

    def init(key, shape, dtype="float64"):
        size = window_shape("conv", shape, kernel, stride, padding, dilation)
        c = shape[0]
        if c % groups or filters % groups:
            raise ValueError(
                f"conv: groups={groups} must divide both {c} input channels and {filters} filters"
            )
        params = {
            "w": he_normal(
                key, (filters, c // groups, *kernel), c // groups * kernel[0] * kernel[1], dtype
            )
        }
        if bias:
            params["b"] = zeros(key, (filters,), dtype)
        return (filters, *size), params, {}

    def forward(params, state, x, train, key):
        w = params["w"]
        n, c = x.shape[:2]
        ho, wo = window_shape("conv", x.shape[1:], kernel, stride, padding, dilation)
        g, f, m, k = groups, filters // groups, n * ho * wo, c // groups * kernel[1]
        image = _padded(x.swapaxes(0, 1), padding, 0.0)  # (C, N, Hp, Wp): channels first of all
        rows = _rows(image, kernel, stride, dilation, (ho, wo))  # a view (kh, C, kw, N, Ho, Wo)
        kernels = w.transpose(2, 0, 1, 3).reshape(-1, g, f, k)  # (kh, G, F/G, C/G kw)
        y = kernels[0] @ rows[0].reshape(g, k, m)  # (G, F/G, C/G kw) . (G, C/G kw, N Ho Wo)
        for w_u, x_u in zip(kernels[1:], rows[1:], strict=True):
            y += w_u @ x_u.reshape(g, k, m)
        y = y.reshape(filters, n, ho, wo)
        if bias:
            y = y + params["b"][:, None, None, None]

        def backward(dy):
            dy = dy.swapaxes(0, 1).reshape(g, f, m)
            dw = np.empty(kernels.shape, np.result_type(dy, image))
            dimage = np.zeros(image.shape, np.result_type(dy, w))
            slots = iter(_offsets(dimage, kernel, stride, dilation, (ho, wo)))
            for w_u, x_u, dw_u in zip(kernels, rows, dw, strict=True):
                np.matmul(dy, x_u.reshape(g, k, m).swapaxes(1, 2), out=dw_u)
                dx_u = (w_u.swapaxes(1, 2) @ dy).reshape(c, kernel[1], n, ho, wo)
                for v in range(kernel[1]):
                    cells = next(slots)
                    cells += dx_u[:, v]
            grads = {"w": dw.reshape(kernel[0], filters, c // g, kernel[1]).transpose(1, 2, 0, 3)}
            if bias:
                grads["b"] = dy.sum(axis=2).reshape(filters)
            return _cropped(dimage, padding).swapaxes(0, 1), grads

        return y.swapaxes(0, 1), state, backward

    options = dict(
        filters=filters,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    return Layer("conv", options, init, forward)


def max_pool(size, stride=None, padding=0):
    """Take each window's maximum; the first of equal maxima, row by row, takes all the gradient.
    Padding never wins.
    """

    def pool(x, offsets, fresh):
        best, which = (
            np.array(offsets[0]),
            np.zeros(offsets[0].shape, np.min_scalar_type(len(offsets))),
        )
        for i, cells in enumerate(offsets[1:], start=1):
            better = cells > best  # strictly: the first maximum stays
            np.copyto(best, cells, where=better)
            np.copyto(which, i, where=better)

        def backward(dy):
            dx, slots = fresh(dy.dtype)
            for i, cells in enumerate(slots):
                cells += dy * (which == i)
            return dx

        return best, backward

    return _pool("max_pool", pool, -np.inf, size, stride, padding)


def avg_pool(size, stride=None, padding=0):
    """Average each window, padding counted as zeros; each cell gets dy / (kh kw)."""

    def pool(x, offsets, fresh):
        share = 1.0 / len(offsets)

        def backward(dy):
            dx, slots = fresh(dy.dtype)
            for cells in slots:
                cells += dy * share
            return dx

        return sum(offsets[1:], start=offsets[0]) * share, backward

    return _pool("avg_pool", pool, 0.0, size, stride, padding)


def global_avg_pool():
    """Average each channel over the whole image, (C, H, W) -> (C,); each cell gets dy / (H W)."""

    def init(key, shape, dtype="float64"):
        window_shape("global_avg_pool", shape, (1, 1), (1, 1), (0, 0))
        return tuple(shape[:1]), {}, {}

    def forward(params, state, x, train, key):
        cells = x.shape[2] * x.shape[3]

        def backward(dy):
            return np.repeat(dy / cells, cells, axis=1).reshape(*dy.shape, *x.shape[2:]), {}

        return x.sum(axis=(2, 3)) / cells, state, backward

    return Layer("global_avg_pool", {}, init, forward)


def _pool(name, pool, outside, size, stride, padding):
    """Make a pooling layer from ``pool(x, offsets, fresh) -> (y, backward)``.

    ``offsets`` are the padded image's slices; ``fresh(dtype)`` returns a zero image with its
    slices, to be filled.
    """
    size = pair(size, f"{name}: size")
    stride = size if stride is None else pair(stride, f"{name}: stride")
    padding = pair(padding, f"{name}: padding", least=0)
    if any(2 * p > k for p, k in zip(padding, size, strict=True)):
        raise ValueError(f"{name}: padding {padding} must be at most half the window {size}")

    def init(key, shape, dtype="float64"):
        return (shape[0], *window_shape(name, shape, size, stride, padding)), {}, {}

    def forward(params, state, x, train, key):
        out = window_shape(name, x.shape[1:], size, stride, padding)
        image = _padded(x, padding, outside)

        def fresh(dtype):
            dimage = np.zeros(image.shape, dtype)
            return _cropped(dimage, padding), _offsets(dimage, size, stride, (1, 1), out)

        y, back = pool(x, _offsets(image, size, stride, (1, 1), out), fresh)
        return y, state, lambda dy: (back(dy), {})

    return Layer(name, dict(size=size, stride=stride, padding=padding), init, forward)


def _rows(image, kernel, stride, dilation, out):
    """View images (C, N, H, W) as (kh, C, kw, N, Ho, Wo): the slices of each offset, those of
    one kernel row together.
    """
    c, n = image.shape[:2]
    channel, example, down, right = image.strides
    steps = (
        down * dilation[0],
        channel,
        right * dilation[1],
        example,
        down * stride[0],
        right * stride[1],
    )
    return np.lib.stride_tricks.as_strided(
        image, (kernel[0], c, kernel[1], n, *out), steps, writeable=False
    )


def _offsets(image, kernel, stride, dilation, out):
    """List the slices (.., Ho, Wo) of an image (.., H, W) that each kernel offset meets, row by
    row.
    """
    (kh, kw), (sh, sw), (dh, dw), (ho, wo) = kernel, stride, dilation, out
    return [
        image[
            ..., u * dh : u * dh + (ho - 1) * sh + 1 : sh, v * dw : v * dw + (wo - 1) * sw + 1 : sw
        ]
        for u in range(kh)
        for v in range(kw)
    ]


def _padded(x, padding, value):
    ph, pw = padding
    if ph == pw == 0:
        return x
    *lead, h, w = x.shape
    image = np.full((*lead, h + 2 * ph, w + 2 * pw), value, x.dtype)
    image[..., ph : ph + h, pw : pw + w] = x
    return image


def _cropped(image, padding):
    ph, pw = padding
    return image[..., ph : image.shape[-2] - ph, pw : image.shape[-1] - pw]
