"""Elementwise words: each is an op of ``autocnn.ops``."""

from autocnn import ops
from autocnn.layers.layer import by_autograd
from reference import vocabulary as declare

__all__ = [
    "gelu",
    "identity",
    "leaky_relu",
    "relu",
    "relu6",
    "scaled_tanh",
    "sigmoid",
    "silu",
    "tanh",
]


def _elementwise(declaration, f):
    """Make the word of a function ``f(x, **options)``."""

    def forward(o, params, state, x, train, key):
        options = {name: value for name, value in vars(o).items() if name not in ("parts", "steps")}
        return f(x, **options), state

    forward.__module__ = __name__
    return by_autograd(declaration)(forward)


relu = _elementwise(declare.relu, ops.relu)
leaky_relu = _elementwise(declare.leaky_relu, ops.leaky_relu)
relu6 = _elementwise(declare.relu6, ops.relu6)
sigmoid = _elementwise(declare.sigmoid, ops.sigmoid)
silu = _elementwise(declare.silu, ops.silu)
gelu = _elementwise(declare.gelu, ops.gelu)
tanh = _elementwise(declare.tanh, ops.tanh)
scaled_tanh = _elementwise(
    declare.scaled_tanh, lambda x, amplitude, slope: amplitude * ops.tanh(slope * x)
)
identity = _elementwise(declare.identity, lambda x: x)
