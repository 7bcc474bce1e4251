"""Kernels compiled by Numba; ``autocnn.fast.kernels`` has the table of what they compute.

Inner loops run over channels, which are contiguous, so that the compiler turns them into vector
instructions. It does so when every array of a loop is sliced to length first and indexed from 0 by
the loop's own counter: three to six times as fast as an index that has to be proven non-negative.
"""

import scipy.linalg.cython_blas  # noqa: F401  the BLAS that Numba's np.dot calls

from autocnn.fast import threadpool
from autocnn.fast.kernels.numba.elementwise import add_relu, relu_backward, relu_bias_backward
from autocnn.fast.kernels.numba.matmul import matmul, matmul_nt, matmul_tn
from autocnn.fast.kernels.numba.norm import (
    centered_sums,
    column_sums,
    normalize,
    normalize_backward,
    normalize_sums,
)
from autocnn.fast.kernels.numba.parallel import thread_context  # noqa: F401
from autocnn.fast.kernels.numba.patches import conv_patches
from autocnn.fast.kernels.numba.pool import max_pool, max_pool_backward
from autocnn.fast.kernels.numba.winograd import (
    conv_winograd,
    conv_winograd_backward,
    winograd_transform,
    winograd_transform_backward,
)
from autocnn.fast.kernels.numpy import avg_pool, avg_pool_backward

threadpool.refresh()  # SciPy brings a BLAS of its own

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
