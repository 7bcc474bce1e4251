"""The modules of mypy's list in pyproject.toml annotate every function that they export."""

import importlib
import inspect
import os
import subprocess
import sys
import tomllib

import pytest

import autocnn
import reference
from tests.helpers import ROOT, python

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("autocnn", "reference")
    for path in sorted((ROOT / package).rglob("*.py"))
]


def listed() -> list[str]:
    """Return the modules whose errors count, patterns like ``autocnn.optim.*`` written out."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    (patterns,) = (o["module"] for o in settings["overrides"] if o.get("ignore_errors") is False)
    found = []
    for pattern in patterns:
        name = pattern.removesuffix(".*")
        assert name in MODULES, f"pyproject.toml lists {pattern}, which does not exist"
        found += [m for m in MODULES if m == name or (pattern != name and m.startswith(f"{name}."))]
    return found


def functions(module):
    """Yield (name, function, whether it is a method) for all that the module exports."""
    exported = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
    for name in exported:
        value = vars(module).get(name)
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value, False
        elif inspect.isclass(value):
            for key, method in vars(value).items():
                if inspect.isfunction(method) and not key.startswith("_"):
                    yield f"{name}.{key}", method, True


def missing(function, is_method):
    """List the arguments without an annotation, and "return" where it has none."""
    names = list(inspect.signature(function).parameters)[is_method:]
    return [n for n in (*names, "return") if n not in inspect.get_annotations(function)]


@pytest.mark.parametrize("name", listed())
def test_exported_functions_are_annotated(name):
    if name.startswith("autocnn.fast.kernels.numba"):
        pytest.importorskip("numba")
    module = importlib.import_module(name)
    found = {n: missing(f, method) for n, f, method in functions(module)}
    assert not {n: names for n, names in found.items() if names}


def test_missing_annotations_are_seen():
    class Thing:
        def method(self, a, b: int): ...

    assert missing(Thing.method, True) == ["a", "return"]
    assert missing(lambda: 0, False) == ["return"]


def test_the_package_and_its_types_load_nothing():
    code = """
import sys
from autocnn import typing
print(sorted(m for m in sys.modules if m.startswith(("autocnn", "reference"))))
assert all(getattr(typing, name) is not None for name in typing.__all__)
"""
    assert python(code, check=True).stdout == "['autocnn', 'autocnn.typing']\n"
    with pytest.raises(AttributeError, match="no attribute 'Tensor'"):
        _ = importlib.import_module("autocnn.typing").Tensor


def test_every_interpretation_is_a_model(nn):
    from autocnn.typing import Model

    assert isinstance(nn.relu(), Model) and not isinstance(nn, Model)


@pytest.mark.slow
def test_a_program_that_uses_the_packages_is_checked(tmp_path):
    for package in (autocnn, reference):
        assert (ROOT / package.__name__ / "py.typed").exists()
    (tmp_path / "program.py").write_text(
        "import autocnn as ac\n"
        "from autocnn.typing import Model, Optimizer\n"
        "def use(model: Model, optimizer: Optimizer) -> None: ...\n"
        "use(ac.layers.relu(), ac.optim.sgd(0.1))\n"
        "use(3, ac.optim.sgd(0.1))\n"
    )
    options = ("--config-file=", "--follow-imports=silent", "--ignore-missing-imports")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "program.py"],
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    first, last = done.stdout.splitlines()
    assert first.startswith('program.py:5: error: Argument 1 to "use" has incompatible type "int"')
    assert last.startswith("Found 1 error")
