import json
import pathlib

import numpy as np
import pytest

import autocnn as ac
import reference

# They compile the same kernels: two workers of pytest-xdist would each spend half a minute on them.
COMPILING = ("test_fast_", "test_networks", "test_checkpoint", "test_weights", "test_export")


def pytest_collection_modifyitems(config, items):
    """Give the tests that compile kernels to one worker (``--dist loadgroup``)."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.path.name.startswith(COMPILING):
                item.add_marker(pytest.mark.xdist_group("kernels"))


VOCABULARIES = {"autograd": ac.layers, "reference": reference, "fast": ac.fast}


@pytest.fixture(params=VOCABULARIES, ids=str)
def nn(request):
    """Each interpretation of the vocabulary in turn."""
    return VOCABULARIES[request.param]


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
