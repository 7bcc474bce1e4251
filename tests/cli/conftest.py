"""What tests of the command line share: image files, and a run of three epochs."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import autocnn as ac
from autocnn.data import idx
from autocnn.data.known import FILES
from tests.cli.tiny_runs import autocnn, short


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder of IDX files: the chapter's patterns in bytes, 60 for training and 30 for
    validation.
    """
    folder, drawn = tmp_path_factory.mktemp("idx"), ac.data.patterns()
    arrays = (drawn.x_train[::3, 0], drawn.y_train[::3], drawn.x_val[::3, 0], drawn.y_val[::3])
    for name, array in zip(FILES, arrays, strict=True):
        idx.write(folder / name, (array * 255 if array.ndim == 3 else array).astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def trained(images, tmp_path_factory):
    """One run of three epochs, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return folder, autocnn(*short(images, folder))


@pytest.fixture
def no_figures(monkeypatch):
    """They take most of a short run's time."""
    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(f"autocnn.plots.training.{name}", lambda *args, **options: Figure())
