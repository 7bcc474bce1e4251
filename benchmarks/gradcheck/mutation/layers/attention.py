"""Attention in three ways, rotary positions, and a squeeze-and-excite gate."""

import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(p, dp):
    return p * (dp - (dp * p).sum(axis=-1, keepdims=True))


def causal_attention(x, wq, wk, wv, wo):
    t, d = x.shape[1], wq.shape[1]
    q, k, v = x @ wq, x @ wk, x @ wv
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(d)
    mask = np.tril(np.ones((t, t)))
    scores = np.where(mask > 0, scores, -1e9)
    p = softmax(scores)
    c = p @ v
    y = c @ wo

    def backward(dy):
        dc = dy @ wo.T
        dwo = np.einsum("bti,btj->ij", c, dy)
        dv = p.transpose(0, 2, 1) @ dc
        dp = dc @ v.transpose(0, 2, 1)
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
        ds = ds / np.sqrt(d)
        dq = ds @ k
        dk = ds.transpose(0, 2, 1) @ q
        dx = dq @ wq.T
        dx = dx + dk @ wk.T
        dx = dx + dv @ wv.T
        dwq = np.einsum("bti,btj->ij", x, dq)
        dwk = np.einsum("bti,btj->ij", x, dk)
        dwv = np.einsum("bti,btj->ij", x, dv)
        return {"x": dx, "wq": dwq, "wk": dwk, "wv": dwv, "wo": dwo}

    return y, backward


def grouped_query_attention(q, k, v):
    """q (B, H, T, D) against k and v (B, G, T, D), H a multiple of G."""
    heads, groups = q.shape[1], k.shape[1]
    each = heads // groups
    scale = 1.0 / np.sqrt(q.shape[-1])
    p = np.empty((*q.shape[:3], k.shape[2]))
    out = np.empty(q.shape)
    for h in range(heads):
        g = h // each
        p[:, h] = softmax(q[:, h] @ k[:, g].transpose(0, 2, 1) * scale)
        out[:, h] = p[:, h] @ v[:, g]

    def backward(dout):
        dq = np.zeros_like(q)
        dk = np.zeros_like(k)
        dv = np.zeros_like(v)
        for h in range(heads):
            g = h // each
            dv[:, g] += p[:, h].transpose(0, 2, 1) @ dout[:, h]
            dp = dout[:, h] @ v[:, g].transpose(0, 2, 1)
            ds = softmax_backward(p[:, h], dp) * scale
            dq[:, h] = ds @ k[:, g]
            dk[:, g] += ds.transpose(0, 2, 1) @ q[:, h]
        return {"q": dq, "k": dk, "v": dv}

    return out, backward


def multihead_forward(x, w_in, w_out, heads):
    b, t, d = x.shape
    h = d // heads
    qkv = (x @ w_in).reshape(b, t, 3, heads, h).transpose(2, 0, 3, 1, 4)
    q, k, v = qkv[0], qkv[1], qkv[2]
    p = softmax(np.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(h))
    mixed = np.einsum("bhij,bhjd->bhid", p, v)
    joined = mixed.transpose(0, 2, 1, 3).reshape(b, t, d)
    return joined @ w_out, (x, w_in, w_out, heads, q, k, v, p, joined)


def multihead_backward(dy, cache):
    x, w_in, w_out, heads, q, k, v, p, joined = cache
    b, t, d = x.shape
    h = d // heads
    dw_out = joined.reshape(-1, d).T @ dy.reshape(-1, dy.shape[-1])
    djoined = dy @ w_out.T
    dmixed = djoined.reshape(b, t, heads, h).transpose(0, 2, 1, 3)
    dp = np.einsum("bhid,bhjd->bhij", dmixed, v)
    dv = np.einsum("bhij,bhid->bhjd", p, dmixed)
    ds = softmax_backward(p, dp) / np.sqrt(h)
    dq = np.einsum("bhij,bhjd->bhid", ds, k)
    dk = np.einsum("bhij,bhid->bhjd", ds, q)
    dqkv = np.stack([dq, dk, dv]).transpose(1, 3, 0, 2, 4).reshape(b, t, 3 * d)
    dw_in = np.einsum("bti,btj->ij", x, dqkv)
    dx = dqkv @ w_in.T
    return dx, dw_in, dw_out


def rope(x, scale):
    """Rotary positions: pairs of features turned by an angle that grows with the position."""
    t, d = x.shape[1], x.shape[2] // 2
    angle = np.arange(t)[:, None] / 10.0 ** (np.arange(d) / d)
    cos, sin = np.cos(angle), np.sin(angle)
    left, right = x[..., :d], x[..., d:]
    turned = np.concatenate([left * cos - right * sin, left * sin + right * cos], axis=-1)
    y = turned * scale

    def backward(dy):
        dscale = (dy * turned).sum(axis=(0, 1))
        dturned = dy * scale
        da, db = dturned[..., :d], dturned[..., d:]
        dleft = da * cos + db * sin
        dright = db * cos - da * sin
        dx = np.zeros_like(x)
        dx[..., :d] = dleft
        dx[..., d:] = dright
        return {"x": dx, "scale": dscale}

    return y, backward


def squeeze_excite_forward(x, w1, w2):
    squeezed = x.mean(axis=(2, 3))
    hidden = np.maximum(squeezed @ w1, 0)
    gate = 1 / (1 + np.exp(-hidden @ w2))
    y = x * gate[:, :, None, None]
    return y, {"x": x, "s": squeezed, "h": hidden, "g": gate, "w1": w1, "w2": w2}


def squeeze_excite_backward(dy, cache):
    x, gate, hidden = cache["x"], cache["g"], cache["h"]
    area = x.shape[2] * x.shape[3]
    dgate = (dy * x).sum(axis=(2, 3))
    dlogit = dgate * gate * (1 - gate)
    dw2 = hidden.T @ dlogit
    dhidden = dlogit @ cache["w2"].T
    dhidden[hidden <= 0] = 0
    dw1 = cache["s"].T @ dhidden
    dsqueezed = dhidden @ cache["w1"].T
    dx = dy * gate[:, :, None, None]
    dx += dsqueezed[:, :, None, None] / area
    return {"x": dx, "w1": dw1, "w2": dw2}


def _normal(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


CASES = {
    "causal_attention": (
        "closure",
        (causal_attention,),
        _normal(0, x=(2, 5, 4), wq=(4, 3), wk=(4, 3), wv=(4, 3), wo=(3, 4)),
    ),
    "grouped_query_attention": (
        "closure",
        (grouped_query_attention,),
        _normal(1, q=(2, 4, 3, 5), k=(2, 2, 3, 5), v=(2, 2, 3, 5)),
    ),
    "multihead": (
        "pair",
        (multihead_forward, multihead_backward),
        _normal(2, x=(2, 3, 4), w_in=(4, 12), w_out=(4, 5)) | {"heads": 2},
    ),
    "rope": ("closure", (rope,), _normal(3, x=(2, 5, 6), scale=(6,))),
    "squeeze_excite": (
        "pair",
        (squeeze_excite_forward, squeeze_excite_backward),
        _normal(4, x=(3, 4, 2, 5), w1=(4, 6), w2=(6, 4)),
    ),
}
