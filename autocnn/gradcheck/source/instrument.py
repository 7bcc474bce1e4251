"""Copies of the author's functions that report what they compute: every statement's value and
every sub-expression passes through a tap.

The copies live in copies of the modules' dictionaries: nothing of the author's is patched. Calls of
the author's own functions are redirected to copies as they happen, so helpers, closures and methods
are followed; what belongs to a library is called as it is.
"""

import ast
import builtins
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autocnn.gradcheck.lift import _BUILTINS, _REPLACED, _lift_value
from autocnn.gradcheck.source.code import Unit, find_unit, is_own
from autocnn.gradcheck.source.memory import checked
from autocnn.gradcheck.source.taps import Taps
from autocnn.gradcheck.source.written import SILENT, Mangle

__all__ = ["Instrumenter", "Site", "Sites", "compile_function"]


@dataclass(frozen=True, eq=False)
class Site:
    """One place whose value is reported: an expression, or what a statement yields.

    `kind` is "part" (a sub-expression), "value" (what a statement computes: a right-hand side, an
    increment, one returned value), "after" (the state of the array that a statement writes into),
    "argument" (an argument as a function receives it) or "test" (a condition).
    """

    number: int
    unit: Unit
    node: ast.AST
    statement: ast.stmt | ast.Lambda
    kind: str
    target: str = ""
    function: ast.AST | None = None


class Sites:
    """The sites of all functions instrumented so far, and the compiled copies."""

    def __init__(self) -> None:
        self.all: list[Site] = []
        self.units: dict[tuple, Unit | None] = {}
        self.compiled: dict[Any, types.CodeType] = {}
        self.edited: dict[int, ast.Module] = {}  # id of a page's tree -> the edited tree

    def unit(self, function: types.FunctionType) -> Unit | None:
        """The unit of a function, looked for once."""
        code = function.__code__
        key = code.co_filename, code.co_firstlineno, code.co_name, code
        if key not in self.units:
            self.units[key] = find_unit(function)
        return self.units[key]

    def new(self, *fields: Any) -> int:
        """The number of a new site."""
        self.all.append(Site(len(self.all), *fields))
        return len(self.all) - 1

    def code(self, unit: Unit, function: types.FunctionType) -> types.CodeType:
        """The compiled copy of a unit with taps, for a function with these free variables."""
        key = unit, function.__code__.co_freevars
        if key not in self.compiled:
            body = Taps(self, unit).rewrite(unit.node)
            if unit.owner:
                body = Mangle(unit.owner).visit(body)
            self.compiled[key] = compile_function(body, function.__code__)
        return self.compiled[key]


def compile_function(body: ast.FunctionDef | ast.Lambda, like: types.CodeType) -> types.CodeType:
    """Compile a definition so that its free variables are those of `like`."""
    free = like.co_freevars
    if not like.co_posonlyargcount:  # `positional.by_name` lets them be passed by name
        body.args.args[:0], body.args.posonlyargs = body.args.posonlyargs, []
    if isinstance(body, ast.Lambda):
        value: ast.stmt = ast.Return(body)
        statements = [value]
    else:
        body.decorator_list = []
        body.returns = None
        for argument in ast.walk(body.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        # defaults are those of the author's function object
        body.args.defaults = [ast.Constant(None) for _ in body.args.defaults]
        body.args.kw_defaults = [d and ast.Constant(None) for d in body.args.kw_defaults]
        statements = [body, ast.Return(ast.Name(body.name, ast.Load()))]
    outer = ast.FunctionDef(
        "__outer__",
        ast.arguments([], [ast.arg(n) for n in free], None, [], [], None, []),
        statements,
        [],
    )
    module = ast.Module([outer], [])
    ast.fix_missing_locations(module)
    code = compile(module, like.co_filename, "exec")
    outer_code = next(c for c in code.co_consts if isinstance(c, types.CodeType))
    return next(
        c
        for c in outer_code.co_consts
        if isinstance(c, types.CodeType) and c.co_name == like.co_name
    )


class Instrumenter:
    """Makes copies of functions that call `hooks`: tap(site, value), after(site, value).

    `lifted` copies see numpy through a proxy that keeps imaginary parts (see `lift`). `modules`
    maps the ids of modules to what the copies see in their place.
    """

    def __init__(
        self,
        sites: Sites,
        hooks: Any,
        lifted: bool = False,
        modules: dict[int, Any] | None = None,
    ) -> None:
        self.sites, self.hooks, self.lifted = sites, hooks, lifted
        self.modules = modules or {}
        self.names: dict[int, dict] = {}
        self.seen: dict[int, tuple[Any, Any]] = {}
        self.tap, self.after, self.call = hooks.tap, hooks.after, self.redirect

    def __call__(self, function: Callable) -> Callable:
        """The copy of a function, of a bound method, or of a callable object; others as they
        are."""
        return self.redirect(function)

    def redirect(self, function: Any) -> Any:
        """What is called in place of `function`."""
        kind = type(function)
        safe = checked(function)
        if safe is not None:
            return safe
        if kind is types.FunctionType:
            return self._copy(function)
        if kind is types.MethodType:
            inner = self._copy(function.__func__)
            return (
                function
                if inner is function.__func__
                else types.MethodType(inner, function.__self__)
            )
        if self.lifted and kind is types.BuiltinMethodType:
            return _analytic(function)
        call = vars(kind).get("__call__")
        if type(call) is types.FunctionType and is_own(call):
            return types.MethodType(self._copy(call), function)
        return function

    def _copy(self, function: types.FunctionType) -> types.FunctionType:
        if id(function) in self.seen and self.seen[id(function)][0] is function:
            return self.seen[id(function)][1]
        copy = function
        if "__tap__" not in function.__globals__ and is_own(function):
            unit = self.sites.unit(function)
            if unit is not None:
                code = self.sites.code(unit, function)
                cells = dict(
                    zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
                )
                copy = types.FunctionType(
                    code,
                    self.globals_of(function),
                    function.__name__,
                    function.__defaults__,
                    tuple(self._cell(cells[n]) for n in code.co_freevars),
                )
                copy.__kwdefaults__ = function.__kwdefaults__
                copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
        self.seen[id(function)] = function, copy
        return copy

    def _cell(self, cell: types.CellType) -> types.CellType:
        if not self.lifted and not self.modules:
            return cell
        try:
            content = cell.cell_contents
        except ValueError:  # not bound yet
            return cell
        if id(content) in self.modules:
            return types.CellType(self.modules[id(content)])
        if not self.lifted:
            return cell
        lifted = _lift_value(content, {})
        return cell if isinstance(lifted, types.FunctionType) else types.CellType(lifted)

    def globals_of(self, function: types.FunctionType) -> dict:
        """A copy of the function's module dictionary with the hooks in it."""
        original = function.__globals__
        if id(original) not in self.names:
            names = dict(original)
            for name, value in original.items():
                if id(value) in self.modules:
                    names[name] = self.modules[id(value)]
            if self.lifted:
                for name, value in original.items():
                    if not isinstance(value, types.FunctionType) and names[name] is value:
                        names[name] = _lift_value(value, {})
                for name, value in _BUILTINS.items():
                    names.setdefault(name, value)
            names.setdefault("__builtins__", builtins)
            names |= {"__tap__": self.tap, "__after__": self.after, "__redirect__": self.call}
            for name in SILENT:
                names.setdefault(name, _nothing)
            names.setdefault("open", _refuse)
            names.setdefault("input", _refuse)
            self.names[id(original)] = names
        return self.names[id(original)]


def _analytic(method: Any) -> Any:
    """A method of a complex array that would drop its imaginary part, as one that keeps it."""
    array, name = getattr(method, "__self__", None), method.__name__
    if isinstance(array, np.ndarray) and array.dtype.kind == "c" and name in ("var", "std"):
        return lambda *rest, **named: _REPLACED[name](array, *rest, **named)
    return method


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _refuse(*_: Any, **__: Any) -> None:
    raise PermissionError("the code opens a file or asks for input")
