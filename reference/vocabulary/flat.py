"""dense, flatten and dropout."""

import math

import numpy as np

from reference.arguments import integer
from reference.initial import he_normal, initial_bias
from reference.layer import Declaration
from reference.vocabulary.elementwise import keeps_shape

__all__ = ["dense", "dropout", "flatten"]


def dense(units: int, bias: bool = True):
    """A linear map, y = x w + b, (D,) -> (units,). Parameters: w (D, units), b (units,)."""
    units = integer(units, "dense: units")

    def init(key, shape, dtype):
        if len(shape) != 1:
            raise ValueError(
                f"dense needs vectors (D,), got shape {tuple(shape)} without the batch; "
                "put flatten() before it"
            )
        params = {"w": he_normal(key, (shape[0], units), shape[0], dtype)}
        return (units,), params | initial_bias(key, units, bias, dtype), {}

    return Declaration(
        "dense", dict(units=units, bias=bool(bias)), init,
        multiply_adds=lambda shape, out: shape[0] * out[0],
    )  # fmt: skip


def flatten():
    """Reshape each example to one vector, (C, H, W) -> (C H W,), the last axis fastest."""
    return Declaration("flatten", {}, lambda key, shape, dtype: ((math.prod(shape),), {}, {}))


def dropout(p: float):
    """In training, set each number to 0 with probability p and divide the others by 1 - p.

    In evaluation it is the identity. The mask is drawn from the key alone, so equal keys give
    equal masks in every interpretation. Srivastava et al. 2014, JMLR 15.
    """
    if isinstance(p, bool) or not isinstance(p, (int, float, np.number)) or not 0 <= p < 1:
        raise ValueError(f"dropout: p is the probability of dropping, 0 <= p < 1; got {p!r}")
    return Declaration("dropout", dict(p=float(p)), keeps_shape, draws=p > 0)
