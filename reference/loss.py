"""The loss and its gradient in closed form: softmax minus one-hot, over the batch."""

import numpy as np

__all__ = ["softmax_cross_entropy"]


def softmax_cross_entropy(logits, labels, share=None):
    """Return (loss, dlogits): the mean of -log p[n, labels[n]] with p = softmax(logits), and its
    gradient (p - onehot) / N.

    logits (N, K), labels (N,) of ints in [0, K). -log p is computed as log sum exp - logit, so that
    no p underflows to 0. ``share`` (N,), which adds up to 1, has the place of 1 / N, image by
    image.
    """
    n = len(logits)
    rows = np.arange(n)
    z = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1)
    each = np.log(total) - z[rows, labels]
    dlogits = e / total[:, None]
    dlogits[rows, labels] -= 1
    if share is None:
        dlogits /= n
        return each.sum() / n, dlogits
    share = share.astype(logits.dtype)
    return share @ each, share[:, None] * dlogits
