"""The vocabulary, interpreted for speed: fused kernels with given derivatives, still one function
to autograd.

    model = ac.models.lenet5(nn=ac.fast)

Every word of ``autocnn.layers`` is here, with the same arguments, initial weights, masks and
results; a word without a kernel of its own is the plain one, derived by autograd, inside a fast
network. ``ac.fast.ops`` has the names and arguments of ``ac.ops``. ``ac.fast.threads(n)`` sets how
many threads are used; ``AUTOCNN_KERNELS`` chooses numba or numpy.
"""

from autocnn import layers as _plain
from autocnn.fast import ops
from autocnn.fast.combine import residual, serial
from autocnn.fast.kernels import using
from autocnn.fast.layer import Layer
from autocnn.fast.layer import derived as _derived
from autocnn.fast.layer import fast_layer as _fast_layer
from autocnn.fast.threadpool import threads
from autocnn.fast.words import (
    avg_pool,
    batch_norm,
    conv,
    dense,
    dropout,
    flatten,
    global_avg_pool,
    identity,
    local_response_norm,
    max_pool,
    relu,
)

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
    "ops",
    "relu",
    "residual",
    "serial",
    "threads",
    "using",
]


def _by_autograd(word):
    """A word without a fast kernel: the plain layer, derived by autograd, as a fast layer."""

    def fast_word(*args, **kwargs):
        layer = word(*args, **kwargs)
        return _fast_layer(layer, _derived(layer.forward))

    fast_word.__name__, fast_word.__doc__ = word.__name__, word.__doc__
    return fast_word


for _name in _plain.__all__:
    if _name not in __all__:
        globals()[_name] = _by_autograd(getattr(_plain, _name))
        __all__.append(_name)
del _name
