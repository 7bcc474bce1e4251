"""Plans: a whole network's call computed as one, instead of layer by layer.

``Layer`` asks here first. Each function returns what the layer's own would, or None where no plan
holds the network, its arrays or this call; then the layers compute. Whether one does depends on
the network, dtypes, sizes and settings alone: what ran before never changes a result.
"""

__all__ = ["apply", "loss_and_grad"]


def apply(layer, params, state, x, train, key):
    """Return (y, state) of a call of ``layer``, whose arguments have been checked, or None."""
    return None


def loss_and_grad(layer, params, state, x, targets, weights, loss, train, key):
    """Return (loss, grads, state) of a step of ``layer``, its arguments checked, or None."""
    return None
