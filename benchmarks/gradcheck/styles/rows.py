"""The layers as most people write them: NumPy, samples in rows, channels first."""

from benchmarks.gradcheck.styles.layer import bug, make_layer

__all__ = ["LAYERS"]

DENSE = make_layer(
    "dense",
    "y = x @ W + b",
    """
    dx = dy @ W.T
    dW = x.T @ dy
    db = dy.sum(axis=0)
    """,
    bug("mean", "scale", "dW = x.T @ dy", "dW = x.T @ dy / len(x)"),
    bug("sign", "sign", "db = dy.sum", "db = -dy.sum"),
    bug("one-sum", "broadcast shape", "dy.sum(axis=0)", "dy.sum()"),
    bug("last-row", "partial", "x.T @ dy", "x[:-1].T @ dy[:-1]"),
    bug("relu", "mask", "dx = dy @ W.T", "dx = (dy @ W.T) * (x > 0)"),
    inputs={"x": (5, 4)},
    params={"W": (4, 3), "b": (3,)},
)

CONV = make_layer(
    "conv",
    """
    k = W.shape[2]
    p = k // 2
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    y = np.zeros((x.shape[0], W.shape[0], x.shape[2], x.shape[3]))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            window = xp[:, :, i:i + k, j:j + k]
            y[:, :, i, j] = np.tensordot(window, W, axes=([1, 2, 3], [1, 2, 3])) + b
    """,
    """
    dxp = np.zeros_like(xp)
    dW = np.zeros_like(W)
    db = dy.sum(axis=(0, 2, 3))
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            window = xp[:, :, i:i + k, j:j + k]
            dW += np.tensordot(dy[:, :, i, j], window, axes=([0], [0]))
            dxp[:, :, i:i + k, j:j + k] += np.tensordot(dy[:, :, i, j], W, axes=([1], [0]))
    dx = dxp[:, :, p:-p, p:-p]
    """,
    bug("assigned", "overwritten", "j:j + k] += np", "j:j + k] = np"),
    bug("mean", "scale", "db = dy.sum(axis=(0, 2, 3))", "db = dy.sum(axis=(0, 2, 3)) / len(dy)"),
    bug("flipped", "wrong-operand flipped", "j], W, axes", "j], W[:, :, ::-1, ::-1], axes"),
    bug("last-windows", "partial", "i in range(dy.shape[2])", "i in range(dy.shape[2] - 1)"),
    bug("crop", "shifted", "dxp[:, :, p:-p, p:-p]", "dxp[:, :, :-2 * p, :-2 * p]"),
    inputs={"x": (2, 2, 4, 5)},
    params={"W": (3, 2, 3, 3), "b": (3,)},
)

POOL = make_layer(
    "pool",
    """
    windows = x.reshape(x.shape[0], x.shape[1], x.shape[2] // 2, 2, x.shape[3] // 2, 2)
    y = windows.max(axis=(3, 5))
    """,
    """
    mask = windows == y[:, :, :, None, :, None]
    dwindows = mask * dy[:, :, :, None, :, None]
    dx = dwindows.reshape(x.shape)
    """,
    bug("everyone", "mask", "= mask * dy", "= np.ones_like(windows) * dy"),
    bug("minimum", "mask wrong-operand permuted", "windows == y[:, :, :, None, :, None]",
        "windows == windows.min(axis=(3, 5), keepdims=True)"),
    bug("quarter", "scale", "dwindows.reshape(x.shape)", "dwindows.reshape(x.shape) / 4"),
    bug("last-windows", "partial", "dx = dwindows",
        "dwindows[:, :, -1] = 0\ndx = dwindows"),
    bug("no-dy", "not-linear", "mask * dy[:, :, :, None, :, None]", "mask * 1.0"),
    inputs={"x": (2, 3, 4, 6)},
)  # fmt: skip

NORM = make_layer(
    "norm",
    """
    mu = x.mean(axis=0)
    xc = x - mu
    var = (xc ** 2).mean(axis=0)
    std = np.sqrt(var + 1e-5)
    xhat = xc / std
    y = gamma * xhat + beta
    """,
    """
    dbeta = dy.sum(axis=0)
    dgamma = (dy * xhat).sum(axis=0)
    dxhat = dy * gamma
    dvar = (dxhat * xc).sum(axis=0) * -0.5 / std ** 3
    dmu = -dxhat.sum(axis=0) / std
    dx = dxhat / std + dvar * 2 * xc / len(x) + dmu / len(x)
    """,
    bug("direct-only", "missing-path", " + dvar * 2 * xc / len(x) + dmu / len(x)", ""),
    bug("no-variance", "missing-path additive", " + dvar * 2 * xc / len(x)", ""),
    bug("no-gamma", "axis-scale", "dxhat = dy * gamma", "dxhat = dy"),
    bug("centred", "axis-scale wrong-operand", "(dy * xhat).sum", "(dy * xc).sum"),
    bug("mean", "scale", "dbeta = dy.sum(axis=0)", "dbeta = dy.mean(axis=0)"),
    inputs={"x": (6, 4)},
    params={"gamma": (4,), "beta": (4,)},
)

LOSS = make_layer(
    "loss",
    """
    shifted = x - x.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    probs = e / e.sum(axis=1, keepdims=True)
    y = -np.log(probs[np.arange(len(x)), t]).mean()
    """,
    """
    dx = probs.copy()
    dx[np.arange(len(x)), t] -= 1
    dx = dx * dy / len(x)
    """,
    bug("no-mean", "scale", "dx * dy / len(x)", "dx * dy"),
    bug("sign", "sign", "dx * dy / len(x)", "-dx * dy / len(x)"),
    bug("no-labels", "additive missing-path wrong-operand",
        "dx[np.arange(len(x)), t] -= 1\n", ""),
    bug("columns", "broadcast additive permuted", "dx[np.arange(len(x)), t]", "dx[:, t]"),
    bug("label-less-one", "additive wrong-operand shifted permuted", ", t] -= 1", ", t - 1] -= 1"),
    inputs={"x": (5, 4)},
    labels={"t": (5, 4)},
)  # fmt: skip

ATTENTION = make_layer(
    "attention",
    """
    d = Wq.shape[1]
    q = x @ Wq
    k = x @ Wk
    v = x @ Wv
    scores = q @ k.T / np.sqrt(d)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    a = e / e.sum(axis=1, keepdims=True)
    y = a @ v
    """,
    """
    dv = a.T @ dy
    da = dy @ v.T
    ds = a * (da - (da * a).sum(axis=1, keepdims=True))
    ds = ds / np.sqrt(d)
    dq = ds @ k
    dk = ds.T @ q
    dWq = x.T @ dq
    dWk = x.T @ dk
    dWv = x.T @ dv
    dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
    """,
    bug("no-root", "scale missing-path wrong-operand", "ds = ds / np.sqrt(d)\n", ""),
    bug("no-sum", "missing-path additive", "(da - (da * a).sum(axis=1, keepdims=True))", "da"),
    bug("values", "wrong-operand transposed", "dv = a.T @ dy", "dv = a @ dy"),
    bug("no-values", "missing-path", " + dv @ Wv.T", ""),
    bug("keys", "wrong-operand transposed", "dk = ds.T @ q", "dk = ds @ q"),
    inputs={"x": (5, 4)},
    params={"Wq": (4, 3), "Wk": (4, 3), "Wv": (4, 2)},
)

LSTM = make_layer(
    "lstm",
    """
    n = h_prev.shape[1]
    z = x @ Wx + h_prev @ Wh + b
    i = 1 / (1 + np.exp(-z[:, :n]))
    f = 1 / (1 + np.exp(-z[:, n:2 * n]))
    o = 1 / (1 + np.exp(-z[:, 2 * n:3 * n]))
    g = np.tanh(z[:, 3 * n:])
    c = f * c_prev + i * g
    tc = np.tanh(c)
    h = o * tc
    """,
    """
    do = dh * tc
    dc_all = dc + dh * o * (1 - tc ** 2)
    df = dc_all * c_prev
    di = dc_all * g
    dg = dc_all * i
    dc_prev = dc_all * f
    dz = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
    dx = dz @ Wx.T
    dh_prev = dz @ Wh.T
    dWx = x.T @ dz
    dWh = h_prev.T @ dz
    db = dz.sum(axis=0)
    """,
    bug("no-slope", "wrong-operand missing-path", "[di * i * (1 - i)", "[di"),
    bug("tanh", "wrong-operand", "1 - g ** 2", "1 - g"),
    bug("gate", "wrong-operand", "dc_prev = dc_all * f", "dc_prev = dc_all * i"),
    bug("no-output", "missing-path", "dc + dh * o * (1 - tc ** 2)", "dc"),
    bug("state", "wrong-operand", "dWh = h_prev.T @ dz", "dWh = (o * tc).T @ dz"),
    inputs={"x": (3, 4), "h_prev": (3, 2), "c_prev": (3, 2)},
    params={"Wx": (4, 8), "Wh": (2, 8), "b": (8,)},
    outputs=("h", "c"),
)

LAYERS = (DENSE, CONV, POOL, NORM, LOSS, ATTENTION, LSTM)
