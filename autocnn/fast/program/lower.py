"""From a network to a program: a row of the machine's table for each layer, and where each array
lies.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from reference.layer import Layer

__all__ = ["Dropout", "Program", "lower"]

WORDS = {
    "avg_pool", "conv", "dense", "dropout", "flatten", "global_avg_pool", "identity", "max_pool",
    "relu", "relu6", "serial", "tanh",
}  # fmt: skip

Path = tuple[int, ...]
Shape = tuple[int, ...]


class Dropout(NamedTuple):
    """A dropout layer: its place in the network, p, and the shape of its mask for one image."""

    path: Path
    p: float
    shape: Shape


class Program(NamedTuple):
    """What the machine runs for one network and shape of images.

    rows: each layer's kernel and its ints of ``layout.ROW``, those that are not 0. features: the
    numbers of an image and of the masks behind it. dropouts: whose masks these are. cells: of all
    values together. logits, classes: where the outputs begin, and how many they are. starts: {path
    of a parameter: where it begins}. numbers: of all parameters. work: multiply-adds for an image,
    forward. largest: numbers of an image in a layer's input or output. widest: filters of a
    convolution. heaviest: numbers of a layer's weights.
    """

    rows: list[tuple[str, dict[str, int]]]
    features: int
    dropouts: list[Dropout]
    cells: int
    logits: int
    classes: int
    starts: dict[str, int]
    numbers: int
    work: int
    largest: int
    widest: int
    heaviest: int


@lru_cache(maxsize=64)  # training asks for the same program at every step
def lower(
    model: Any, shape: Shape, sizes: tuple[tuple[str, int], ...], train: bool
) -> Program | None:
    """Return the program of a network for images of ``shape``; None for what it cannot hold.

    It holds a chain of ``WORDS`` that ends in one vector for each image. sizes: (path, size) of the
    parameters, which fit the network; the machine has their numbers in this order. train: with
    dropout, whose masks are given with the images.
    """
    if not _is_chain(model):
        return None
    layers = [*_chain(model, tuple(shape), train)]
    if not layers or len(layers[-1][-1]) != 1:
        return None
    dropouts = [
        Dropout(path, layer.options["p"], given)
        for path, layer, given, _ in layers
        if layer.name == "dropout"
    ]
    starts, numbers = {}, 0
    for path, size in sizes:
        starts[path] = numbers
        numbers += size
    image = math.prod(shape)
    features = image + sum(math.prod(dropout.shape) for dropout in dropouts)
    rows, cells, mask, has_params = [], features, image, False
    x = 0  # where the layer's input lies
    for path, layer, given, out in layers:
        if any(layer.options.get("padding", ())):
            given, row = _padded(layer, given)
            rows.append(("pad", {**row, "x": x, "y": cells, "no_backward": not has_params}))
            x, cells = cells, cells + math.prod(given)
        name, row = _row(layer, given, out, path, starts)
        if name == "dropout":
            row["z"], mask = mask, mask + math.prod(out)
        elif name == "max_pool":
            row["z"], cells = cells, cells + math.prod(out)
        has_own = "weights" in row
        row |= {"need_dx": has_params, "no_backward": not (has_params or has_own)}
        rows.append((name, row | {"x": x, "y": cells}))
        has_params = has_params or has_own
        x, cells = cells, cells + math.prod(out)
    work = sum(
        layer.multiply_adds(given, out) for _, layer, given, out in layers if layer.multiply_adds
    )
    return Program(
        rows=rows,
        features=features,
        dropouts=dropouts,
        cells=cells,
        logits=x,
        classes=layers[-1][-1][0],
        starts=starts,
        numbers=numbers,
        work=work,
        largest=max(math.prod(size) for *_, given, out in layers for size in (given, out)),
        widest=max((layer.options.get("filters", 0) for _, layer, *_ in layers)),
        heaviest=max((size for _, size in sizes), default=0),
    )


def _is_chain(layer):
    """Whether a network is a chain of words that the machine knows, as they are declared."""
    from autocnn import fast  # which imports this package

    return (
        isinstance(layer, Layer)
        and layer.is_as_declared
        and layer.name in WORDS
        and layer.word is getattr(fast, layer.name)
        and all(map(_is_chain, layer.parts))
    )


def _chain(layer, shape: Shape, train: bool, path: Path = ()) -> Iterator[tuple]:
    """Yield (path, layer, shape of its input, shape of its output) of what computes something."""
    out = tuple(layer.init(None, shape)[0])
    if layer.name == "serial":
        for i, part in enumerate(layer.parts):
            yield from _chain(part, shape, train, (*path, i))
            shape = tuple(part.init(None, shape)[0])
    elif layer.name == "dropout":
        if train and layer.options["p"] > 0:
            yield path, layer, shape, out
    elif layer.name not in ("flatten", "identity"):
        yield path, layer, shape, out


def _row(layer, given: Shape, out: Shape, path: Path, starts: dict[str, int]):
    """Return the name of a layer's kernel and its row's ints."""
    name, o = layer.name, layer.options
    if name == "global_avg_pool":
        name, o = "avg_pool", {"size": given[1:], "stride": (1, 1)}
        out = (*out, 1, 1)
    row = {}
    if name in ("conv", "dense"):
        w, b = (".".join(map(str, (*path, leaf))) for leaf in "wb")
        row = {"weights": starts[w], "bias": starts.get(b, -1)}
    if name in ("conv", "max_pool", "avg_pool"):
        row |= _shapes(given, out) | _pair("s", o["stride"])
        row |= _pair("k", o["kernel" if name == "conv" else "size"])
    if name == "conv":
        return name, row | _pair("d", o["dilation"]) | {"groups": o["groups"]}
    if name in ("max_pool", "avg_pool"):
        return name, row
    return name, row | {"c": math.prod(given), "f": math.prod(out)}


def _padded(layer, given: Shape):
    """Return the shape with ``padding`` on each side, and the ints of the row that makes it."""
    kh, kw = layer.options["padding"]
    c, h, w = given
    shape = (c, h + 2 * kh, w + 2 * kw)
    ints = {"kh": kh, "kw": kw, "z": layer.name == "max_pool"}  # whose padding never wins
    return shape, _shapes(given, shape) | ints


def _shapes(given: Shape, out: Shape):
    return dict(zip(("c", "h", "w", "f", "ho", "wo"), (*given, *out), strict=True))


def _pair(name, values):
    return {f"{name}h": values[0], f"{name}w": values[1]}
