"""The layers in plain loops over numbers, as in lessons that derive each derivative."""

from benchmarks.gradcheck.styles.layer import bug, make_layer

__all__ = ["LAYERS"]

DENSE = make_layer(
    "dense",
    """
    y = np.zeros((len(x), len(b)))
    for n in range(len(x)):
        for j in range(len(b)):
            y[n, j] = b[j]
            for i in range(len(W)):
                y[n, j] += x[n, i] * W[i, j]
    """,
    """
    dx = np.zeros_like(x)
    dW = np.zeros_like(W)
    db = np.zeros_like(b)
    for n in range(len(dy)):
        for j in range(len(b)):
            db[j] += dy[n, j]
            for i in range(len(W)):
                dx[n, i] += dy[n, j] * W[i, j]
                dW[i, j] += dy[n, j] * x[n, i]
    """,
    bug("mean", "scale", "dy[n, j] * x[n, i]", "dy[n, j] * x[n, i] / len(x)"),
    bug("sign", "sign", "db[j] += dy", "db[j] -= dy"),
    bug("assigned", "overwritten partial", "dW[i, j] += dy", "dW[i, j] = dy"),
    bug("last-row", "partial", "for n in range(len(dy))", "for n in range(len(dy) - 1)"),
    bug("last-unit", "partial", "for i in range(len(W))", "for i in range(len(W) - 1)"),
    inputs={"x": (5, 4)},
    params={"W": (4, 3), "b": (3,)},
)

CONV = make_layer(
    "conv",
    """
    N, C, H, width = x.shape
    F, k = W.shape[0], W.shape[2]
    y = np.zeros((N, F, H - k + 1, width - k + 1))
    for n in range(N):
        for f in range(F):
            for i in range(H - k + 1):
                for j in range(width - k + 1):
                    total = b[f]
                    for c in range(C):
                        for u in range(k):
                            for v in range(k):
                                total += x[n, c, i + u, j + v] * W[f, c, u, v]
                    y[n, f, i, j] = total
    """,
    """
    N, C, H, width = x.shape
    F, k = W.shape[0], W.shape[2]
    dx = np.zeros_like(x)
    dW = np.zeros_like(W)
    db = np.zeros_like(b)
    for n in range(N):
        for f in range(F):
            for i in range(H - k + 1):
                for j in range(width - k + 1):
                    g = dy[n, f, i, j]
                    db[f] += g
                    for c in range(C):
                        for u in range(k):
                            for v in range(k):
                                dx[n, c, i + u, j + v] += g * W[f, c, u, v]
                                dW[f, c, u, v] += g * x[n, c, i + u, j + v]
    """,
    bug("assigned", "overwritten", "i + u, j + v] += g", "i + u, j + v] = g"),
    bug("mean", "scale", "db[f] += g", "db[f] += g / N"),
    bug("flipped", "wrong-operand flipped", "+= g * W[f, c, u, v]",
        "+= g * W[f, c, k - 1 - u, k - 1 - v]"),
    bug("last-windows", "partial", "for j in range(width - k + 1)", "for j in range(width - k)"),
    bug("exchanged", "transposed wrong-operand permuted", "dW[f, c, u, v] +=",
        "dW[f, c, v, u] +="),
    inputs={"x": (2, 2, 4, 5)},
    params={"W": (3, 2, 3, 3), "b": (3,)},
)  # fmt: skip

POOL = make_layer(
    "pool",
    """
    N, C, H, width = x.shape
    y = np.zeros((N, C, H // 2, width // 2))
    for n in range(N):
        for c in range(C):
            for i in range(H // 2):
                for j in range(width // 2):
                    best = x[n, c, 2 * i, 2 * j]
                    for u in range(2):
                        for v in range(2):
                            if x[n, c, 2 * i + u, 2 * j + v] > best:
                                best = x[n, c, 2 * i + u, 2 * j + v]
                    y[n, c, i, j] = best
    """,
    """
    dx = np.zeros_like(x)
    N, C, H, width = dy.shape
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(width):
                    window = x[n, c, 2 * i:2 * i + 2, 2 * j:2 * j + 2]
                    u, v = np.unravel_index(window.argmax(), window.shape)
                    dx[n, c, 2 * i + u, 2 * j + v] += dy[n, c, i, j]
    """,
    bug("first", "mask permuted wrong-operand", "2 * i + u, 2 * j + v]", "2 * i, 2 * j]"),
    bug("minimum", "mask wrong-operand permuted", "window.argmax()", "window.argmin()"),
    bug("quarter", "scale", "+= dy[n, c, i, j]", "+= dy[n, c, i, j] / 4"),
    bug("last-windows", "partial", "for i in range(H)", "for i in range(H - 1)"),
    bug("exchanged", "transposed permuted wrong-operand mask", "u, v = np", "v, u = np"),
    inputs={"x": (2, 3, 4, 6)},
)

NORM = make_layer(
    "norm",
    """
    y = np.zeros_like(x)
    xhat = np.zeros_like(x)
    std = np.zeros(x.shape[1])
    for j in range(x.shape[1]):
        mu = 0.0
        for n in range(len(x)):
            mu += x[n, j] / len(x)
        var = 0.0
        for n in range(len(x)):
            var += (x[n, j] - mu) ** 2 / len(x)
        std[j] = np.sqrt(var + 1e-5)
        for n in range(len(x)):
            xhat[n, j] = (x[n, j] - mu) / std[j]
            y[n, j] = gamma[j] * xhat[n, j] + beta[j]
    """,
    """
    dx = np.zeros_like(x)
    dgamma = np.zeros_like(gamma)
    dbeta = np.zeros_like(beta)
    for j in range(x.shape[1]):
        for n in range(len(x)):
            dgamma[j] += dy[n, j] * xhat[n, j]
            dbeta[j] += dy[n, j]
        for n in range(len(x)):
            own = len(x) * dy[n, j]
            rest = dbeta[j] + xhat[n, j] * dgamma[j]
            dx[n, j] = gamma[j] * (own - rest) / (len(x) * std[j])
    """,
    bug("direct-only", "missing-path", "(own - rest)", "own"),
    bug("no-variance", "missing-path additive", "dbeta[j] + xhat[n, j] * dgamma[j]", "dbeta[j]"),
    bug("no-gamma", "axis-scale", "gamma[j] * (own - rest)", "(own - rest)"),
    bug("variance", "axis-scale wrong-operand", "(len(x) * std[j])", "(len(x) * std[j] ** 2)"),
    bug("mean", "scale", "/ (len(x) * std[j])", "/ (len(x) * std[j])\ndbeta /= len(x)"),
    inputs={"x": (6, 4)},
    params={"gamma": (4,), "beta": (4,)},
)  # fmt: skip

LOSS = make_layer(
    "loss",
    """
    probs = np.zeros_like(x)
    y = 0.0
    for n in range(len(x)):
        total = 0.0
        for j in range(x.shape[1]):
            total += np.exp(x[n, j])
        for j in range(x.shape[1]):
            probs[n, j] = np.exp(x[n, j]) / total
        y -= np.log(probs[n, t[n]]) / len(x)
    """,
    """
    dx = np.zeros_like(x)
    for n in range(len(x)):
        for j in range(x.shape[1]):
            dx[n, j] = probs[n, j] / len(x)
        dx[n, t[n]] -= 1 / len(x)
    dx *= dy
    """,
    bug("half-mean", "scale mask additive wrong-operand", "-= 1 / len(x)", "-= 1"),
    bug("sign", "sign mask wrong-operand additive", "-= 1 / len(x)", "+= 1 / len(x)"),
    bug("no-labels", "additive missing-path wrong-operand", "    dx[n, t[n]] -= 1 / len(x)\n", ""),
    bug("assigned", "mask overwritten wrong-operand partial", "dx[n, t[n]] -=", "dx[n, t[n]] = -"),
    bug("last-example", "partial", "for n in range(len(x))", "for n in range(len(x) - 1)"),
    inputs={"x": (5, 4)},
    labels={"t": (5, 4)},
)

ATTENTION = make_layer(
    "attention",
    """
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    root = np.sqrt(Wq.shape[1])
    a = np.zeros((len(x), len(x)))
    y = np.zeros((len(x), Wv.shape[1]))
    for i in range(len(x)):
        e = np.zeros(len(x))
        for j in range(len(x)):
            e[j] = np.exp(np.dot(q[i], k[j]) / root)
        a[i] = e / np.sum(e)
        for j in range(len(x)):
            y[i] += a[i, j] * v[j]
    """,
    """
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for i in range(len(x)):
        da = np.zeros(len(x))
        for j in range(len(x)):
            da[j] = np.dot(dy[i], v[j])
            dv[j] += a[i, j] * dy[i]
        total = np.dot(da, a[i])
        for j in range(len(x)):
            ds = a[i, j] * (da[j] - total) / root
            dq[i] += ds * k[j]
            dk[j] += ds * q[i]
    dWq, dWk, dWv = x.T @ dq, x.T @ dk, x.T @ dv
    dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
    """,
    bug("no-root", "scale missing-path wrong-operand", " / root", ""),
    bug("no-sum", "missing-path additive", "(da[j] - total)", "da[j]"),
    bug("values", "wrong-operand transposed", "dv[j] += a[i, j]", "dv[j] += a[j, i]"),
    bug("no-values", "missing-path", " + dv @ Wv.T", ""),
    bug("assigned", "overwritten partial", "dk[j] += ds", "dk[j] = ds"),
    inputs={"x": (5, 4)},
    params={"Wq": (4, 3), "Wk": (4, 3), "Wv": (4, 2)},
)

LAYERS = (DENSE, CONV, POOL, NORM, LOSS, ATTENTION)
