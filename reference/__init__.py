"""The vocabulary with every backward pass derived by hand, in NumPy alone.

    model = ac.models.tiny_cnn(nn=reference)
    y, state, backward = model.vjp(params, state, x)

The declarations of the words (``reference.vocabulary``) serve all interpretations; the forward and
backward passes here use other algorithms than ``autocnn``'s, so that the two check each other.
This package imports nothing of ``autocnn``.
"""

from reference import combine, elementwise, flat, lenet, loss, norm, spatial
from reference.combine import *
from reference.elementwise import *
from reference.flat import *
from reference.layer import Layer
from reference.lenet import *
from reference.loss import *
from reference.norm import *
from reference.spatial import *

__all__ = ["Layer"]
__all__ += combine.__all__
__all__ += elementwise.__all__
__all__ += flat.__all__
__all__ += lenet.__all__
__all__ += loss.__all__
__all__ += norm.__all__
__all__ += spatial.__all__
