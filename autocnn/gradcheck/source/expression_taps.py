"""Taps in expressions: calls of `__tap__` around the values that a statement computes."""

import ast
from typing import Any

from autocnn.gradcheck.source.code import Unit
from autocnn.gradcheck.source.written import DIRECT

__all__ = ["ExpressionTaps"]

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


class ExpressionTaps:
    """Puts taps into the expressions of one definition, at ``statement`` of ``function``.

    New nodes are built around copies: the page's tree stays.
    """

    def __init__(self, sites: Any, unit: Unit) -> None:
        self.sites, self.unit = sites, unit
        self.statement: Any = unit.node
        self.function: Any = unit.node

    def new(self, node: ast.AST, statement: Any, kind: str, target: str = "") -> ast.Constant:
        return ast.Constant(self.sites.new(self.unit, node, statement, kind, target, self.function))

    def value(self, node: ast.expr, statement: Any, target: str = "") -> ast.expr:
        held, self.statement = self.statement, statement
        new = self.expr(node, top=True)
        wrapped = self.tap(node, new, "value", target)
        self.statement = held
        return wrapped

    def values(self, node: ast.expr, targets: list[ast.expr], deep: bool = False) -> ast.expr:
        """The right-hand side of an assignment or a returned value, one tap for each item of a
        tuple or dict."""
        names = ast.unparse(targets[0]) if targets else ""
        items = targets[0].elts if targets and isinstance(targets[0], ast.Tuple) else None
        if isinstance(node, ast.Tuple) and (deep or (items and len(items) == len(node.elts))):
            if any(isinstance(e, ast.Starred) for e in [*node.elts, *(items or [])]):
                return self.value(node, self.statement, names)
            labels = [ast.unparse(t) for t in items] if items else [""] * len(node.elts)
            elts = [
                self.value(e, self.statement, label)
                for e, label in zip(node.elts, labels, strict=True)
            ]
            return ast.copy_location(ast.Tuple(elts, ast.Load()), node)
        if isinstance(node, ast.Dict) and all(node.keys):
            values = [
                self.value(v, self.statement, ast.unparse(k))
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
                ast.keyword(k.arg, self.value(k.value, self.statement, repr(k.arg)))
                for k in node.keywords
            ]
            return ast.copy_location(ast.Call(node.func, [], named), node)
        return self.value(node, self.statement, names)

    def tap(self, node: ast.AST, new: ast.expr, kind: str, target: str = "") -> ast.expr:
        number = self.new(node, self.statement, kind, target)
        call = ast.Call(ast.Name("__tap__", ast.Load()), [number, new], [])
        return ast.copy_location(call, node)

    def _part(self, node: ast.AST, new: ast.expr, top: bool) -> ast.expr:
        return new if top else self.tap(node, new, "part")

    def expr(self, node: Any, top: bool = False) -> Any:
        at = ast.copy_location
        if isinstance(node, ast.Name):
            return self._part(node, at(ast.Name(node.id, ast.Load()), node), top)
        if isinstance(node, ast.BinOp):
            new = ast.BinOp(self.expr(node.left), node.op, self.expr(node.right))
            return self._part(node, at(new, node), top)
        if isinstance(node, ast.UnaryOp):
            new = at(ast.UnaryOp(node.op, self.expr(node.operand)), node)
            return self._part(node, new, top or isinstance(node.op, ast.Not))
        if isinstance(node, ast.Call):
            return self._part(node, self.call(node), top)
        if isinstance(node, ast.Attribute):
            new = at(ast.Attribute(self._bare(node.value), node.attr, ast.Load()), node)
            return self._part(node, new, top or node.attr in ("shape", "ndim", "size", "dtype"))
        if isinstance(node, ast.Subscript):
            new = at(ast.Subscript(self.expr(node.value), node.slice, ast.Load()), node)
            return self._part(node, new, top)
        if isinstance(node, ast.IfExp):
            new = ast.IfExp(
                self.expr(node.test, True), self.expr(node.body), self.expr(node.orelse)
            )
            return at(new, node)
        if isinstance(node, ast.Tuple | ast.List):
            return at(type(node)([self.expr(e) for e in node.elts], ast.Load()), node)
        if isinstance(node, ast.Starred):
            return at(ast.Starred(self.expr(node.value, True), ast.Load()), node)
        if isinstance(node, ast.Dict):
            return at(ast.Dict(list(node.keys), [self.expr(v) for v in node.values]), node)
        if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
            return at(type(node)(self.expr(node.elt), self._generators(node.generators)), node)
        if isinstance(node, ast.DictComp):
            return at(
                ast.DictComp(node.key, self.expr(node.value), self._generators(node.generators)),
                node,
            )
        if isinstance(node, ast.Lambda):
            return at(ast.Lambda(self.defaults(node.args), self.value(node.body, node)), node)
        if isinstance(node, ast.Compare):
            return at(
                ast.Compare(
                    self.expr(node.left), node.ops, [self.expr(c) for c in node.comparators]
                ),
                node,
            )
        if isinstance(node, ast.BoolOp):
            return at(ast.BoolOp(node.op, [self.expr(v, True) for v in node.values]), node)
        return node

    def _generators(self, generators: list[ast.comprehension]) -> list[ast.comprehension]:
        return [
            ast.comprehension(g.target, self.expr(g.iter, True), g.ifs, g.is_async)
            for g in generators
        ]

    def _bare(self, node: ast.expr) -> ast.expr:
        """An object whose attribute is read: names are left alone (modules, self)."""
        if isinstance(node, ast.Name):
            return node
        if isinstance(node, ast.Attribute):
            new = ast.Attribute(self._bare(node.value), node.attr, ast.Load())
            return ast.copy_location(new, node)
        return self.expr(node)

    def _receiver(self, node: ast.expr) -> ast.expr:
        """The object whose method is called: its value is tapped, unless it looks like a module
        or self."""
        if isinstance(node, ast.Name):
            modules = {"np", "numpy", "jnp", "jax", "torch", "math", "self", "cls", "ctx", "scipy"}
            return node if node.id in modules else self.expr(node)
        return self._bare(node)

    def call(self, node: ast.Call, skip: bool = False) -> ast.Call:
        func = node.func
        direct = isinstance(func, ast.Name) and func.id in DIRECT
        if isinstance(func, ast.Name) and func.id in _INTEGER_CALLS and func.id != "enumerate":
            return node
        if isinstance(func, ast.Attribute):
            receiver = self._bare(func.value) if skip else self._receiver(func.value)
            new: ast.expr = ast.copy_location(ast.Attribute(receiver, func.attr, ast.Load()), func)
        else:
            new = func if isinstance(func, ast.Name) else self.expr(func, True)
        if not direct:
            new = ast.copy_location(ast.Call(ast.Name("__redirect__", ast.Load()), [new], []), func)
        args = [a if skip and k == 0 else self.expr(a) for k, a in enumerate(node.args)]
        named = [
            ast.keyword(k.arg, k.value if k.arg in _UNTAPPED else self.expr(k.value))
            for k in node.keywords
        ]
        return ast.copy_location(ast.Call(new, args, named), node)

    def defaults(self, args: ast.arguments) -> ast.arguments:
        bare = [
            [ast.arg(a.arg) for a in group]
            for group in (args.posonlyargs, args.args, args.kwonlyargs)
        ]
        star = args.vararg and ast.arg(args.vararg.arg)
        named = args.kwarg and ast.arg(args.kwarg.arg)
        return ast.arguments(
            bare[0], bare[1], star, bare[2], list(args.kw_defaults), named, list(args.defaults)
        )
