"""Convolution and pooling over images (C, H, W)."""

from autocnn import ops
from autocnn.layers.layer import by_autograd
from reference import vocabulary as declare

__all__ = ["avg_pool", "conv", "conv_transpose", "global_avg_pool", "max_pool"]


@by_autograd(declare.conv)
def conv(o, params, state, x, train, key):
    geometry = o.stride, o.padding, o.dilation, o.groups
    return ops.conv2d(x, params["w"], params.get("b"), *geometry), state


@by_autograd(declare.conv_transpose)
def conv_transpose(o, params, state, x, train, key):
    geometry = o.stride, o.padding, o.output_padding, o.groups, o.dilation
    return ops.conv_transpose2d(x, params["w"], params.get("b"), *geometry), state


@by_autograd(declare.max_pool)
def max_pool(o, params, state, x, train, key):
    return ops.max_pool2d(x, o.size, o.stride, o.padding), state


@by_autograd(declare.avg_pool)
def avg_pool(o, params, state, x, train, key):
    return ops.avg_pool2d(x, o.size, o.stride, o.padding), state


@by_autograd(declare.global_avg_pool)
def global_avg_pool(o, params, state, x, train, key):
    return ops.flatten(ops.adaptive_avg_pool2d(x, 1), 1), state
