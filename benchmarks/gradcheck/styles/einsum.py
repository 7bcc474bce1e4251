"""The layers with einsum and whole-array operations that NumPy, torch and jax share."""

from benchmarks.gradcheck.styles.layer import bug, make_layer

__all__ = ["LAYERS"]

DENSE = make_layer(
    "dense",
    'y = np.einsum("ni,io->no", x, W) + b',
    """
    dx = np.einsum("no,io->ni", dy, W)
    dW = np.einsum("ni,no->io", x, dy)
    db = np.einsum("no->o", dy)
    """,
    bug("mean", "scale", "x, dy)", "x, dy) / x.shape[0]"),
    bug("sign", "sign", 'db = np.einsum("no->o", dy)', 'db = -np.einsum("no->o", dy)'),
    bug("one-sum", "broadcast shape", 'np.einsum("no->o", dy)', 'np.einsum("no->", dy)'),
    bug("first-row", "partial", 'np.einsum("ni,no->io", x, dy)',
        'np.einsum("ni,no->io", x[1:], dy[1:])'),
    bug("relu", "mask", 'np.einsum("no,io->ni", dy, W)', 'np.einsum("no,io->ni", dy, W) * (x > 0)'),
    inputs={"x": (5, 4)},
    params={"W": (4, 3), "b": (3,)},
)  # fmt: skip

CONV = make_layer(
    "conv",
    """
    k = W.shape[2]
    oh, ow = x.shape[2] - k + 1, x.shape[3] - k + 1
    cols = np.stack([x[:, :, i:i + oh, j:j + ow] for i in range(k) for j in range(k)])
    kernel = W.reshape(W.shape[0], W.shape[1], k * k)
    y = np.einsum("pnchw,fcp->nfhw", cols, kernel) + b[:, None, None]
    """,
    """
    dW = np.einsum("nfhw,pnchw->fcp", dy, cols).reshape(W.shape)
    db = np.einsum("nfhw->f", dy)
    dcols = np.einsum("nfhw,fcp->pnchw", dy, kernel)
    dx = np.zeros_like(x)
    for i in range(k):
        for j in range(k):
            dx[:, :, i:i + oh, j:j + ow] += dcols[i * k + j]
    """,
    bug("assigned", "overwritten", "j:j + ow] += dcols[i * k + j]", "j:j + ow] = dcols[i * k + j]"),
    bug("mean", "scale", 'np.einsum("nfhw->f", dy)', 'np.einsum("nfhw->f", dy) / dy.shape[0]'),
    bug("exchanged", "wrong-operand transposed permuted", "dcols[i * k + j]", "dcols[j * k + i]"),
    bug("one-offset", "partial missing-path", "for i in range(k)", "for i in range(k - 1)"),
    bug("first-window", "partial", 'dy, cols)', 'dy[:, :, 1:], cols[:, :, :, 1:])'),
    inputs={"x": (2, 2, 4, 5)},
    params={"W": (3, 2, 3, 3), "b": (3,)},
)  # fmt: skip

POOL = make_layer(
    "pool",
    """
    top = np.maximum(x[:, :, 0::2, 0::2], x[:, :, 0::2, 1::2])
    low = np.maximum(x[:, :, 1::2, 0::2], x[:, :, 1::2, 1::2])
    y = np.maximum(top, low)
    """,
    """
    dx = np.zeros_like(x)
    for i in range(2):
        for j in range(2):
            dx[:, :, i::2, j::2] += dy * (x[:, :, i::2, j::2] == y)
    """,
    bug("everyone", "mask", "dy * (x[:, :, i::2, j::2] == y)", "dy"),
    bug("strict", "mask", "(x[:, :, i::2, j::2] == y)", "(x[:, :, i::2, j::2] < y)"),
    bug("quarter", "scale", "+= dy * (", "+= dy / 4 * ("),
    bug("one-column", "partial mask", "for j in range(2)", "for j in range(1)"),
    bug("no-dy", "not-linear", "+= dy * (x[:, :, i::2, j::2] == y)",
        "+= 1.0 * (x[:, :, i::2, j::2] == y)"),
    inputs={"x": (2, 3, 4, 6)},
)  # fmt: skip

NORM = make_layer(
    "norm",
    """
    xc = x - x.mean(axis=0)
    std = np.sqrt((xc * xc).mean(axis=0) + 1e-5)
    xhat = xc / std
    y = gamma * xhat + beta
    """,
    """
    dgamma = np.einsum("nc,nc->c", dy, xhat)
    dbeta = np.einsum("nc->c", dy)
    dxhat = dy * gamma
    along = xhat * (dxhat * xhat).mean(axis=0)
    dx = (dxhat - dxhat.mean(axis=0) - along) / std
    """,
    bug("direct-only", "missing-path", "(dxhat - dxhat.mean(axis=0) - along)", "dxhat"),
    bug("no-variance", "missing-path additive", " - along", ""),
    bug("no-gamma", "axis-scale", "dxhat = dy * gamma", "dxhat = dy"),
    bug("variance", "axis-scale wrong-operand", "- along) / std", "- along) / std ** 2"),
    bug("mean", "scale", 'np.einsum("nc->c", dy)', 'np.einsum("nc->c", dy) / dy.shape[0]'),
    inputs={"x": (6, 4)},
    params={"gamma": (4,), "beta": (4,)},
)

LOSS = make_layer(
    "loss",
    """
    e = np.exp(x - x.max())
    probs = e / e.sum(axis=1)[:, None]
    onehot = (t[:, None] == np.arange(x.shape[1])) * 1.0
    y = -(onehot * np.log(probs)).sum() / x.shape[0]
    """,
    "dx = dy * (probs - onehot) / x.shape[0]",
    bug("no-mean", "scale", " / x.shape[0]", ""),
    bug("sign", "sign", "(probs - onehot)", "(onehot - probs)"),
    bug("no-labels", "additive missing-path wrong-operand", "(probs - onehot)", "probs"),
    bug("unnormalised", "wrong-operand", "(probs - onehot)", "(e - onehot)"),
    bug("all-ones", "additive broadcast mask", "(probs - onehot)", "(probs - 1)"),
    inputs={"x": (5, 4)},
    labels={"t": (5, 4)},
)

ATTENTION = make_layer(
    "attention",
    """
    q = np.einsum("td,dk->tk", x, Wq)
    k = np.einsum("td,dk->tk", x, Wk)
    v = np.einsum("td,dv->tv", x, Wv)
    root = Wq.shape[1] ** 0.5
    e = np.exp(np.einsum("tk,sk->ts", q, k) / root)
    a = e / e.sum(axis=1)[:, None]
    y = np.einsum("ts,sv->tv", a, v)
    """,
    """
    dv = np.einsum("ts,tv->sv", a, dy)
    da = np.einsum("tv,sv->ts", dy, v)
    ds = a * (da - (da * a).sum(axis=1)[:, None]) / root
    dq = np.einsum("ts,sk->tk", ds, k)
    dk = np.einsum("ts,tk->sk", ds, q)
    dWq = np.einsum("td,tk->dk", x, dq)
    dWk = np.einsum("td,tk->dk", x, dk)
    dWv = np.einsum("td,tv->dv", x, dv)
    dx = (
        np.einsum("tk,dk->td", dq, Wq)
        + np.einsum("tk,dk->td", dk, Wk)
        + np.einsum("tv,dv->td", dv, Wv)
    )
    """,
    bug("no-root", "scale missing-path wrong-operand", "[:, None]) / root", "[:, None])"),
    bug("no-sum", "missing-path additive", "(da - (da * a).sum(axis=1)[:, None])", "da"),
    bug("values", "wrong-operand transposed", '"ts,tv->sv", a', '"st,tv->sv", a'),
    bug("no-values", "missing-path", '\n    + np.einsum("tv,dv->td", dv, Wv)', ""),
    bug("keys", "wrong-operand transposed", '"ts,tk->sk", ds', '"st,tk->sk", ds'),
    inputs={"x": (5, 4)},
    params={"Wq": (4, 3), "Wk": (4, 3), "Wv": (4, 2)},
)

LAYERS = (DENSE, CONV, POOL, NORM, LOSS, ATTENTION)
