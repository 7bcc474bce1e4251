"""What statements write into, and definitions with redirected calls but without taps."""

import ast
from typing import Any

from autocnn.gradcheck.source.code import Unit

__all__ = ["DIRECT", "SILENT", "Mangle", "changed_by", "loaded", "redirected", "written"]

DIRECT = frozenset(
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
SILENT = frozenset({"print", "pprint", "display"})


def redirected(unit: Unit) -> Any:
    """The definition without taps. Calls are redirected and loops look at the clock. The unit's own
    tree is changed."""
    body = _Calls().visit(unit.node)
    return Mangle(unit.owner).visit(body) if unit.owner else body


class _Calls(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id in DIRECT):
            node.func = ast.copy_location(
                ast.Call(ast.Name("__redirect__", ast.Load()), [node.func], []), node.func
            )
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        call = node.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and (call.func.id in SILENT)
        ):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def _loop(self, node: Any) -> Any:
        self.generic_visit(node)
        clock = ast.Call(ast.Name("__tap__", ast.Load()), [ast.Constant(-1), ast.Constant(0)], [])
        node.body = [ast.copy_location(ast.Expr(clock), node), *node.body]
        return node

    visit_For = visit_While = _loop


class Mangle(ast.NodeTransformer):
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


def written(target: ast.expr) -> list[ast.expr]:
    """The arrays that an item assignment writes into, as expressions to be read afterwards."""
    if isinstance(target, ast.Tuple | ast.List):
        return [b for t in target.elts for b in written(t)]
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


def loaded(node: ast.expr) -> ast.expr:
    """A copy of a target that is read instead of written."""
    new = ast.parse(ast.unparse(node), mode="eval").body
    return new


def changed_by(call: ast.Call) -> list[ast.expr]:
    """The arrays that a call in a statement of its own may write into."""
    found = [k.value for k in call.keywords if k.arg == "out" and _simple(k.value)]
    if call.args and _simple(call.args[0]):
        found.append(call.args[0])
    if isinstance(call.func, ast.Attribute) and _simple(call.func.value):
        receiver = call.func.value
        if not (isinstance(receiver, ast.Name) and receiver.id in ("np", "numpy", "self")):
            found.append(receiver)
    return found
