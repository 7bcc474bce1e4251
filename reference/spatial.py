"""Convolution and pooling by hand, as sums over the kernel's offsets.

For one offset (u, v) of the kernel, the cells that it meets form a strided slice of the image as
large as the output, x_uv[c, i, j] = x[c, i s + u d, j s + v d]. So a convolution is a sum of plain
products, and so is each gradient:

    y[f]        = b[f] + sum_{u,v,c} w[f,c,u,v] x_uv[c]
    db[f]       = sum_{n,i,j} dy[f]
    dw[f,c,u,v] = sum_{n,i,j} dy[f] x_uv[c]
    dx_uv[c]   += sum_f w[f,c,u,v] dy[f]

The offsets of one kernel row go into one matrix product: kh products, and no more than kw copies
of the image in memory at a time.
"""

import numpy as np

from reference import vocabulary as declare
from reference.arguments import window_shape
from reference.layer import by_hand

__all__ = ["avg_pool", "conv", "conv_transpose", "global_avg_pool", "max_pool"]


@by_hand(declare.conv)
def conv(o, params, state, x, train, key):
    """dw and dx are sums over the kernel's offsets, as above; db = sum of dy."""
    w, kernel = params["w"], o.kernel
    n, c = x.shape[:2]
    ho, wo = window_shape("conv", x.shape[2:], kernel, o.stride, o.padding, o.dilation)
    g, f, m, k = o.groups, o.filters // o.groups, n * ho * wo, c // o.groups * kernel[1]
    image = _padded(x.swapaxes(0, 1), o.padding, 0.0)  # (C, N, Hp, Wp): channels first of all
    rows = _rows(image, kernel, o.stride, o.dilation, (ho, wo))  # a view (kh, C, kw, N, Ho, Wo)
    kernels = w.transpose(2, 0, 1, 3).reshape(-1, g, f, k)  # (kh, G, F/G, C/G kw)
    y = kernels[0] @ rows[0].reshape(g, k, m)  # (G, F/G, C/G kw) . (G, C/G kw, N Ho Wo)
    for w_u, x_u in zip(kernels[1:], rows[1:], strict=True):
        y += w_u @ x_u.reshape(g, k, m)
    y = y.reshape(o.filters, n, ho, wo)
    if o.bias:
        y = y + params["b"][:, None, None, None]

    def backward(dy):
        dy = dy.swapaxes(0, 1).reshape(g, f, m)
        dw = np.empty(kernels.shape, np.result_type(dy, image))
        dimage = np.zeros(image.shape, np.result_type(dy, w))
        slots = iter(_offsets(dimage, kernel, o.stride, o.dilation, (ho, wo)))
        for w_u, x_u, dw_u in zip(kernels, rows, dw, strict=True):
            np.matmul(dy, x_u.reshape(g, k, m).swapaxes(1, 2), out=dw_u)
            dx_u = (w_u.swapaxes(1, 2) @ dy).reshape(c, kernel[1], n, ho, wo)
            for v in range(kernel[1]):
                cells = next(slots)
                cells += dx_u[:, v]
        shape = (kernel[0], o.filters, c // g, kernel[1])
        grads = {"w": dw.reshape(shape).transpose(1, 2, 0, 3)}
        if o.bias:
            grads["b"] = dy.sum(axis=2).reshape(o.filters)
        return _cropped(dimage, o.padding).swapaxes(0, 1), grads

    return y.swapaxes(0, 1), state, backward


@by_hand(declare.conv_transpose)
def conv_transpose(o, params, state, x, train, key):
    """Its forward pass is conv's dx, hence its dx is conv's forward pass, and
    dw[c, f, u, v] = sum_{n, i, j} x[c] dy_uv[f].
    """
    w, kernel = params["w"], o.kernel
    n, c, h, width = x.shape
    g, k = o.groups, o.filters // o.groups * kernel[0] * kernel[1]
    size = [
        (m - 1) * s + d * (l - 1) + 1 + p
        for m, l, s, d, p in zip(
            (h, width), kernel, o.stride, o.dilation, o.output_padding, strict=True
        )
    ]
    xs = x.swapaxes(0, 1).reshape(g, c // g, n * h * width)
    kernels = w.reshape(g, c // g, k)
    cells = (kernels.swapaxes(1, 2) @ xs).reshape(o.filters, -1, n, h, width)
    image = np.zeros((o.filters, n, *size), cells.dtype)  # before the padding is cut off
    slots = _offsets(image, kernel, o.stride, o.dilation, (h, width))
    for i, slot in enumerate(slots):
        slot += cells[:, i]
    y = _cropped(image, o.padding)
    if o.bias:
        y = y + params["b"][:, None, None, None]

    def backward(dy):
        dimage = _padded(dy.swapaxes(0, 1), o.padding, 0.0)
        met = np.stack(_offsets(dimage, kernel, o.stride, o.dilation, (h, width)), axis=1)
        met = met.reshape(g, k, n * h * width)  # (G, F/G kh kw, N H W)
        grads = {"w": (xs @ met.swapaxes(1, 2)).reshape(w.shape)}
        if o.bias:
            grads["b"] = dy.sum(axis=(0, 2, 3))
        return (kernels @ met).reshape(c, n, h, width).swapaxes(0, 1), grads

    return y.swapaxes(0, 1), state, backward


def _pool(o, x, outside, pool):
    """Apply ``pool(offsets, fresh) -> (y, backward)`` to the slices of the padded image.

    ``fresh(dtype)`` returns a zero image, cropped, and its slices, to be filled.
    """
    out = window_shape("pool", x.shape[2:], o.size, o.stride, o.padding)
    image = _padded(x, o.padding, outside)

    def fresh(dtype):
        dimage = np.zeros(image.shape, dtype)
        return _cropped(dimage, o.padding), _offsets(dimage, o.size, o.stride, (1, 1), out)

    return pool(_offsets(image, o.size, o.stride, (1, 1), out), fresh)


@by_hand(declare.max_pool)
def max_pool(o, params, state, x, train, key):
    """dy goes to the first maximum of its window. NaN counts as larger than any number."""

    def pool(offsets, fresh):
        best = np.array(offsets[0])
        which = np.zeros(best.shape, np.min_scalar_type(len(offsets)))
        for i, cells in enumerate(offsets[1:], start=1):
            better = ~((cells <= best) | np.isnan(best))  # the first maximum stays, or NaN
            np.copyto(best, cells, where=better)
            np.copyto(which, i, where=better)

        def backward(dy):
            dx, slots = fresh(dy.dtype)
            for i, cells in enumerate(slots):
                cells += dy * (which == i)
            return dx, {}

        return best, backward

    y, backward = _pool(o, x, -np.inf, pool)
    return y, state, backward


@by_hand(declare.avg_pool)
def avg_pool(o, params, state, x, train, key):
    """dy / (kh kw) goes to each cell of its window."""

    def pool(offsets, fresh):
        share = 1.0 / len(offsets)

        def backward(dy):
            dx, slots = fresh(dy.dtype)
            for cells in slots:
                cells += dy * share
            return dx, {}

        return sum(offsets[1:], start=offsets[0]) * share, backward

    y, backward = _pool(o, x, 0.0, pool)
    return y, state, backward


@by_hand(declare.global_avg_pool)
def global_avg_pool(o, params, state, x, train, key):
    """dy / (H W) goes to each cell."""
    cells = x.shape[2] * x.shape[3]

    def backward(dy):
        return np.repeat(dy / cells, cells, axis=1).reshape(*dy.shape, *x.shape[2:]), {}

    return x.sum(axis=(2, 3)) / cells, state, backward


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
