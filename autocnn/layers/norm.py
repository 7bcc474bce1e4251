"""Normalisation layers: by the batch's statistics, and by the strength of neighbouring channels."""

import math
import numbers

from autocnn import ops
from autocnn.layers.flat import pointwise
from autocnn.layers.initial import filled
from autocnn.layers.layer import Layer
from autocnn.ops.arguments import real, whole

__all__ = ["batch_norm", "local_response_norm"]


def batch_norm(momentum=0.1, eps=1e-5):
    """Normalise each channel over the batch and the image, then scale and shift: (C, H, W) or (D,),
    the shape stays.

    Parameters w (C,) = 1, the scale gamma, and b (C,) = 0, the shift beta. State mean (C,) = 0 and
    var (C,) = 1: running statistics, which training moves by the share ``momentum`` towards the
    batch's and evaluation normalises with. Training on one value a channel is a ValueError. See
    ``ops.batch_norm`` for the formula; no gradient flows through the state.
    """
    if not isinstance(momentum, numbers.Real) or not 0 <= momentum <= 1:
        raise ValueError(
            f"batch_norm: momentum is the new batch's share, 0 <= momentum <= 1; got {momentum!r}"
        )
    if not isinstance(eps, numbers.Real) or not 0 <= eps < math.inf:
        raise ValueError(f"batch_norm: eps must be a number, 0 or more; got {eps!r}")
    momentum, eps = float(momentum), float(eps)  # numpy's float64 would widen float32

    def init(key, shape, dtype="float64"):
        one, zero = (filled(key, shape[:1], value, dtype) for value in (1, 0))
        return tuple(shape), {"w": one, "b": zero}, {"mean": zero.copy(), "var": one.copy()}

    def forward(params, state, x, train, key):
        statistics = state["mean"], state["var"]
        y, mean, var = ops.batch_norm_and_statistics(
            x, *statistics, params["w"], params["b"], train, momentum, eps
        )
        return y, {"mean": mean, "var": var}

    return Layer("batch_norm", dict(momentum=momentum, eps=eps), init, forward)


def local_response_norm(size, alpha=1e-4, beta=0.75, k=1.0):
    """Divide each number by (k + alpha / size * the sum of squares over ``size`` channels around
    it)^beta; shapes stay.

    Krizhevsky et al. 2012, section 3.3; their alpha is not divided by ``size``: see
    ``ops.local_response_norm``.
    """
    options = dict(size=whole(size, "local_response_norm: size"), alpha=alpha, beta=beta, k=k)
    options |= {
        name: real(options[name], f"local_response_norm: {name}") for name in ("alpha", "beta", "k")
    }
    return pointwise(
        "local_response_norm", lambda x: ops.local_response_norm(x, **options), options
    )
