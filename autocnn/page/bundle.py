"""Join the page's ES modules into one script, so that a page needs no file beside itself.

The modules use a small part of the language, and anything else is an error: ``import {a, b} from
"./file.js";``, and ``export`` before ``function``, ``async function``, ``const`` or a list of
names. Each module becomes a function that returns what it exports.
"""

import re
from pathlib import Path

__all__ = ["STATIC", "bundle", "closing_tag_safe", "modules"]

STATIC = Path(__file__).parent / "static"

_IMPORT = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"\./([\w.-]+)";\s*$', re.MULTILINE)
_EXPORT = re.compile(
    r"^export\s+(?=(?:async\s+function\*?|function\*?|const)\s+(\w+))", re.MULTILINE
)
_EXPORT_LIST = re.compile(r"^export\s*\{([^}]*)\};\s*$", re.MULTILINE)


def modules(entry: str, folder: Path = STATIC) -> list[str]:
    """Return the names of the files that ``entry`` needs, each after those that it imports.

    Raises ValueError for modules that import each other in a circle.
    """
    order: list[str] = []
    open_files: list[str] = []

    def visit(name: str) -> None:
        if name in open_files:
            raise ValueError(f"modules import each other: {' -> '.join([*open_files, name])}")
        if name in order:
            return
        open_files.append(name)
        for match in _IMPORT.finditer((folder / name).read_text(encoding="utf-8")):
            visit(match[2])
        order.append(open_files.pop())

    visit(entry)
    return order


def bundle(entry: str, folder: Path = STATIC) -> str:
    """Return one script that does what the module ``entry`` does.

    Raises ValueError for a module that uses a form of import or export other than the above.
    """
    parts = ['"use strict";', "const modules = {};"]
    for name in modules(entry, folder):
        parts.append(f'modules["{name}"] = (() => {{')
        parts += [_as_function(name, (folder / name).read_text(encoding="utf-8")), "})();"]
    return closing_tag_safe("\n".join(parts) + "\n")


def closing_tag_safe(script: str) -> str:
    """Return a script that holds no tag by which HTML would end it early."""
    return re.sub(r"</(?=script)", r"<\\/", script, flags=re.IGNORECASE).replace("<!--", r"<\!--")


def _as_function(name: str, source: str) -> str:
    exported = _EXPORT.findall(source)
    for names in _EXPORT_LIST.findall(source):
        exported += [part.strip() for part in names.split(",") if part.strip()]
    source = _IMPORT.sub(_destructure, source)
    source = _EXPORT.sub("", _EXPORT_LIST.sub("", source))
    other = re.search(r"^\s*(?:import|export)\b.*$", source, re.MULTILINE)
    if other:
        raise ValueError(
            f"{name}: {other[0].strip()!r} cannot be joined into one script; write "
            'import {name} from "./file.js"; and export function name'
        )
    return f"{_without_comments(source).strip()}\nreturn {{ {', '.join(exported)} }};"


def _destructure(match: re.Match) -> str:
    names = re.sub(r"(\w+)\s+as\s+(\w+)", r"\1: \2", match[1].strip())
    return f'const {{ {names} }} = modules["{match[2]}"];'


def _without_comments(source: str) -> str:
    """Remove block comments that begin a line; they hold the documentation."""
    return re.sub(r"^[ \t]*/\*\*.*?\*/[ \t]*\n", "", source, flags=re.DOTALL | re.MULTILINE)
