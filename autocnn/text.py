"""Plain text tables that fit the terminal."""

import re
import shutil
import textwrap

__all__ = ["paragraphs", "table"]


def table(headers, rows, width=None):
    """Format rows of cells as text: numbers to the right, words to the left, no wider than
    ``width`` (the terminal's).

    Where the row is too wide, headers and the widest columns of words are wrapped. A table that
    still does not fit is turned: a row becomes a block of lines, each a header and its cell.
    """
    rows = [[_text(cell) for cell in row] for row in rows]
    columns = list(zip(headers, *rows, strict=True))
    right = [all(map(_is_number, cells)) and bool(cells) for _, *cells in columns]
    widths = [_longest(column) for column in columns]
    least = [_least(column, r) for column, r in zip(columns, right, strict=True)]
    width = width or shutil.get_terminal_size((100, 24)).columns
    over = sum(widths) + 2 * (len(widths) - 1) - width
    while over > 0:
        i = max(range(len(widths)), key=lambda i: (widths[i] > least[i], widths[i]))
        if widths[i] <= least[i]:
            return _turned(headers, rows, width)
        widths[i] -= 1
        over -= 1
    lines = [
        line
        for cells in (headers, None, *rows)
        for line in (_row(cells, widths, right) if cells else [_rule(widths)])
    ]
    return "\n".join(line.rstrip() for line in lines)


def paragraphs(text, width=None, most=100):
    """Wrap each line of a text to the terminal, and to ``most`` columns on a wide one; words
    longer than that stay whole.
    """
    width = min(width or shutil.get_terminal_size((100, 24)).columns, most)
    options = dict(break_long_words=False, break_on_hyphens=False)
    return "\n".join(textwrap.fill(line, max(width, 20), **options) for line in text.split("\n"))


def _longest(texts):
    return max(len(line) for text in texts for line in text.split("\n"))


def _least(column, right):
    """How narrow a column may become: numbers stay whole, words of 12 letters and less too."""
    header, *cells = column
    return (
        _longest([*header.split(), *cells])
        if right
        else max(6, min(12, _longest(" ".join(column).split() or [""])))
    )


def _turned(headers, rows, width):
    names = max(map(len, headers)) + 2
    room = max(width - names, 16)

    def block(row):
        for header, cell in zip(headers, row, strict=True):
            for i, line in enumerate(_wrap(cell, room)):
                yield f"{'' if i else header:<{names}}{line}".rstrip()

    return "\n\n".join("\n".join(block(row)) for row in rows)


def _row(cells, widths, right):
    wrapped = [_wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    height = max(map(len, wrapped))
    for i in range(height):
        parts = [lines[i] if i < len(lines) else "" for lines in wrapped]
        yield "  ".join(
            p.rjust(w) if r else p.ljust(w) for p, w, r in zip(parts, widths, right, strict=True)
        )


def _wrap(cell, width):
    return [line for part in cell.split("\n") for line in textwrap.wrap(part, width) or [""]]


def _rule(widths):
    return "  ".join("─" * w for w in widths)


def _text(cell):
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return (
        f"{cell:,}"
        if isinstance(cell, int)
        else f"{cell:.4g}"
        if isinstance(cell, float)
        else str(cell)
    )


def _is_number(text):
    return not text or re.fullmatch(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)?[%×KMG]?", text) is not None
