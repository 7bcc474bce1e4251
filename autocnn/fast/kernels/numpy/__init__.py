"""Kernels in NumPy alone; ``autocnn.fast.kernels`` has the table of what they compute."""

from autocnn.fast.kernels.numpy.matmul import matmul, matmul_nt, matmul_tn
from autocnn.fast.kernels.numpy.norm import (
    add_relu,
    centered_sums,
    column_sums,
    normalize,
    normalize_backward,
    normalize_sums,
    relu_backward,
    relu_bias_backward,
)
from autocnn.fast.kernels.numpy.patches import conv_patches
from autocnn.fast.kernels.numpy.pool import avg_pool, avg_pool_backward, max_pool, max_pool_backward
from autocnn.fast.kernels.numpy.winograd import (
    conv_winograd,
    conv_winograd_backward,
    winograd_transform,
    winograd_transform_backward,
)

__all__ = [
    "add_relu",
    "avg_pool",
    "avg_pool_backward",
    "centered_sums",
    "column_sums",
    "conv_patches",
    "conv_winograd",
    "conv_winograd_backward",
    "matmul",
    "matmul_nt",
    "matmul_tn",
    "max_pool",
    "max_pool_backward",
    "normalize",
    "normalize_backward",
    "normalize_sums",
    "relu_backward",
    "relu_bias_backward",
    "winograd_transform",
    "winograd_transform_backward",
]
