"""Recurrent layers with a mistake between steps, and gates packed in one array."""

import numpy as np

from autocnn import gradcheck


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def draw(seed=0, scale=0.6, **shapes):
    rng = np.random.default_rng(seed)
    return {n: scale * rng.standard_normal(s) for n, s in shapes.items()}


def rnn(x, h0, Wx, Wh, b, cut=True, backwards=False):
    """(T, N, D) -> (T, N, H)."""
    T = len(x)
    order = range(T)[::-1] if backwards else range(T)
    h, before, hs = h0, {}, np.zeros((T, len(h0), len(b)))
    for t in order:
        before[t] = h
        h = np.tanh(x[t] @ Wx + h @ Wh + b)
        hs[t] = h

    def backward(dy):
        dx, dWx, dWh, db, dh = (np.zeros_like(a) for a in (x, Wx, Wh, b, h0))
        for t in reversed(order):
            da = (dy[t] + (0 if cut else dh)) * (1 - hs[t] ** 2)
            dx[t] = da @ Wx.T
            dWx += x[t].T @ da
            dWh += before[t].T @ da
            db += da.sum(0)
            dh = da @ Wh.T
        return {"x": dx, "h0": dh, "Wx": dWx, "Wh": dWh, "b": db}

    return hs, backward


RNN = {"x": (5, 3, 2), "h0": (3, 4), "Wx": (2, 4), "Wh": (4, 4), "b": (4,)}


def rnn_time_first():
    return gradcheck.check(rnn, **draw(**RNN))


def rnn_from_the_end():
    return gradcheck.check(rnn, **draw(seed=1, **RNN), backwards=True)


def rnn_last_state(x, Wx, Wh):
    """(N, T, D) -> the last state (N, H); backward knows the last step only."""
    hs = [np.zeros((len(x), len(Wh)))]
    for t in range(x.shape[1]):
        hs.append(np.tanh(x[:, t] @ Wx + hs[-1] @ Wh))

    def backward(dy):
        da = dy * (1 - hs[-1] ** 2)
        dx = np.zeros_like(x)
        dx[:, -1] = da @ Wx.T
        return dx, x[:, -1].T @ da, hs[-2].T @ da

    return hs[-1], backward


def many_to_one():
    return gradcheck.check(rnn_last_state, **draw(x=(3, 4, 2), Wx=(2, 5), Wh=(5, 5)))


def gru(x, W, U, drop="all"):
    """(N, T, D) -> (N, T, H); gates z, r and the candidate packed in W (D, 3H) and U (H, 3H)."""
    H = len(U)
    h, hs, kept = np.zeros((len(x), H)), [], []
    for t in range(x.shape[1]):
        a, u = x[:, t] @ W, h @ U
        z, r = sigmoid(a[:, :H] + u[:, :H]), sigmoid(a[:, H : 2 * H] + u[:, H : 2 * H])
        g = np.tanh(a[:, 2 * H :] + r * u[:, 2 * H :])
        kept.append((h, z, r, g, u))
        h = (1 - z) * g + z * h
        hs.append(h)

    def backward(dy):
        dx, dW, dU, back = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), 0
        for t in reversed(range(x.shape[1])):
            h, z, r, g, u = kept[t]
            dh = dy[:, t] + (0 if drop == "all" else back)
            dg = dh * (1 - z) * (1 - g * g)
            dz = dh * (h - g) * z * (1 - z)
            dr = dg * u[:, 2 * H :] * r * (1 - r)
            da, du = np.hstack([dz, dr, dg]), np.hstack([dz, dr, dg * r])
            dx[:, t] = da @ W.T
            dW += x[:, t].T @ da
            dU += h.T @ du
            back = du @ U.T + (0 if drop == "carry" else dh * z)
        return dx, dW, dU

    return np.stack(hs, 1), backward


GRU = {"x": (2, 4, 3), "W": (3, 12), "U": (4, 12)}


def gru_cut():
    return gradcheck.check(gru, **draw(**GRU))


def gru_without_carry():
    return gradcheck.check(gru, **draw(**GRU), drop="carry")


def lstm(x, W, U, b):
    """(N, T, D) -> (N, T, H); what comes back through the cell is dropped, dh is not."""
    H = len(U)
    h = c = np.zeros((len(x), H))
    hs, kept = [], []
    for t in range(x.shape[1]):
        i, f, o, g = np.split(x[:, t] @ W + h @ U + b, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        kept.append((h, c, i, f, o, g))
        c = f * c + i * g
        h = o * np.tanh(c)
        hs.append((h, c))

    def backward(dy):
        dx, dW, dU, db, dh = (np.zeros_like(a) for a in (x, W, U, b, hs[0][0]))
        for t in reversed(range(x.shape[1])):
            h, c, i, f, o, g = kept[t]
            tc = np.tanh(hs[t][1])
            dh = dh + dy[:, t]
            dc = dh * o * (1 - tc * tc)  # + dc of the step after, times its f
            da = np.hstack(
                [
                    dc * g * i * (1 - i),
                    dc * c * f * (1 - f),
                    dh * tc * o * (1 - o),
                    dc * i * (1 - g * g),
                ]
            )
            dx[:, t] = da @ W.T
            dW += x[:, t].T @ da
            dU += h.T @ da
            db += da.sum(0)
            dh = da @ U.T
        return dx, dW, dU, db

    return np.stack([h for h, _ in hs], 1), backward


def lstm_without_cell_route():
    return gradcheck.check(lstm, **draw(x=(2, 4, 3), W=(3, 16), U=(4, 16), b=(16,)))


def lstm_step(x, h, c, W, U, b, wrong="forget"):
    """One step, gates i, f, o, g packed; the slope of one gate is wrong."""
    i, f, o, g = np.split(x @ W + h @ U + b, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    c1 = f * c + i * g
    t = np.tanh(c1)

    def backward(dy):
        do, dc = dy * t, dy * o * (1 - t * t)
        di, df, dg = dc * g, dc * c, dc * i
        slope_f = 1 if wrong == "forget" else f * (1 - f)
        slope_g = g * (1 - g) if wrong == "candidate" else 1 - g * g
        da = np.hstack([di * i * (1 - i), df * slope_f, do * o * (1 - o), dg * slope_g])
        return {
            "x": da @ W.T,
            "h": da @ U.T,
            "c": dc * f,
            "W": x.T @ da,
            "U": h.T @ da,
            "b": da.sum(0),
        }

    return o * t, backward


STEP = {"x": (3, 4), "h": (3, 5), "c": (3, 5), "W": (4, 20), "U": (5, 20), "b": (20,)}


def gate_without_slope():
    return gradcheck.check(lstm_step, **draw(**STEP))


def gate_with_another_slope():
    return gradcheck.check(lstm_step, **draw(seed=2, **STEP), wrong="candidate")


def gru_step(x, h, W, U, b):
    """One step; the gradient of the reset gate's bias is never computed."""
    H = h.shape[1]
    a, u = x @ W + b, h @ U
    z, r = sigmoid(a[:, :H] + u[:, :H]), sigmoid(a[:, H : 2 * H] + u[:, H : 2 * H])
    g = np.tanh(a[:, 2 * H :] + r * u[:, 2 * H :])

    def backward(dy):
        dg = dy * (1 - z) * (1 - g * g)
        dz, dr = dy * (h - g) * z * (1 - z), dg * u[:, 2 * H :] * r * (1 - r)
        da, du = np.hstack([dz, dr, dg]), np.hstack([dz, dr, dg * r])
        db = np.zeros_like(b)
        db[:H], db[2 * H :] = dz.sum(0), dg.sum(0)
        return {"x": da @ W.T, "h": du @ U.T + dy * z, "W": x.T @ da, "U": h.T @ du, "b": db}

    return (1 - z) * g + z * h, backward


def gate_without_bias():
    return gradcheck.check(gru_step, **draw(x=(3, 2), h=(3, 5), W=(2, 15), U=(5, 15), b=(15,)))


def lstm_step_with_cell(x, h, c, W, b):
    """One step that returns (h, c); what comes back through c is dropped."""
    i, f, o, g = np.split(np.hstack([x, h]) @ W + b, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    c1 = f * c + i * g
    t = np.tanh(c1)

    def backward(dy):
        dh, _ = dy
        dc = dh * o * (1 - t * t)
        slopes = [dc * g * i * (1 - i), dc * c * f * (1 - f), dh * t * o * (1 - o)]
        da = np.hstack([*slopes, dc * i * (1 - g * g)])
        dz = da @ W.T
        dx, dh0 = np.split(dz, [x.shape[1]], axis=1)
        return {"x": dx, "h": dh0, "c": dc * f, "W": np.hstack([x, h]).T @ da, "b": da.sum(0)}

    return (o * t, c1), backward


def second_output_unused():
    return gradcheck.check(
        lstm_step_with_cell, **draw(x=(3, 2), h=(3, 4), c=(3, 4), W=(6, 16), b=(16,))
    )


#: (function, codes of which each wrong leaf has one, words that the report has)
CASES = [
    (rnn_time_first, {"missing-path"}, ()),
    (rnn_from_the_end, {"missing-path"}, ()),
    (many_to_one, {"missing-path"}, ()),
    (gru_cut, {"missing-path"}, ()),
    (gru_without_carry, {"missing-path"}, ()),
    (lstm_without_cell_route, {"missing-path"}, ()),
    (gate_without_slope, {"wrong-operand", "axis-scale", "missing-path"}, ("gate 2 of 4",)),
    (gate_with_another_slope, {"wrong-operand", "axis-scale", "missing-path"}, ("gate 4 of 4",)),
    (second_output_unused, {"partial", "missing-path"}, ("output 2",)),
    (gate_without_bias, {"zero", "partial"}, ("gate 2 of 3",)),
]
