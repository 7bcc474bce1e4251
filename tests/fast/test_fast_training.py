"""The chapter's four runs by fast kernels, number for number; threads, kernels and environment."""

import os
import subprocess
import sys

import numpy as np
import pytest

import autocnn as ac
from autocnn import fast
from autocnn.fast.loss import loss_and_gradient
from reference.loss import cross_entropy
from tests.helpers import CLASSES, SEEDS, chapter_start

pytestmark = pytest.mark.kernels


@pytest.mark.parametrize("kind", ["numpy", "numba"])
@pytest.mark.parametrize("which", CLASSES)
@pytest.mark.parametrize("name", SEEDS)
def test_every_epoch_of_every_run(golden, which, name, kind):
    if kind == "numba":
        pytest.importorskip("numba")
    data, model, params, state = chapter_start(which, name, fast)
    with fast.using(kind):
        run = ac.train(params, data, model=model, state=state, seed=SEEDS[name][1])
    for key, expected in golden[which][name]["history"].items():
        np.testing.assert_allclose(run.history[key], expected, rtol=1e-9, atol=0, err_msg=key)


def test_long_runs_in_single_precision_meet_no_subnormal_numbers():
    """Weights that have learned all there is get tiny gradients; arithmetic on subnormal numbers
    is a hundred times slower.
    """
    data = ac.data.patterns(train_per_class=10, val_per_class=5)
    model = ac.models.tiny_cnn(nn=fast)
    _, params, _ = model.init(3, (1, 8, 8), "float32")
    run = ac.train(params, data, model=model, optimizer=ac.optim.adam(0.05), epochs=150)
    held = [
        leaf for _, leaf in ac.trees.leaves([run.params, run.opt_state["m"], run.opt_state["v"]])
    ]
    assert not any(((a != 0) & (np.abs(a) < np.finfo("float32").tiny)).any() for a in held)


def test_probabilities_that_are_nothing_make_no_subnormal_gradients():
    logits = np.array([[0, -95, -40, -69], [3, 1, -100, 2]], "float32")
    loss, dlogits = loss_and_gradient(cross_entropy, logits, np.array([0, 3]))
    exact, expected = loss_and_gradient(cross_entropy, logits.astype("float64"), np.array([0, 3]))
    assert loss == pytest.approx(exact, rel=1e-6)
    np.testing.assert_allclose(dlogits, expected, rtol=1e-6, atol=1e-8)
    assert not ((dlogits != 0) & (np.abs(dlogits) < 1e-31)).any()
    assert dlogits[0, 2] != 0 == dlogits[0, 1] == dlogits[1, 2]


@pytest.mark.parametrize(
    "variable, value, says",
    [
        ("AUTOCNN_KERNELS", "fortran", "auto, numba, numpy"),
        ("AUTOCNN_THREADS", "many", "number of threads"),
    ],
)
def test_bad_settings_are_named(variable, value, says):
    code = "from autocnn import fast; fast.threads()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {variable: value},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError") and says in last and repr(value) in last


def test_settings_are_read_from_the_environment():
    code = (
        "from autocnn import fast; import sys, numpy; from threadpoolctl import threadpool_info;"
        "assert fast.threads() == 1;"
        "print({i['num_threads'] for i in threadpool_info() if i['user_api'] == 'blas'});"
        "m = fast.conv(2, 3); _, params, _ = m.init(0, (1, 400, 400));"
        "m.apply(params, {}, numpy.ones((1, 1, 400, 400))); print('numba' in sys.modules)"
    )
    env = os.environ | {"AUTOCNN_THREADS": "1", "AUTOCNN_KERNELS": "numpy"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["{1}", "False"]


def test_importing_the_vocabulary_loads_neither_numba_nor_torch():
    absent = {"numba", "torch", "scipy", "matplotlib"}
    code = f"import sys, autocnn.fast; print(sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_knob_turns_blas_too():
    from threadpoolctl import threadpool_info

    before = fast.threads()
    try:
        for n in (1, 2):
            assert fast.threads(n) == fast.threads() == n
            assert {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"} == {n}
    finally:
        fast.threads(before)
    with pytest.raises(ValueError, match="threads must be an int"):
        fast.threads(0)


def test_blas_gets_its_threads_back(monkeypatch):
    """Within a network BLAS is held at one thread, beside the kernels' own; an error frees it,
    too.
    """
    from threadpoolctl import threadpool_info

    pytest.importorskip("numba")
    before = fast.threads()
    fast.threads(2)
    seen = []

    def watch(*args):
        seen.append({i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"})
        raise FloatingPointError("inside")

    model = fast.serial(fast.flatten(), fast.dense(200), fast.relu(), fast.dense(3))
    _, params, state = model.init(0, (1, 20, 20))
    batch = np.ones((200, 1, 20, 20)), np.zeros(200, int)
    try:
        model.loss_and_grad(params, state, batch)
        monkeypatch.setattr("autocnn.fast.layer.loss_and_gradient", watch)
        with pytest.raises(FloatingPointError, match="inside"):
            model.loss_and_grad(params, state, batch)
        assert seen == [{1}]
        assert {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"} == {2}
    finally:
        fast.threads(before)


NETWORK = """
import os, sys, threading
import numpy as np
import autocnn as ac
from autocnn import fast
fast.threads(2)
model = ac.models.lenet5(nn=fast)
_, params, state = model.init(0, (1, 28, 28), "float32")
x = np.random.default_rng(0).normal(size=(32, 1, 28, 28)).astype("float32")
labels = np.arange(32) % 10
def loss():
    return float(model.loss_and_grad(params, state, (x, labels))[0])
first = loss()
"""


def test_a_forked_process_goes_on_alone():
    """OpenMP's threads are not there in a fork, and asking for them would end it."""
    pytest.importorskip("numba")
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    code = (
        NETWORK
        + """
child = os.fork()
if not child:
    os._exit(0 if abs(loss() - first) < 1e-5 else 3)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), loss() == first)
"""
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("0 True\n", "")


def test_two_callers_at_a_time_get_the_same_bits():
    pytest.importorskip("numba")
    code = (
        NETWORK
        + """
found = []
def call():
    found.extend(loss() for _ in range(20))
callers = [threading.Thread(target=call) for _ in range(3)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
print(len(found), set(found) == {first})
"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("60 True\n", "")


def test_without_threads_that_two_may_use_kernels_run_on_one(monkeypatch):
    pytest.importorskip("numba")
    from autocnn.fast.kernels.numba import compiler, parallel

    before = fast.threads()
    fast.threads(2)
    try:
        assert parallel.num_threads() == 2
        monkeypatch.setattr(parallel.numba.config, "THREADING_LAYER", "workqueue")
        compiler.has_reentrant_threads.cache_clear()
        assert parallel.num_threads() == 1
    finally:
        fast.threads(before)
        monkeypatch.undo()
        compiler.has_reentrant_threads.cache_clear()


def python(code, **env):
    """Run code in a process of its own; a variable of the environment that is None is taken
    away.
    """
    env = {k: v for k, v in (os.environ | env).items() if v is not None}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def test_a_tiny_run_that_comes_first_leaves_the_knob_alone():
    """While a tiny network trains, BLAS says that it has one thread."""
    code = """
import autocnn as ac
data = ac.data.load("digits")
model = ac.models.tiny_cnn(10, 12, nn=ac.fast)
_, params, state = model.init(0, (1, 8, 8))
ac.train(params, data, model, state, epochs=1)
from threadpoolctl import threadpool_info
print(ac.fast.threads(), {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"})
"""
    done = python(
        code,
        OPENBLAS_NUM_THREADS="2",
        MKL_NUM_THREADS="2",
        OMP_NUM_THREADS="2",
        AUTOCNN_THREADS=None,
    )
    assert (done.stdout, done.stderr) == ("2 {2}\n", "")


def test_what_ran_before_changes_no_bit(two_threads, monkeypatch):
    """The first call of all loads Numba in its midst, and the second finds it loaded: BLAS has
    one thread in both.
    """
    from autocnn.fast import kernels

    model = fast.serial(
        fast.conv(8, 3), fast.relu(), fast.flatten(), fast.dense(128), fast.relu(), fast.dense(221)
    )
    _, params, state = model.init(3, (1, 28, 28))
    batch = np.random.default_rng(0).normal(size=(206, 1, 28, 28)), np.arange(206)
    kernels._numba_kernels.cache_clear()
    first, second = (model.loss_and_grad(params, state, batch) for _ in range(2))
    assert all(
        np.array_equal(a, b)
        for (_, a), (_, b) in zip(*map(ac.trees.leaves, (first[1], second[1])), strict=True)
    )


def test_the_knob_may_be_turned_while_kernels_run(two_threads, monkeypatch):
    """An array with a part for each thread was made before; nobody writes beside it."""
    pytest.importorskip("numba")
    from itertools import cycle

    from autocnn.fast import threadpool
    from autocnn.fast.kernels import numba as kernels_numba

    x = np.random.default_rng(0).normal(size=(1000, 12))
    for counts in ((1, 4), (4, 1), (3, 2)):
        turns = cycle(counts)
        monkeypatch.setattr(threadpool, "num_threads", lambda turns=turns: next(turns))
        np.testing.assert_allclose(kernels_numba.column_sums(x), x.sum(axis=0), rtol=1e-12)
        out = np.empty((12, 12))
        kernels_numba.matmul_tn(x, x, out)
        np.testing.assert_allclose(out, x.T @ x, rtol=1e-12)


def test_blas_is_told_of_a_turn_when_it_is_free_again(two_threads):
    from threadpoolctl import threadpool_info

    from autocnn.fast import threadpool

    def blas():
        return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}

    with threadpool.single_threaded_blas():
        fast.threads(1)
        fast.threads(2)
        assert blas() == {1}
        fast.threads(3)
    assert blas() == {3}


def test_who_works_alone_has_one_thread_and_others_keep_theirs(two_threads):
    import threading

    from autocnn.fast import threadpool

    seen = []
    with threadpool.single_threaded():
        with threadpool.single_threaded():
            seen.append(threadpool.num_threads())
        seen.append(threadpool.num_threads())
        other = threading.Thread(target=lambda: seen.append(threadpool.num_threads()))
        other.start()
        other.join()
    assert [*seen, threadpool.num_threads(), fast.threads()] == [1, 1, 2, 2, 2]


def test_without_numbas_compiler_numpy_computes():
    pytest.importorskip("numba")
    code = "from autocnn.fast import kernels; print(kernels.kernels_for(2**20).__name__)"
    done = python(code, NUMBA_DISABLE_JIT="1", AUTOCNN_KERNELS=None)
    assert (done.stdout, done.stderr) == ("autocnn.fast.kernels.numpy\n", "")
    done = python(code, NUMBA_DISABLE_JIT="1", AUTOCNN_KERNELS="numba")
    assert "unset" in done.stderr.splitlines()[-1]


def test_a_numba_that_cannot_be_imported_is_told_of_and_done_without(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 1.0 or less')\n")
    code = """
from numpy import ones
from autocnn import fast
params = {"w": ones((2, 1, 3, 3))}
print(fast.conv(2, 3, bias=False).apply(params, {}, ones((1, 1, 400, 400)))[0].max())
"""
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", ""), os.getcwd()])
    done = python(code, PYTHONPATH=path, AUTOCNN_KERNELS=None)
    assert done.stdout == "9.0\n"
    assert done.stderr.count("RuntimeWarning: Numba is installed, but cannot be imported") == 1
    assert "NumPy 1.0 or less" in done.stderr
    done = python(code, PYTHONPATH=path, AUTOCNN_KERNELS="numba")
    assert done.stderr.splitlines()[-1].startswith(
        "ValueError: AUTOCNN_KERNELS=numba needs Numba, which cannot be imported"
    )
