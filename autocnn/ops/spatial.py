"""Convolution over images (N, C, H, W), in the names and arguments of torch.nn.functional."""

import autograd.numpy as np

from autocnn.ops.arguments import pair, window_shape
from autocnn.ops.windows import windows

__all__ = ["conv2d", "pad2d"]


def pad2d(x, padding, value=0.0):
    """Surround images (N, C, H, W) by rows and columns of a constant.

    ``padding`` is an int, a pair (vertical, horizontal), or a pair of pairs ((top, bottom), (left,
    right)).
    """
    vertical, horizontal = _edges(padding)
    if not any(vertical + horizontal):
        return x
    return np.pad(x, ((0, 0), (0, 0), vertical, horizontal), "constant", constant_values=value)


def _edges(padding):
    if isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding):
        return tuple(pair(p, "padding", least=0) for p in padding)
    return tuple((p, p) for p in pair(padding, "padding", least=0))


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlate images with kernels: y[n, f, i, j] = b[f] + sum_{c, u, v} w[f, c, u, v] x[n,
    c, i s + u d, j s + v d].

    x (N, C, H, W), weight (F, C / groups, kh, kw), bias (F,) -> (N, F, Ho, Wo). With groups, the
    g-th F / groups kernels see the g-th C / groups channels only. ``padding`` may be "valid" (none)
    or, at stride 1, "same" (Ho, Wo = H, W; an odd row or column goes below and to the right).
    Raises ValueError for ranks, channels, groups or kernels that do not fit.
    """
    _check_conv(x, weight, bias, groups)
    stride, dilation = pair(stride, "conv2d: stride"), pair(dilation, "conv2d: dilation")
    x = pad2d(x, _conv_padding(padding, weight.shape[2:], stride, dilation))
    window_shape(x.shape[2:], weight.shape[2:], stride, 0, dilation, op="conv2d")
    if groups == 1:
        y = _correlate(x, weight, stride, dilation)
    else:
        c, f = x.shape[1] // groups, weight.shape[0] // groups
        parts = [(x[:, g * c : (g + 1) * c], weight[g * f : (g + 1) * f]) for g in range(groups)]
        y = np.concatenate([_correlate(x_g, w_g, stride, dilation) for x_g, w_g in parts])
    if bias is not None:
        y = y + np.reshape(bias, (-1, 1, 1, 1))
    return np.transpose(y, (1, 0, 2, 3))


def _correlate(x, weight, stride, dilation):
    """Contract all kernels with all windows, filters first: (F, N, Ho, Wo).

    The tape keeps the windows as a view of x. The matrix of patches, kh kw times as large, lives
    inside tensordot only.
    """
    p = windows(x, weight.shape[2:], stride, dilation)
    return np.tensordot(
        weight, p, axes=([2, 3, 1], [0, 1, 3])
    )  # (F, C, kh, kw) . (kh, kw, N, C, Ho, Wo)


def _conv_padding(padding, kernel_size, stride, dilation):
    if not isinstance(padding, str):
        return padding
    if padding == "valid":
        return 0
    if padding != "same":
        raise ValueError(f'conv2d: padding is an int, a pair, "valid" or "same"; got {padding!r}')
    if stride != (1, 1):
        raise ValueError(
            f'conv2d: padding="same" needs stride 1, got {stride}; give the padding in numbers'
        )
    both = [d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True)]
    return tuple((total // 2, total - total // 2) for total in both)


def _check_conv(x, weight, bias, groups):
    if len(x.shape) != 4 or len(weight.shape) != 4:
        raise ValueError(
            f"conv2d needs x (N, C, H, W) and weight (F, C/groups, kh, kw); got {x.shape} and {weight.shape}"
        )
    c, f = x.shape[1], weight.shape[0]
    if groups < 1 or c % groups or f % groups:
        raise ValueError(
            f"conv2d: groups={groups} must divide both {c} input channels and {f} filters"
        )
    if weight.shape[1] != c // groups:
        raise ValueError(
            f"conv2d: x {x.shape} has {c} channels in groups of {c // groups}, weight {weight.shape} needs "
            f"groups of {weight.shape[1]}"
        )
    if bias is not None and bias.shape != (f,):
        raise ValueError(f"conv2d: bias must be ({f},), one for each filter; got {bias.shape}")
