"""Layers whose mistakes show at some settings only. BUGS: name -> (function, what to vary, words
of where it begins). RIGHT: the same layers without a mistake.
"""

import numpy as np


def windows(size, k, stride):
    return [(i, i * stride) for i in range((size - k) // stride + 1)]


def max_pool(bug=None):
    def f(x, k, stride):
        N, C, H, W = x.shape
        rows, columns = windows(H, k, stride), windows(W, k, stride)
        if k > min(H, W):
            raise ValueError
        y = np.empty((N, C, len(rows), len(columns)))
        best = {}
        for i, r in rows:
            for j, c in columns:
                part = x[:, :, r : r + k, c : c + k].reshape(N, C, -1)
                best[i, j] = part.argmax(-1)
                y[:, :, i, j] = part.max(-1)

        def backward(dy):
            dx = np.zeros_like(x)
            n, ch = np.ogrid[:N, :C]
            for i, r in rows:
                for j, c in columns:
                    if bug == "origin":
                        r, c = i * k, j * k
                    a, b = np.divmod(best[i, j], k)
                    if bug == "exchanged":
                        a, b = b, a
                    rr, cc = np.minimum(r + a, H - 1), np.minimum(c + b, W - 1)
                    if bug == "assigns":
                        dx[n, ch, rr, cc] = dy[:, :, i, j]
                    else:
                        dx[n, ch, rr, cc] += dy[:, :, i, j]
                    if bug == "returns early" and j + 1 == 3:
                        return {"x": dx}
            return {"x": dx}

        return y, backward

    return f


def conv1d(bug=None):
    def f(x, w, stride=1, padding=0, groups=1, dilation=1):
        N, C, L = x.shape
        O, Cg, k = w.shape
        if Cg * groups != C or O % groups:
            raise ValueError
        xp = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
        reach = (k - 1) * dilation + 1
        n = (xp.shape[2] - reach) // stride + 1
        if n < 1:
            raise ValueError
        at = np.arange(n)[:, None] * stride + np.arange(k) * dilation
        patches = xp[:, :, at].reshape(N, groups, Cg, n, k)
        wg = w.reshape(groups, O // groups, Cg, k)
        y = np.einsum("ngcik,gock->ngoi", patches, wg).reshape(N, O, n)

        def backward(dy):
            g = dy.reshape(N, groups, O // groups, n)
            dw = np.einsum("ngcik,ngoi->gock", patches, g)
            if bug == "group zero":
                dw[1:] = dw[:1]
            if bug == "first example":
                dw = np.einsum("ngcik,ngoi->gock", patches[:1], g[:1])
            dp = np.einsum("ngoi,gock->ngcik", g, wg)
            if bug == "groups exchanged":
                dp = dp[:, ::-1]
            dxp = np.zeros_like(xp)
            place = at
            if bug == "stride ignored":
                place = np.arange(n)[:, None] + np.arange(k) * dilation
            if bug == "dilation ignored":
                place = np.arange(n)[:, None] * stride + np.arange(k)
            dp = dp.reshape(N, C, n, k)
            if bug == "assigns":
                dxp[:, :, place] = dp
            else:
                np.add.at(dxp, (slice(None), slice(None), place), dp)
            if bug == "flipped":
                dxp = np.zeros_like(xp)
                np.add.at(dxp, (slice(None), slice(None), at), dp[..., ::-1])
            dx = dxp[:, :, padding : padding + L]
            if bug == "crop":
                dx = dxp[:, :, :L]
            if bug == "remainder" and (xp.shape[2] - reach) % stride:
                dx = dx.copy()
                dx[:, :, -1] += dy.sum((1, 2))[:, None]
            return {"x": dx, "w": dw.reshape(w.shape)}

        return y, backward

    return f


def layer_norm(bug=None):
    def f(x, w):
        d = x.shape[-1]
        mean = x.mean(-1, keepdims=True)
        r = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        hat = (x - mean) * r

        def backward(dy):
            g = dy * w
            axes = tuple(range(x.ndim - 1))
            if bug == "rank two":
                axes = (0,)
            dw = (dy * hat).sum(axes)
            if dw.shape != w.shape:
                dw = dw.reshape(-1, d)[0]
            if bug == "divides by batch":
                d_ = len(x)
                m = (g.sum(-1, keepdims=True) + hat * (g * hat).sum(-1, keepdims=True)) / d_
            else:
                m = g.mean(-1, keepdims=True) + hat * (g * hat).mean(-1, keepdims=True)
            return {"x": r * (g - m), "w": dw}

        return hat * w, backward

    return f


def dense(bug=None):
    def f(x, w, b):
        def backward(dy):
            flat = dy.reshape(-1, dy.shape[-1])
            rows = x.reshape(-1, x.shape[-1])
            dx = dy @ w.T
            dw, db = rows.T @ flat, flat.sum(0)
            if bug == "square transposed" and w.shape[0] == w.shape[1]:
                dw = dw.T
            if bug == "averaged":
                db = flat.mean(0)
            if bug == "last axis one" and w.shape[1] == 1:
                dx = np.broadcast_to(dy, dx.shape) * w[0, 0]
            if bug == "batch one":
                dw = rows[:1].T @ flat[:1]
            if bug == "tile of four":
                n = len(flat) // 4 * 4 if len(flat) > 4 else len(flat)
                dw = rows[:n].T @ flat[:n]
            return {"x": dx, "w": dw, "b": db}

        return x @ w + b, backward

    return f


def softmax(bug=None):
    def f(x, axis):
        e = np.exp(x - x.max(axis, keepdims=True))
        p = e / e.sum(axis, keepdims=True)

        def backward(dy):
            a = -1 if bug == "last axis" else axis
            return {"x": p * (dy - (dy * p).sum(a, keepdims=True))}

        return p, backward

    return f


def reduce_mean(bug=None):
    def f(x, axis, keepdims):
        y = x.mean(axis, keepdims=keepdims)

        def backward(dy):
            n = x.shape[0] if bug == "axis zero" else x.shape[axis]
            g = dy if keepdims else np.expand_dims(dy, axis)
            if bug == "broadcast" and not keepdims:
                try:
                    g = np.broadcast_to(dy, x.shape)
                except ValueError:
                    g = np.expand_dims(dy, axis)
            return {"x": np.broadcast_to(g, x.shape) / n}

        return np.asarray(y), backward

    return f


def pad_reflect(bug=None):
    def f(x, p):
        index = np.pad(np.arange(x.shape[-1]), p, mode="reflect") if p else np.arange(x.shape[-1])
        if p >= x.shape[-1]:
            raise ValueError

        def backward(dy):
            dx = np.zeros_like(x)
            if bug == "assigns":
                dx[..., index] = dy
            elif bug == "minus zero":
                dx = dy[..., p:-p].copy() if p else dy.copy()
            else:
                np.add.at(dx, (..., index), dy)
            return {"x": dx}

        return x[..., index], backward

    return f


def heads(bug=None):
    """Queries of `groups` heads share one key head."""

    def f(q, k, groups):
        if q.shape[1] != k.shape[1] * groups:
            raise ValueError
        kk = np.repeat(k, groups, 1)

        def backward(dy):
            d = np.einsum("nhij,nhid->nhjd", dy, q)
            d = d.reshape(len(q), k.shape[1], groups, *d.shape[2:])
            if bug == "first of group":
                dk = d[:, :, 0]
            elif bug == "tiled":
                dk = d.reshape(len(q), groups, k.shape[1], *d.shape[3:]).sum(1)
            else:
                dk = d.sum(2)
            return {"q": np.einsum("nhij,nhjd->nhid", dy, kk), "k": dk}

        return np.einsum("nhid,nhjd->nhij", q, kk), backward

    return f


POOL = {"k": [2, 3], "stride": range(1, 4), "x": ("N", "C", "H", "W")}
CONV = {
    "stride": range(1, 4),
    "padding": range(3),
    "dilation": range(1, 3),
    "x": ("N", "C", "L"),
    "w": ("O", "C", "K"),
}
GROUPS = {"groups": [1, 2, 3], "x": ("N", "C*groups", "L"), "w": ("O*groups", "C", "K")}
NORM = {"x": ("N", "T?", "D"), "w": ("D",)}
DENSE = {"x": ("N", "T?", "D"), "w": ("D", "K"), "b": ("K",)}
AXIS = {"axis": [0, 1, 2], "x": ("A", "B", "C")}
MEAN = {**AXIS, "keepdims": [True, False]}
HEADS = {"groups": [1, 2, 3], "q": ("N", "H*groups", "T", "D"), "k": ("N", "H", "T", "D")}

BUGS = {
    "pool assigns": (max_pool("assigns"), POOL, "stride >= k"),
    "pool origin": (max_pool("origin"), POOL, ""),
    "pool exchanged": (max_pool("exchanged"), POOL, ""),
    "pool returns early": (max_pool("returns early"), POOL, "W <= 3"),
    "conv group zero": (conv1d("group zero"), GROUPS, "groups 1"),
    "conv first example": (conv1d("first example"), CONV, "N 1"),
    "conv groups exchanged": (conv1d("groups exchanged"), GROUPS, "groups 1"),
    "conv stride ignored": (conv1d("stride ignored"), CONV, "stride 1"),
    "conv dilation ignored": (conv1d("dilation ignored"), CONV, "dilation 1"),
    "conv assigns": (conv1d("assigns"), CONV, ""),
    "conv flipped": (conv1d("flipped"), CONV, "K 1"),
    "conv crop": (conv1d("crop"), CONV, "padding 0"),
    "conv remainder": (conv1d("remainder"), CONV, "stride 1"),
    "norm rank two": (layer_norm("rank two"), NORM, "T <= 1"),
    "norm divides by batch": (layer_norm("divides by batch"), NORM, ""),
    "dense square": (dense("square transposed"), DENSE, ""),
    "dense averaged": (dense("averaged"), DENSE, ""),
    "dense last axis one": (dense("last axis one"), DENSE, "wrong at 1"),
    "dense batch one": (dense("batch one"), DENSE, ""),
    "dense tile": (dense("tile of four"), DENSE, ""),
    "softmax last axis": (softmax("last axis"), AXIS, "axis 2"),
    "mean axis zero": (reduce_mean("axis zero"), MEAN, "axis 0"),
    "mean broadcast": (reduce_mean("broadcast"), MEAN, "keepdims True"),
    "pad assigns": (pad_reflect("assigns"), {"p": range(4), "x": ("N", "L")}, "p 0"),
    "pad minus zero": (pad_reflect("minus zero"), {"p": range(4), "x": ("N", "L")}, "p 0"),
    "heads first": (heads("first of group"), HEADS, "groups 1"),
    "heads tiled": (heads("tiled"), HEADS, "groups 1"),
}

RIGHT = {
    "max_pool": (max_pool(), POOL),
    "conv1d": (conv1d(), CONV),
    "conv1d groups": (conv1d(), GROUPS),
    "layer_norm": (layer_norm(), NORM),
    "dense": (dense(), DENSE),
    "softmax": (softmax(), AXIS),
    "mean": (reduce_mean(), MEAN),
    "pad": (pad_reflect(), {"p": range(4), "x": ("N", "L")}),
    "heads": (heads(), HEADS),
}
