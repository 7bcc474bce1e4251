"""Recurrences and scans."""

import numpy as np

from autocnn import gradcheck
from benchmarks.wild.pairs import closure, normal, pair

# ---- zoneout: the first step's mask at every step


def zoneout(x, w, masks):
    h = np.zeros_like(x[0])
    for t in range(len(x)):
        h = h + masks[t] * (np.tanh(x[t] + h @ w) - h)
    return h


def zoneout_gradient(first):
    def backward(dy, x, w, masks):
        states = [np.zeros_like(x[0])]
        for t in range(len(x)):
            new = np.tanh(x[t] + states[-1] @ w)
            states.append(states[-1] + masks[t] * (new - states[-1]))
        dx, dw, dh = np.zeros_like(x), np.zeros_like(w), dy
        for t in range(len(x) - 1, -1, -1):
            mask = masks[0] if first else masks[t]
            new = np.tanh(x[t] + states[t] @ w)
            dz = dh * mask * (1 - new * new)
            dx[t], dw = dz, dw + states[t].T @ dz
            dh = dh * (1 - mask) + dz @ w.T
        return {"x": dx, "w": dw}

    return backward


MASKS = np.array([[[1, 0, 1]], [[1, 1, 0]], [[0, 1, 1]], [[1, 0, 0]]])
pair(
    "zoneout keeps the first mask",
    kind="mask",
    link="https://github.com/lmnt-com/haste/issues/43",
    shows="at more than one step",
    buggy=closure(zoneout, zoneout_gradient(True)),
    fixed=closure(zoneout, zoneout_gradient(False)),
    arrays={"x": normal(4, 2, 3), "w": 0.5 * normal(3, 3), "masks": MASKS},
    codes=("mask", "partial", "wrong-operand"),
)

# ---- a recurrent layer: the gradient of the state is set to zero at each step


def recurrent(x, wx, wh):
    h, out = np.zeros((x.shape[1], len(wh)), x.dtype), []
    for t in range(len(x)):
        h = np.tanh(x[t] @ wx + h @ wh)
        out.append(h)
    return np.stack(out)


def recurrent_gradient(through_time):
    def backward(dy, x, wx, wh):
        states = [np.zeros_like(dy[0]), *recurrent(x, wx, wh)]
        dx, dwx, dwh = np.zeros_like(x), np.zeros_like(wx), np.zeros_like(wh)
        dh = np.zeros_like(dy[0])
        for t in range(len(x) - 1, -1, -1):
            dz = (dy[t] + dh) * (1 - states[t + 1] ** 2)
            dx[t], dwx, dwh = dz @ wx.T, dwx + x[t].T @ dz, dwh + states[t].T @ dz
            dh = dz @ wh.T if through_time else np.zeros_like(dh)
        return {"x": dx, "wx": dwx, "wh": dwh}

    return backward


pair(
    "recurrence zeroes its state's gradient",
    kind="path",
    link="https://github.com/ooples/AiDotNet/pull/722",
    shows="at more than one step",
    buggy=closure(recurrent, recurrent_gradient(False)),
    fixed=closure(recurrent, recurrent_gradient(True)),
    arrays={"x": normal(4, 2, 3), "wx": 0.5 * normal(3, 4), "wh": 0.4 * normal(4, 4)},
    codes=("missing-path", "partial"),
)


# ---- one step of an LSTM: the gradient of the last cell is not looked at


def cell(x, c, w):
    i, f, g, o = np.split(x @ w, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-a)) for a in (i, f, o))
    g = np.tanh(g)
    last = f * c + i * g
    return (i, f, g, o), last, o * np.tanh(last)


def lstm(with_cell):
    def lstm_step(x, c, w):
        (i, f, g, o), last, h = cell(x, c, w)

        def backward(dh, dc):
            t = np.tanh(last)
            d = dh * o * (1 - t * t) + (dc if with_cell else 0)
            gates = (d * g * i * (1 - i), d * c * f * (1 - f), d * i * (1 - g * g))
            dz = np.concatenate([*gates, dh * t * o * (1 - o)], axis=1)
            return {"x": dz @ w.T, "c": d * f, "w": x.T @ dz}

        return h, last, backward

    return lstm_step


pair(
    "lstm ignores its last cell",
    kind="path",
    link="https://github.com/deeplearning4j/deeplearning4j/issues/8838",
    shows="where the last cell is used",
    buggy=lstm(False),
    fixed=lstm(True),
    arrays={"x": normal(2, 3), "c": normal(2, 4), "w": 0.5 * normal(3, 16)},
    codes=("missing-path", "partial"),
)

# ---- a scan in blocks: the carry multiplies what it should be added to


def scan(x, f):
    h, out = np.zeros_like(x[0]), []
    for t in range(len(x)):
        h = f[t] * h + x[t]
        out.append(h)
    return np.stack(out)


def scan_gradient(carried, block=3):
    def backward(dy, x, f):
        n, states = len(x), scan(x, f)
        dx = np.zeros_like(x)
        for stop in range(n, 0, -block):
            start = max(stop - block, 0)
            local, product = np.zeros_like(x[0]), np.ones_like(x[0])
            for t in range(stop - 1, start - 1, -1):
                following = f[t + 1] if t + 1 < n else np.zeros_like(x[0])
                local = dy[t] + (following * local if t + 1 < stop else 0)
                product = product * (following if t + 1 < n else 1.0)
                later = dx[stop] if stop < n else 0
                dx[t] = carried(local, product, later)
        before = np.concatenate([np.zeros_like(states[:1]), states[:-1]])
        return {"x": dx, "f": dx * before}

    return backward


pair(
    "scan multiplies by its carry",
    kind="setting",
    link="https://github.com/proger/accelerated-scan/pull/15",
    shows="where the sequence is longer than a block",
    buggy=closure(scan, scan_gradient(lambda local, product, later: local * product + later)),
    fixed=closure(scan, scan_gradient(lambda local, product, later: local + product * later)),
    arrays={"x": normal(8, 2), "f": 0.3 + 0.6 * np.abs(np.tanh(normal(8, 2, seed=1)))},
    codes=("wrong-operand", "missing-path", "partial", "axis-scale"),
    call=lambda f: gradcheck.stress(f, x=("T", "D"), f=("T", "D"), T=range(1, 9)),
)

# ---- a selective scan: the padding of the last block is not neutral


def selective(x, delta, a):
    step = np.log1p(np.exp(delta))
    h, out = np.zeros_like(x[0]), []
    for t in range(len(x)):
        h = np.exp(step[t] * a) * h + step[t] * x[t]
        out.append(h)
    return np.stack(out)


def selective_gradient(neutral, block=4):
    def backward(dy, x, delta, a):
        n, pad = len(x), -len(x) % block
        step = np.log1p(np.exp(np.concatenate([delta, np.zeros((pad, *delta.shape[1:]))])))
        if neutral:
            step[n:] = 0
        decay = np.exp(step * a)
        out, carried = selective(x, delta, a), 1.0
        for t in range(n, n + pad):  # the reverse scan multiplies by the padding's decays
            carried = carried * decay[t]
        dx, ddelta, da, dh = np.zeros_like(x), np.zeros_like(delta), 0 * a, 0 * x[0]
        for t in range(n - 1, -1, -1):
            dh = dy[t] * (carried if t == n - 1 else 1.0) + dh
            before = out[t - 1] if t else 0 * x[0]
            dx[t] = dh * step[t]
            ddelta[t] = dh * (before * decay[t] * a + x[t]) / (1 + np.exp(-delta[t]))
            da = da + dh * before * decay[t] * step[t]
            dh = dh * decay[t]
        return {"x": dx, "delta": ddelta, "a": da}

    return backward


pair(
    "selective scan pads with softplus of 0",
    kind="setting",
    link="https://github.com/state-spaces/mamba/issues/368",
    shows="where the length is not a multiple of the block",
    buggy=closure(selective, selective_gradient(False)),
    fixed=closure(selective, selective_gradient(True)),
    arrays={
        "x": normal(6, 2),
        "delta": normal(6, 2, seed=1),
        "a": -np.abs(normal(2)) - 0.2,
    },
    codes=("partial", "axis-scale", "scale", "wrong-operand"),
    call=lambda f: gradcheck.stress(f, x=("T", "D"), delta=("T", "D"), a=("D",), T=range(1, 9)),
)
