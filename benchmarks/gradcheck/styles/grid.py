"""The grid of styles, layers and mistakes, as files to be imported."""

import importlib.util
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.gradcheck.styles import (
    columns,
    einsum,
    functions,
    loops,
    losses,
    objects,
    rows,
    tapes,
)
from benchmarks.gradcheck.styles.layer import Bug, Layer
from benchmarks.gradcheck.styles.style import Style

__all__ = ["HELD_BACK", "STYLES", "Case", "arrays_of", "cases", "import_file", "written"]

STYLES: list[Style] = [
    *functions.STYLES,
    *losses.STYLES,
    *objects.STYLES,
    *tapes.STYLES,
]
_DIALECTS = {"rows": rows, "columns": columns, "loops": loops, "einsum": einsum}


def _draw(names: list[str]) -> frozenset[str]:
    return frozenset(random.Random(20).sample(sorted(names), len(names) // 3))


#: A third of the styles, drawn once, before any of them was run.
HELD_BACK = _draw([s.name for s in STYLES])


class Case(NamedTuple):
    """One file: a style, a layer, and a mistake or None."""

    style: Style
    layer: Layer  # in the style's names, the mistake planted
    bug: Bug | None
    text: str
    lines: frozenset[int]  # the lines that differ from the right file
    turn: int = 0  # the mistake's place among the five


def cases(style: Style) -> Iterator[Case]:
    """The right file of each of the six layers, each followed by its mistakes."""
    skip = "attention" if style.recurrent else "lstm"
    for layer in _DIALECTS[style.dialect].LAYERS:
        if layer.name == skip:
            continue
        right = written(style, layer, None)
        yield right
        for turn, bug in enumerate(layer.bugs):
            if bug.name not in style.unseen:
                wrong = written(style, layer, bug)
                yield wrong._replace(lines=_changed(right.text, wrong.text), turn=turn)


def written(style: Style, layer: Layer, bug: Bug | None) -> Case:
    """One file of a style. Raises ValueError when a mistake cannot be planted."""
    layer = layer.planted(bug) if bug else layer
    layer = layer.with_scale() if style.scaled else layer
    layer = layer.renamed(style.names)
    return Case(style, layer, bug, style.source(layer), frozenset())


def _changed(right: str, wrong: str) -> frozenset[int]:
    old = set(right.splitlines())
    lines = wrong.splitlines()
    new = {k for k, line in enumerate(lines, 1) if line not in old}
    if new:
        return frozenset(new)
    first = next(
        k for k, (a, b) in enumerate(zip(right.splitlines(), lines, strict=False)) if a != b
    )
    return frozenset([first, first + 1])  # a line is gone: its neighbours


def arrays_of(layer: Layer, seed: int) -> dict[str, np.ndarray]:
    """Normal arrays, and integers for labels, in the order of the arguments."""
    rng = np.random.default_rng(seed)
    made = {n: rng.standard_normal(s) for n, s in {**layer.inputs, **layer.params}.items()}
    made |= {n: rng.integers(0, high, count) for n, (count, high) in layer.labels.items()}
    return {n: made[n] for n in layer.arguments}


def import_file(case: Case, folder: Path, number: int) -> Any:
    """Write the case's file and import it under a name of its own."""
    path = folder / f"case_{number}.py"
    path.write_text(case.text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
