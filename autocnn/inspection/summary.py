"""Summary: a network's layers, their output shapes, parameters and multiply-adds.

Shapes and parameters come from ``init`` without drawing weights; nothing is computed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from autocnn.inspection.walk import named_layers, rebuild
from autocnn.text import table
from autocnn.trees import count

__all__ = ["Row", "Rows", "summary"]


class Row(NamedTuple):
    """One layer: name, output shape without the batch, number of parameters, multiply-adds."""

    layer: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


class Rows(list):
    """A list of ``Row`` that prints as a table."""

    parameters = property(lambda self: sum(row.parameters for row in self))
    multiply_adds = property(lambda self: sum(row.multiply_adds for row in self))

    def text(self, width: int | None = None) -> str:
        """Return the table, at most ``width`` columns wide (default: the terminal's width)."""
        body = [
            (r.layer, " x ".join(map(str, r.output_shape)), r.parameters, r.multiply_adds)
            for r in self
        ]
        total = ("total", "", self.parameters, self.multiply_adds)
        return table(("layer", "output", "parameters", "multiply-adds"), [*body, total], width)

    def __str__(self):
        return self.text()

    __repr__ = __str__


def summary(model_or_builder: Any | Callable[[], Any], shape: tuple[int, ...]) -> Rows:
    """List a network's layers for images of one shape.

    model_or_builder: a model of any interpretation, or a builder such as ``ac.models.tiny_cnn``.
    shape: of one image, (C, H, W), or one vector, (D,), without the batch.

    Returns rows (layer, output_shape, parameters, multiply_adds) in the order in which layers run;
    a layer of parts (residual, concat) follows its parts. Multiply-adds are the products inside
    convolutions and dense layers for one image, biases, normalisation and pooling not counted, as
    in published figures. Raises ValueError for a shape that the network cannot take.
    """
    model = model_or_builder if hasattr(model_or_builder, "init") else model_or_builder()
    names, found = dict(named_layers(model)), {}

    def recorded(path, layer):
        def init(key, shape, dtype):
            out, params, state = layer.init(key, shape, dtype)
            own = 0 if layer.parts else count(params)
            products = layer.multiply_adds(shape, out) if layer.multiply_adds else 0
            found[path] = Row(names.get(path, ""), out, own, products)
            return out, params, state

        return layer.replace(init=init)

    rebuild(model, recorded).init(None, tuple(shape))
    return Rows(found[path] for path in names)
