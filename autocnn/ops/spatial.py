"""Convolution over images (N, C, H, W), in the names and arguments of torch.nn.functional."""

from typing import Any

import autograd.numpy as np

from autocnn.ops.arguments import Pair, pair, window_shape
from autocnn.ops.windows import unwindows, windows
from autocnn.typing import Array

__all__ = ["conv2d", "conv_transpose2d", "pad2d"]


def pad2d(x: Array, padding: Any, value: float = 0.0) -> Array:
    """Pad images (N, C, H, W) with a constant.

    padding: an int, a pair (vertical, horizontal), or a pair of pairs ((top, bottom), (left,
        right)), none of them negative.
    """
    vertical, horizontal = _edges(padding)
    if not any(vertical + horizontal):
        return x
    return np.pad(x, ((0, 0), (0, 0), vertical, horizontal), "constant", constant_values=value)


def _edges(padding):
    if isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding):
        return tuple(pair(p, "padding", least=0) for p in padding)
    return tuple((p, p) for p in pair(padding, "padding", least=0))


def conv2d(
    x: Array,
    weight: Array,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """Convolve images with kernels, which are not flipped (cross-correlation).

    y[n, f, i, j] = b[f] + sum_{c, u, v} w[f, c, u, v] x[n, c, i s + u d, j s + v d] for x
    (N, C, H, W), weight (F, C / groups, kh, kw), bias (F,) -> (N, F, Ho, Wo).

    padding: an int, a pair, "valid" (none), or at stride 1 "same", where (Ho, Wo) = (H, W) and an
        odd row or column of padding goes to the bottom or right.
    groups: the channels and the filters are split into this many groups, and the filters of a
        group see the channels of that group only.

    Raises ValueError for ranks, channels, groups or kernels that do not fit.
    """
    _check_conv(x, weight, bias, groups)
    stride, dilation = pair(stride, "conv2d: stride"), pair(dilation, "conv2d: dilation")
    x = pad2d(x, _conv_padding(padding, weight.shape[2:], stride, dilation))
    window_shape(x.shape[2:], weight.shape[2:], stride, 0, dilation, op="conv2d")
    if groups == 1:
        y = _correlate(x, weight, stride, dilation)
    elif groups == x.shape[1]:
        y = _correlate_depthwise(x, weight, stride, dilation)
    else:
        c, f = x.shape[1] // groups, weight.shape[0] // groups
        parts = [(x[:, g * c : (g + 1) * c], weight[g * f : (g + 1) * f]) for g in range(groups)]
        y = np.concatenate([_correlate(x_g, w_g, stride, dilation) for x_g, w_g in parts])
    if bias is not None:
        y = y + np.reshape(bias, (-1, 1, 1, 1))
    return np.transpose(y, (1, 0, 2, 3))


def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Any = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Array:
    """Apply the adjoint (transpose) of ``conv2d``: each cell adds its kernel to the output.

    x (N, C, H, W), weight (C, F / groups, kh, kw), bias (F,) -> (N, F, Ho, Wo) with
    Ho = (H - 1) s - 2 p + d (kh - 1) + output_padding + 1. Raises ValueError for ranks, channels
    or groups that do not fit, and an output_padding not smaller than stride or dilation.
    """
    if len(x.shape) != 4 or len(weight.shape) != 4 or x.shape[1] != weight.shape[0]:
        raise ValueError(
            "conv_transpose2d needs x (N, C, H, W) and weight (C, F/groups, kh, kw); "
            f"got {x.shape} and {weight.shape}"
        )
    if groups < 1 or x.shape[1] % groups:
        raise ValueError(f"conv_transpose2d: groups={groups} must divide {x.shape[1]} channels")
    stride, dilation = pair(stride, "stride"), pair(dilation, "dilation")
    padding, extra = pair(padding, "padding", 0), pair(output_padding, "output_padding", 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(
            f"conv_transpose2d: output_padding {extra} must be smaller than stride or dilation"
        )
    c, image, f, kernel = x.shape[1], x.shape[2:], weight.shape[1], weight.shape[2:]
    if bias is not None and bias.shape != (f * groups,):
        raise ValueError(f"conv_transpose2d: bias must be ({f * groups},); got {bias.shape}")
    geometry = zip(image, kernel, stride, dilation, extra, strict=True)
    size = tuple((m - 1) * s + d * (k - 1) + 1 + e for m, k, s, d, e in geometry)
    step, parts = c // groups, []
    for g in range(groups):
        x_g, w_g = x[:, g * step : (g + 1) * step], weight[g * step : (g + 1) * step]
        # (C, F, kh, kw) . (N, C, H, W) -> (F, kh, kw, N, H, W)
        p = np.tensordot(w_g, x_g, axes=([0], [1]))
        parts.append(unwindows(np.transpose(p, (1, 2, 3, 0, 4, 5)), size, stride, dilation))
    y = parts[0] if groups == 1 else np.concatenate(parts, axis=1)
    (top, left), (height, width) = padding, size
    y = y[:, :, top : height - top, left : width - left]
    return y if bias is None else y + np.reshape(bias, (-1, 1, 1))


def _correlate(x, weight, stride, dilation):
    """Contract the kernels with the windows of x. Returns (F, N, Ho, Wo).

    The tape keeps the windows as a view of x. The matrix of patches, kh kw times as large, exists
    only inside tensordot.
    """
    p = windows(x, weight.shape[2:], stride, dilation)
    # (F, C, kh, kw) . (kh, kw, N, C, Ho, Wo) -> (F, N, Ho, Wo)
    return np.tensordot(weight, p, axes=([2, 3, 1], [0, 1, 3]))


def _correlate_depthwise(x, weight, stride, dilation):
    """Like ``_correlate`` for filters that see one channel each: products and sums.

    A loop over the groups would put one node per channel on the tape.
    """
    p = windows(x, weight.shape[2:], stride, dilation)  # (kh, kw, N, C, Ho, Wo)
    (kh, kw, n, c, *out), each = p.shape, weight.shape[0] // x.shape[1]
    w = np.transpose(np.reshape(weight, (c, each, kh, kw)), (2, 3, 1, 0))  # (kh, kw, each, C)
    ys = [
        np.sum(np.reshape(w[:, :, i], (kh, kw, 1, c, 1, 1)) * p, axis=(0, 1)) for i in range(each)
    ]
    y = ys[0] if each == 1 else np.reshape(np.stack(ys, axis=2), (n, c * each, *out))
    return np.transpose(y, (1, 0, 2, 3))


def _conv_padding(padding, kernel_size, stride, dilation):
    if not isinstance(padding, str):
        return padding
    if padding == "valid":
        return 0
    if padding != "same":
        raise ValueError(f'conv2d: padding is an int, a pair, "valid" or "same"; got {padding!r}')
    if stride != (1, 1):
        raise ValueError(
            f'conv2d: padding="same" needs stride 1, got {stride}; pass the padding as a number'
        )
    both = [d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True)]
    return tuple((total // 2, total - total // 2) for total in both)


def _check_conv(x, weight, bias, groups):
    if len(x.shape) != 4 or len(weight.shape) != 4:
        raise ValueError(
            "conv2d needs x (N, C, H, W) and weight (F, C/groups, kh, kw); "
            f"got {x.shape} and {weight.shape}"
        )
    c, f = x.shape[1], weight.shape[0]
    if groups < 1 or c % groups or f % groups:
        raise ValueError(
            f"conv2d: groups={groups} must divide both {c} input channels and {f} filters"
        )
    if weight.shape[1] != c // groups:
        raise ValueError(
            f"conv2d: x {x.shape} has {c} channels in groups of {c // groups}, weight "
            f"{weight.shape} needs groups of {weight.shape[1]}"
        )
    if bias is not None and bias.shape != (f,):
        raise ValueError(f"conv2d: bias must be ({f},), one for each filter; got {bias.shape}")
