"""The words that only the LeNet-5 of 1998 needs: table_conv, subsample, rbf."""

import autograd.numpy as np
import numpy as onp

from autocnn import ops
from autocnn.autodiff import getval
from autocnn.layers.layer import by_autograd
from reference import vocabulary as declare

__all__ = ["rbf", "subsample", "table_conv"]


@by_autograd(declare.table_conv)
def table_conv(o, params, state, x, train, key):
    places = _places(o.table, x.shape[1]).astype(getval(x).dtype)
    # (F, C, P) . (P, kh, kw) -> (F, C, kh, kw), 0 where nothing is connected
    weight = np.tensordot(places, params["w"], axes=([2], [0]))
    return ops.conv2d(x, weight, params["b"]), state


def _places(table, channels):
    """Mark where the p-th connection sits among all pairs of filter and channel: (F, C, P)."""
    pairs = [(f, c) for f, row in enumerate(table) for c in row]
    places = onp.zeros((len(table), channels, len(pairs)))
    for p, (f, c) in enumerate(pairs):
        places[f, c, p] = 1
    return places


@by_autograd(declare.subsample)
def subsample(o, params, state, x, train, key):
    total = ops.avg_pool2d(x, o.size, divisor_override=1)  # (N, C, Ho, Wo)
    w, b = (np.reshape(params[name], (-1, 1, 1)) for name in "wb")
    return total * w + b, state


@by_autograd(declare.rbf)
def rbf(o, params, state, x, train, key):
    codes = onp.array(o.codes, getval(x).dtype)  # (K, D)
    away = np.reshape(x, (-1, 1, codes.shape[1])) - codes  # (N, 1, D) - (K, D)
    return -np.sum(away * away, axis=2), state
