"""Find the source of a function: its file, its syntax tree, and whether it is the author's own."""

import ast
import functools
import hashlib
import itertools
import linecache
import sys
import sysconfig
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Page", "Unit", "find_unit", "is_own", "page_of"]

_LIBRARIES = frozenset(
    [
        "numpy",
        "scipy",
        "autograd",
        "torch",
        "jax",
        "jaxlib",
        "matplotlib",
        "pandas",
        "numba",
        "autocnn",
        "reference",
    ]
)
_INSTALLED = tuple(
    path
    for key in ("stdlib", "platstdlib", "purelib", "platlib")
    if (path := sysconfig.get_paths().get(key))
)


@dataclass(frozen=True, eq=False)
class Page:
    """One source file (or notebook cell): its name, its text and its syntax tree."""

    name: str
    text: str
    tree: ast.Module

    @functools.cached_property
    def lines(self) -> list[str]:
        """The lines of the text, without their ends."""
        return self.text.splitlines()

    @functools.cached_property
    def starts(self) -> list[int]:
        """Where each line begins in the text."""
        rows = self.text.splitlines(keepends=True)
        return [0, *itertools.accumulate(len(row) for row in rows)]

    def offset(self, row: int, column: int) -> int:
        """The character at a line (from 1) and a column in bytes, as syntax trees count."""
        line = self.lines[row - 1]
        if not line.isascii():
            column = len(line.encode()[:column].decode())
        return self.starts[row - 1] + column

    def span(self, node: Any) -> tuple[int, int]:
        """Where a node begins and ends in the text."""
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno, node.end_col_offset),
        )

    def source(self, node: Any) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.text[start:end]


@dataclass(frozen=True, eq=False)
class Unit:
    """One function of a page: the node of its definition and, for a method, the class around it."""

    page: Page
    node: ast.FunctionDef | ast.Lambda
    owner: str | None = None
    names: frozenset[str] = field(default=frozenset())


_PAGES: dict[tuple[str, str], Page | None] = {}


def page_of(filename: str) -> Page | None:
    """The page of a file as `linecache` sees it (cells of a notebook included), None where there
    is no source."""
    linecache.checkcache(filename)
    text = "".join(linecache.getlines(filename))
    if not text:
        return None
    key = filename, hashlib.sha256(text.encode()).hexdigest()
    if key not in _PAGES:
        try:
            _PAGES[key] = Page(filename, text, ast.parse(text))
        except (SyntaxError, ValueError, RecursionError):
            _PAGES[key] = None
    return _PAGES[key]


def is_own(function: Any) -> bool:
    """True for a plain Python function that does not belong to a library."""
    if not isinstance(function, types.FunctionType):
        return False
    module = function.__module__ or ""
    if module.split(".")[0] in _LIBRARIES or module.split(".")[0] in sys.stdlib_module_names:
        return False
    name = function.__code__.co_filename
    return "site-packages" not in name and not (
        name.startswith(_INSTALLED) and "autocnn" not in name
    )


def find_unit(function: Callable) -> Unit | None:
    """The definition of a plain Python function in its page, None where it cannot be found."""
    code = function.__code__
    page = page_of(code.co_filename)
    if page is None:
        return None
    found = [
        (node, owner) for node, owner in _functions(page.tree, None) if _is_code_of(node, code)
    ]
    if len(found) > 1:
        spans = {(p[0], p[2]) for p in code.co_positions() if p[0] is not None and p[2] is not None}
        found = [(n, o) for n, o in found if _encloses(n, spans)] or found
    return Unit(page, *found[0]) if len(found) == 1 else None


def _functions(tree: ast.AST, owner: str | None):
    for child in ast.iter_child_nodes(tree):
        inner = owner
        if isinstance(child, ast.ClassDef):
            inner = child.name
        elif isinstance(child, ast.FunctionDef | ast.Lambda):
            yield child, owner
        yield from _functions(child, inner)


def _is_code_of(node: ast.AST, code: types.CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno <= code.co_firstlineno <= (
            node.end_lineno or node.lineno
        )
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return node.name == code.co_name and first == code.co_firstlineno


def _encloses(node: ast.AST, spans: set[tuple[int, int]]) -> bool:
    start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
    return all(start <= span < end for span in spans if span[0] > 0 and span != (span[0], 0))
