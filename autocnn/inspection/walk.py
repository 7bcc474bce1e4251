"""Walk a network: its layers with their places, and one forward pass with taps on every layer.

A path says where a layer's trees are: the parameters of path (3, "main", 0) are
``params[3]["main"][0]``. Everything that follows the structure of a network goes through here
(summary, trace, diagnosis, export, weights by torch's names, the gradient checker), so a new word
made of parts needs no other change.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from reference.layer import Layer

__all__ = ["Tap", "named_layers", "parts_at_work", "rebuild", "run_with_taps", "walk"]

Path = tuple[Any, ...]


class Tap(NamedTuple):
    """One layer at work: where it is, what it was given, and its output."""

    path: Path
    layer: Layer
    params: Any
    state: Any
    x: Any
    y: Any
    key: Any


def walk(model: Layer, path: Path = ()) -> Iterator[tuple[Path, Layer]]:
    """Yield (path, layer) in the order in which layers end; a layer of parts follows its parts.

    ``serial`` is left out: it computes nothing of its own.
    """
    for step, part in model.children():
        yield from walk(part, (*path, step))
    if model.name != "serial":
        yield path, model


def named_layers(model: Layer) -> list[tuple[Path, str]]:
    """List (path, name) as ``walk`` does.

    A name is the layer's word, numbered where the word occurs more than once: conv1, conv2, ...
    """
    found = [(path, layer.name) for path, layer in walk(model)]
    words = [word for _, word in found]
    seen = dict.fromkeys(words, 0)
    named = []
    for path, word in found:
        seen[word] += 1
        named.append((path, f"{word}{seen[word]}" if words.count(word) > 1 else word))
    return named


def rebuild(model: Layer, replace: Callable[[Path, Layer], Layer], path: Path = ()) -> Layer:
    """Build the network again with ``replace(path, layer)`` in the place of every layer.

    Parts are replaced before the layer that is made of them. Raises ValueError for a layer of
    parts that was not made by a word of a vocabulary.
    """
    if model.parts:
        if model.word is None:
            raise ValueError(f"{model.name} is made of parts by hand and cannot be built again")
        parts = [rebuild(part, replace, (*path, step)) for step, part in model.children()]
        model = model.word(*parts, **model.options)
    return replace(path, model)


def run_with_taps(
    model: Layer, params, state, x, tap: Callable[[Tap], Any], train: bool = False, key: Any = None
):
    """Run a network forward and call ``tap`` on every layer but ``serial``. Returns (y, state).

    What ``tap`` returns takes the place of the layer's output, unless it is None. Arguments are
    those of ``model.forward``, and are not checked.
    """

    def tapped(path, layer):
        return layer if layer.name == "serial" else _observed(path, layer, tap)

    return rebuild(model, tapped).forward(params, state, x, train, key)


def parts_at_work(
    model: Layer, params, state, x, train: bool = False, key: Any = None
) -> list[Tap]:
    """Run a layer of parts forward and return a ``Tap`` of each part, in the order they ran.

    A layer without parts, or one that was not made by a word of a vocabulary, has none.
    """
    if not model.parts or model.word is None:
        return []
    found: list[Tap] = []
    parts = [_observed((step,), part, found.append) for step, part in model.children()]
    model.word(*parts, **model.options).forward(params, state, x, train, key)
    return found


def _observed(path, layer, tap):
    """Return the layer with a forward pass that calls ``tap``."""

    def observe(params, state, x, key, y):
        other = tap(Tap(path, layer, params, state, x, y, key))
        return y if other is None else other

    def forward(params, state, x, train, key):
        y, after = layer.forward(params, state, x, train, key)
        return observe(params, state, x, key, y), after

    def backprop(params, state, x, train, key):
        y, after, back = layer.pullback(params, state, x, train, key)
        return observe(params, state, x, key, y), after, back

    # A layer by hand is run with its backward pass, any other without it.
    if layer.is_by_hand:
        return layer.replace(forward=None, backprop=backprop)
    return layer.replace(forward=forward)
