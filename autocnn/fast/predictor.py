"""A network that only predicts: parameters held, kernels packed, checked once."""

from collections import OrderedDict
from contextlib import suppress

import numpy as np
from numpy import ndarray

from autocnn.fast import kernels, threadpool
from autocnn.fast.layer import Layer
from autocnn.fast.plans import cache, single
from autocnn.fast.plans.bounds import Overflow
from autocnn.fast.plans.library import OneDNNError
from autocnn.fast.plans.prediction import Weights
from autocnn.trees import untracked_tree_map
from reference import validate

__all__ = ["Predictor", "predictor"]

KEPT = 2  # shapes whose packed kernels are kept: the batches' and the last one's


def predictor(model, params, state, copy: bool = True) -> "Predictor":
    """Return a function p(x) -> y: the network's output in evaluation, for serving.

    It equals ``model.apply(params, state, x)[0]`` and computes it sooner: parameters are checked at
    a shape's first call, and laid out for the processor once. They are copied, so the predictor
    stays what it is whatever happens to the arrays; with ``copy=False`` they are not, and must not
    change while it is used. Works for networks of any vocabulary and dtype.

    >>> import numpy as np
    >>> import autocnn as ac
    >>> model = ac.models.lenet5(nn=ac.fast)
    >>> _, params, state = model.init(0, (1, 28, 28), "float32")
    >>> p = ac.fast.predictor(model, params, state)
    >>> p(np.zeros((2, 1, 28, 28), "float32")).shape
    (2, 10)
    """
    return Predictor(model, params, state, copy)


class Predictor:
    """What ``predictor`` returns."""

    def __init__(self, model, params, state, copy):
        self._model, self._trees = model, (params, state)
        if copy:
            self._trees = tuple(untracked_tree_map(np.array, tree) for tree in self._trees)
        self._found: OrderedDict = OrderedDict()

    def __call__(self, x: ndarray) -> ndarray:
        """Return the outputs (N, *out_shape) for a batch x (N, *shape) of finite floats.

        Raises ValueError where ``apply`` would.
        """
        found = self._plan(x) if isinstance(self._model, Layer) and cache.available() else None
        if found is not None:
            plan, weights = found
            validate.finite("x", x)
            with suppress(
                MemoryError, OneDNNError, Overflow
            ):  # then the layers, which need less at a time
                return plan.run(weights, x)
        return self._model.apply(*self._trees, x)[0]

    def _plan(self, x):
        """Return (plan, weights) for a batch like x, or None where ``apply`` is what there is."""
        if type(x) is not ndarray or x.dtype != np.float32:
            return None
        key = x.shape, threadpool.num_threads(), kernels.wants_plans()
        if key not in self._found:
            validate.call(self._model, *self._trees, x)
            plan = cache.prediction(self._model, x.shape) if single(*self._trees, x) else None
            self._found[key] = None
            with suppress(MemoryError, OneDNNError, Overflow):
                self._found[key] = plan and (plan, Weights(plan, *self._trees))
            if len(self._found) > KEPT:
                self._found.popitem(last=False)
        return self._found.get(key)
