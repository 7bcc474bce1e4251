"""The vocabulary, interpreted by autograd: each word returns a ``Layer``, and the automatic path
derives its gradient.
"""

from autocnn.layers.combine import residual, serial
from autocnn.layers.flat import dense, dropout, flatten, identity, relu, tanh
from autocnn.layers.layer import Layer
from autocnn.layers.lenet import rbf, scaled_tanh, subsample, table_conv
from autocnn.layers.norm import batch_norm, local_response_norm
from autocnn.layers.spatial import avg_pool, conv, global_avg_pool, max_pool

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
    "subsample",
    "table_conv",
    "tanh",
]
