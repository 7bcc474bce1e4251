"""RNN whose backward drops dh from the step after. Expected: missing-path (the recurrent route),
on x, Wx and Wh.
"""

import numpy as np

from autocnn import gradcheck


def rnn(x, Wx, Wh):
    h = [np.zeros((x.shape[0], Wh.shape[0]))]
    for t in range(x.shape[1]):
        h.append(np.tanh(x[:, t] @ Wx + h[-1] @ Wh))

    def backward(dy):
        da = [
            dy[:, t] * (1 - h[t + 1] ** 2) for t in range(x.shape[1])
        ]  # + da[t + 1] @ Wh.T is missing
        return (
            np.stack([d @ Wx.T for d in da], 1),
            sum(x[:, t].T @ d for t, d in enumerate(da)),
            sum(h[t].T @ d for t, d in enumerate(da)),
        )

    return np.stack(h[1:], 1), backward


def run():
    r = np.random.default_rng(0)
    return gradcheck.check(
        rnn,
        x=r.normal(size=(3, 4, 2)),
        Wx=r.normal(size=(2, 5)) * 0.7,
        Wh=r.normal(size=(5, 5)) * 0.5,
    )


EXPECT = {"verdict": "wrong", "codes": {"missing-path"}, "not": {"overwritten", "unclassified"}}
