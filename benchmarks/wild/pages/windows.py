"""Convolutions and pools: strides, dilations, groups, and lengths that do not divide."""

import numpy as np

from autocnn import gradcheck
from benchmarks.wild.pairs import closure, normal, pair


def starts(x, k, stride, dilation=1):
    return range(0, x.shape[-1] - (k - 1) * dilation, stride)


# ---- max pool: windows that overlap assign


def max_pool(x, k=2, stride=1):
    return np.stack([np.max(x[..., s : s + k], axis=-1) for s in starts(x, k, stride)], axis=-1)


def pool_gradient(add):
    def backward(dy, x, k=2, stride=1):
        d = np.zeros_like(x)
        rows = np.arange(len(x))
        for j, s in enumerate(starts(x, k, stride)):
            at = s + np.argmax(x[:, s : s + k], axis=-1)
            if add:
                d[rows, at] += dy[:, j]
            else:
                d[rows, at] = dy[:, j]
        return {"x": d}

    return backward


pair(
    "max pool assigns",
    kind="setting",
    link="https://github.com/FluxML/NNlib.jl/issues/205",
    shows="at stride 1 with windows of 2",
    buggy=closure(max_pool, pool_gradient(False)),
    fixed=closure(max_pool, pool_gradient(True)),
    arrays={"x": normal(3, 9), "k": 2, "stride": 1},
    codes=("overwritten",),
    call=lambda f: gradcheck.stress(f, x=("N", "L"), k=[2, 3], stride=range(1, 4)),
)

# ---- average pool: backward computes the window from the lengths


def average_pool(x, k=2, stride=2):
    return np.stack([x[:, s : s + k].mean(-1) for s in starts(x, k, stride)], axis=-1)


def average_gradient(recomputed):
    def backward(dy, x, k=2, stride=2):
        d = np.zeros_like(x)
        width = -(-x.shape[1] // dy.shape[1]) if recomputed else k
        for j, s in enumerate(starts(x, k, stride)):
            d[:, s : s + width] += dy[:, j : j + 1] / width
        return {"x": d}

    return backward


pair(
    "average pool computes its window anew",
    kind="setting",
    link="https://github.com/mlpack/mlpack/pull/2865",
    shows="where the stride is not the window, or the length does not divide",
    buggy=closure(average_pool, average_gradient(True)),
    fixed=closure(average_pool, average_gradient(False)),
    arrays={"x": normal(2, 7), "k": 3, "stride": 1},
    codes=("partial", "wrong-operand", "axis-scale", "scale", "missing-path"),
    call=lambda f: gradcheck.stress(f, x=("N", "L"), k=[2, 3], stride=range(1, 4)),
)

# ---- a strided convolution: the gradient is as long as the windows reach


def conv(x, w, stride=2):
    k = w.shape[-1]
    return np.stack(
        [np.einsum("nck,ock->no", x[..., s : s + k], w) for s in starts(x, k, stride)], axis=-1
    )


def conv_gradient(length):
    def backward(dy, x, w, stride=2):
        k = w.shape[-1]
        d = np.zeros((*x.shape[:2], length(x.shape[-1], k, stride, dy.shape[-1])))
        dw = np.zeros_like(w)
        for j, s in enumerate(starts(x, k, stride)):
            d[..., s : s + k] += np.einsum("no,ock->nck", dy[..., j], w)
            dw += np.einsum("no,nck->ock", dy[..., j], x[..., s : s + k])
        return {"x": d, "w": dw}

    return backward


pair(
    "convolution forgets the rest of the image",
    kind="setting",
    link="https://github.com/torch/DEPRECEATED-torch7-distro/issues/20",
    shows="where the length less the window does not divide by the stride",
    buggy=closure(conv, conv_gradient(lambda n, k, stride, m: (m - 1) * stride + k)),
    fixed=closure(conv, conv_gradient(lambda n, k, stride, m: n)),
    arrays={"x": normal(2, 2, 8), "w": normal(3, 2, 3), "stride": 2},
    codes=("shape",),
    call=lambda f: gradcheck.stress(
        f, x=("N", "C", "L"), w=("O", "C", 3), stride=range(1, 4), L=range(5, 10)
    ),
)


# ---- a convolution's weight gradient averaged over batch and positions


def averaged_weights(dy, x, w, stride=2):
    grads = conv_gradient(lambda n, k, stride, m: n)(dy, x, w, stride)
    return {**grads, "w": grads["w"] / (dy.shape[0] * dy.shape[2])}


pair(
    "convolution averages its weight gradient",
    kind="formula",
    link="https://github.com/sebgao/cTensor/issues/3",
    shows="always",
    buggy=closure(conv, averaged_weights),
    fixed=closure(conv, conv_gradient(lambda n, k, stride, m: n)),
    arrays={"x": normal(2, 2, 9), "w": normal(3, 2, 3), "stride": 2},
    codes=("scale",),
)

# ---- a dilated convolution of three taps: loads before stores


def three_taps(x, w, dilation=1):
    n = x.shape[-1] - 2 * dilation
    return sum(x[:, t * dilation : t * dilation + n] * w[t] for t in range(3))


def lost_updates(dy, x, w, dilation=1):
    d, n, block = np.zeros_like(x), dy.shape[-1], 4
    for start in range(0, n, block):
        lanes = slice(start, min(start + block, n))
        at = [slice(lanes.start + t * dilation, lanes.stop + t * dilation) for t in range(3)]
        loaded = [d[:, place].copy() for place in at]
        for t, place in enumerate(at):
            d[:, place] = loaded[t] + dy[:, lanes] * w[t]
    return {"x": d, "w": taps_gradient(dy, x, w, dilation)["w"]}


def taps_gradient(dy, x, w, dilation=1):
    d, n = np.zeros_like(x), dy.shape[-1]
    dw = np.zeros_like(w)
    for t in range(3):
        place = slice(t * dilation, t * dilation + n)
        d[:, place] += dy * w[t]
        dw[t] = np.sum(dy * x[:, place])
    return {"x": d, "w": dw}


pair(
    "dilated convolution loses updates",
    kind="accumulation",
    link="https://github.com/jmschrei/cherimoya/issues/25",
    shows="where the dilation is smaller than a block",
    buggy=closure(three_taps, lost_updates),
    fixed=closure(three_taps, taps_gradient),
    arrays={"x": normal(2, 10), "w": normal(3), "dilation": 1},
    codes=("overwritten", "partial", "missing-path"),
)

# ---- a grouped convolution: the weight gradient with groups and channels exchanged


def grouped(x, w, groups=1):
    parts = x.reshape(len(x), groups, -1, x.shape[-1])
    kernels = w.reshape(groups, -1, *w.shape[1:])
    return np.stack(
        [
            np.einsum("ngck,gock->ngo", parts[..., s : s + w.shape[-1]], kernels)
            for s in starts(x, w.shape[-1], 1)
        ],
        axis=-1,
    ).reshape(len(x), len(w), -1)


def grouped_gradient(group_first):
    def backward(dy, x, w, groups=1):
        k, n = w.shape[-1], len(x)
        shape = (n, groups, len(w) // groups, dy.shape[-1])
        g = dy.reshape(shape)
        parts = x.reshape(n, groups, -1, x.shape[-1])
        kernels = w.reshape(groups, -1, *w.shape[1:])
        dparts = np.zeros_like(parts)
        dw = np.zeros_like(kernels)
        for s in starts(x, k, 1):
            dparts[..., s : s + k] += np.einsum("ngo,gock->ngck", g[..., s], kernels)
            dw += np.einsum("ngo,ngck->gock", g[..., s], parts[..., s : s + k])
        if not group_first:
            dw = dw.transpose(1, 0, 2, 3)
        return {"x": dparts.reshape(x.shape), "w": dw.reshape(w.shape)}

    return backward


pair(
    "grouped convolution's weights",
    kind="setting",
    link="https://github.com/pytorch/pytorch/issues/51430",
    shows="at more than one group",
    buggy=closure(grouped, grouped_gradient(False)),
    fixed=closure(grouped, grouped_gradient(True)),
    arrays={"x": normal(2, 4, 6), "w": normal(6, 2, 3), "groups": 2},
    codes=("permuted", "group", "transposed"),
    call=lambda f: gradcheck.stress(
        f, x=("N", "C*groups", "L"), w=("O*groups", "C", 3), groups=[1, 2], L=range(4, 8)
    ),
)
