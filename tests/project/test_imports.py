"""What an import loads, asked of a fresh interpreter."""

import pydoc
import re
import subprocess
import sys
import tomllib

import pytest

import autocnn
from tests.helpers import ROOT, python

OPTIONAL = [
    "matplotlib",
    "sklearn",
    "torch",
    "jax",
    "numba",
    "dask",
    "mpi4py",
    "onnx",
    "onnxruntime",
    "openvino",
    "pytest",
    "typer",
    "scipy.stats",
]


@pytest.mark.parametrize(
    "package, absent",
    [
        ("reference", ["autograd", "autocnn", "scipy", *OPTIONAL]),
        ("autocnn", OPTIONAL),
        ("autocnn.training.mpi", OPTIONAL),
        ("autocnn.files", OPTIONAL),
    ],
)
def test_import_loads_only_what_it_needs(package, absent):
    code = f"import sys, {package}; print([m for m in {absent!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_heavy_modules_come_when_they_are_asked_for():
    code = "import autocnn as ac; ac.experiments; ac.plots; print('ok')"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "ok\n"
    )


def test_dir_lists_what_the_package_offers():
    code = "import autocnn as ac; print(*[n for n in dir(ac) if not n.startswith('_')])"
    listed = python(code, check=True).stdout.split()
    assert listed == sorted(autocnn.__all__)
    assert {"export", "fast", "gradcheck", "images", "plots", "runs", "sweep", "train"} <= set(
        listed
    )
    for name in listed:
        assert getattr(autocnn, name).__doc__, name


def test_help_shows_the_public_names():
    text = pydoc.render_doc(autocnn, renderer=pydoc.plaintext)
    for name in ("gradients by autograd", "train(params, data", "summary(model_or_builder"):
        assert name in text


def test_the_version_has_one_source():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "autocnn.__version__"}
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[?([\d.]+)", changelog, re.MULTILINE)[1] == autocnn.__version__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = autocnn.nonsense


def test_the_old_fast_ops_are_the_ops():
    import autocnn as ac

    with pytest.warns(DeprecationWarning, match=r"autocnn\.ops"):
        assert ac.fast.ops is ac.ops
