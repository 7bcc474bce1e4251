"""Ops: pure functions of arrays that autograd can differentiate, in the names and arguments of
torch.nn.functional.
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
