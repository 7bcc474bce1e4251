"""Right gradient for one call, but backward works inside its cached probabilities. Expected:
"mutates-input" (the cache) or a note.
"""

import numpy as np

from autocnn import gradcheck


class SoftmaxCE:
    def forward(self, x, t):
        e = np.exp(x - x.max(1, keepdims=True))
        self.p, self.t = e / e.sum(1, keepdims=True), t
        return -np.log(self.p[np.arange(len(t)), t]).mean()

    def backward(self, dy=1):
        d = self.p
        d[np.arange(len(d)), self.t] -= 1
        d *= dy / len(d)
        return d


def run():
    return gradcheck.check_object(
        SoftmaxCE(), np.random.default_rng(0).normal(size=(4, 5)), t=np.array([0, 3, 1, 4])
    )


EXPECT = {"verdict": "either", "codes": {"mutates-input", "aliased"}, "not": {"nondeterministic"}}
