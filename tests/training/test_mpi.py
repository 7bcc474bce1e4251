"""Training over several ranks: the parameters of one process, and an end with a message when a
rank is lost.
"""

import itertools
import json
import os
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
SLOW = pytest.mark.slow
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
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)


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


# ------------------------------------------------------------------- ranks that fail or differ

RUN = """
import os, sys
import numpy as np
import autocnn as ac
from autocnn.training import agreement, mpi
from tests.helpers import rank_networks, rank_start
rank, size = mpi.world().rank, mpi.world().size
odd = rank == size - 1
model = rank_networks()["tiny_cnn"]
params, state, data = rank_start(model)
options = {{"epochs": 50}}
def die(moment):
    if odd and moment.step == 3:
        {deed}
{setting}
ac.train(params, data, model=mpi.shard(model), state=state, on_step=die, **options)
print("done")
"""


def ranks_end(deed="pass", setting="", ranks=2):
    result = mpiexec(ranks, "-c", RUN.format(deed=deed, setting=setting))
    assert result.returncode != 0
    assert "done" not in result.stdout
    return result.returncode, result.stdout + result.stderr


def test_a_rank_that_is_killed_ends_the_job():
    _, said = ranks_end("os.kill(os.getpid(), 9)")
    assert re.search("BAD TERMINATION|[Kk]illed", said)


DEATHS = {
    "ArithmeticError('lost')": "ArithmeticError: lost",
    "OSError(28, 'No space left on device')": "OSError: .Errno 28. No space left on device",
    "ImportError('no numba')": "ImportError: no numba",
    "MemoryError()": "MemoryError",
    "KeyboardInterrupt": "KeyboardInterrupt",
}


@pytest.mark.parametrize(
    "error", [key if i == 0 else pytest.param(key, marks=SLOW) for i, key in enumerate(DEATHS)]
)
def test_a_rank_that_fails_ends_the_job(error):
    """All that it prints arrives, its last line too."""
    code, said = ranks_end(f"raise {error}", ranks=3)
    assert code == (130 if error == "KeyboardInterrupt" else 1)
    kind = re.match(r"\w+", error)[0]
    assert re.search(
        f"{DEATHS[error]}(.|\n)*rank 2 of 3 ended with {kind}; the others end too\n", said
    )
    assert said.count("Traceback") == 1  # the others end in silence


@pytest.mark.parametrize(
    "odd, words",
    [
        ("raise ImportError('no library')", "ImportError: no library\n"),
        pytest.param("import os; os._exit(0)", "", marks=SLOW),
        pytest.param("import autocnn, sys; sys.exit('no data')", "no data\n", marks=SLOW),
        pytest.param(
            "import sys; sys.argv[1:] = ['train', '--epoch', '3']\n" + COMMAND,
            "No such option",
            marks=SLOW,
        ),
    ],
)
def test_a_rank_that_ends_before_it_joins_ends_the_others(tmp_path, odd, words):
    """It may fail at an import, before data are read, or at a command line of its own."""
    start = [sys.executable, "-c"]
    command = [MPIEXEC, "-n", "1", *start, COMMAND, *map(str, TRAIN), "--out", str(tmp_path / "a")]
    command += [":", "-n", "1", *start, odd, ":", "-n", "1", *command[3:]]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert result.returncode and "epoch" not in result.stdout and words in result.stderr
    line = "autocnn: rank 1 of 3 ended before it had joined the others, which end too\n"
    assert result.stderr.count("autocnn: ") == 1 and line in result.stderr
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_a_signal_ends_a_rank_that_waits_for_the_others(tmp_path):
    start = [sys.executable, "-c"]
    command = [MPIEXEC, "-n", "1", *start, COMMAND, *map(str, TRAIN), "--out", str(tmp_path / "a")]
    command += [":", "-n", "1", *start, "import time; print('here', flush=True); time.sleep(200)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline() == b"here\n"
        time.sleep(4)  # until the other waits
        process.terminate()
        assert process.wait(timeout=60)


SETTINGS = {
    "data = data._replace(x_train=data.x_train + odd * 1e-9)": "the training images",
    "data = data._replace(x_train=data.x_train[odd:], y_train=data.y_train[odd:])": (
        r"the training images: float64 of shape \(\d+, 1, 8, 8\) there, float64 of shape"
    ),
    "data = data._replace(y_val=np.roll(data.y_val, odd))": "the validation labels",
    "params[0]['b'][0] += odd * 1e-9": "the parameters",
    "options |= {'batch_size': 18 + odd}": r"the settings: \(.*19.* there, \(.*18.* here",
    "options |= {'epochs': 50 - odd}": "the settings",
    "options |= {'seed': 5 + odd}": "the settings",
    "ac.__version__ += '-other' * odd": "the versions: 'autocnn .*-other",
    "options |= {'class_weight': {0: 1 + odd}}": "the weights of images",
}


@pytest.mark.parametrize(
    "setting", [key if i == 1 else pytest.param(key, marks=SLOW) for i, key in enumerate(SETTINGS)]
)
def test_ranks_that_differ_are_told_and_end(setting):
    code, said = ranks_end(setting=setting)
    assert code == 1
    assert re.search(f"rank 1 of 2 and rank 0 differ in {SETTINGS[setting]}", said)
    assert said.count("ended with ValueError") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "deed, setting, words",
    [
        ("", "options |= {'optimizer': ac.optim.sgd(0.1 + odd)}", "no longer agree with those of"),
        ("sys.exit()", "", "some ranks have come to the end of the program while others still"),
        (
            "",
            "x, y = data.x_train[:9 + odd], data.y_train[:9 + odd]\n"
            "mpi.shard(model).loss_and_grad(params, state, (x, y))",
            "differ in the number of images in a batch: 10 there, 9 here",
        ),
        ("", "if odd: raise ValueError('early')", "rank 1 of 2 ended with ValueError"),
        ("", "if not odd: raise ValueError('early')", "rank 0 of 2 ended with ValueError"),
        ("", "raise ValueError('on all')", "rank 0 of 2 ended with ValueError"),
        (
            "",
            "if not odd: agreement.check_similar(mpi.world(), 'parameters', params)",
            "the ranks do not do the same",
        ),
    ],
)
def test_other_differences(deed, setting, words):
    code, said = ranks_end(deed or "pass", setting)
    assert code == 1 and words in said
    assert said.count("ended with") <= 1


LOADS = """
import sys
from autocnn import runs
from autocnn.training import mpi
load = runs.load_data
def fail(*args):
    if mpi.rank() == 1:
        raise {error}
    return load(*args)
runs.load_data = fail
from autocnn.cli import main
main()
"""


@pytest.mark.parametrize(
    "error, code, line",
    [
        (
            "OSError(28, 'No space left on device', '/data\\x1b')",
            1,
            r"/data\x1b: No space left on device",
        ),
        pytest.param(
            "ImportError('no scikit-learn')",
            1,
            "no scikit-learn; or train without it: autocnn train tiny-cnn --data patterns",
            marks=SLOW,
        ),
        pytest.param("MemoryError()", 1, "not enough memory", marks=SLOW),
        pytest.param("ValueError('damaged')", 2, "damaged", marks=SLOW),
    ],
)
def test_a_rank_on_which_the_command_fails(tmp_path, error, code, line):
    result = mpiexec(2, "-c", LOADS.format(error=error), *TRAIN, "--out", tmp_path / "run")
    assert (result.returncode, result.stderr) == (code, f"autocnn: rank 1 of 2: {line}\n")


STOPS = """
import os, signal
from autocnn.runs import recipes
from autocnn.training import mpi
steps = []
def meet(key, x):
    steps.append(x)
    if len(steps) == 2 and mpi.rank() == {rank}:
        signal.raise_signal(signal.SIGTERM)
    return x
recipes.augmentation = lambda *args: meet
from autocnn.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_on_one_rank_stops_all_after_the_same_step(tmp_path, rank):
    folder = tmp_path / "run"
    result = mpiexec(2, "-c", STOPS.format(rank=rank), *TRAIN, "--shift", "--run", folder)
    said = f"stopped after step 2 of 6 by SIGTERM; go on with: autocnn train --run {folder}\n"
    assert (result.returncode, result.stderr) == (143, said)
    assert runs.load(folder, "last").train_state.step == 2


def test_one_process_is_left_alone():
    model = rank_networks()["tiny_cnn"]
    assert parallel.shard(model) is model
    assert parallel.world() == (None, 0, 1)


def test_mpi4py_is_asked_for(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ValueError, match=r"pip install 'autocnn\[mpi\]'"):
        parallel.world.__wrapped__()


def in_a_task(**variables):
    """What a process says of the world that it was started in."""
    code = "from autocnn.training import mpi; print(mpi.world().size)"
    names = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS", "PMIX_RANK")
    found = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=found | variables,
    )


def test_tasks_of_srun_that_mpi_does_not_join_are_not_trained_alone():
    done = in_a_task(SLURM_NTASKS="2", PMIX_RANK="0")
    assert done.returncode and "srun started 2 tasks, but MPI joins 1 of them" in done.stderr


def test_a_number_of_ranks_that_is_none_means_one():
    for variables in ({"PMI_SIZE": ""}, {"PMI_SIZE": "many"}, {"SLURM_NTASKS": "2"}):
        assert in_a_task(**variables).stdout.strip() == "1"
