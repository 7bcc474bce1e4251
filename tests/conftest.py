import importlib
import json
import pathlib

import numpy as np
import pytest

import autocnn as ac

pytest.register_assert_rewrite("tests.helpers")
from tests.helpers import INTERPRETATIONS  # noqa: E402

# They compile the same kernels: two workers of pytest-xdist would each spend half a minute on them.
COMPILING = ("test_fast_", "test_networks", "test_checkpoint", "test_weights", "test_export")


def pytest_collection_modifyitems(config, items):
    """Give the tests that compile kernels to one worker (``--dist loadgroup``)."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.path.name.startswith(COMPILING):
                item.add_marker(pytest.mark.xdist_group("kernels"))


@pytest.fixture(params=INTERPRETATIONS, ids=str)
def nn(request):
    """Each interpretation of the vocabulary in turn."""
    return INTERPRETATIONS[request.param]


@pytest.fixture(scope="session")
def golden():
    """The chapter's results at full precision."""
    return json.loads((pathlib.Path(__file__).parent / "golden" / "chapter25.json").read_text())


@pytest.fixture(scope="session")
def patterns():
    return ac.data.patterns()


@pytest.fixture
def tiny(patterns):
    """TinyCNN at the chapter's start, and one batch."""
    model = ac.models.tiny_cnn()
    _, params, state = model.init(3, (1, 8, 8))
    return model, params, state, (patterns.x_train[:18], patterns.y_train[:18])


@pytest.fixture
def generator():
    return np.random.default_rng(20)


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line in this process: command(*arguments) -> (exit code, stdout, stderr)."""

    def run(*arguments, columns=100):
        monkeypatch.setattr("sys.argv", ["autocnn", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as stop:
            importlib.import_module("autocnn.cli").main()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run
