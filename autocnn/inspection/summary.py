"""Summary: what a network is made of. Shapes and parameters come from ``init`` without drawing;
nothing is computed.
"""

import math
from typing import NamedTuple

from autocnn.text import shape_text, table
from autocnn.trees import count

__all__ = ["Row", "Rows", "named_parts", "summary"]


class Row(NamedTuple):
    """One layer: its name, output shape without the batch, number of parameters, multiply-adds
    for one image.
    """

    layer: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


class Rows(list):
    """A list of ``Row`` that prints as a table."""

    parameters = property(lambda self: sum(row.parameters for row in self))
    multiply_adds = property(lambda self: sum(row.multiply_adds for row in self))

    def __str__(self):
        return self.text()

    def text(self, width=None):
        """The table as text of at most ``width`` columns, those of the terminal when left out."""
        body = [(r.layer, shape_text(r.output_shape), r.parameters, r.multiply_adds) for r in self]
        total = ("total", "", self.parameters, self.multiply_adds)
        return table(("layer", "output", "parameters", "multiply-adds"), [*body, total], width)

    __repr__ = __str__


def summary(model_or_builder, shape):
    """List a network's layers for images of ``shape`` (C, H, W): rows (layer, output_shape,
    parameters, multiply_adds).

    Takes a model of any interpretation, or a builder such as ``ac.models.tiny_cnn``. Multiply-adds
    are the products inside convolutions and dense layers for one image, biases not counted: out *
    Ho * Wo * C / groups * kh * kw and D * units (rbf the same, subsample one an output).
    Normalisation and pooling count as nothing, as in published figures.
    """
    model = model_or_builder if hasattr(model_or_builder, "init") else model_or_builder()
    names, rows = dict(named_parts(model)), Rows()

    def walk(layer, path, shape):
        out, params, _ = layer.init(None, tuple(shape))
        if layer.name == "serial":
            for i, part in enumerate(layer.parts):
                shape = walk(part, (*path, i), shape)
            return shape
        if layer.name == "residual":
            for side, part in zip(("main", "shortcut"), layer.parts, strict=True):
                walk(part, (*path, side), shape)
            rows.append(Row(names[path], out, 0, 0))
        else:
            rows.append(Row(names[path], out, count(params), _multiply_adds(layer, shape, out)))
        return out

    walk(model, (), shape)
    return rows


def _multiply_adds(layer, shape, out):
    options = layer.options
    if layer.name == "conv":
        return math.prod(out) * shape[0] // options["groups"] * math.prod(options["kernel"])
    if layer.name == "table_conv":
        connections = sum(map(len, options["table"]))
        return math.prod(out[1:]) * connections * math.prod(options["kernel"])
    if layer.name in ("dense", "rbf"):
        return shape[0] * out[0]
    return math.prod(out) if layer.name == "subsample" else 0


def named_parts(model):
    """List (path, name) of a network's layers, in the order in which they run; a residual comes
    after its parts.

    A name is the layer's word, with a running number where the word occurs more than once: conv1,
    conv2, ... A path is a tuple such as (3, "main", 0), which is where the layer's parameters are.
    """
    found = []

    def walk(layer, path):
        if layer.name == "serial":
            for i, part in enumerate(layer.parts):
                walk(part, (*path, i))
            return
        if layer.name == "residual":
            for side, part in zip(("main", "shortcut"), layer.parts, strict=True):
                walk(part, (*path, side))
        found.append((path, layer.name))

    walk(model, ())
    words = [word for _, word in found]
    seen = dict.fromkeys(words, 0)
    named = []
    for path, word in found:
        seen[word] += 1
        named.append((path, f"{word}{seen[word]}" if words.count(word) > 1 else word))
    return named
