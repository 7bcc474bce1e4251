"""Kernels in NumPy alone, over channels-last arrays: the same names and arguments as
``kernels_numba``.
"""

from autocnn.fast.kernels.numpy.norm import (
    add_relu,
    column_sums,
    moments,
    normalise,
    normalise_back,
    normalise_sums,
    relu_back,
    relu_gradient,
)
from autocnn.fast.kernels.numpy.patches import patches, patches_back
from autocnn.fast.kernels.numpy.pool import max_pool, max_pool_back, window_cells
from autocnn.fast.kernels.numpy.product import times, times_transposed, transposed_times
from autocnn.fast.kernels.numpy.winograd import transform, transform_back, winograd, winograd_back

__all__ = [
    "add_relu",
    "column_sums",
    "max_pool",
    "max_pool_back",
    "moments",
    "normalise",
    "normalise_back",
    "normalise_sums",
    "patches",
    "patches_back",
    "relu_back",
    "relu_gradient",
    "times",
    "times_transposed",
    "transform",
    "transform_back",
    "transposed_times",
    "window_cells",
    "winograd",
    "winograd_back",
]
