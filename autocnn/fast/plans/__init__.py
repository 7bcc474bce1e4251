"""Plans: a whole network's call computed as one, instead of layer by layer.

``Layer`` asks here first. Each function returns what the layer's own would, or None where no plan
holds the network, its arrays or this call; then the layers compute. Whether one does depends on
the network, dtypes, sizes and settings alone: what ran before never changes a result.

In single precision a plan is a list of oneDNN's primitives, in the layouts that oneDNN chooses.
Small networks have programs (``autocnn.fast.program``) of our own, in either precision.
"""

from autocnn.fast.plans import cache
from autocnn.fast.plans.bounds import Overflow
from autocnn.fast.plans.library import OneDNNError
from autocnn.fast.plans.prediction import Weights
from autocnn.fast.program import calls
from autocnn.trees import leaves, untracked_tree_map

__all__ = ["apply", "loss_and_grad"]


def apply(layer, params, state, x, train, key):
    """Return (y, state) of a call of ``layer``, whose arguments have been checked, or None."""
    if train:
        return None
    plan = None
    if cache.available() and single(params, state, x):
        plan = cache.prediction(layer, x.shape)
    if plan is None:
        y = None if leaves(state) else calls.apply(layer, params, x)
        return None if y is None else (y, untracked_tree_map(lambda leaf: leaf, state))
    try:
        y = plan.run(Weights(plan, params, state), x)
    except (MemoryError, OneDNNError, Overflow):  # the layers need less at a time
        return None
    return y, untracked_tree_map(lambda leaf: leaf, state)


def loss_and_grad(layer, params, state, x, targets, weights, loss, train, key):
    """Return (loss, grads, state) of a step of ``layer``, its arguments checked, or None."""
    found = None
    if not leaves(state):
        found = calls.loss_and_grad(layer, params, x, targets, weights, loss, train, key)
    if found is not None:
        return *found, untracked_tree_map(lambda leaf: leaf, state)
    if not train or not cache.available() or not single(params, state, x):
        return None
    plan = cache.step(layer, x.shape)
    if plan is None:
        return None
    try:
        return plan.run(params, state, x, targets, weights, loss, key)
    except (MemoryError, OneDNNError, Overflow):
        return None


def single(params, state, x) -> bool:
    """Return whether all arrays are float32 in native byte order."""
    arrays = [x, *(leaf for tree in (params, state) for _, leaf in leaves(tree))]
    return all(a.dtype.char == "f" and a.dtype.isnative for a in arrays)
