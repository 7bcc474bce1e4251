"""Normalisation by the batch, by the example, by groups of channels, and by neighbours."""

from autocnn import ops
from autocnn.layers.layer import by_autograd
from reference import vocabulary as declare

__all__ = ["batch_norm", "group_norm", "layer_norm", "local_response_norm"]


@by_autograd(declare.batch_norm)
def batch_norm(o, params, state, x, train, key):
    y, mean, var = ops.batch_norm_and_statistics(
        x, state["mean"], state["var"], params["w"], params["b"], train, o.momentum, o.eps
    )
    return y, {"mean": mean, "var": var}


@by_autograd(declare.layer_norm)
def layer_norm(o, params, state, x, train, key):
    return ops.layer_norm(x, x.shape[1:], params["w"], params["b"], o.eps), state


@by_autograd(declare.group_norm)
def group_norm(o, params, state, x, train, key):
    return ops.group_norm(x, o.groups, params["w"], params["b"], o.eps), state


@by_autograd(declare.local_response_norm)
def local_response_norm(o, params, state, x, train, key):
    return ops.local_response_norm(x, o.size, o.alpha, o.beta, o.k), state
