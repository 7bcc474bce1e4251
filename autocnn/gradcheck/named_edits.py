"""A name for what no rule has explained, read off the edit that was verified: if `dv = a.T @ dy` is
right where `dv = a @ dy` is not, a transpose is missing."""

import ast
from typing import Any, NamedTuple

from autocnn.gradcheck.report import Cause, Report
from autocnn.gradcheck.rules.steps import BETWEEN_STEPS

__all__ = ["name_by_edit", "what_was_wrong"]


class _Found(NamedTuple):
    code: str
    words: str


def name_by_edit(report: Report, hint: tuple[str, str] | None = None) -> None:
    """Give leaves that are "unclassified" the name of the verified edit, where it has one; else
    `hint`, a code and words from the statements of the backward pass."""
    vague = [c for c in report.errors if c.code in ("unclassified", "additive") or c.what]
    if not vague:
        return
    found = report.fix and what_was_wrong(report.fix.before, report.fix.after)
    if report.fix and found:
        message = f"{found.words} (line {report.fix.line}; the edit makes every leaf right)"
    elif hint:
        found, message = _Found(*hint), hint[1]
    else:
        return
    renamed = {"unclassified"} | ({"additive"} if found.code == "missing-path" else set())
    report.causes = [
        Cause(found.code, c.leaf, message)
        if c.code in renamed or (c.what == BETWEEN_STEPS and found.code in _OPERANDS)
        else c
        for c in report.causes
    ]


def what_was_wrong(before: str, after: str) -> _Found | None:
    """(code, words) for a statement and the one that is right; None where the edit is of no kind
    that has a name."""
    try:
        old, new = ast.parse(before.strip()).body, ast.parse(after.strip()).body
    except SyntaxError:
        return _header(before, after)
    if len(old) != 1 or len(new) != 1:
        return None
    return _statements(old[0], new[0])


def _header(before: str, after: str) -> _Found | None:
    """The first lines of loops: `for i in range(n - 1):`."""
    lines = [t.strip() for t in (before, after)]
    if not all(t.startswith(("for ", "while ")) and t.endswith(":") for t in lines):
        return None
    return _Found("partial", f"the loop must run over {lines[1][:-1].split(' in ', 1)[-1]}")


def _statements(old: ast.stmt, new: ast.stmt) -> _Found | None:
    if isinstance(old, ast.For) and isinstance(new, ast.For):
        return _Found("partial", f"the loop must run over {ast.unparse(new.iter)}")
    if _is_add_at(new) and not _is_add_at(old):
        return _Found("overwritten", "a repeated index is counted once: np.add.at adds up all")
    if isinstance(old, ast.Assign) and isinstance(new, ast.AugAssign):
        return _Found("overwritten", "`=` where contributions add up and `+=` is needed")
    updates = isinstance(old, ast.AugAssign) and isinstance(new, ast.AugAssign)
    if updates and _same(old.value, new.value) and not _same(old.op, new.op):
        return _signs(old.op, new.op)
    a, b = getattr(old, "value", None), getattr(new, "value", None)
    if not isinstance(a, ast.expr) or not isinstance(b, ast.expr):
        return None
    if ast.dump(a) == ast.dump(b):  # the target differs: what is written to another place
        if isinstance(a, ast.Constant):
            return _Found("mask", f"other entries are set to {ast.unparse(a)}")
        return _Found("permuted", "written to other entries than it belongs to")
    if isinstance(new, ast.Assign) and _adds_to_itself(new) and not _adds_to_itself(old):
        return _Found("overwritten", "`=` where contributions add up: what was there is lost")
    return _expressions(a, b)


def _is_add_at(s: ast.stmt) -> bool:
    """Is it np.add.at(...)?"""
    return (
        isinstance(s, ast.Expr)
        and isinstance(s.value, ast.Call)
        and ast.unparse(s.value.func).endswith((".add.at", ".subtract.at"))
    )


def _adds_to_itself(s: ast.stmt) -> bool:
    """Is it `x = x + ...`?"""
    if not isinstance(s, ast.Assign) or not isinstance(s.value, ast.BinOp):
        return False
    first = s.value
    while isinstance(first, ast.BinOp) and isinstance(first.op, ast.Add | ast.Sub):
        first = first.left  # type: ignore[assignment]
    return ast.unparse(first) == ast.unparse(s.targets[0])


def _signs(old: ast.operator, new: ast.operator) -> _Found | None:
    if {type(old), type(new)} == {ast.Add, ast.Sub}:
        return _Found("sign", "a term has the wrong sign")
    if {type(old), type(new)} == {ast.Mult, ast.Div}:
        return _Found("wrong-operand", "multiplied where a division belongs, or the other way")
    return None


def _expressions(a: ast.expr, b: ast.expr) -> _Found | None:
    """The smallest expression that differs: `a` was written, `b` is right."""
    if isinstance(b, ast.UnaryOp) and isinstance(b.op, ast.USub) and _same(a, b.operand):
        return _Found("sign", "the wrong sign")
    if isinstance(a, ast.UnaryOp) and isinstance(a.op, ast.USub) and _same(a.operand, b):
        return _Found("sign", "the wrong sign")
    if isinstance(a, ast.Compare) and isinstance(b, ast.Compare):
        return _Found("mask", f"the mask is {ast.unparse(b)}")
    if isinstance(a, ast.Subscript) and isinstance(b, ast.Subscript) and _same(a.value, b.value):
        return _indices(a, b)
    power = isinstance(a, ast.BinOp) and isinstance(b, ast.BinOp) and isinstance(a.op, ast.Pow)
    if power and isinstance(b.op, ast.Pow) and _same(a.left, b.left):
        return _Found("wrong-operand", f"{ast.unparse(b)} belongs where {ast.unparse(a)} is")
    if isinstance(b, ast.BinOp) and (found := _more(a, b)):
        return found
    if isinstance(a, ast.BinOp) and (found := _less(a, b)):
        return found
    if _is_zeros(a):
        return _Found("missing-path", f"zero where {ast.unparse(b)} belongs")
    if _transpose_of(a, b) or _transpose_of(b, a):
        return _Found("transposed", f"{ast.unparse(b)} belongs where {ast.unparse(a)} is")
    if isinstance(a, ast.Call) and isinstance(b, ast.Call) and _last(a) != _last(b):
        return _calls(a, b)
    inner = _inner(a, b)
    if inner is not None:
        return _expressions(*inner)
    both = isinstance(a, ast.BinOp) and isinstance(b, ast.BinOp)
    if both and not _same(a.op, b.op) and _same(a.left, b.left) and _same(a.right, b.right):
        return _signs(a.op, b.op)
    if isinstance(a, ast.Slice) or isinstance(b, ast.Slice):
        return _Found("partial", "other rows or entries are taken")
    if isinstance(a, ast.Call) and isinstance(b, ast.Call):
        return _calls(a, b)
    return _Found("wrong-operand", f"{ast.unparse(b)} belongs where {ast.unparse(a)} is")


def _indices(a: ast.Subscript, b: ast.Subscript) -> _Found:
    """Other entries of the same array."""
    words = f"{ast.unparse(b)} belongs where {ast.unparse(a)} is"
    slices = any(isinstance(n, ast.Slice) for i in (a.slice, b.slice) for n in ast.walk(i))
    offset = any(isinstance(n, ast.BinOp) for i in (a.slice, b.slice) for n in ast.walk(i))
    return _Found("shifted" if offset else "partial" if slices else "wrong-operand", words)


def _is_zeros(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _last(node) in ("zeros", "zeros_like")


def _same(a: Any, b: Any) -> bool:
    return ast.dump(a) == ast.dump(b)


def _more(a: ast.expr, b: ast.BinOp) -> _Found | None:
    """`b` is `a` with a term or a factor more."""
    for kept, more in ((b.left, b.right), (b.right, b.left)):
        if not _same(kept, a):
            continue
        text = ast.unparse(more)
        if isinstance(b.op, ast.Add | ast.Sub) and isinstance(more, ast.Constant):
            return _Found("wrong-operand", f"{ast.unparse(b)} belongs where {ast.unparse(a)} is")
        if isinstance(b.op, ast.Add | ast.Sub):
            return _Found("missing-path", f"the term {text} is missing")
        if isinstance(b.op, ast.Mult | ast.Div):
            if _is_number(more):
                word = "divided by" if isinstance(b.op, ast.Div) else "multiplied by"
                return _Found("scale", f"not {word} {text}")
            if isinstance(more, ast.Compare):
                return _Found("mask", f"the mask {text} is missing")
            return _Found("wrong-operand", f"the factor {text} is missing")
    return None


def _less(a: ast.BinOp, b: ast.expr) -> _Found | None:
    """`a` is `b` with a term or a factor too many."""
    for kept, more in ((a.left, a.right), (a.right, a.left)):
        if not _same(kept, b):
            continue
        text = ast.unparse(more)
        if isinstance(a.op, ast.Add | ast.Sub) and isinstance(more, ast.Constant):
            return _Found("wrong-operand", f"{ast.unparse(b)} belongs where {ast.unparse(a)} is")
        if isinstance(a.op, ast.Add | ast.Sub):
            return _Found("additive", f"the term {text} does not belong here")
        if isinstance(a.op, ast.Mult | ast.Div):
            if _is_number(more):
                return _Found("scale", f"the factor {text} does not belong here")
            if isinstance(more, ast.Compare):
                return _Found("mask", f"the mask {text} does not belong here")
            return _Found("wrong-operand", f"the factor {text} does not belong here")
    return None


def _is_number(node: ast.expr) -> bool:
    """A constant, a size, or a root of one."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
    if isinstance(node, ast.Attribute):
        return node.attr in ("size", "ndim", "pi")
    if isinstance(node, ast.BinOp):
        return _is_number(node.left) and _is_number(node.right)
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        return name == "len" or (name == "sqrt" and all(map(_is_number, node.args)))
    return False


def _transpose_of(a: ast.expr, b: ast.expr) -> bool:
    """Is `b` the transpose of `a`?"""
    if isinstance(b, ast.Attribute) and b.attr in ("T", "mT"):
        return _same(b.value, a)
    if isinstance(b, ast.Call) and isinstance(b.func, ast.Attribute):
        return b.func.attr in ("transpose", "swapaxes") and _same(b.func.value, a)
    return False


def _last(call: ast.Call) -> str:
    """sum of x.sum() and of np.sum(x)."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def _calls(a: ast.Call, b: ast.Call) -> _Found | None:
    names = [_last(a), _last(b)]
    if set(names) == {"sum", "mean"}:
        return _Found("scale", f"{names[0]} where the {names[1]} belongs")
    axes = [{k.arg: ast.dump(k.value) for k in c.keywords if k.arg in _AXES} for c in (a, b)]
    if names[0] == names[1] and axes[0] != axes[1]:
        return _Found("broadcast", f"over other axes than in {ast.unparse(b)}")
    return _Found("wrong-operand", f"{ast.unparse(b)} belongs where {ast.unparse(a)} is")


#: Codes of edits that say more than "missing or wrong between steps".
_OPERANDS = ("wrong-operand", "transposed", "sign", "scale", "shifted")
_AXES = ("axis", "dim", "keepdims", "keepdim")


def _inner(a: ast.expr, b: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """The one child in which two expressions of the same kind differ."""
    if type(a) is not type(b):
        return None
    pairs: list[tuple[Any, Any]] = []
    for field in a._fields:
        left, right = getattr(a, field), getattr(b, field)
        if isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return None
            pairs += zip(left, right, strict=True)
        else:
            pairs.append((left, right))
    off = [p for p in pairs if _text(p[0]) != _text(p[1])]
    if len(off) != 1 or not all(isinstance(e, ast.expr) for e in off[0]):
        return None
    return off[0]


def _text(value: Any) -> str:
    return ast.dump(value) if isinstance(value, ast.AST) else repr(value)
