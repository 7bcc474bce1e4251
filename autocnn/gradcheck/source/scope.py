"""What an edit of a statement may refer to: the variables in scope, their sizes, and the constants
of the author's code."""

import ast
import math
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck.source.code import Unit
from autocnn.gradcheck.source.values import floats

__all__ = ["Atom", "Scope", "scope_of"]

_SIZES = ("shape", "ndim", "size", "dtype", "T", "real", "copy")


class Atom(NamedTuple):
    """An expression that stands for a value: a name, an attribute, an entry, a size, a number.
    `rank` is small for what is near at hand."""

    node: ast.expr
    value: Any
    rank: float


class Scope:
    """The variables that one statement sees at one of its turns."""

    def __init__(self, unit: Unit, function: ast.AST, names: dict[str, Any]) -> None:
        self.unit, self.function, self.names = unit, function, names
        self.cache: dict[str, Any] = {}
        self._atoms: list[Atom] | None = None

    def evaluate(self, node: ast.expr) -> Any:
        """The value of an expression here; raises what it raises."""
        code = compile(ast.fix_missing_locations(ast.Expression(node)), "<candidate edit>", "eval")
        return eval(code, self.names)

    @property
    def numpy(self) -> str | None:
        """The name by which numpy (or jax.numpy) is known here."""
        return next(
            (
                n
                for n, v in self.names.items()
                if getattr(v, "__name__", "") in ("numpy", "jax.numpy")
                or v is np
                or type(v).__name__ == "_Numpy"
            ),
            None,
        )

    @property
    def atoms(self) -> list[Atom]:
        """Float arrays and numbers by the expressions that reach them, nearest first."""
        if self._atoms is None:
            self._atoms = self._find_atoms()
        return self._atoms

    def _find_atoms(self) -> list[Atom]:
        inside = {ast.unparse(n) for n in ast.walk(self.function) if _chain(n)}
        around = {ast.unparse(n) for n in ast.walk(self.unit.node) if _chain(n)}
        stored = {
            n.id
            for n in ast.walk(self.unit.node)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        } | {a.arg for a in ast.walk(self.unit.node) if isinstance(a, ast.arg)}
        texts = {t: 0.0 for t in inside} | {t: 0.5 for t in around - inside}
        texts |= {t: 0.3 for t in stored if t not in texts}
        for node in ast.walk(self.function):
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                for index in _beside(node.slice):
                    text = f"{ast.unparse(node.value)}[{index}]"
                    if _chain(node.value):
                        texts.setdefault(text, 0.3)
        for name, value in self.names.items():
            if isinstance(value, dict) and name in stored | {t.split(".")[0] for t in inside}:
                for key in list(value)[:24]:
                    if isinstance(key, str):
                        texts.setdefault(f"{name}[{key!r}]", 0.3)
        if "self" in self.names:
            for key in getattr(self.names["self"], "__dict__", {}):
                texts.setdefault(f"self.{key}", 0.4)
        found: list[Atom] = []
        for text in sorted(texts, key=lambda t: (texts[t], len(t), t)):
            try:
                node = ast.parse(text, mode="eval").body
                value = self.evaluate(node)
            except Exception:
                continue
            if _is_number(value) or (_is_array(value) and math.prod(np.shape(value)) <= 100_000):
                found.append(Atom(node, value, texts[text]))
        return found

    def sizes(self) -> list[Atom]:
        """Sizes of axes and of whole arrays, for those that no name stands for."""
        named = {int(a.value) for a in self.atoms if isinstance(a.value, int)}
        found, seen = [], set(named)
        for atom in self.atoms:
            if not _is_array(atom.value) or atom.rank > 0.4:
                continue
            for axis, length in enumerate(np.shape(atom.value)):
                if length > 1 and length not in seen:
                    seen.add(length)
                    text = f"{ast.unparse(atom.node)}.shape[{axis}]"
                    found.append(Atom(ast.parse(text, mode="eval").body, length, 0.8))
            count = math.prod(np.shape(atom.value))
            if count not in seen:
                seen.add(count)
                text = f"{ast.unparse(atom.node)}.size"
                found.append(Atom(ast.parse(text, mode="eval").body, count, 1.0))
        return found

    def constants(self) -> list[Atom]:
        """Two, a half, and the numbers that the author's function contains."""
        numbers = {2, 0.5, 3, 4, 1}
        for node in ast.walk(self.unit.node):
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                numbers.add(node.value)
        return [Atom(ast.Constant(n), n, 1.0) for n in sorted(numbers) if n not in (0,)]


def _chain(node: ast.AST) -> bool:
    """A name, an attribute of one that is no view or size, or an entry with a constant key."""
    if isinstance(node, ast.Name):
        return isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Attribute):
        return node.attr not in _SIZES and isinstance(node.ctx, ast.Load) and _chain(node.value)
    if isinstance(node, ast.Subscript):
        return (
            isinstance(node.ctx, ast.Load)
            and _chain(node.value)
            and isinstance(node.slice, ast.Constant | ast.Name)
        )
    return False


def _beside(index: ast.expr) -> list[str]:
    """An index that varies, and those one before and after it."""
    if isinstance(index, ast.BinOp) and isinstance(index.right, ast.Constant):
        index = index.left
    if not isinstance(index, ast.Name):
        return []
    return [index.id, f"{index.id} + 1", f"{index.id} - 1"]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) or isinstance(value, np.floating | np.integer)


def _is_array(value: Any) -> bool:
    return (isinstance(value, np.ndarray) and value.dtype.kind in "fcb") or (
        hasattr(value, "shape") and bool(floats(value))
    )


def scope_of(unit: Unit, function: ast.AST, frame: Any, outer: dict[int, dict]) -> Scope:
    """The scope of a statement in a running frame. `outer` maps the definitions around it to the
    variables that they had when they returned."""
    names = dict(frame.f_globals)
    for around in _around(unit.node, function):
        names |= outer.get(id(around), {})
    for name, value in frame.f_locals.items():
        names[name] = value.copy() if isinstance(value, np.ndarray) else value
    return Scope(unit, function, names)


def _around(node: ast.AST, function: ast.AST) -> list[ast.AST]:
    """The definitions from `node` down to `function`, without `function`."""
    if node is function:
        return []
    for child in ast.iter_child_nodes(node):
        if any(n is function for n in ast.walk(child)):
            here = [node] if isinstance(node, ast.FunctionDef | ast.Lambda) else []
            return here + _around(child, function)
    return []
