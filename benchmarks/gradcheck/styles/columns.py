"""The layers in another layout: samples in columns, channels last."""

from benchmarks.gradcheck.styles.layer import bug, make_layer

__all__ = ["LAYERS"]

DENSE = make_layer(
    "dense",
    "y = np.dot(W, x) + b",
    """
    dW = np.dot(dy, x.T)
    db = np.sum(dy, axis=1, keepdims=True)
    dx = np.dot(W.T, dy)
    """,
    bug("mean", "scale", "dW = np.dot(dy, x.T)", "dW = 1 / x.shape[1] * np.dot(dy, x.T)"),
    bug("sign", "sign", "db = np.sum", "db = -np.sum"),
    bug("one-sum", "broadcast shape", "np.sum(dy, axis=1, keepdims=True)", "np.sum(dy)"),
    bug("last-column", "partial", "np.dot(dy, x.T)", "np.dot(dy[:, :-1], x[:, :-1].T)"),
    bug("relu", "mask", "dx = np.dot(W.T, dy)", "dx = np.multiply(np.dot(W.T, dy), x > 0)"),
    inputs={"x": (4, 5)},
    params={"W": (3, 4), "b": (3, 1)},
)

CONV = make_layer(
    "conv",
    """
    k = W.shape[0]
    m, n_h, n_w = x.shape[0], x.shape[1] - k + 1, x.shape[2] - k + 1
    y = np.zeros((m, n_h, n_w, W.shape[3]))
    for i in range(m):
        for h in range(n_h):
            for w in range(n_w):
                for c in range(W.shape[3]):
                    a_slice = x[i, h:h + k, w:w + k, :]
                    y[i, h, w, c] = np.sum(a_slice * W[:, :, :, c]) + b[0, 0, 0, c]
    """,
    """
    dx = np.zeros(x.shape)
    dW = np.zeros(W.shape)
    db = np.zeros((1, 1, 1, W.shape[3]))
    m, n_h, n_w, n_c = dy.shape
    for i in range(m):
        for h in range(n_h):
            for w in range(n_w):
                for c in range(n_c):
                    a_slice = x[i, h:h + k, w:w + k, :]
                    dx[i, h:h + k, w:w + k, :] += W[:, :, :, c] * dy[i, h, w, c]
                    dW[:, :, :, c] += a_slice * dy[i, h, w, c]
                    db[:, :, :, c] += dy[i, h, w, c]
    """,
    bug("assigned", "overwritten", "w:w + k, :] += W", "w:w + k, :] = W"),
    bug("mean", "scale", "+= dy[i, h, w, c]", "+= dy[i, h, w, c] / m"),
    bug("flipped", "wrong-operand flipped", "+= W[:, :, :, c]", "+= W[::-1, ::-1, :, c]"),
    bug("last-windows", "partial", "for h in range(n_h)", "for h in range(n_h - 1)"),
    bug("corner", "shifted wrong-operand", "a_slice = x[i, h:h + k, w:w + k, :]",
        "a_slice = x[i, w:w + k, h:h + k, :]"),
    inputs={"x": (2, 5, 5, 2)},
    params={"W": (3, 3, 2, 3), "b": (1, 1, 1, 3)},
)  # fmt: skip

POOL = make_layer(
    "pool",
    """
    m, n_h, n_w, n_c = x.shape[0], x.shape[1] // 2, x.shape[2] // 2, x.shape[3]
    y = np.zeros((m, n_h, n_w, n_c))
    for i in range(m):
        for h in range(n_h):
            for w in range(n_w):
                for c in range(n_c):
                    y[i, h, w, c] = np.max(x[i, 2 * h:2 * h + 2, 2 * w:2 * w + 2, c])
    """,
    """
    dx = np.zeros(x.shape)
    m, n_h, n_w, n_c = dy.shape
    for i in range(m):
        for h in range(n_h):
            for w in range(n_w):
                for c in range(n_c):
                    a_slice = x[i, 2 * h:2 * h + 2, 2 * w:2 * w + 2, c]
                    mask = a_slice == np.max(a_slice)
                    dx[i, 2 * h:2 * h + 2, 2 * w:2 * w + 2, c] += mask * dy[i, h, w, c]
    """,
    bug("everyone", "mask", "+= mask * dy", "+= dy"),
    bug("minimum", "mask wrong-operand permuted", "== np.max(a_slice)", "== np.min(a_slice)"),
    bug("quarter", "scale", "+= mask * dy[i, h, w, c]", "+= mask * dy[i, h, w, c] / 4"),
    bug("last-windows", "partial", "for w in range(n_w)", "for w in range(n_w - 1)"),
    bug("no-dy", "not-linear", "+= mask * dy[i, h, w, c]", "+= mask"),
    inputs={"x": (2, 4, 6, 2)},
)

NORM = make_layer(
    "norm",
    """
    m = x.shape[1]
    mu = np.sum(x, axis=1, keepdims=True) / m
    xc = x - mu
    var = np.sum(xc ** 2, axis=1, keepdims=True) / m
    inv = 1 / np.sqrt(var + 1e-8)
    xhat = xc * inv
    y = gamma * xhat + beta
    """,
    """
    dgamma = np.sum(dy * xhat, axis=1, keepdims=True)
    dbeta = np.sum(dy, axis=1, keepdims=True)
    dxhat = dy * gamma
    s1 = np.sum(dxhat, axis=1, keepdims=True)
    s2 = np.sum(dxhat * xhat, axis=1, keepdims=True)
    dx = inv / m * (m * dxhat - s1 - xhat * s2)
    """,
    bug("direct-only", "missing-path", "(m * dxhat - s1 - xhat * s2)", "(m * dxhat)"),
    bug("no-variance", "missing-path additive", " - xhat * s2", ""),
    bug("no-gamma", "axis-scale", "dxhat = dy * gamma", "dxhat = dy"),
    bug("centred", "axis-scale wrong-operand", "np.sum(dy * xhat,", "np.sum(dy * xc,"),
    bug("mean", "scale", "dbeta = np.sum(dy,", "dbeta = np.mean(dy,"),
    inputs={"x": (4, 6)},
    params={"gamma": (4, 1), "beta": (4, 1)},
)

LOSS = make_layer(
    "loss",
    """
    m = x.shape[1]
    e = np.exp(x - np.max(x, axis=0, keepdims=True))
    probs = e / np.sum(e, axis=0, keepdims=True)
    onehot = np.eye(x.shape[0])[t].T
    y = -1 / m * np.sum(onehot * np.log(probs))
    """,
    "dx = dy * (probs - onehot) / m",
    bug("no-mean", "scale", "(probs - onehot) / m", "(probs - onehot)"),
    bug("sign", "sign", "(probs - onehot)", "(onehot - probs)"),
    bug("no-labels", "additive missing-path wrong-operand", "(probs - onehot)", "probs"),
    bug("log", "wrong-operand", "(probs - onehot)", "(np.log(probs) - onehot)"),
    bug("over", "wrong-operand missing-path", "(probs - onehot)", "-(onehot / probs)"),
    inputs={"x": (4, 5)},
    labels={"t": (5, 4)},
)

ATTENTION = make_layer(
    "attention",
    """
    d = Wq.shape[0]
    q = np.dot(Wq, x)
    k = np.dot(Wk, x)
    v = np.dot(Wv, x)
    scores = np.dot(k.T, q) / np.sqrt(d)
    e = np.exp(scores - np.max(scores, axis=0, keepdims=True))
    a = e / np.sum(e, axis=0, keepdims=True)
    y = np.dot(v, a)
    """,
    """
    dv = np.dot(dy, a.T)
    da = np.dot(v.T, dy)
    ds = a * (da - np.sum(da * a, axis=0, keepdims=True)) / np.sqrt(d)
    dq = np.dot(k, ds)
    dk = np.dot(q, ds.T)
    dWq = np.dot(dq, x.T)
    dWk = np.dot(dk, x.T)
    dWv = np.dot(dv, x.T)
    dx = np.dot(Wq.T, dq) + np.dot(Wk.T, dk) + np.dot(Wv.T, dv)
    """,
    bug("no-root", "scale missing-path wrong-operand", " / np.sqrt(d)", ""),
    bug("no-sum", "missing-path additive", "(da - np.sum(da * a, axis=0, keepdims=True))", "da"),
    bug("values", "wrong-operand transposed", "np.dot(dy, a.T)", "np.dot(dy, a)"),
    bug("no-values", "missing-path", " + np.dot(Wv.T, dv)", ""),
    bug("keys", "wrong-operand transposed", "np.dot(q, ds.T)", "np.dot(q, ds)"),
    inputs={"x": (4, 5)},
    params={"Wq": (3, 4), "Wk": (3, 4), "Wv": (2, 4)},
)

LSTM = make_layer(
    "lstm",
    """
    n = h_prev.shape[0]
    concat = np.concatenate([h_prev, x], axis=0)
    z = np.dot(W, concat) + b
    ft = 1 / (1 + np.exp(-z[:n]))
    it = 1 / (1 + np.exp(-z[n:2 * n]))
    ot = 1 / (1 + np.exp(-z[2 * n:3 * n]))
    cct = np.tanh(z[3 * n:])
    c = ft * c_prev + it * cct
    h = ot * np.tanh(c)
    """,
    """
    dct = dc + dh * ot * (1 - np.tanh(c) ** 2)
    dot = dh * np.tanh(c) * ot * (1 - ot)
    dcct = dct * it * (1 - cct ** 2)
    dit = dct * cct * it * (1 - it)
    dft = dct * c_prev * ft * (1 - ft)
    dz = np.concatenate([dft, dit, dot, dcct], axis=0)
    dW = np.dot(dz, concat.T)
    db = np.sum(dz, axis=1, keepdims=True)
    dconcat = np.dot(W.T, dz)
    dh_prev = dconcat[:n]
    dx = dconcat[n:]
    dc_prev = dct * ft
    """,
    bug("no-slope", "wrong-operand missing-path", "cct * it * (1 - it)", "cct * it"),
    bug("tanh", "wrong-operand", "(1 - cct ** 2)", "(1 - cct)"),
    bug("gate", "wrong-operand", "dc_prev = dct * ft", "dc_prev = dct * it"),
    bug("no-output", "missing-path", "dct = dc + dh * ot * (1 - np.tanh(c) ** 2)", "dct = dc"),
    bug("mean", "scale", "db = np.sum", "db = np.mean"),
    inputs={"x": (4, 3), "h_prev": (2, 3), "c_prev": (2, 3)},
    params={"W": (8, 6), "b": (8, 1)},
    outputs=("h", "c"),
)

LAYERS = (DENSE, CONV, POOL, NORM, LOSS, ATTENTION, LSTM)
