"""Ops: pure functions of arrays that autograd can differentiate, in the names and arguments of
torch.nn.functional.
"""

from autocnn.ops.loss import cross_entropy
from autocnn.ops.norm import batch_norm, batch_norm_and_statistics, local_response_norm
from autocnn.ops.pointwise import (
    dropout,
    dropout_mask,
    flatten,
    linear,
    log_softmax,
    relu,
    softmax,
    tanh,
)
from autocnn.ops.pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from autocnn.ops.spatial import conv2d, pad2d
from autocnn.ops.windows import unwindows, windows

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_and_statistics",
    "conv2d",
    "cross_entropy",
    "dropout",
    "dropout_mask",
    "flatten",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool2d",
    "pad2d",
    "relu",
    "softmax",
    "tanh",
    "unwindows",
    "windows",
]
