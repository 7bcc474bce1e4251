"""Gates, activations and small blocks of dense layers."""

import numpy as np


def gelu(x):
    c = np.sqrt(2 / np.pi)
    return 0.5 * x * (1 + np.tanh(c * (x + 0.044715 * x**3)))


def gelu_vjp(dy, x):
    c = np.sqrt(2 / np.pi)
    inner = c * (x + 0.044715 * x**3)
    t = np.tanh(inner)
    dinner = c * (1 + 3 * 0.044715 * x**2)
    left = 0.5 * (1 + t)
    right = 0.5 * x * (1 - t**2) * dinner
    return dy * (left + right)


def swiglu(x, wg, wu, wd):
    a = x @ wg
    u = x @ wu
    s = 1 / (1 + np.exp(-a))
    silu = a * s
    h = silu * u
    y = h @ wd

    def backward(dy):
        dh = dy @ wd.T
        dwd = h.T @ dy
        dsilu = dh * u
        du = dh * silu
        da = dsilu * (s + a * s * (1 - s))
        dwg = x.T @ da
        dwu = x.T @ du
        dx = da @ wg.T + du @ wu.T
        return {"x": dx, "wg": dwg, "wu": dwu, "wd": dwd}

    return y, backward


class Highway:
    """t * relu(x w) + (1 - t) * x with t = sigmoid(x v + c)."""

    def __init__(self, seed=3):
        rng = np.random.default_rng(seed)
        self.params = {
            "w": rng.standard_normal((4, 4)),
            "v": rng.standard_normal((4, 4)),
            "c": rng.standard_normal(4),
        }
        self.grads = {}

    def forward(self, x):
        p = self.params
        self.x = x
        self.z = x @ p["w"]
        self.h = np.maximum(self.z, 0)
        self.t = 1 / (1 + np.exp(-(x @ p["v"] + p["c"])))
        return self.t * self.h + (1 - self.t) * x

    def backward(self, dy):
        p, x, t = self.params, self.x, self.t
        dh = dy * t
        dz = np.where(self.z > 0, dh, 0.0)
        dt = dy * (self.h - x)
        da = dt * t * (1 - t)
        self.grads["w"] = x.T @ dz
        self.grads["v"] = x.T @ da
        self.grads["c"] = da.sum(axis=0)
        dx = dy * (1 - t)
        dx = dx + dz @ p["w"].T
        dx = dx + da @ p["v"].T
        return dx


class ResidualBlock:
    def __init__(self, seed=5):
        rng = np.random.default_rng(seed)
        self.w1 = rng.standard_normal((3, 6))
        self.b1 = rng.standard_normal(6)
        self.w2 = rng.standard_normal((6, 3))
        self.alpha = np.array(0.7)

    def forward(self, x):
        self.x = x
        self.a = x @ self.w1 + self.b1
        self.h = self._activate(self.a)
        self.branch = self.h @ self.w2
        return x + self.alpha * self.branch

    def _activate(self, a):
        return np.where(a > 0, a, 0.1 * a)

    def _activate_backward(self, dh):
        slope = np.where(self.a > 0, 1.0, 0.1)
        return dh * slope

    def backward(self, dy):
        self.d_alpha = np.sum(dy * self.branch)
        dbranch = self.alpha * dy
        self.d_w2 = self.h.T @ dbranch
        dh = dbranch @ self.w2.T
        da = self._activate_backward(dh)
        self.d_w1 = self.x.T @ da
        self.d_b1 = np.sum(da, axis=0)
        dx = da @ self.w1.T
        dx += dy
        return dx


def bilinear(x, z, w, b):
    y = np.einsum("ni,ijk,nj->nk", x, w, z) + b
    out = np.tanh(y)

    def backward(dout):
        dy = dout * (1 - out * out)
        dx = np.einsum("nk,ijk,nj->ni", dy, w, z)
        dz = np.einsum("nk,ijk,ni->nj", dy, w, x)
        dw = np.einsum("ni,nk,nj->ijk", x, dy, z)
        db = dy.sum(axis=0)
        return {"x": dx, "z": dz, "w": dw, "b": db}

    return out, backward


def elu_mixture(x, logits, slopes):
    """A softmax mixture of ELUs with different slopes."""
    e = np.exp(logits - logits.max())
    p = e / e.sum()
    parts = [np.where(x > 0, x, np.exp(s * x) - 1) for s in slopes]
    y = sum(w * part for w, part in zip(p, parts, strict=True))

    def backward(dy):
        dp = np.array([(dy * part).sum() for part in parts])
        dlogits = p * (dp - (p * dp).sum())
        dx = np.zeros_like(x)
        dslopes = np.zeros_like(slopes)
        for k, s in enumerate(slopes):
            low = np.exp(s * x)
            dx += p[k] * dy * np.where(x > 0, 1.0, s * low)
            dslopes[k] = p[k] * np.sum(np.where(x > 0, 0.0, dy * x * low))
        return dx, dlogits, dslopes

    return y, backward


def maxout(x, w, b):
    z = np.einsum("ni,pio->npo", x, w) + b
    best = z.argmax(axis=1)
    rows = np.arange(x.shape[0])[:, None]
    cols = np.arange(z.shape[2])[None, :]
    y = z[rows, best, cols]

    def backward(dy):
        dz = np.zeros_like(z)
        dz[rows, best, cols] = dy
        dw = np.einsum("ni,npo->pio", x, dz)
        db = dz.sum(axis=0)
        dx = np.einsum("npo,pio->ni", dz, w)
        return {"x": dx, "w": dw, "b": db}

    return y, backward


def prelu_dense_forward(x, w, b, a):
    z = x.dot(w) + b
    pos = z > 0
    y = z * np.where(pos, 1.0, a)
    return y, (x, w, z, pos, a)


def prelu_dense_backward(dy, cache):
    x, w, z, pos, a = cache
    da = np.sum(np.where(pos, 0.0, dy * z), axis=0)
    dz = dy.copy()
    dz *= np.where(pos, 1.0, a)
    dw = x.T.dot(dz)
    db = dz.sum(0)
    dx = dz.dot(w.T)
    return dx, dw, db, da


def film(x, cond, wg, wb):
    """Features scaled and shifted by two linear functions of a condition."""
    g = 1 + cond @ wg
    b = cond @ wb
    h = np.log1p(np.exp(x))
    y = g[:, None, :] * h + b[:, None, :]

    def backward(dy):
        dg = (dy * h).sum(axis=1)
        db = dy.sum(axis=1)
        dh = dy * g[:, None, :]
        dx = dh / (1 + np.exp(-x))
        dcond = dg @ wg.T + db @ wb.T
        return {"x": dx, "cond": dcond, "wg": cond.T @ dg, "wb": cond.T @ db}

    return y, backward


def _normal(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


CASES = {
    "gelu": ("vjp", (gelu, gelu_vjp), _normal(0, x=(4, 5))),
    "swiglu": ("closure", (swiglu,), _normal(1, x=(4, 3), wg=(3, 5), wu=(3, 5), wd=(5, 2))),
    "highway": ("object", (Highway,), _normal(2, x=(5, 4))),
    "residual_block": ("object", (ResidualBlock,), _normal(3, x=(4, 3))),
    "bilinear": ("closure", (bilinear,), _normal(4, x=(5, 3), z=(5, 4), w=(3, 4, 2), b=(2,))),
    "elu_mixture": (
        "closure",
        (elu_mixture,),
        _normal(5, x=(4, 5), logits=(3,)) | {"slopes": np.array([0.5, 1.0, 1.7])},
    ),
    "maxout": ("closure", (maxout,), _normal(6, x=(5, 3), w=(2, 3, 4), b=(2, 4))),
    "prelu_dense": (
        "pair",
        (prelu_dense_forward, prelu_dense_backward),
        _normal(7, x=(5, 3), w=(3, 4), b=(4,), a=(4,)),
    ),
    "film": ("closure", (film,), _normal(8, x=(3, 4, 5), cond=(3, 2), wg=(2, 5), wb=(2, 5))),
}
