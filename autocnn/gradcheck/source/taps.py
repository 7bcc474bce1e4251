"""Taps in a function's syntax tree: calls of `__tap__` around values, `__after__` after writes."""

import ast
from typing import Any

from autocnn.gradcheck.source.code import Unit
from autocnn.gradcheck.source.expression_taps import ExpressionTaps
from autocnn.gradcheck.source.written import SILENT, changed_by, loaded, written

__all__ = ["Taps"]


class Taps:
    """Puts taps into one definition. New nodes are built around copies: the page's tree stays."""

    def __init__(self, sites: Any, unit: Unit) -> None:
        self.expressions = ExpressionTaps(sites, unit)

    def rewrite(self, node: Any) -> Any:
        if isinstance(node, ast.Lambda):
            return ast.copy_location(
                ast.Lambda(node.args, self.expressions.value(node.body, node)), node
            )
        return self._function(node)

    def _function(self, node: ast.FunctionDef) -> ast.FunctionDef:
        held, self.expressions.function = self.expressions.function, node
        body = self._block(node.body)
        received = [
            ast.copy_location(
                ast.Assign(
                    [ast.Name(a.arg, ast.Store())],
                    self.expressions.tap(a, ast.Name(a.arg, ast.Load()), "argument", a.arg),
                    lineno=node.lineno,
                ),
                node,
            )
            for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if a.arg not in ("self", "cls", "ctx")
        ]
        self.expressions.function = held
        return ast.copy_location(
            ast.FunctionDef(
                node.name,
                self.expressions.defaults(node.args),
                received + body,
                node.decorator_list,
            ),
            node,
        )

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for statement in statements:
            held, self.expressions.statement = self.expressions.statement, statement
            new = self._statement(statement)
            out += new if isinstance(new, list) else [new]
            self.expressions.statement = held
        return out

    def _statement(self, s: Any) -> Any:
        at = ast.copy_location
        if isinstance(s, ast.FunctionDef):
            return self._function(s)
        if isinstance(s, ast.Assign):
            value = self.expressions.values(s.value, s.targets)
            new = at(ast.Assign(list(s.targets), value), s)
            bases = [b for t in s.targets for b in written(t)]
            return [new, *(self._after(b, s) for b in bases)]
        if isinstance(s, ast.AnnAssign) and s.value is not None:
            value = self.expressions.value(s.value, s, ast.unparse(s.target))
            return at(ast.Assign([s.target], value, lineno=s.lineno), s)
        if isinstance(s, ast.AugAssign):
            value = self.expressions.value(s.value, s, ast.unparse(s.target))
            new = at(ast.AugAssign(s.target, s.op, value), s)
            if isinstance(s.target, ast.Name):
                return [new, self._after_name(s.target, s)]
            return [new, *(self._after(b, s) for b in written(s.target))]
        if isinstance(s, ast.Return) and s.value is not None:
            return at(ast.Return(self.expressions.values(s.value, [], True)), s)
        if isinstance(s, ast.Expr):
            if isinstance(s.value, ast.Call):
                if isinstance(s.value.func, ast.Name) and s.value.func.id in SILENT:
                    return at(ast.Pass(), s)
                bases = changed_by(s.value)
                call = self.expressions.call(s.value, skip=bool(bases))
                return [at(ast.Expr(call), s), *(self._after(b, s) for b in bases)]
            return at(ast.Expr(self.expressions.expr(s.value)), s)
        if isinstance(s, ast.For):
            return at(
                ast.For(
                    s.target,
                    self.expressions.expr(s.iter),
                    self._block(s.body),
                    self._block(s.orelse),
                    lineno=s.lineno,
                ),
                s,
            )
        if isinstance(s, ast.While | ast.If):
            test = self.expressions.tap(s.test, self.expressions.expr(s.test), "test")
            return at(type(s)(test, self._block(s.body), self._block(s.orelse)), s)
        if isinstance(s, ast.With):
            items = [
                ast.withitem(self.expressions.expr(i.context_expr), i.optional_vars)
                for i in s.items
            ]
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
        number = self.expressions.new(base, s, "after", ast.unparse(base))
        call = ast.Call(ast.Name("__after__", ast.Load()), [number, loaded(base)], [])
        return ast.copy_location(ast.Expr(call), s)

    def _after_name(self, name: ast.Name, s: ast.stmt) -> ast.stmt:
        number = self.expressions.new(name, s, "after", name.id)
        value = ast.Call(
            ast.Name("__after__", ast.Load()), [number, ast.Name(name.id, ast.Load())], []
        )
        return ast.copy_location(
            ast.Assign([ast.Name(name.id, ast.Store())], value, lineno=s.lineno), s
        )
