"""Text for people and programs: tables, wrapped paragraphs, JSON, shapes, intervals and hints.

>>> print(table(("network", "parameters"), [("lenet5", 61706), ("tiny-cnn", 114)], width=40))
network   parameters
────────  ──────────
lenet5        61,706
tiny-cnn         114
"""

import difflib
import html
import json
import math
import os
import re
import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

__all__ = [
    "cell_text",
    "did_you_mean",
    "html_text",
    "inert",
    "paragraphs",
    "percent",
    "plain",
    "points",
    "printed_sign",
    "shape_text",
    "strict_json",
    "table",
    "visible",
]


# ------------------------------------------------ text that comes from outside


def visible(text: object) -> str:
    r"""Return a name from outside (of a class, a file, a folder, an option) as text that is safe to
    print in a line: characters that control a terminal, end a line, change the direction of
    writing, or cannot be encoded become escape sequences, as in Python's literals.

    All else stays, a backslash too, so that paths can be copied.

    >>> print(visible("shoe\x1b[2J\n"))
    shoe\x1b[2J\n
    """
    return "".join(c if c.isprintable() or _is_space(c) else _escape(c) for c in str(text))


def inert(text: object) -> str:
    """Return ``visible`` lines of text: line feeds and tabs stay."""
    return re.sub(r"[^\n\t]+", lambda part: visible(part[0]), str(text))


def html_text(text: object) -> str:
    """Return ``inert`` text as HTML that shows it: no character of it is markup."""
    return html.escape(inert(text))


def _is_space(character: str) -> bool:
    """Whether it is a space of any width; of these ``str.isprintable`` knows one."""
    return unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


# ------------------------------------------------------------------- JSON


def plain(value: Any) -> Any:
    """Convert a value to the types that JSON has: dict, list, str, int, float, bool, None.

    Arrays and tuples become lists, named tuples dicts, NumPy numbers Python's, dict keys and paths
    strings. Anything else becomes its ``repr``. NaN and infinity stay floats.
    """
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def strict_json(value: Any, indent: int | None = None) -> str:
    """Return ``plain(value)`` as JSON that every parser reads: NaN and infinity become null."""
    return json.dumps(_without_nan(plain(value)), indent=indent, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ------------------------------------------------------- shapes, intervals, hints


def shape_text(shape: Iterable[int], separator: str = " x ") -> str:
    """Return a shape as "1 x 28 x 28", or with another separator.

    Running text uses ``separator="x"``, so that line wrapping cannot break the shape.
    """
    return separator.join(map(str, shape))


def percent(interval: Sequence[float]) -> str:
    """Return (mean, low, high, ...) of a fraction as "98.2 % (97.0 to 99.4)", cut at 0 and 1."""
    mean, low, high = interval[:3]
    return f"{100 * mean:.1f} % ({100 * max(low, 0):.1f} to {100 * min(high, 1):.1f})"


def points(interval: Sequence[float]) -> str:
    """Return (mean, low, high, ...) of a difference of fractions, in percentage points: "1.2 points
    (0.3 to 2.1)".
    """
    mean, low, high = (100 * value for value in interval[:3])
    return f"{mean:.1f} points ({low:.1f} to {high:.1f})"


def printed_sign(interval: Sequence[float], scale: float = 100) -> int:
    """Return 1 where (mean, low, high, ...) lies above 0 as it is printed, -1 where below, else 0.

    An interval is printed with one decimal, times ``scale``: 100 for fractions, as in ``points``.
    One that is printed as "0.0 to 9.1" has the sign 0, though its low end may be 0.0004.

    >>> printed_sign((0.046, 0.0004, 0.091)), printed_sign((0.046, 0.001, 0.091))
    (0, 1)
    """
    low, high = (float(f"{scale * end:.1f}") for end in interval[1:3])
    return 1 if low > 0 else -1 if high < 0 else 0


def did_you_mean(name: object, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return how a sentence about an unknown name ends: "; did you mean 'lenet5'?" where a known
    name is similar, "." where none is. Upper and lower case count as equal.

    cutoff: the similarity needed, from 0 to 1, as in ``difflib.get_close_matches``.

    >>> print("there is no network 'lenet'" + did_you_mean("lenet", ["lenet5", "vgg16"]))
    there is no network 'lenet'; did you mean 'lenet5'?
    """
    originals = {one.lower(): one for one in known}
    close = difflib.get_close_matches(str(name).lower(), originals, n=1, cutoff=cutoff)
    return f"; did you mean {originals[close[0]]!r}?" if close else "."


# ----------------------------------------------------------------- tables


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], width: int | None = None) -> str:
    """Format rows of cells as a text table of at most ``width`` columns.

    Numbers are aligned right and words left. ints get thousands separators, floats four significant
    digits; None is an empty cell. Where a row is too wide, headers and the widest columns of words
    wrap. A table that still does not fit becomes one block per row, with a line "header  cell" for
    each cell.

    width: None for the terminal's.
    """
    rows = [[cell_text(cell) for cell in row] for row in rows]
    columns = list(zip(headers, *rows, strict=True))
    numeric = [bool(cells) and all(map(_is_number, cells)) for _, *cells in columns]
    width = width or shutil.get_terminal_size((100, 24)).columns
    widths = _fit_widths(columns, numeric, width)
    if widths is None:
        return _blocks(headers, rows, width)
    lines = [*_row_lines(headers, widths, numeric), "  ".join("─" * w for w in widths)]
    for row in rows:
        lines += _row_lines(row, widths, numeric)
    return "\n".join(line.rstrip() for line in lines)


def paragraphs(text: str, width: int | None = None, max_width: int = 100) -> str:
    """Wrap each line of a text to ``width`` columns (None for the terminal's), at most
    ``max_width``. Longer words stay whole.
    """
    width = min(width or shutil.get_terminal_size((100, 24)).columns, max_width)
    return "\n".join(
        textwrap.fill(line, max(width, 20), break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    )


def _fit_widths(
    columns: list[tuple[str, ...]], numeric: list[bool], width: int
) -> list[int] | None:
    """Return the columns' widths, the widest wrapped until a row fits; None if it cannot."""
    widths = [_longest_line(column) for column in columns]
    minima = [_min_width(column, n) for column, n in zip(columns, numeric, strict=True)]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    for _ in range(excess):
        shrinkable = [i for i in range(len(widths)) if widths[i] > minima[i]]
        if not shrinkable:
            return None
        widths[max(shrinkable, key=widths.__getitem__)] -= 1
    return widths


def _min_width(column: tuple[str, ...], numeric: bool) -> int:
    """Numbers are never wrapped, nor are words of 12 letters or fewer."""
    header, *cells = column
    if numeric:
        return _longest_line([*header.split(), *cells])
    return max(6, min(12, _longest_line(" ".join(column).split() or [""])))


def _longest_line(texts: Iterable[str]) -> int:
    return max(len(line) for text in texts for line in text.split("\n"))


def _blocks(headers: Sequence[str], rows: list[list[str]], width: int) -> str:
    names = max(map(len, headers)) + 2
    blocks = []
    for row in rows:
        lines = []
        for header, cell in zip(headers, row, strict=True):
            for i, line in enumerate(_wrap(cell, max(width - names, 16))):
                lines.append(f"{'' if i else header:<{names}}{line}".rstrip())
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _row_lines(cells: Sequence[str], widths: list[int], numeric: list[bool]) -> Iterator[str]:
    wrapped = [_wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for i in range(max(map(len, wrapped))):
        parts = [lines[i] if i < len(lines) else "" for lines in wrapped]
        yield "  ".join(
            part.rjust(width) if right else part.ljust(width)
            for part, width, right in zip(parts, widths, numeric, strict=True)
        )


def _wrap(cell: str, width: int) -> list[str]:
    return [line for part in cell.split("\n") for line in textwrap.wrap(part, width) or [""]]


def cell_text(cell: Any) -> str:
    """Return a cell as ``table`` shows it."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _is_number(text: str) -> bool:
    return not text or re.fullmatch(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)?[%×KMG]?", text) is not None
