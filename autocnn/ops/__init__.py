"""Ops: pure functions of arrays that autograd differentiates, to any order.

Names, arguments and results are those of torch.nn.functional. Every array may be a NumPy array or
one that autograd traces. Float32 input gives float32 output. Shapes and options that do not fit
raise one ValueError.
"""

from autocnn.ops import loss, norm, pointwise, pooling, spatial
from autocnn.ops.loss import *
from autocnn.ops.norm import *
from autocnn.ops.pointwise import *
from autocnn.ops.pooling import *
from autocnn.ops.spatial import *
from autocnn.ops.windows import unwindows, windows

__all__ = ["unwindows", "windows"]
__all__ += loss.__all__
__all__ += norm.__all__
__all__ += pointwise.__all__
__all__ += pooling.__all__
__all__ += spatial.__all__
