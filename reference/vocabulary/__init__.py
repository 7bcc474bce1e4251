"""The vocabulary: every word's declaration, which all interpretations share.

A declaration checks the word's arguments, makes its parameters and knows its output shape. What
it computes stands in ``reference`` (by hand), ``autocnn.layers`` (by autograd) and
``autocnn.fast`` (for speed). Shapes are those of one example: (C, H, W) or (D,), without the
batch axis. Initial weights are drawn from N(0, 2 / fan_in) (He et al. 2015), biases are 0.
"""

from reference.vocabulary.combine import *
from reference.vocabulary.elementwise import *
from reference.vocabulary.flat import *
from reference.vocabulary.lenet import *
from reference.vocabulary.norm import *
from reference.vocabulary.spatial import *
