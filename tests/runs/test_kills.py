"""SIGKILL at 60 moments of a training, writes included: the folder can be read, and the run goes
on to the same bits.
"""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

import autocnn as ac
from autocnn import runs

if not hasattr(os, "fork"):
    pytest.skip("SIGKILL and fork are POSIX", allow_module_level=True)
HERE = pathlib.Path(__file__).parent
KINDS = [
    *(
        f"{when} {what}"
        for what in ("open", "fsync", "link", "replace", "step")
        for when in ("before", "after")
    ),
    "before unlink",
]


@pytest.fixture(
    scope="module",
    params=[pytest.param(1, id="all", marks=pytest.mark.slow), pytest.param(6, id="a sixth")],
)
def killed(request, tmp_path_factory):
    """The folders of all children, and what kill_runner.py has noted of them."""
    root = tmp_path_factory.mktemp("kills")
    env = os.environ | {
        "AUTOCNN_KERNELS": "numpy",
        "PYTHONPATH": str(HERE.parents[1]),
        "PYTHONWARNINGS": "error",
    }
    env |= dict.fromkeys(
        ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"
    )  # one thread, so that it may fork
    done = subprocess.run(
        [sys.executable, str(HERE / "kill_runner.py"), str(root), str(request.param)],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout), request.param


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_there_are_60_kills_and_they_are_everywhere(killed):
    found = [
        run
        for run in killed[1]["found"]
        if run["moment"] and not run["moment"].startswith("after 0")
    ]
    assert len(found) == 60 / killed[2]
    assert all(run["ends"] == [-signal.SIGKILL, 0] for run in found)
    expected = {*KINDS, "in the middle of write"}
    found = {run["moment"] for run in found}
    assert found >= expected if killed[2] == 1 else len(found & expected) > 4
    assert len(killed[1]["moments"]) > 100


def test_all_go_on_to_the_same_bits(killed):
    root, noted, _ = killed
    assert runs.load(root / "whole", "best").train_state.history["epoch"] == [0, 1]
    whole = files(root / "whole")
    assert sorted(whole) == sorted(
        [
            "best-copy.safetensors",
            "best.safetensors",
            "config.json",
            "confusion.png",
            "curves.png",
            "history.csv",
            "last-1.safetensors",
            "last-2.safetensors",
            "last.safetensors",
            "mistakes.png",
        ]
    )
    assert files(root / "first") == whole  # watching changes nothing
    for run in noted["found"]:
        *kills, end = run["ends"]
        assert end == 0 and {*kills} <= {-signal.SIGKILL, 0}, run
        assert files(root / run["folder"]) == whole, run  # nothing half-written is left, nor a lock
    chains = [run["ends"] for run in noted["found"] if run["folder"].startswith("chain")]
    assert all(len(ends) > 2 for ends in chains)


def test_no_kill_leaves_a_folder_that_cannot_be_read(killed):
    root, data, seen = killed[0], runs.load_data("patterns", 20), set()
    for folder in root.glob("* killed"):
        there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        hidden = {path.suffix for path in folder.iterdir()} - {
            path.suffix for path in map(folder.joinpath, there)
        }
        assert hidden <= {"", ".part"}
        seen |= hidden
        if "config.json" in there:
            assert runs.read_config(folder).recipe.epochs == 2
        for name in {"last.safetensors", "best.safetensors"} & there:
            model, moment = runs.load(folder, name.split(".")[0])[1:]
            loss, accuracy = ac.evaluate(model, moment.params, moment.state, data.x_val, data.y_val)
            assert loss == pytest.approx(
                moment.history["val_loss"][-1], rel=1e-6
            )  # by another engine's forward pass
            assert accuracy == moment.history["val_acc"][-1]
        if "history.csv" in there:
            with open(folder / "history.csv") as table:
                rows = list(csv.DictReader(table))
            assert [int(row["epoch"]) for row in rows] == list(range(len(rows)))
            assert np.isfinite([float(cell) for row in rows for cell in row.values()]).all()
    assert killed[2] > 1 or ".part" in seen  # some were killed while they wrote
