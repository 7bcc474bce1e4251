"""The loss with its derivative: softmax minus one-hot, over the batch."""

import numpy as np

__all__ = ["cross_entropy_pull"]

NOTHING = 2.0**-100


def cross_entropy_pull(logits, labels, share=None):
    """Return (loss, dlogits): the mean of -log softmax(logits)[n, labels[n]], and its gradient.
    logits (N, K), labels (N,).

    With ``share`` (N,), which adds up to 1, it is sum_n share[n] times that instead of the mean.
    """
    n = len(logits)
    rows = np.arange(n)
    z = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    if share is None:
        loss = (np.log(total).sum() - z[rows, labels].sum()) / n
    else:
        share = share.astype(logits.dtype)
        loss = share @ (np.log(total[:, 0]) - z[rows, labels])
    e /= total
    if e.dtype.char == "f":
        # Nothing beside the others; but on the way back the products with them would be subnormal,
        # and slow.
        e[e < NOTHING] = 0
    e[rows, labels] -= 1
    if share is None:
        e /= n
    else:
        e *= share[:, None]
    return loss, e
