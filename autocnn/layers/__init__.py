"""The vocabulary with gradients by autograd: each word is one forward pass on shared declarations.

The words, their arguments, initial weights and output shapes are declared in
``reference.vocabulary``; here stands only what they compute.
"""

from autocnn.layers import combine, elementwise, flat, lenet, norm, spatial
from autocnn.layers.combine import *
from autocnn.layers.elementwise import *
from autocnn.layers.flat import *
from autocnn.layers.layer import Layer
from autocnn.layers.lenet import *
from autocnn.layers.norm import *
from autocnn.layers.spatial import *

__all__ = ["Layer"]
__all__ += combine.__all__
__all__ += elementwise.__all__
__all__ += flat.__all__
__all__ += lenet.__all__
__all__ += norm.__all__
__all__ += spatial.__all__
