"""The two gradient paths share declarations, never a backward pass."""

import ast
import pathlib

import numpy as np
import pytest

import autocnn as ac
import reference
from reference import layer, loss
from tests.cases import CASES

SHARED = ("arguments", "keys", "layer", "loss", "origin", "validate", "warn", "vocabulary")


def _imported(path):
    """The modules and names that a file takes from ``reference``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "reference":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "reference")


def test_autocnn_imports_declarations_only():
    root = pathlib.Path(ac.__file__).parent
    found = {str(p.relative_to(root)): set(_imported(p)) for p in root.rglob("*.py")}
    for name, imports in found.items():
        for module in imports - {"reference"}:
            assert module.split(".")[1] in SHARED, (name, module)
    # These build networks with ``nn=reference``; they do not compute with its functions.
    whole = {name for name, imports in found.items() if "reference" in imports}
    assert whole <= {"export/onnx.py"}


def test_the_reference_imports_nothing_of_autocnn():
    for path in pathlib.Path(reference.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in getattr(node, "names", [])] + [
                getattr(node, "module", "") or ""
            ]
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert not any(n.split(".")[0] in ("autocnn", "autograd") for n in names), path


@pytest.mark.parametrize("nn", [ac.layers, ac.fast], ids=["autograd", "fast"])
def test_gradients_survive_without_any_backward_pass_of_the_reference(nn, monkeypatch):
    """Every derivative by hand raises; the automatic and the fast path do not notice."""

    def broken(*args, **kwargs):
        raise AssertionError("a backward pass of the reference was called")

    monkeypatch.setattr(layer.Layer, "pullback", broken)
    monkeypatch.setattr(layer.losses, "loss_and_gradient", broken)
    monkeypatch.setattr(loss, "loss_and_gradient", broken)
    for value in (reference.cross_entropy, reference.mse):
        for case in CASES[::7]:
            model = nn.serial(case.build(nn), nn.flatten(), nn.dense(2))
            _, params, state = model.init(1, case.shape)
            x = np.random.default_rng(0).normal(size=(3, *case.shape))
            batch = x, np.array([0, 1, 1])
            options = {"loss": value._replace(slope=broken)} if value is reference.mse else {}
            assert np.isfinite(model.loss_and_grad(params, state, batch, key=2, **options)[0])
