"""Normalisation. Parameters are a scale w and a shift b."""

from reference.arguments import integer, real
from reference.initial import filled
from reference.layer import Declaration
from reference.vocabulary.elementwise import keeps_shape

__all__ = ["batch_norm", "group_norm", "layer_norm", "local_response_norm"]


def batch_norm(momentum: float = 0.1, eps: float = 1e-5):
    """Normalise each channel over the batch: y = w (x - mean) / sqrt(var + eps) + b.

    For (C, H, W) or (D,); the shape stays. Parameters w and b (C,), state mean and var (C,).
    Training takes mean and variance of the batch and moves the state by ``momentum`` towards
    them (its variance with n / (n - 1)); evaluation takes the state. No gradient flows through the
    state. Training with one value a channel is a ValueError. Ioffe and Szegedy 2015.
    """
    momentum = real(momentum, "batch_norm: momentum", 0, 1)
    eps = real(eps, "batch_norm: eps", 0)

    def init(key, shape, dtype):
        params = _scale_and_shift(key, shape[:1], dtype)
        return tuple(shape), params, {"mean": params["b"].copy(), "var": params["w"].copy()}

    return Declaration("batch_norm", dict(momentum=momentum, eps=eps), init)


def layer_norm(eps: float = 1e-5):
    """Normalise each example over all its numbers: y = w (x - mean) / sqrt(var + eps) + b.

    Parameters w and b of the example's shape; the shape stays, as in torch.nn.LayerNorm(shape).
    Ba, Kiros and Hinton 2016, Layer normalization.
    """

    def init(key, shape, dtype):
        return tuple(shape), _scale_and_shift(key, tuple(shape), dtype), {}

    return Declaration("layer_norm", dict(eps=real(eps, "layer_norm: eps", 0)), init)


def group_norm(groups: int, eps: float = 1e-5):
    """Normalise each example over each of ``groups`` groups of neighbouring channels.

    y = w (x - mean) / sqrt(var + eps) + b with w and b (C,), for (C, H, W) or (C,); the shape
    stays. Wu and He 2018, Group normalization.
    """
    groups = integer(groups, "group_norm: groups")

    def init(key, shape, dtype):
        if shape[0] % groups:
            raise ValueError(f"group_norm: groups={groups} must divide the {shape[0]} channels")
        return tuple(shape), _scale_and_shift(key, shape[:1], dtype), {}

    return Declaration("group_norm", dict(groups=groups, eps=real(eps, "group_norm: eps", 0)), init)


def local_response_norm(size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
    """Divide by the strength of neighbouring channels: y_c = x_c / s_c^beta; shapes stay.

    s_c = k + alpha / size sum_{c'} x_c'^2 over the ``size`` channels around c, cut at the edges,
    as in torch. Krizhevsky et al. 2012, section 3.3, where alpha is not divided by size.
    """
    numbers = {
        name: real(value, f"local_response_norm: {name}")
        for name, value in (("alpha", alpha), ("beta", beta), ("k", k))
    }
    size = integer(size, "local_response_norm: size")
    return Declaration("local_response_norm", dict(size=size, **numbers), keeps_shape)


def _scale_and_shift(key, shape, dtype):
    return {"w": filled(key, shape, 1, dtype), "b": filled(key, shape, 0, dtype)}
