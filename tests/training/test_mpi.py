"""Training over several ranks: the parameters of one process, and an end with a message when a
rank is lost.
"""

import itertools
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

import autocnn as ac
from autocnn import runs
from autocnn.training import mpi as parallel
from autocnn.trees import leaves
from tests.helpers import ROOT, rank_networks, rank_start

pytest.importorskip("mpi4py")
MPIEXEC = shutil.which("mpiexec", path=str(pathlib.Path(sys.executable).parent)) or shutil.which(
    "mpiexec"
)

SCRIPT = """
import json, sys
import numpy as np
import autocnn as ac, reference
from autocnn.training import mpi as parallel
from autocnn.trees import leaves
from tests.helpers import rank_networks, rank_start

comm = parallel.world().comm
found = {}
for name, model in rank_networks().items():
    params, state, data = rank_start(model)
    run = ac.train(params, data, model=parallel.shard(model), state=state, epochs=3, batch_size=20)
    found[name] = [leaf.tolist() for _, leaf in leaves((run.params, run.state))]
model = rank_networks()["norm and dropout"]
params, state, data = rank_start(model)
batch = data.x_train[:20], data.y_train[:20]
one = parallel.shard(model).loss_and_grad(params, state, batch, key=5)
found["one step"] = [np.asarray(leaf).tolist() for _, leaf in leaves(one)]
one = parallel.shard(model).loss_and_grad(params, state, batch, train=False)
found["in evaluation"] = [np.asarray(leaf).tolist() for _, leaf in leaves(one)]
y, _, backward = parallel.shard(model).vjp(params, state, data.x_train[:20], train=True, key=5)
found["vjp"] = [np.asarray(leaf).tolist() for _, leaf in leaves((y, backward(np.cos(y))))]
cnn = rank_networks()["tiny_cnn"]
params, state, data = rank_start(cnn)
one = parallel.shard(cnn).loss_and_grad(params, state, (data.x_train[:1], data.y_train[:1]))
found["one image"] = [np.asarray(leaf).tolist() for _, leaf in leaves(one)]
everyone = comm.gather(json.dumps(found))
if comm.rank == 0:
    print(json.dumps({"found": found, "equal": len(set(everyone)) == 1, "ranks": len(everyone)}))
"""


def mpiexec(ranks, *arguments):
    """Start Python on so many ranks and return what it did."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)


@pytest.mark.parametrize("ranks", [2, 3])
def test_many_ranks_train_as_one(ranks):
    result = mpiexec(ranks, "-c", SCRIPT)
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed["equal"] and printed["ranks"] == ranks
    found = printed["found"]

    model = rank_networks()["tiny_cnn"]
    params, state, data = rank_start(model)
    run = ac.train(params, data, model=model, state=state, epochs=3, batch_size=20)
    close(found["tiny_cnn"], (run.params, run.state), 1e-10)
    close(
        found["one image"],
        model.loss_and_grad(params, state, (data.x_train[:1], data.y_train[:1])),
        1e-14,
    )

    # Batch norm and dropout: each rank has its own statistics and its own masks; the rest is an
    # average by images.
    model = rank_networks()["norm and dropout"]
    params, state, data = rank_start(model)
    batch = (data.x_train[:20], data.y_train[:20])
    close(found["in evaluation"], model.loss_and_grad(params, state, batch, train=False), 1e-14)
    y, _, backward = model.vjp(params, state, batch[0], train=True, key=5)
    close(found["vjp"], (y, backward(np.cos(y))), 1e-14)
    ends = [20 * r // ranks for r in range(ranks + 1)]
    expected = 0
    for r, (low, high) in enumerate(itertools.pairwise(ends)):
        part = model.loss_and_grad(
            params, state, (data.x_train[low:high], data.y_train[low:high]), key=(5, r)
        )
        expected = (
            expected
            + np.concatenate([np.ravel(leaf) for _, leaf in leaves(part)]) * (high - low) / 20
        )
    np.testing.assert_allclose(
        np.concatenate([np.ravel(leaf) for leaf in found["one step"]]), expected, rtol=0, atol=1e-14
    )


def close(lists, tree, tolerance):
    for found, (path, leaf) in zip(lists, leaves(tree), strict=True):
        np.testing.assert_allclose(found, leaf, rtol=0, atol=tolerance, err_msg=path)


COMMAND = "from autocnn.cli import main; main()"
TRAIN = (
    "train",
    "tiny-cnn",
    "--data",
    "patterns",
    "--limit",
    50,
    "--epochs",
    2,
    "--dtype",
    "float64",
)


def test_the_command(tmp_path):
    alone = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, TRAIN), "--out", tmp_path / "1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    together = mpiexec(2, "-c", COMMAND, *TRAIN, "--out", tmp_path / "2")
    assert together.returncode == alone.returncode == 0, together.stderr
    plain = [re.sub(r"\d+:\d\d|/[12]:", "", out) for out in (alone.stdout, together.stdout)]
    assert plain[0] == plain[1]
    assert sorted(p.name for p in (tmp_path / "1").iterdir()) == sorted(
        p.name for p in (tmp_path / "2").iterdir()
    )
    one, two = (runs.load(tmp_path / n, "last").train_state for n in "12")
    assert {leaf.dtype for _, leaf in leaves(two.params)} == {np.dtype("float64")}
    close([leaf for _, leaf in leaves(two.params)], one.params, 1e-10)


def test_bad_input_is_said_once(tmp_path):
    result = mpiexec(2, "-c", COMMAND, *TRAIN, "--rate", -1, "--out", tmp_path / "run")
    assert result.returncode == 2
    assert [line for line in result.stderr.splitlines() if line.startswith("autocnn: ")] == [
        "autocnn: the peak rate must be a finite number, 0 or more; got -1.0"
    ]
    assert not (tmp_path / "run").exists()


DEATHS = {
    "kill": ("os.kill(os.getpid(), 9)", "BAD TERMINATION|[Kk]illed"),
    "raise": (
        "raise ArithmeticError('lost')",
        "ArithmeticError: lost(.|\n)*rank 1 of 2 ended with ArithmeticError",
    ),
}


@pytest.mark.parametrize("how", DEATHS)
def test_a_rank_that_dies_ends_the_job(how):
    deed, words = DEATHS[how]
    script = f"""
import os
import autocnn as ac
from autocnn.training import mpi as parallel
from tests.helpers import rank_networks, rank_start
def die(moment):
    if parallel.rank() == 1 and moment.step == 3:
        {deed}
model = rank_networks()["tiny_cnn"]
params, state, data = rank_start(model)
ac.train(params, data, model=parallel.shard(model), state=state, epochs=50, on_step=die)
print("done")
"""
    before = time.monotonic()
    result = mpiexec(2, "-c", script)
    assert result.returncode != 0
    assert "done" not in result.stdout
    assert re.search(words, result.stdout + result.stderr)
    assert time.monotonic() - before < 30


def test_one_process_is_left_alone():
    model = rank_networks()["tiny_cnn"]
    assert parallel.shard(model) is model
    assert parallel.world() == (None, 0, 1)


def test_mpi4py_is_asked_for(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ValueError, match=r"pip install 'autocnn\[mpi\]'"):
        parallel.world.__wrapped__()
