"""Kernels compiled by Numba, over channels-last arrays: the same names and arguments as
``kernels_numpy``.

Inner loops run over channels, which are contiguous, so that the compiler turns them into vector
instructions. It does so when every array of a loop is cut to length first and indexed from 0 by the
loop's own counter: three to six times as fast as an index that it has to prove not negative.
"""

import scipy.linalg.cython_blas  # noqa: F401  what Numba multiplies with

from autocnn.fast import threadpool as workers
from autocnn.fast.kernels.numba.norm import (
    column_sums,
    moments,
    normalise,
    normalise_back,
    normalise_sums,
)
from autocnn.fast.kernels.numba.patches import patches, patches_back
from autocnn.fast.kernels.numba.pointwise import add_relu, relu_back, relu_gradient
from autocnn.fast.kernels.numba.pool import max_pool, max_pool_back
from autocnn.fast.kernels.numba.product import times, times_transposed, transposed_times
from autocnn.fast.kernels.numba.winograd import transform, transform_back, winograd, winograd_back

workers.look_again()

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
    "winograd",
    "winograd_back",
]
