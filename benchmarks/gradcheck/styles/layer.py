"""A layer as text: its mathematics in plain names, and the mistakes that can be planted in it."""

import ast
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import NamedTuple

__all__ = ["Bug", "Layer", "block", "bug", "make_layer", "rename"]


class Bug(NamedTuple):
    """One mistake: `old` in the backward pass becomes `new`, and these codes name it rightly."""

    name: str
    codes: frozenset[str]
    old: str
    new: str


def bug(name: str, codes: str, old: str, new: str) -> Bug:
    """A Bug; `codes` are separated by spaces."""
    return Bug(name, frozenset(codes.split()), old, new)


class Layer(NamedTuple):
    """Forward and backward of one layer, as lines of code over plain names.

    `forward` assigns `outputs` from `inputs`, `params` and `labels`; `backward` assigns d + name
    for each input and parameter from `upstream`. Shapes are those of the arrays of a check.
    """

    name: str
    inputs: dict[str, tuple[int, ...]]
    params: dict[str, tuple[int, ...]]
    labels: dict[str, tuple[int, int]]  # name -> (how many, number of classes)
    outputs: tuple[str, ...]
    upstream: tuple[str, ...]  # the names of the cotangents
    forward: str
    backward: str
    bugs: tuple[Bug, ...]

    @property
    def scalar(self) -> bool:
        """True for the loss, whose output is one number."""
        return bool(self.labels)

    @property
    def leaves(self) -> list[str]:
        """The names of all that is differentiated, in the order of the arguments."""
        return [*self.inputs, *self.params]

    @property
    def arguments(self) -> list[str]:
        """Inputs, labels, then parameters."""
        return [*self.inputs, *self.labels, *self.params]

    @property
    def gradients(self) -> list[str]:
        """The names that backward assigns, in the order of the leaves."""
        return ["d" + n for n in self.leaves]

    @property
    def saved(self) -> list[str]:
        """What backward reads of forward's names, arguments first."""
        read, written = _names(self.backward)
        _, made = _names(self.forward)
        free = [n for n in read if n not in written or n in self.arguments]
        known = [*self.arguments, *made]
        return [n for n in dict.fromkeys(known) if n in free and n not in self.upstream]

    def planted(self, mistake: Bug) -> "Layer":
        """The layer with a mistake. Raises ValueError when its text does not occur."""
        if mistake.old not in self.backward:
            raise ValueError(f"{self.name}, {mistake.name}: {mistake.old!r} is not in backward")
        return self._replace(backward=self.backward.replace(mistake.old, mistake.new))

    def renamed(self, names: Mapping[str, str]) -> "Layer":
        """The layer in the names of a style; dW follows W unless it has a name of its own."""
        names = {"d" + old: "d" + new for old, new in names.items()} | dict(names)

        def of(shapes: dict) -> dict:
            return {names.get(n, n): shape for n, shape in shapes.items()}

        return self._replace(
            inputs=of(self.inputs),
            params=of(self.params),
            labels=of(self.labels),
            outputs=tuple(names.get(y, y) for y in self.outputs),
            upstream=tuple(names.get(y, y) for y in self.upstream),
            forward=rename(self.forward, names),
            backward=rename(self.backward, names),
        )

    def with_scale(self) -> "Layer":
        """The layer behind a learned scale of its input, where it has no parameters of its own."""
        if self.params:
            return self
        x = next(iter(self.inputs))
        shape = self.inputs[x][1:]
        return self._replace(
            params={"scale": shape},
            forward=f"z = {x} * scale\n" + rename(self.forward, {x: "z"}),
            backward=rename(self.backward, {x: "z", "d" + x: "dz"})
            + f"\ndscale = (dz * {x}).sum(axis=0)\nd{x} = dz * scale",
        )


def make_layer(
    name: str,
    forward: str,
    backward: str,
    *bugs: Bug,
    inputs: Mapping[str, tuple[int, ...]],
    params: Mapping[str, tuple[int, ...]] = {},
    labels: Mapping[str, tuple[int, int]] = {},
    outputs: tuple[str, ...] = ("y",),
) -> Layer:
    """A Layer from indented texts."""
    texts = [textwrap.dedent(t).strip("\n") for t in (forward, backward)]
    upstream = tuple("d" + y for y in outputs)
    return Layer(name, dict(inputs), dict(params), dict(labels), outputs, upstream, *texts, bugs)


def rename(text: str, names: Mapping[str, str] | Callable[[str], str]) -> str:
    """The code with whole names replaced; attributes and keys of those names stay."""
    change = names if callable(names) else lambda n: names.get(n, n)
    return re.sub(r"(?<![\w.\"'])[A-Za-z_]\w*\b(?![\"'])", lambda m: change(m.group()), text)


def block(text: str, columns: int) -> str:
    """The code indented, for the inside of a template (the first line has its indent already)."""
    return textwrap.indent(text, " " * columns)[columns:]


def _names(code: str) -> tuple[list[str], list[str]]:
    """(names read, names assigned) of some lines."""
    nodes = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name)]
    read = [n.id for n in nodes if isinstance(n.ctx, ast.Load)]
    return read, [n.id for n in nodes if isinstance(n.ctx, ast.Store)]
