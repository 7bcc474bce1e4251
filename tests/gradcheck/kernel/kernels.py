"""Hand-written kernels in torch, as people write them: float32 inside, results in the arguments'
dtype. Each takes `bug`, the name of one mistake, and returns f(**arguments) -> (y, backward).
"""

import torch
import torch.nn.functional as F


def layer_norm(bug=None, eps=1e-5):
    def f(x, w, b):
        z = x.float()
        mean = z.mean(-1, keepdim=True)
        rstd = (z.var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
        xhat = (z - mean) * rstd
        y = (xhat * w.float() + b.float()).to(x.dtype)

        def backward(dy):
            g = dy.float()
            gw = g if bug == "w" else g * w.float()
            m1 = gw.mean(-1, keepdim=True)
            m2 = (gw * xhat).mean(-1, keepdim=True)
            if bug == "mean path":
                m1 = 0 * m1
            if bug == "variance path":
                m2 = 0 * m2
            if (
                bug == "Bessel"
            ):  # 2.5 % too small at 20 columns: hardly more than bfloat16's rounding
                m1, m2 = m1 * 0.975, m2 * 0.975
                gw = gw * 0.975
            if bug == "sums for means":
                m1, m2 = m1 * x.shape[-1], m2 * x.shape[-1]
            dx = (gw - m1 - xhat * m2) * rstd
            if bug == "rstd":
                dx = dx / rstd
            rows = g.reshape(-1, x.shape[-1])
            hats = xhat.reshape(-1, x.shape[-1])
            if bug == "raw x":
                hats = z.reshape(-1, x.shape[-1])
            if bug == "last tile":
                rows, hats = rows[: len(rows) // 8 * 8], hats[: len(rows) // 8 * 8]
            dw, db = (rows * hats).sum(0), rows.sum(0)
            if bug == "one program":
                dw, db = (rows[-1:] * hats[-1:]).sum(0), rows[-1:].sum(0)
            if bug == "averaged":
                dw, db = dw / len(rows), db / len(rows)
            if bug == "tail columns":
                dx = dx.clone()
                dx[..., x.shape[-1] // 16 * 16 :] = 0
            return dx.to(x.dtype), dw.to(w.dtype), db.to(b.dtype)

        return y, backward

    return f


def rms_norm(bug=None, eps=1e-6):
    def f(x, w):
        z = x.float()
        r = (z.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
        y = (z * r * w.float()).to(x.dtype)

        def backward(dy):
            g = dy.float()
            gw = g * w.float()
            dot = (gw * z).mean(-1, keepdim=True)
            if bug == "norm path":
                dot = 0 * dot
            dx = r * gw - z * dot * r ** (1 if bug == "r squared" else 3)
            dw = (g * z * r).reshape(-1, x.shape[-1]).sum(0)
            if bug == "dw without r":
                dw = (g * z).reshape(-1, x.shape[-1]).sum(0)
            return dx.to(x.dtype), dw.to(w.dtype)

        return y, backward

    return f


def softmax(bug=None):
    def f(x):
        p = torch.softmax(x.float(), -1)
        y = p.to(x.dtype)

        def backward(dy):
            g = dy.float()
            dot = (g * p).sum(-1, keepdim=True)
            if bug == "diagonal":
                return (p * (1 - p) * g).to(x.dtype)
            if bug == "no dot":
                return (p * g).to(x.dtype)
            if bug == "dot over rows":
                dot = (g * p).sum(0, keepdim=True)
            if bug == "sign":
                return (p * (dot - g)).to(x.dtype)
            return (p * (g - dot)).to(x.dtype)

        return y, backward

    return f


def cross_entropy(bug=None):
    def f(x, labels):
        z = x.float()
        y = F.cross_entropy(z, labels)

        def backward(dy):
            p = torch.softmax(z, -1)
            hot = F.one_hot(labels, x.shape[-1]).float()
            if bug == "one-hot":
                hot = 0 * hot
            if bug == "label shifted":
                hot = hot.roll(1, -1)
            d = (p - hot) / len(z)
            if bug == "no mean":
                d = d * len(z)
            if bug == "dy":
                return d.to(x.dtype)
            if bug == "overflow":
                e = z.to(torch.float16).exp()
                d = (e / e.sum(-1, keepdim=True) - hot) / len(z)
            return (d * dy.float()).to(x.dtype)

        return y, backward

    return f


def gelu(bug=None):
    c = 0.7978845608028654

    def f(x):
        z = x.float()
        t = torch.tanh(c * (z + 0.044715 * z**3))
        y = (0.5 * z * (1 + t)).to(x.dtype)

        def backward(dy):
            g = dy.float()
            inner = c * (1 + 3 * 0.044715 * z**2)
            if bug == "cubic":
                inner = c
            d = 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * inner
            if bug == "half":
                d = 0.5 * (1 + t)
            return (g * d).to(x.dtype)

        return y, backward

    return f


def swiglu(bug=None):
    def f(a, b):
        u, v = a.float(), b.float()
        s = torch.sigmoid(u)
        y = (u * s * v).to(a.dtype)

        def backward(dy):
            g = dy.float()
            da = g * v * s * (1 + u * (1 - s))
            if bug == "slope":
                da = g * v * s
            db = g * u * s
            if bug == "exchanged":
                da, db = db, da
            if bug == "b missing":
                da = da / v
            return da.to(a.dtype), db.to(b.dtype)

        return y, backward

    return f


def linear(bug=None):
    def f(x, w, b):
        y = (x.float() @ w.float().T + b.float()).to(x.dtype)

        def backward(dy):
            g, z = dy.float(), x.float()
            dx, dw, db = g @ w.float(), g.T @ z, g.sum(0)
            if bug == "w for its transpose":
                dx = g @ w.float().T
            if bug == "last rows":
                n = len(g) // 16 * 16
                dw = g[:n].T @ z[:n]
            if bug == "k tail":
                k = w.shape[0] // 16 * 16
                dx = g[:, :k] @ w.float()[:k]
            if bug == "db scalar":
                db = db.mean().expand_as(db)
            if bug == "weight decay":
                dw = dw + 0.1 * w.float()
            if bug == "split-k overwrites":
                h = len(g) // 2
                dw = g[h:].T @ z[h:]
            if bug == "float16 inside":
                dw = torch.zeros_like(dw, dtype=dy.dtype)
                for r in range(len(g)):
                    dw += (dy[r][:, None] * x[r][None]).to(dy.dtype)
            return dx.to(x.dtype), dw.to(w.dtype), db.to(b.dtype)

        return y, backward

    return f


def attention(bug=None, causal=True):
    def f(q, k, v):
        Q, K, V = q.float(), k.float(), v.float()
        scale = q.shape[-1] ** -0.5
        S = scale * Q @ K.transpose(-1, -2)
        mask = torch.ones(S.shape[-2:], dtype=torch.bool).tril()
        if causal:
            S = S.masked_fill(~mask, -torch.inf)
        P = torch.softmax(S, -1)
        O = P @ V
        y = O.to(q.dtype)

        def backward(dy):
            g = dy.float()
            p = P
            if bug == "mask":
                p = torch.softmax(scale * Q @ K.transpose(-1, -2), -1)
            if bug == "mask off by one":
                p = torch.softmax(
                    (scale * Q @ K.transpose(-1, -2)).masked_fill(
                        ~torch.ones_like(mask).tril(1), -torch.inf
                    ),
                    -1,
                )
            dv = p.transpose(-1, -2) @ g
            dp = g @ V.transpose(-1, -2)
            delta = (g * O).sum(-1, keepdim=True)
            if bug == "delta":
                delta = 0 * delta
            ds = p * (dp - delta)
            if bug != "scale":
                ds = ds * scale
            dq, dk = ds @ K, ds.transpose(-1, -2) @ Q
            if bug == "dk not transposed":
                dk = ds @ Q
            if bug == "last block of keys":
                dk = dk.clone()
                dk[..., k.shape[-2] // 8 * 8 :, :] = 0
            if bug == "nan in masked rows":
                dq = dq / (mask.float().sum(-1)[:, None] - 1).clamp(min=0) * mask.sum(-1)[:, None]
            return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)

        return y, backward

    return f


def embedding(bug=None):
    def f(table, index):
        y = table[index]

        def backward(dy):
            d = torch.zeros(table.shape, dtype=torch.float32)
            flat, g = index.reshape(-1), dy.float().reshape(-1, table.shape[-1])
            if bug == "overwrites":
                d[flat] = g
            else:
                d.index_add_(0, flat, g)
            if bug == "padding row":
                d[0] = 0
            return d.to(table.dtype)

        return y, backward

    return f


def bias_sum(bug=None, step=256):
    """y = x + b; db is the sum over all rows."""

    def f(x, b):
        y = (x.float() + b.float()).to(x.dtype)

        def backward(dy):
            g = dy.float()
            db = g.sum(0)
            if bug == "kept narrow":
                db = torch.zeros_like(b)
                for r in range(0, len(g)):
                    db += dy[r]
            if bug == "race":
                order = torch.rand(len(g)) < 0.7
                db = g[order].sum(0)
            if bug == "cut off":
                db = g[: len(g) // step * step].sum(0)
            return dy.clone(), db.to(b.dtype)

        return y, backward

    return f


def relu_linear(bug=None):
    def f(x, w):
        h = x.float() @ w.float()
        y = h.relu().to(x.dtype)

        def backward(dy):
            g = dy.float()
            m = h > 0
            if bug == "mask of dy":
                m = g > 0
            if bug == "no mask":
                m = torch.ones_like(m)
            g = g * m
            return (g @ w.float().T).to(x.dtype), (x.float().T @ g).to(w.dtype)

        return y, backward

    return f


def max_pool(bug=None):
    def f(x):
        y, where = F.max_pool1d(x.float(), 3, 2, return_indices=True)

        def backward(dy):
            d = torch.zeros(x.shape)
            if bug == "overwrites":
                d.scatter_(-1, where, dy.float())
            elif bug == "origin":
                d.scatter_add_(-1, (where - where % 2).clamp(min=0), dy.float())
            else:
                d.scatter_add_(-1, where, dy.float())
            return d.to(x.dtype)

        return y.to(x.dtype), backward

    return f


def rotary(bug=None):
    def f(x, cos, sin):
        def turn(t, s):
            a, b = t.float().chunk(2, -1)
            return torch.cat(
                [a * cos.float() - s * b * sin.float(), b * cos.float() + s * a * sin.float()], -1
            )

        y = turn(x, 1).to(x.dtype)

        def backward(dy):
            return {"x": turn(dy, 1 if bug == "not reversed" else -1).to(x.dtype)}

        return y, backward

    return f


def dropout(bug=None, p=0.25):
    def f(x, keep, p=p):
        m = keep.float()
        y = (x.float() * m / (1 - p)).to(x.dtype)

        def backward(dy):
            d = dy.float() * m / (1 - p)
            if bug == "scale":
                d = dy.float() * m
            if bug == "mask":
                d = dy.float() / (1 - p)
            return d.to(x.dtype)

        return y, backward

    return f


def grouped_heads(bug=None):
    """Grouped queries: every key head serves two query heads, and its gradient is their sum."""

    def f(q, k):
        kk = k.float().repeat_interleave(2, 1)
        y = (q.float() @ kk.transpose(-1, -2)).to(q.dtype)

        def backward(dy):
            g = dy.float()
            dq = g @ kk
            dk = (g.transpose(-1, -2) @ q.float()).unflatten(1, (-1, 2))
            dk = dk[:, :, 0] if bug == "first head" else dk.sum(2)
            if bug == "tiled":
                dk = (g.transpose(-1, -2) @ q.float()).unflatten(1, (2, -1)).sum(1)
            return dq.to(q.dtype), dk.to(k.dtype)

        return y, backward

    return f


def conv1d(bug=None):
    def f(x, w):
        y = F.conv1d(x.float(), w.float(), padding=1).to(x.dtype)

        def backward(dy):
            g = dy.float()
            dx = F.conv_transpose1d(g, w.float(), padding=1)
            if bug == "flipped":
                dx = F.conv_transpose1d(g, w.float().flip(-1), padding=1)
            dw = torch.nn.grad.conv1d_weight(x.float(), w.shape, g, padding=1)
            if bug == "dw flipped":
                dw = dw.flip(-1)
            if bug == "first example":
                dw = torch.nn.grad.conv1d_weight(x[:1].float(), w.shape, g[:1], padding=1)
            return dx.to(x.dtype), dw.to(w.dtype)

        return y, backward

    return f


def log_softmax(bug=None):
    def f(x):
        y = torch.log_softmax(x.float(), -1)

        def backward(dy):
            g = dy.float()
            s = g.sum(-1, keepdim=True)
            if bug == "dy sums to one":
                s = torch.ones_like(s)
            return (g - y.exp() * s).to(x.dtype)

        return y.to(x.dtype), backward

    return f
