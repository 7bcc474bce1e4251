"""What an import loads, asked of a fresh interpreter."""

import subprocess
import sys

import pytest

OPTIONAL = [
    "matplotlib",
    "sklearn",
    "torch",
    "jax",
    "numba",
    "dask",
    "mpi4py",
    "onnx",
    "pytest",
    "typer",
    "scipy.stats",
]


@pytest.mark.parametrize(
    "package, absent",
    [
        ("reference", ["autograd", "autocnn", "scipy", *OPTIONAL]),
        ("autocnn", OPTIONAL),
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


def test_unknown_names_are_attribute_errors():
    import autocnn

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = autocnn.nonsense
