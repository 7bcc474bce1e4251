"""The vocabulary for speed: fused kernels with given derivatives, still one function to autograd.

    model = ac.models.lenet5(nn=ac.fast)

Every word of ``autocnn.layers`` is here, with the same arguments, initial weights, masks and
results. A word without a kernel of its own is the one of ``autocnn.layers``, derived by autograd,
inside a fast network. Whole networks are computed at once where that is quicker: by a plan of
oneDNN's primitives (``plans``), small ones by a program of our own (``program``), and
``ac.fast.predictor`` holds a network for predictions alone. ``ac.fast.threads(n)`` sets how many
threads are used; ``ac.fast.using`` chooses NumPy or Numba, layer by layer, or oneDNN, and so does
the environment's ``AUTOCNN_KERNELS``.
"""

from autocnn import layers as _plain
from autocnn.deprecation import renamed_names
from autocnn.fast import combine, words
from autocnn.fast.combine import *
from autocnn.fast.kernels import using
from autocnn.fast.layer import Layer, plain_word
from autocnn.fast.predictor import predictor
from autocnn.fast.threadpool import threads
from autocnn.fast.words import *

__all__ = ["Layer", "predictor", "threads", "using"]
__all__ += combine.__all__
__all__ += words.__all__

for _name in _plain.__all__:
    if _name not in __all__:
        globals()[_name] = plain_word(getattr(_plain, _name))
        __all__.append(_name)

__getattr__ = renamed_names(__name__, {"ops": "autocnn.ops"})
