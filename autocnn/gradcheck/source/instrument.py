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

__all__ = ["Instrumenter", "Site", "Sites", "compile_function", "redirected"]

_UNTAPPED = frozenset(
    [
        "axis",
        "axes",
        "dim",
        "dims",
        "keepdims",
        "keepdim",
        "dtype",
        "shape",
        "size",
        "out",
        "order",
        "casting",
        "ddof",
        "device",
    ]
)
_DIRECT = frozenset(
    [
        "super",
        "locals",
        "globals",
        "vars",
        "dir",
        "eval",
        "exec",
        "print",
        "len",
        "range",
        "enumerate",
        "zip",
        "isinstance",
        "type",
    ]
)
_INTEGER_CALLS = frozenset(["range", "len", "int", "isinstance", "enumerate", "slice"])
_SILENT = frozenset({"print", "pprint", "display"})


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
            body = _Taps(self, unit).rewrite(unit.node)
            if unit.owner:
                body = _Mangle(unit.owner).visit(body)
            self.compiled[key] = compile_function(body, function.__code__)
        return self.compiled[key]


def compile_function(body: ast.FunctionDef | ast.Lambda, like: types.CodeType) -> types.CodeType:
    """Compile a definition so that its free variables are those of `like`."""
    free = like.co_freevars
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
        if not self.lifted:
            return cell
        try:
            lifted = _lift_value(cell.cell_contents, {})
        except ValueError:
            return cell
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
            names |= {"__tap__": self.tap, "__after__": self.after, "__call__": self.call}
            for name in _SILENT:
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


class _Taps(ast.NodeTransformer):
    """Puts taps into one definition. New nodes are built around copies: the page's tree stays."""

    def __init__(self, sites: Sites, unit: Unit) -> None:
        self.sites, self.unit = sites, unit
        self.statement: Any = unit.node
        self.function: Any = unit.node

    def _new(self, node: ast.AST, statement: Any, kind: str, target: str = "") -> ast.Constant:
        return ast.Constant(self.sites.new(self.unit, node, statement, kind, target, self.function))

    def rewrite(self, node: Any) -> Any:
        if isinstance(node, ast.Lambda):
            return ast.copy_location(ast.Lambda(node.args, self._value(node.body, node)), node)
        return self._function(node)

    # statements

    def _function(self, node: ast.FunctionDef) -> ast.FunctionDef:
        held, self.function = self.function, node
        body = self._block(node.body)
        received = [
            ast.copy_location(
                ast.Assign(
                    [ast.Name(a.arg, ast.Store())],
                    self._tap(a, ast.Name(a.arg, ast.Load()), "argument", a.arg),
                    lineno=node.lineno,
                ),
                node,
            )
            for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if a.arg not in ("self", "cls", "ctx")
        ]
        self.function = held
        return ast.copy_location(
            ast.FunctionDef(
                node.name, self._defaults(node.args), received + body, node.decorator_list
            ),
            node,
        )

    def _defaults(self, args: ast.arguments) -> ast.arguments:
        bare = [
            [ast.arg(a.arg) for a in group]
            for group in (args.posonlyargs, args.args, args.kwonlyargs)
        ]
        star = args.vararg and ast.arg(args.vararg.arg)
        named = args.kwarg and ast.arg(args.kwarg.arg)
        return ast.arguments(
            bare[0], bare[1], star, bare[2], list(args.kw_defaults), named, list(args.defaults)
        )

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for statement in statements:
            held, self.statement = self.statement, statement
            new = self._statement(statement)
            out += new if isinstance(new, list) else [new]
            self.statement = held
        return out

    def _statement(self, s: Any) -> Any:
        at = ast.copy_location
        if isinstance(s, ast.FunctionDef):
            return self._function(s)
        if isinstance(s, ast.Assign):
            value = self._values(s.value, s.targets)
            new = at(ast.Assign([self._store(t) for t in s.targets], value), s)
            bases = [b for t in s.targets for b in _written(t)]
            return [new, *(self._after(b, s) for b in bases)]
        if isinstance(s, ast.AnnAssign) and s.value is not None:
            value = self._value(s.value, s, ast.unparse(s.target))
            return at(ast.Assign([self._store(s.target)], value, lineno=s.lineno), s)
        if isinstance(s, ast.AugAssign):
            value = self._value(s.value, s, ast.unparse(s.target))
            new = at(ast.AugAssign(self._store(s.target), s.op, value), s)
            if isinstance(s.target, ast.Name):
                return [new, self._after_name(s.target, s)]
            return [new, *(self._after(b, s) for b in _written(s.target))]
        if isinstance(s, ast.Return) and s.value is not None:
            return at(ast.Return(self._values(s.value, [], True)), s)
        if isinstance(s, ast.Expr):
            if isinstance(s.value, ast.Call):
                if isinstance(s.value.func, ast.Name) and s.value.func.id in _SILENT:
                    return at(ast.Pass(), s)
                bases = _changed_by(s.value)
                call = self._call(s.value, skip=bool(bases))
                return [at(ast.Expr(call), s), *(self._after(b, s) for b in bases)]
            return at(ast.Expr(self._expr(s.value)), s)
        if isinstance(s, ast.For):
            return at(
                ast.For(
                    self._store(s.target),
                    self._expr(s.iter),
                    self._block(s.body),
                    self._block(s.orelse),
                    lineno=s.lineno,
                ),
                s,
            )
        if isinstance(s, ast.While | ast.If):
            test = self._tap(s.test, self._expr(s.test), "test")
            return at(type(s)(test, self._block(s.body), self._block(s.orelse)), s)
        if isinstance(s, ast.With):
            items = [ast.withitem(self._expr(i.context_expr), i.optional_vars) for i in s.items]
            return at(ast.With(items, self._block(s.body), lineno=s.lineno), s)
        if isinstance(s, ast.Try):
            handlers = [
                at(ast.ExceptHandler(h.type, h.name, self._block(h.body)), h) for h in s.handlers
            ]
            return at(
                ast.Try(
                    self._block(s.body), handlers, self._block(s.orelse), self._block(s.finalbody)
                ),
                s,
            )
        return s

    def _after(self, base: ast.expr, s: ast.stmt) -> ast.stmt:
        number = self._new(base, s, "after", ast.unparse(base))
        call = ast.Call(ast.Name("__after__", ast.Load()), [number, _loaded(base)], [])
        return ast.copy_location(ast.Expr(call), s)

    def _after_name(self, name: ast.Name, s: ast.stmt) -> ast.stmt:
        number = self._new(name, s, "after", name.id)
        value = ast.Call(
            ast.Name("__after__", ast.Load()), [number, ast.Name(name.id, ast.Load())], []
        )
        return ast.copy_location(
            ast.Assign([ast.Name(name.id, ast.Store())], value, lineno=s.lineno), s
        )

    def _values(self, node: ast.expr, targets: list[ast.expr], deep: bool = False) -> ast.expr:
        """The right-hand side of an assignment or a returned value, one tap for each item of a
        tuple or dict."""
        names = ast.unparse(targets[0]) if targets else ""
        items = targets[0].elts if targets and isinstance(targets[0], ast.Tuple) else None
        if isinstance(node, ast.Tuple) and (deep or (items and len(items) == len(node.elts))):
            if any(isinstance(e, ast.Starred) for e in [*node.elts, *(items or [])]):
                return self._value(node, self.statement, names)
            labels = [ast.unparse(t) for t in items] if items else [""] * len(node.elts)
            elts = [
                self._value(e, self.statement, label)
                for e, label in zip(node.elts, labels, strict=True)
            ]
            return ast.copy_location(ast.Tuple(elts, ast.Load()), node)
        if isinstance(node, ast.Dict) and all(node.keys):
            values = [
                self._value(v, self.statement, ast.unparse(k))
                for k, v in zip(node.keys, node.values, strict=True)
            ]
            return ast.copy_location(ast.Dict(list(node.keys), values), node)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "dict"
            and not node.args
            and all(k.arg for k in node.keywords)
        ):
            named = [
                ast.keyword(k.arg, self._value(k.value, self.statement, repr(k.arg)))
                for k in node.keywords
            ]
            return ast.copy_location(ast.Call(node.func, [], named), node)
        return self._value(node, self.statement, names)

    def _value(self, node: ast.expr, statement: Any, target: str = "") -> ast.expr:
        held, self.statement = self.statement, statement
        new = self._expr(node, top=True)
        wrapped = self._tap(node, new, "value", target)
        self.statement = held
        return wrapped

    # expressions

    def _tap(self, node: ast.AST, new: ast.expr, kind: str, target: str = "") -> ast.expr:
        number = self._new(node, self.statement, kind, target)
        call = ast.Call(ast.Name("__tap__", ast.Load()), [number, new], [])
        return ast.copy_location(call, node)

    def _part(self, node: ast.AST, new: ast.expr, top: bool) -> ast.expr:
        return new if top else self._tap(node, new, "part")

    def _expr(self, node: Any, top: bool = False) -> Any:
        at = ast.copy_location
        if isinstance(node, ast.Name):
            return self._part(node, at(ast.Name(node.id, ast.Load()), node), top)
        if isinstance(node, ast.BinOp):
            new = ast.BinOp(self._expr(node.left), node.op, self._expr(node.right))
            return self._part(node, at(new, node), top)
        if isinstance(node, ast.UnaryOp):
            new = at(ast.UnaryOp(node.op, self._expr(node.operand)), node)
            return self._part(node, new, top or isinstance(node.op, ast.Not))
        if isinstance(node, ast.Call):
            return self._part(node, self._call(node), top)
        if isinstance(node, ast.Attribute):
            new = at(ast.Attribute(self._bare(node.value), node.attr, ast.Load()), node)
            return self._part(node, new, top or node.attr in ("shape", "ndim", "size", "dtype"))
        if isinstance(node, ast.Subscript):
            new = at(ast.Subscript(self._expr(node.value), node.slice, ast.Load()), node)
            return self._part(node, new, top)
        if isinstance(node, ast.IfExp):
            new = ast.IfExp(
                self._expr(node.test, True), self._expr(node.body), self._expr(node.orelse)
            )
            return at(new, node)
        if isinstance(node, ast.Tuple | ast.List):
            return at(type(node)([self._expr(e) for e in node.elts], ast.Load()), node)
        if isinstance(node, ast.Starred):
            return at(ast.Starred(self._expr(node.value, True), ast.Load()), node)
        if isinstance(node, ast.Dict):
            return at(ast.Dict(list(node.keys), [self._expr(v) for v in node.values]), node)
        if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
            return at(type(node)(self._expr(node.elt), self._generators(node.generators)), node)
        if isinstance(node, ast.DictComp):
            return at(
                ast.DictComp(node.key, self._expr(node.value), self._generators(node.generators)),
                node,
            )
        if isinstance(node, ast.Lambda):
            return at(ast.Lambda(self._defaults(node.args), self._value(node.body, node)), node)
        if isinstance(node, ast.Compare):
            return at(
                ast.Compare(
                    self._expr(node.left), node.ops, [self._expr(c) for c in node.comparators]
                ),
                node,
            )
        if isinstance(node, ast.BoolOp):
            return at(ast.BoolOp(node.op, [self._expr(v, True) for v in node.values]), node)
        return node

    def _generators(self, generators: list[ast.comprehension]) -> list[ast.comprehension]:
        return [
            ast.comprehension(g.target, self._expr(g.iter, True), g.ifs, g.is_async)
            for g in generators
        ]

    def _bare(self, node: ast.expr) -> ast.expr:
        """An object whose attribute is read: names are left alone (modules, self)."""
        if isinstance(node, ast.Name):
            return node
        if isinstance(node, ast.Attribute):
            new = ast.Attribute(self._bare(node.value), node.attr, ast.Load())
            return ast.copy_location(new, node)
        return self._expr(node)

    def _receiver(self, node: ast.expr) -> ast.expr:
        """The object whose method is called: its value is tapped, unless it looks like a module
        or self."""
        if isinstance(node, ast.Name):
            modules = {"np", "numpy", "jnp", "jax", "torch", "math", "self", "cls", "ctx", "scipy"}
            return node if node.id in modules else self._expr(node)
        return self._bare(node)

    def _call(self, node: ast.Call, skip: bool = False) -> ast.Call:
        func = node.func
        direct = isinstance(func, ast.Name) and func.id in _DIRECT
        if isinstance(func, ast.Name) and func.id in _INTEGER_CALLS and func.id != "enumerate":
            return node
        if isinstance(func, ast.Attribute):
            receiver = self._bare(func.value) if skip else self._receiver(func.value)
            new: ast.expr = ast.copy_location(ast.Attribute(receiver, func.attr, ast.Load()), func)
        else:
            new = func if isinstance(func, ast.Name) else self._expr(func, True)
        if not direct:
            new = ast.copy_location(ast.Call(ast.Name("__call__", ast.Load()), [new], []), func)
        args = [a if skip and k == 0 else self._expr(a) for k, a in enumerate(node.args)]
        named = [
            ast.keyword(k.arg, k.value if k.arg in _UNTAPPED else self._expr(k.value))
            for k in node.keywords
        ]
        return ast.copy_location(ast.Call(new, args, named), node)

    def _store(self, target: ast.expr) -> ast.expr:
        """A target keeps its form: its index expressions are not tapped."""
        return target


def redirected(unit: Unit) -> Any:
    """The definition without taps. Calls are redirected and loops look at the clock. The unit's own
    tree is changed."""
    body = _Calls().visit(unit.node)
    return _Mangle(unit.owner).visit(body) if unit.owner else body


class _Calls(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id in _DIRECT):
            node.func = ast.copy_location(
                ast.Call(ast.Name("__call__", ast.Load()), [node.func], []), node.func
            )
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        call = node.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and (call.func.id in _SILENT)
        ):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def _loop(self, node: Any) -> Any:
        self.generic_visit(node)
        clock = ast.Call(ast.Name("__tap__", ast.Load()), [ast.Constant(-1), ast.Constant(0)], [])
        node.body = [ast.copy_location(ast.Expr(clock), node), *node.body]
        return node

    visit_For = visit_While = _loop


class _Mangle(ast.NodeTransformer):
    """Private names of a class (`self.__x`), as the compiler would write them inside it."""

    def __init__(self, owner: str) -> None:
        self.prefix = "_" + owner.lstrip("_")

    def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
        self.generic_visit(node)
        if node.attr.startswith("__") and not node.attr.endswith("__"):
            return ast.copy_location(
                ast.Attribute(node.value, self.prefix + node.attr, node.ctx), node
            )
        return node


def _written(target: ast.expr) -> list[ast.expr]:
    """The arrays that an item assignment writes into, as expressions to be read afterwards."""
    if isinstance(target, ast.Tuple | ast.List):
        return [b for t in target.elts for b in _written(t)]
    if isinstance(target, ast.Subscript) and _simple(target.value):
        return [target.value]
    if isinstance(target, ast.Attribute) and _simple(target):
        return [target]
    return []


def _simple(node: ast.expr) -> bool:
    """A name, or attributes and constant items of one: reading it again has no effect."""
    if isinstance(node, ast.Name):
        return True
    if isinstance(node, ast.Attribute):
        return _simple(node.value)
    if isinstance(node, ast.Subscript):
        return _simple(node.value) and isinstance(node.slice, ast.Constant | ast.Name)
    return False


def _loaded(node: ast.expr) -> ast.expr:
    """A copy of a target that is read instead of written."""
    new = ast.parse(ast.unparse(node), mode="eval").body
    return new


def _changed_by(call: ast.Call) -> list[ast.expr]:
    """The arrays that a call in a statement of its own may write into."""
    found = [k.value for k in call.keywords if k.arg == "out" and _simple(k.value)]
    if call.args and _simple(call.args[0]):
        found.append(call.args[0])
    if isinstance(call.func, ast.Attribute) and _simple(call.func.value):
        receiver = call.func.value
        if not (isinstance(receiver, ast.Name) and receiver.id in ("np", "numpy", "self")):
            found.append(receiver)
    return found
