"""Taps in a function's syntax tree: calls of `__tap__` around values, `__after__` after writes."""

import ast
from typing import Any

from autocnn.gradcheck.source.code import Unit
from autocnn.gradcheck.source.written import DIRECT, SILENT, changed_by, loaded, written

__all__ = ["Taps"]

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
_INTEGER_CALLS = frozenset(["range", "len", "int", "isinstance", "enumerate", "slice"])


class Taps(ast.NodeTransformer):
    """Puts taps into one definition. New nodes are built around copies: the page's tree stays."""

    def __init__(self, sites: Any, unit: Unit) -> None:
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
            bases = [b for t in s.targets for b in written(t)]
            return [new, *(self._after(b, s) for b in bases)]
        if isinstance(s, ast.AnnAssign) and s.value is not None:
            value = self._value(s.value, s, ast.unparse(s.target))
            return at(ast.Assign([self._store(s.target)], value, lineno=s.lineno), s)
        if isinstance(s, ast.AugAssign):
            value = self._value(s.value, s, ast.unparse(s.target))
            new = at(ast.AugAssign(self._store(s.target), s.op, value), s)
            if isinstance(s.target, ast.Name):
                return [new, self._after_name(s.target, s)]
            return [new, *(self._after(b, s) for b in written(s.target))]
        if isinstance(s, ast.Return) and s.value is not None:
            return at(ast.Return(self._values(s.value, [], True)), s)
        if isinstance(s, ast.Expr):
            if isinstance(s.value, ast.Call):
                if isinstance(s.value.func, ast.Name) and s.value.func.id in SILENT:
                    return at(ast.Pass(), s)
                bases = changed_by(s.value)
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
        call = ast.Call(ast.Name("__after__", ast.Load()), [number, loaded(base)], [])
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
        direct = isinstance(func, ast.Name) and func.id in DIRECT
        if isinstance(func, ast.Name) and func.id in _INTEGER_CALLS and func.id != "enumerate":
            return node
        if isinstance(func, ast.Attribute):
            receiver = self._bare(func.value) if skip else self._receiver(func.value)
            new: ast.expr = ast.copy_location(ast.Attribute(receiver, func.attr, ast.Load()), func)
        else:
            new = func if isinstance(func, ast.Name) else self._expr(func, True)
        if not direct:
            new = ast.copy_location(ast.Call(ast.Name("__redirect__", ast.Load()), [new], []), func)
        args = [a if skip and k == 0 else self._expr(a) for k, a in enumerate(node.args)]
        named = [
            ast.keyword(k.arg, k.value if k.arg in _UNTAPPED else self._expr(k.value))
            for k in node.keywords
        ]
        return ast.copy_location(ast.Call(new, args, named), node)

    def _store(self, target: ast.expr) -> ast.expr:
        """A target keeps its form: its index expressions are not tapped."""
        return target
