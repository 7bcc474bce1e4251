"""Recurrent layers over time, in three styles, and sums that run along an axis."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_forward(x, h0, wx, wh, b):
    n, steps, _ = x.shape
    size = h0.shape[1]
    h, c = h0, np.zeros_like(h0)
    hs = np.zeros((n, steps, size))
    cache = []
    for t in range(steps):
        a = x[:, t] @ wx + h @ wh + b
        i, f, o = (sigmoid(a[:, k * size : (k + 1) * size]) for k in range(3))
        g = np.tanh(a[:, 3 * size :])
        c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        cache.append((x[:, t], h, c, i, f, o, g, c_new))
        h, c = h_new, c_new
        hs[:, t] = h
    return hs, (cache, wx, wh, x.shape)


def lstm_backward(dhs, cache):
    steps_cache, wx, wh, shape = cache
    dx = np.zeros(shape)
    dwx, dwh = np.zeros_like(wx), np.zeros_like(wh)
    db = np.zeros(wx.shape[1])
    dh_next = np.zeros_like(dhs[:, 0])
    dc_next = np.zeros_like(dh_next)
    for t in reversed(range(len(steps_cache))):
        xt, h, c, i, f, o, g, c_new = steps_cache[t]
        dh = dhs[:, t] + dh_next
        tc = np.tanh(c_new)
        do = dh * tc
        dc = dh * o * (1 - tc**2) + dc_next
        di = dc * g
        df = dc * c
        dg = dc * i
        dai = di * i * (1 - i)
        daf = df * f * (1 - f)
        dao = do * o * (1 - o)
        dag = dg * (1 - g**2)
        da = np.hstack([dai, daf, dao, dag])
        dx[:, t] = da @ wx.T
        dwx += xt.T @ da
        dwh += h.T @ da
        db += da.sum(axis=0)
        dh_next = da @ wh.T
        dc_next = dc * f
    return {"x": dx, "h0": dh_next, "wx": dwx, "wh": dwh, "b": db}


def gru(x, h0, wz, wr, wn, uz, ur, un):
    steps = x.shape[0]
    states, gates = [h0], []
    for t in range(steps):
        h = states[-1]
        z = sigmoid(x[t] @ wz + h @ uz)
        r = sigmoid(x[t] @ wr + h @ ur)
        n = np.tanh(x[t] @ wn + (r * h) @ un)
        states.append((1 - z) * n + z * h)
        gates.append((z, r, n))
    y = np.stack(states[1:])

    def backward(dy):
        dx = np.empty_like(x)
        grads = {w: 0.0 for w in ("wz", "wr", "wn", "uz", "ur", "un")}
        dh = np.zeros_like(h0)
        for t in range(steps - 1, -1, -1):
            z, r, n = gates[t]
            h = states[t]
            dh = dh + dy[t]
            dn = dh * (1 - z) * (1 - n * n)
            dz = dh * (h - n) * z * (1 - z)
            drh = dn @ un.T
            dr = drh * h * r * (1 - r)
            dx[t] = dz @ wz.T + dr @ wr.T + dn @ wn.T
            grads["wz"] = grads["wz"] + x[t].T @ dz
            grads["wr"] = grads["wr"] + x[t].T @ dr
            grads["wn"] = grads["wn"] + x[t].T @ dn
            grads["uz"] = grads["uz"] + h.T @ dz
            grads["ur"] = grads["ur"] + h.T @ dr
            grads["un"] = grads["un"] + (r * h).T @ dn
            dh = dh * z + dz @ uz.T + dr @ ur.T + drh * r
        return {"x": dx, "h0": dh, **grads}

    return y, backward


class RNN:
    """h_t = tanh(x_t wx + h_{t-1} wh + b), all h_t returned."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.wx = rng.standard_normal((3, 4)) * 0.5
        self.wh = rng.standard_normal((4, 4)) * 0.5
        self.b = rng.standard_normal(4) * 0.1

    def forward(self, x):
        self.x = x
        self.hs = [np.zeros((x.shape[0], 4))]
        for t in range(x.shape[1]):
            self.hs.append(np.tanh(x[:, t] @ self.wx + self.hs[-1] @ self.wh + self.b))
        return np.stack(self.hs[1:], axis=1)

    def backward(self, dhs):
        self.d_wx = np.zeros_like(self.wx)
        self.d_wh = np.zeros_like(self.wh)
        self.d_b = np.zeros_like(self.b)
        dx = np.zeros_like(self.x)
        carry = np.zeros_like(self.hs[0])
        for t in range(self.x.shape[1] - 1, -1, -1):
            dh = dhs[:, t] + carry
            da = dh * (1 - self.hs[t + 1] ** 2)
            self.d_wx += self.x[:, t].T @ da
            self.d_wh += self.hs[t].T @ da
            self.d_b += da.sum(axis=0)
            dx[:, t] = da @ self.wx.T
            carry = da @ self.wh.T
        return dx


def discounted(r, gamma):
    out = np.zeros_like(r)
    running = np.zeros(r.shape[0])
    for t in reversed(range(r.shape[1])):
        running = r[:, t] + gamma * running
        out[:, t] = running
    return out


def discounted_vjp(dy, r, gamma):
    out = discounted(r, gamma)
    dr = np.zeros_like(r)
    dgamma = np.zeros_like(gamma)
    carry = np.zeros(r.shape[0])
    for t in range(r.shape[1]):
        carry = carry + dy[:, t]
        dr[:, t] = carry
        if t + 1 < r.shape[1]:
            dgamma += carry * out[:, t + 1]
        carry = carry * gamma
    return dr, dgamma


def ema(x, alpha):
    """An exponential moving average with a learnt rate for each feature."""
    a = sigmoid(alpha)
    m = [x[0]]
    for t in range(1, len(x)):
        m.append(a * m[-1] + (1 - a) * x[t])
    y = np.array(m)

    def backward(dy):
        dx = np.zeros(x.shape)
        da = np.zeros(alpha.shape)
        dm = np.zeros(x.shape[1:])
        for t in range(len(x) - 1, 0, -1):
            dm = dm + dy[t]
            da += ((y[t - 1] - x[t]) * dm).sum(axis=0)
            dx[t] = (1 - a) * dm
            dm = a * dm
        dx[0] = dm + dy[0]
        return {"x": dx, "alpha": da * a * (1 - a)}

    return y, backward


def _normal(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {n: 0.7 * rng.standard_normal(s) for n, s in shapes.items()}


CASES = {
    "lstm": (
        "pair",
        (lstm_forward, lstm_backward),
        _normal(0, x=(3, 4, 2), h0=(3, 5), wx=(2, 20), wh=(5, 20), b=(20,)),
    ),
    "gru": (
        "closure",
        (gru,),
        _normal(1, x=(3, 2, 5), h0=(2, 4), wz=(5, 4), wr=(5, 4), wn=(5, 4))
        | _normal(2, uz=(4, 4), ur=(4, 4), un=(4, 4)),
    ),
    "rnn": ("object", (RNN,), _normal(3, x=(2, 5, 3))),
    "discounted": ("vjp", (discounted, discounted_vjp), _normal(4, r=(3, 5), gamma=(3,))),
    "ema": ("closure", (ema,), _normal(5, x=(4, 2, 3), alpha=(3,))),
}
