"""The benchmark's own texts: layers whose backward pass is right, and mistakes that are mistakes,
told without the checker."""

import ast

import numpy as np
import pytest

from autocnn.gradcheck import CODES
from benchmarks.gradcheck.styles import columns, einsum, loops, rows
from benchmarks.gradcheck.styles.grid import HELD_BACK, STYLES, arrays_of, cases

LAYERS = [
    pytest.param(layer, id=f"{dialect.__name__.rsplit('.', 1)[1]}-{layer.name}")
    for dialect in (rows, columns, loops, einsum)
    for layer in dialect.LAYERS
]


def values(layer, arrays):
    names = {**arrays, "np": np}
    exec(layer.forward, names)
    return names


def gradients(layer, names, dys):
    names = names | dict(zip(layer.upstream, dys, strict=True))
    exec(layer.backward, names)
    return {n: np.asarray(names["d" + n]) for n in layer.leaves}


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_is_right_and_each_mistake_is_one(layer):
    rng, arrays = np.random.default_rng(1), arrays_of(layer, 0)
    names = values(layer, arrays)
    dys = [rng.standard_normal(np.shape(names[y])) for y in layer.outputs]
    right = gradients(layer, names, dys)
    for name in layer.leaves:
        u = rng.standard_normal(arrays[name].shape)
        ends = [values(layer, arrays | {name: arrays[name] + h * u}) for h in (1e-5, -1e-5)]
        a, b = (
            sum(np.sum(e[y] * d) for y, d in zip(layer.outputs, dys, strict=True)) for e in ends
        )
        assert right[name].shape == arrays[name].shape
        assert abs((a - b) / 2e-5 - np.vdot(right[name], u)) < 1e-7, name
    assert len(layer.bugs) == 5 and len({b.name for b in layer.bugs}) == 5
    for bug in layer.bugs:
        wrong = gradients(layer.planted(bug), names, dys)
        assert any(
            wrong[n].shape != right[n].shape or np.max(np.abs(wrong[n] - right[n])) > 1e-3
            for n in layer.leaves
        ), bug.name
        assert bug.codes <= set(CODES) - {"unclassified"}


def test_every_style_writes_six_layers():
    assert len(STYLES) == 52 and len(HELD_BACK) == 17
    for style in STYLES[::6]:
        files = list(cases(style))
        assert sum(c.bug is None for c in files) == 6
        assert all(ast.parse(c.text) and (c.bug is None) == (not c.lines) for c in files)
