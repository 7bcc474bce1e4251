"""What a style of writing a layer is, and pieces that the templates share."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.gradcheck.styles.layer import Layer, rename

__all__ = ["HEAD", "Style", "by_keys", "in_class", "initial", "listed", "named", "unpacked"]

HEAD = "import numpy as np\n\n\n"


class Style(NamedTuple):
    """One way of writing layers.

    `source` makes a file of a layer; `call(module, layer, arrays, checks)` is the one call that a
    user would make, where `checks` has the functions of `autocnn.gradcheck`. `names` are the
    style's own names for those of the dialect.
    """

    name: str
    source: Callable[[Layer], str]
    call: Callable[[Any, Layer, dict[str, Any], Any], Any]
    dialect: str = "rows"
    recurrent: bool = False  # the sixth layer: the step of an LSTM, else attention
    names: Mapping[str, str] = {}
    scaled: bool = False  # layers without parameters get one
    compared: str = "all"  # what a report must hold: "all", "params" or "inner"
    float32: bool = False
    needs: str = ""  # an optional package
    #: mistakes that this interface cannot show: a tape that starts from ones has no other dy
    unseen: frozenset[str] = frozenset()


def listed(names: Any) -> str:
    """ "x, W, b"; a tuple of one keeps its comma where the caller adds parentheses."""
    return ", ".join(names)


def named(pairs: Mapping[str, str]) -> str:
    """The inside of a dict display."""
    return ", ".join(f'"{key}": {value}' for key, value in pairs.items())


def unpacked(names: list[str], value: str) -> str:
    """The line that takes a cache apart, for one name too."""
    return f"{listed(names)}{',' * (len(names) == 1)} = {value}" if names else "pass"


def initial(layer: Layer, name: str) -> str:
    """How a constructor makes a parameter: zeros, ones or small random numbers."""
    shape = layer.params[name]
    if name.startswith(("b", "beta")):
        return f"np.zeros({shape})"
    if name in ("gamma", "scale"):
        return f"np.ones({shape})"
    return f"0.1 * np.random.randn({listed(map(str, shape))})"


def by_keys(layer: Layer, parameters: str, gradients: str) -> Layer:
    """Parameters and their gradients under other expressions, such as params["{}"]."""
    names = {n: parameters.format(n) for n in layer.params}
    names |= {"d" + n: gradients.format(n) for n in layer.params}
    return layer._replace(
        forward=rename(layer.forward, names), backward=rename(layer.backward, names)
    )


def in_class(layer: Layer, parameter: str = "self.{}", gradient: str = "self.d{}") -> Any:
    """(forward, backward, names to keep between them) for the methods of a class."""
    keep = [n for n in layer.saved if n not in layer.params]
    own = by_keys(layer, parameter, gradient)
    return own.forward, own.backward, keep
