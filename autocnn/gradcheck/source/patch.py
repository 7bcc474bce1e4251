"""Edits as text: the author's lines with one expression exchanged, everything else as it was
written."""

import ast
import difflib
import io
import pathlib
import tokenize
from typing import Any, NamedTuple

from autocnn.gradcheck.source.code import Page

__all__ = ["Patch", "diff", "exchange", "one_line", "patch_expression", "patch_text", "shown_path"]


class Patch(NamedTuple):
    """A page's new text, and the statement before and after, one line each; `first` is a statement
    that the edit puts before the loop in line `loop`."""

    text: str
    line: int
    before: str
    after: str
    first: str = ""
    loop: int = 0


def exchange(root: Any, old: ast.AST, new: Any) -> Any:
    """`root` with the node `old` replaced; nodes off the path are shared."""
    if root is old:
        return new
    changes = {}
    for name, value in ast.iter_fields(root):
        if isinstance(value, ast.AST):
            other = exchange(value, old, new)
            if other is not value:
                changes[name] = other
        elif isinstance(value, list):
            items = [exchange(v, old, new) if isinstance(v, ast.AST) else v for v in value]
            if any(a is not b for a, b in zip(items, value, strict=True)):
                changes[name] = items
    if not changes:
        return root
    fields = {name: changes.get(name, value) for name, value in ast.iter_fields(root)}
    return ast.copy_location(type(root)(**fields), root)


def render(page: Page, new: ast.expr) -> str:
    """The text of a new expression, in which the author's own parts stand as they were written."""
    pieces: dict[str, str] = {}

    def mark(node: Any) -> Any:
        if isinstance(node, ast.expr) and _written(page, node):
            name = f"__piece{len(pieces)}__"
            pieces[name] = page.source(node)
            return ast.Name(name, ast.Load())
        changed = {
            name: mark(value)
            if isinstance(value, ast.AST)
            else [mark(v) if isinstance(v, ast.AST) else v for v in value]
            if isinstance(value, list)
            else value
            for name, value in ast.iter_fields(node)
        }
        return type(node)(**changed)

    text = ast.unparse(mark(new))
    want = ast.dump(new)
    for bare in (True, False):
        filled = text
        for name, piece in pieces.items():
            filled = filled.replace(name, piece if bare or _atomic(piece) else f"({piece})")
        try:
            if ast.dump(ast.parse(f"({filled})", mode="eval").body) == want:
                return filled
        except SyntaxError:
            continue
    return ast.unparse(new)


def _written(page: Page, node: Any) -> bool:
    """True for a node that stands in the page as it is (some are built from parts that do)."""
    if getattr(node, "end_col_offset", None) is None:
        return False
    try:
        found = ast.parse(f"({page.source(node)})", mode="eval").body
    except (SyntaxError, IndexError, UnicodeDecodeError):
        return False
    return ast.dump(found) == ast.dump(node)


def _atomic(text: str) -> bool:
    node = ast.parse(f"({text})", mode="eval").body
    return isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.Subscript | ast.Constant)


def patch_expression(page: Page, statement: Any, old: ast.expr, new: ast.expr) -> Patch | None:
    """The page with `new` in the place of `old`, which stands in `statement`."""
    want = ast.dump(exchange(statement, old, new))
    text = render(page, new)
    start, end = page.span(old)
    bare = text[1:-1] if isinstance(new, ast.Tuple) and text[:1] == "(" else text
    for filled in dict.fromkeys((bare, text, f"({text})")):
        changed = page.text[:start] + filled + page.text[end:]
        found = _statement_at(changed, statement, changed.count("\n") - page.text.count("\n"))
        if found is not None and ast.dump(found) == want:
            return patch_text(page, statement, changed)
    return None


def _statement_at(text: str, like: Any, longer: int) -> ast.AST | None:
    """The statement in `text` that begins where `like` does; only its own lines are parsed."""
    rows = text.splitlines()
    if hasattr(like, "body"):
        body = like.body[0] if isinstance(like.body, list) else like.body
        if body.lineno == like.lineno:
            return None
        rows = rows[like.lineno - 1 : body.lineno - 1 + longer]
        rows.append(" " * body.col_offset + "pass")
    else:
        rows = rows[like.lineno - 1 : like.end_lineno + longer]
    try:
        tree = ast.parse("if True:\n" * bool(like.col_offset) + "\n".join(rows))
    except SyntaxError:
        return None
    row = 1 + bool(like.col_offset)
    for node in ast.walk(tree):
        if type(node) is type(like) and (node.lineno, node.col_offset) == (row, like.col_offset):
            if hasattr(like, "body"):
                node.body, node.orelse = like.body, getattr(like, "orelse", [])
            return node
    return None


def patch_text(page: Page, statement: Any, text: str) -> Patch | None:
    """A patch that makes `text` of the page; the statement is compared line by line."""
    old, new = page.text.splitlines(), text.splitlines()
    first = 0
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    last = 0
    while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
        last += 1
    if first == len(old) == len(new):
        return None
    last_row = statement.end_lineno
    if isinstance(statement, ast.For | ast.While | ast.If | ast.With):
        last_row = statement.body[0].lineno - 1
        last_row = max(last_row, statement.lineno)
    after_rows = new[statement.lineno - 1 : last_row + len(new) - len(old)]
    before = one_line("\n".join(old[statement.lineno - 1 : last_row]))
    return Patch(text, first + 1, before, one_line("\n".join(after_rows)))


def one_line(text: str) -> str:
    """A statement of several lines on one, without its comments."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text.strip()).readline))
        comments = [(t.start, t.end) for t in tokens if t.type == tokenize.COMMENT]
    except (tokenize.TokenError, IndentationError):
        comments = []
    rows = text.strip().splitlines()
    for (row, column), _ in comments:
        rows[row - 1] = rows[row - 1][:column]
    return " ".join(row.strip() for row in rows if row.strip())


def shown_path(filename: str) -> str:
    """A file's path as a patch names it: from the working folder where the file lies below it."""
    path = pathlib.Path(filename)
    try:
        return path.resolve().relative_to(pathlib.Path.cwd()).as_posix()
    except (ValueError, OSError):
        return path.name


def diff(page: Page, text: str, name: str) -> str:
    """A unified diff that `git apply` takes, with the ends of lines that the file has."""
    try:
        raw = pathlib.Path(page.name).read_bytes()
    except OSError:
        raw = page.text.encode()
    end = "\r\n" if b"\r\n" in raw else "\n"
    bare = not raw.endswith(b"\n") and text.endswith("\n")
    old, new = (
        [row + end for row in (t[:-1] if bare else t).removesuffix("\n").split("\n")]
        for t in (page.text, text)
    )
    if bare:
        old[-1], new[-1] = old[-1].removesuffix(end), new[-1].removesuffix(end)
    rows = []
    for row in difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"):
        rows.append(row if row.endswith("\n") else row + "\n\\ No newline at end of file\n")
    return "".join(rows)
