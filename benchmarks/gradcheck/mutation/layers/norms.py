"""Normalisation: over the batch, a layer, groups, the root mean square, and the weights."""

import numpy as np


def batch_norm_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=0)
    xmu = x - mu
    sq = xmu**2
    var = sq.mean(axis=0)
    std = np.sqrt(var + eps)
    inv = 1.0 / std
    xhat = xmu * inv
    out = gamma * xhat + beta
    return out, (xhat, gamma, xmu, inv, std, var, eps)


def batch_norm_backward(dout, cache):
    xhat, gamma, xmu, inv, std, var, eps = cache
    n, d = dout.shape
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    dinv = (dxhat * xmu).sum(axis=0)
    dxmu1 = dxhat * inv
    dstd = -1.0 / std**2 * dinv
    dvar = 0.5 / np.sqrt(var + eps) * dstd
    dsq = np.ones((n, d)) / n * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * (dxmu1 + dxmu2).sum(axis=0)
    dx2 = np.ones((n, d)) / n * dmu
    dx = dx1 + dx2
    return dx, dgamma, dbeta


def batch_norm_images(x, gamma, beta):
    n = x.shape[0] * x.shape[2] * x.shape[3]
    axes = (0, 2, 3)
    mean = x.mean(axis=axes, keepdims=True)
    var = x.var(axis=axes, keepdims=True)
    istd = 1 / np.sqrt(var + 1e-5)
    xhat = (x - mean) * istd
    y = gamma[:, None, None] * xhat + beta[:, None, None]

    def backward(dy):
        dgamma = np.sum(dy * xhat, axis=axes)
        dbeta = np.sum(dy, axis=axes)
        dxhat = dy * gamma[:, None, None]
        a = dxhat.sum(axis=axes, keepdims=True)
        b = (dxhat * xhat).sum(axis=axes, keepdims=True)
        dx = istd / n * (n * dxhat - a - xhat * b)
        return {"x": dx, "gamma": dgamma, "beta": dbeta}

    return y, backward


class LayerNorm:
    def __init__(self, size=5, eps=1e-6):
        rng = np.random.default_rng(7)
        self.gamma = rng.standard_normal(size)
        self.beta = rng.standard_normal(size)
        self.eps = eps

    def forward(self, x):
        self.mean = x.mean(axis=-1, keepdims=True)
        self.centred = x - self.mean
        self.var = (self.centred**2).mean(axis=-1, keepdims=True)
        self.inv = (self.var + self.eps) ** -0.5
        self.xhat = self.centred * self.inv
        return self.xhat * self.gamma + self.beta

    def backward(self, dout):
        self.dgamma = (dout * self.xhat).sum(axis=(0, 1))
        self.dbeta = dout.sum(axis=(0, 1))
        d = dout.shape[-1]
        dxhat = dout * self.gamma
        dinv = (dxhat * self.centred).sum(axis=-1, keepdims=True)
        dvar = dinv * -0.5 * self.inv**3
        dcentred = dxhat * self.inv + 2 * self.centred * dvar / d
        dmean = -dcentred.sum(axis=-1, keepdims=True)
        return dcentred + dmean / d


def group_norm(x, gamma, beta, groups):
    n = x.shape[0]
    xg = x.reshape(n, groups, -1)
    m = xg.shape[2]
    mu = xg.mean(axis=2, keepdims=True)
    var = xg.var(axis=2, keepdims=True)
    s = np.sqrt(var + 1e-5)
    xn = ((xg - mu) / s).reshape(x.shape)
    y = xn * gamma[None, :, None, None] + beta[None, :, None, None]

    def backward(dy):
        dgamma = np.einsum("nchw,nchw->c", dy, xn)
        dbeta = np.einsum("nchw->c", dy)
        dxn = (dy * gamma[None, :, None, None]).reshape(n, groups, -1)
        normed = xn.reshape(n, groups, -1)
        mean_d = dxn.sum(axis=2, keepdims=True) / m
        mean_dx = (dxn * normed).sum(axis=2, keepdims=True) / m
        dxg = (dxn - mean_d - normed * mean_dx) / s
        return {"x": dxg.reshape(x.shape), "gamma": dgamma, "beta": dbeta}

    return y, backward


def rms_norm(x, g):
    ms = (x * x).mean(axis=-1, keepdims=True)
    return x / np.sqrt(ms + 1e-6) * g


def rms_norm_vjp(dy, x, g):
    d = x.shape[-1]
    r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)
    dg = np.einsum("btd,btd->d", dy, x * r)
    dn = dy * g
    dot = (dn * x).sum(axis=-1, keepdims=True)
    dx = r * dn
    dx -= x * dot * r**3 / d
    return dx, dg


def weight_norm(x, v, g):
    """A dense layer of weights g v / ||v||, one norm for each output."""
    norm = np.sqrt((v * v).sum(axis=0))
    w = v / norm * g
    y = x @ w

    def backward(dy):
        dw = x.T @ dy
        dx = dy @ w.T
        direction = v / norm
        dg = (dw * direction).sum(axis=0)
        along = direction * dg
        dv = g / norm * (dw - along)
        return dict(x=dx, v=dv, g=dg)

    return y, backward


def _normal(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


CASES = {
    "batch_norm": (
        "pair",
        (batch_norm_forward, batch_norm_backward),
        _normal(0, x=(6, 4), gamma=(4,), beta=(4,)),
    ),
    "batch_norm_images": (
        "closure",
        (batch_norm_images,),
        _normal(1, x=(3, 2, 4, 5), gamma=(2,), beta=(2,)),
    ),
    "layer_norm": ("object", (LayerNorm,), _normal(2, x=(2, 3, 5))),
    "group_norm": (
        "closure",
        (group_norm,),
        _normal(3, x=(2, 4, 3, 2), gamma=(4,), beta=(4,)) | {"groups": 2},
    ),
    "rms_norm": ("vjp", (rms_norm, rms_norm_vjp), _normal(4, x=(2, 3, 5), g=(5,))),
    "weight_norm": ("closure", (weight_norm,), _normal(5, x=(5, 3), v=(3, 4), g=(4,))),
}
