"""The backward passes that a person can read, break and write: one function in plain NumPy for each
layer, as text.

A text is the content of a file in the folder ``sources``: ``f(x, w, b, ...) -> (y, backward)``.
The gradient checker checks it, and ``broken`` puts it into a network of ``reference``.
"""

import ast
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np

from autocnn.page.mistakes import MISTAKES, planted
from reference.layer import Layer
from reference.loss import Loss, cross_entropy

__all__ = ["LOSS", "arguments", "blank", "broken", "broken_loss", "points", "source", "word_of"]

LOSS = "loss"  # the name of the loss among the layers of a network
_WINDOWS = ("size", "stride")
_ARGUMENTS = {"conv": ("stride", "padding"), "max_pool": _WINDOWS, "avg_pool": _WINDOWS}
_ARGUMENTS |= {"batch_norm": ("eps",)}
_ONLY = {"conv": {"groups": 1, "dilation": (1, 1)}}  # options that the text does not have
_ONLY |= {word: {"padding": (0, 0)} for word in ("max_pool", "avg_pool")}


def word_of(layer: Layer) -> str | None:
    """Return the word whose text this layer has, None for a layer without one."""
    needed = _ONLY.get(layer.name, {})
    fits = all(layer.options.get(name, value) == value for name, value in needed.items())
    return layer.name if layer.name in MISTAKES and fits else None


def source(word: str, mistake: str | None = None) -> str:
    """Return the text of a word's function, with a planted mistake of that name.

    ValueError for a mistake that the word does not have.
    """
    text = resources.files("autocnn.page").joinpath("sources", f"{word}.py").read_text("utf-8")
    if mistake is None:
        return text
    for found in MISTAKES[word]:
        if found.name == mistake:
            return planted(text, found)
    names = ", ".join(repr(found.name) for found in MISTAKES[word])
    raise ValueError(f"{word} has no planted mistake {mistake!r:.60}; there are {names}")


def blank(word: str) -> str:
    """Return the text with an empty backward pass, which returns zeros: for a person to write."""
    text = source(word)
    lines = text.splitlines()
    backward = next(
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.name == "backward"
    )
    end = backward.body[-1]
    assert isinstance(end, ast.Return) and isinstance(end.value, ast.Dict)
    names = [key.value for key in end.value.keys if isinstance(key, ast.Constant)]
    zeros = ", ".join(f'"{name}": np.zeros_like({name})' for name in names)
    body = [f"        # {name}: dL/d{name} of {name}'s shape" for name in names]
    kept = [*lines[: backward.body[0].lineno - 1], *body, f"        return {{{zeros}}}"]
    kept += lines[end.end_lineno :]
    head = [] if "import numpy as np" in text else ["import numpy as np", "", ""]
    return "\n".join([*head, *kept]) + "\n"


def arguments(word: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the text's function beside arrays, for a layer with these options."""
    return {name: options[name] for name in _ARGUMENTS.get(word, ())}


def points(word: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return arguments at which the text is checked: small arrays, which fit the layer's options.

    Max-pooling is checked a second time, with equal maxima.
    """
    draw = np.random.default_rng(7).normal
    if word == "cross_entropy":
        return [{"z": draw(size=(4, 3)), "labels": np.array([0, 2, 1, 2])}]
    if word == "dense":
        return [{"x": draw(size=(3, 4)), "w": draw(size=(4, 5)), "b": draw(size=5)}]
    if word == "batch_norm":
        x = draw(size=(3, 2, 3, 3))
        return [{"x": x, "w": draw(size=2), "b": draw(size=2), **arguments(word, options)}]
    if word == "conv":
        (kh, kw), stride, padding = options["kernel"], options["stride"], options["padding"]
        height, width = (
            max(k + 3 * s - 2 * p, 3) for k, s, p in zip((kh, kw), stride, padding, strict=True)
        )
        x, w = draw(size=(2, 2, height, width)), draw(size=(3, 2, kh, kw))
        return [{"x": x, "w": w, "b": draw(size=3), **arguments(word, options)}]
    if word in ("max_pool", "avg_pool"):
        size = (k + s for k, s in zip(options["size"], options["stride"], strict=True))
        x, others = draw(size=(2, 2, *size)), arguments(word, options)
        tied = {"x": np.round(x), **others}
        return [{"x": x, **others}, *([tied] if word == "max_pool" else [])]
    return [{"x": draw(size=(2, 3, 4, 4) if word == "flatten" else (3, 5))}]


def _function(word: str, mistake: str) -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(compile(source(word, mistake), f"<{word}: {mistake}>", "exec"), names)
    return names[word]


def broken(layer: Layer, mistake: str) -> Layer:
    """Return a layer of ``reference`` with a planted mistake, by name, in its backward pass."""
    function, others = _function(layer.name, mistake), arguments(layer.name, layer.options)

    def backprop(params, state, x, train, key):
        if layer.name == "batch_norm" and not train:  # the text normalizes by the batch
            return layer.pullback(params, state, x, train, key)
        arrays = {**params}
        if layer.options.get("bias") is False:
            arrays["b"] = np.zeros(params["w"].shape[0 if layer.name == "conv" else 1], x.dtype)
        y, back = function(x, **arrays, **others)
        after = layer.forward(params, state, x, train, key)[1] if state else state

        def backward(dy):
            try:
                gradients = back(dy)
            except Exception as error:
                raise ValueError(
                    f"the broken backward pass of {layer.name} raised "
                    f"{type(error).__name__}: {error}"
                ) from error
            return gradients.pop("x"), {name: gradients[name] for name in params}

        return y, after, backward

    return layer.replace(forward=None, backprop=backprop)


def broken_loss(mistake: str) -> Loss:
    """Return the cross-entropy with the planted mistake of that name in its gradient."""
    function = _function(cross_entropy.name, mistake)

    def slope(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        _, backward = function(logits, labels)
        return backward(1.0)["z"] * logits.dtype.type(len(logits))  # a Loss is divided by N later

    return cross_entropy._replace(slope=slope)
