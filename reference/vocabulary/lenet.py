"""The words that only the LeNet-5 of 1998 needs.

LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition.
"""

import math

import numpy as np

from reference.arguments import image_shape, integer, pair, window_shape
from reference.initial import filled, he_normal, initial_bias, zeros
from reference.layer import Declaration

__all__ = ["rbf", "subsample", "table_conv"]


def table_conv(table, kernel):
    """Convolution with a table of connections, (C, H, W) -> (len(table), Ho, Wo).

    ``table[f]`` lists the input channels that filter f sees. Parameters: w (P, kh, kw), one
    kernel for each of the P connections, row by row, with the fan-in of its filter; b (F,).
    LeCun et al. 1998, Gradient-based learning applied to document recognition, Table I.
    """
    try:
        table = tuple(
            tuple(integer(c, "table_conv: a channel", least=0) for c in row) for row in table
        )
    except TypeError:  # not rows of anything
        table = ()
    if not table or any(not row or len(set(row)) < len(row) for row in table):
        raise ValueError(
            "table_conv: the table needs one row a filter, listing different channels, as in "
            "((0, 1), (1, 2))"
        )
    kernel = pair(kernel, "table_conv: kernel")
    connections, last = sum(map(len, table)), max(map(max, table))

    def init(key, shape, dtype):
        c, *size = image_shape("table_conv", shape)
        if last >= c:
            raise ValueError(
                f"table_conv: the table names channel {last}, the input has 0 to {c - 1} only"
            )
        fan_in = np.array([len(row) * math.prod(kernel) for row in table for _ in row])
        unit = he_normal(key, (connections, *kernel), 2, "float64")  # N(0, 1)
        w = (unit * np.sqrt(2 / fan_in)[:, None, None]).astype(dtype)
        out = window_shape("table_conv", tuple(size), kernel, (1, 1))
        return (len(table), *out), {"w": w} | initial_bias(key, len(table), True, dtype), {}

    return Declaration(
        "table_conv", dict(table=table, kernel=kernel), init,
        multiply_adds=lambda shape, out: math.prod(out[1:]) * connections * math.prod(kernel),
    )  # fmt: skip


def subsample(size: int = 2):
    """The sum of each size x size block, times w[c] plus b[c]: (C, H, W) -> (C, H//size, W//size).

    Parameters w (C,) = 1 / size^2, so that it begins as the mean, and b (C,). LeCun et al. 1998,
    layers S2 and S4.
    """
    size = integer(size, "subsample: size")

    def init(key, shape, dtype):
        c, *image = image_shape("subsample", shape)
        params = {"w": filled(key, (c,), 1 / size**2, dtype), "b": zeros(key, (c,), dtype)}
        out = window_shape("subsample", tuple(image), (size, size), (size, size))
        return (c, *out), params, {}

    return Declaration(
        "subsample", dict(size=size), init, multiply_adds=lambda shape, out: math.prod(out)
    )


def rbf(codes):
    """Minus the squared distance to each of K fixed codes, (D,) -> (K,).

    y_k = -sum_d (x_d - codes_kd)^2. The paper's output units (equation 7) are the distances; with
    the sign turned they are logits, and cross-entropy is its loss (equation 9) without the
    constant e^-j. LeCun et al. 1998, section II.B.
    """
    try:
        codes = tuple(tuple(float(v) for v in row) for row in codes)
        table = np.array(codes)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError("rbf: codes must be K rows of D numbers, as in ((1, -1), (-1, 1))")

    def init(key, shape, dtype):
        if tuple(shape) != table.shape[1:]:
            raise ValueError(
                f"rbf: the codes have {table.shape[1]} numbers each, got inputs of shape "
                f"{tuple(shape)}"
            )
        return (len(table),), {}, {}

    return Declaration(
        "rbf", dict(codes=codes), init, multiply_adds=lambda shape, out: shape[0] * out[0]
    )
