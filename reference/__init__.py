"""The vocabulary, with every backward pass derived by hand in NumPy alone, by other algorithms than
autocnn's.

This package and ``autocnn`` never import each other: they meet where a caller passes
``nn=reference``.
"""

from reference.combinators import residual, serial
from reference.flat import dense, dropout, flatten, identity, relu, tanh
from reference.layer import Layer
from reference.lenet import rbf, scaled_tanh, subsample, table_conv
from reference.loss import softmax_cross_entropy
from reference.norm import batch_norm, local_response_norm
from reference.spatial import avg_pool, conv, global_avg_pool, max_pool

__all__ = [
    "Layer",
    "avg_pool",
    "batch_norm",
    "conv",
    "dense",
    "dropout",
    "flatten",
    "global_avg_pool",
    "identity",
    "local_response_norm",
    "max_pool",
    "rbf",
    "relu",
    "residual",
    "scaled_tanh",
    "serial",
    "softmax_cross_entropy",
    "subsample",
    "table_conv",
    "tanh",
]
