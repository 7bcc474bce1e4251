"""The chapter's four runs by fast kernels, number for number; threads, kernels and environment."""

import os
import subprocess
import sys

import numpy as np
import pytest
from test_golden import CLASSES, SEEDS, start

import autocnn as ac
from autocnn import fast
from autocnn.fast.loss import cross_entropy_pull


@pytest.mark.parametrize("kind", ["numpy", "numba"])
@pytest.mark.parametrize("which", CLASSES)
@pytest.mark.parametrize("name", SEEDS)
def test_every_epoch_of_every_run(golden, which, name, kind):
    if kind == "numba":
        pytest.importorskip("numba")
    data, model, params, state = start(which, name, fast)
    with fast.using(kind):
        run = ac.train(params, data, model=model, state=state, seed=SEEDS[name][1])
    for key, expected in golden[which][name]["history"].items():
        np.testing.assert_allclose(run.history[key], expected, rtol=1e-9, atol=0, err_msg=key)


def test_long_runs_in_single_precision_meet_no_subnormal_numbers():
    """Weights that have learned all there is get tiny gradients; arithmetic on subnormal numbers is a hundred times slower."""
    data = ac.data.patterns(train_per_class=10, val_per_class=5)
    model = ac.models.tiny_cnn(nn=fast)
    _, params, _ = model.init(3, (1, 8, 8), "float32")
    run = ac.train(params, data, model=model, optimizer=ac.optim.adam(0.05), epochs=150)
    held = [leaf for _, leaf in ac.trees.leaves([run.params, run.opt_state["m"], run.opt_state["v"]])]
    assert not any(((a != 0) & (np.abs(a) < np.finfo("float32").tiny)).any() for a in held)


def test_probabilities_that_are_nothing_make_no_subnormal_gradients():
    logits = np.array([[0, -95, -40, -69], [3, 1, -100, 2]], "float32")
    loss, dlogits = cross_entropy_pull(logits, np.array([0, 3]))
    exact, expected = cross_entropy_pull(logits.astype("float64"), np.array([0, 3]))
    assert loss == pytest.approx(exact, rel=1e-6)
    np.testing.assert_allclose(dlogits, expected, rtol=1e-6, atol=1e-8)
    assert not ((dlogits != 0) & (np.abs(dlogits) < 1e-31)).any()
    assert dlogits[0, 2] != 0 == dlogits[0, 1] == dlogits[1, 2]


@pytest.mark.parametrize(
    "variable, value, says",
    [("AUTOCNN_KERNELS", "fortran", "auto, numba, numpy"), ("AUTOCNN_THREADS", "many", "number of threads")],
)
def test_bad_settings_are_named(variable, value, says):
    code = "from autocnn import fast; fast.threads()"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {variable: value}, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError") and says in last and repr(value) in last


def test_settings_are_read_from_the_environment():
    code = (
        "from autocnn import fast; import sys, numpy; from threadpoolctl import threadpool_info; assert fast.threads() == 1;"
        "print({i['num_threads'] for i in threadpool_info() if i['user_api'] == 'blas'});"
        "fast.ops.conv2d(numpy.ones((1, 1, 400, 400)), numpy.ones((2, 1, 3, 3))); print('numba' in sys.modules)"
    )
    env = os.environ | {"AUTOCNN_THREADS": "1", "AUTOCNN_KERNELS": "numpy"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["{1}", "False"]


def test_importing_the_vocabulary_loads_neither_numba_nor_torch():
    code = "import sys, autocnn.fast; print(sorted({'numba', 'torch', 'scipy', 'matplotlib'} & set(sys.modules)))"
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
    """Within a network BLAS is held at one thread, beside the kernels' own; an error frees it, too."""
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
        monkeypatch.setattr("autocnn.fast.layer.cross_entropy_pull", watch)
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
x, labels = np.random.default_rng(0).normal(size=(32, 1, 28, 28)).astype("float32"), np.arange(32) % 10
def loss():
    return float(model.loss_and_grad(params, state, (x, labels))[0])
first = loss()
"""


def test_a_forked_process_goes_on_alone():
    """OpenMP's threads are not there in a fork, and asking for them would end it."""
    pytest.importorskip("numba")
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    code = NETWORK + """
child = os.fork()
if not child:
    os._exit(0 if abs(loss() - first) < 1e-5 else 3)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), loss() == first)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0 True\n", "")


def test_two_callers_at_a_time_get_the_same_bits():
    pytest.importorskip("numba")
    code = NETWORK + """
found = []
callers = [threading.Thread(target=lambda: found.extend(loss() for _ in range(20))) for _ in range(3)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
print(len(found), set(found) == {first})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("60 True\n", "")


def test_without_threads_that_two_may_use_kernels_run_on_one(monkeypatch):
    pytest.importorskip("numba")
    from autocnn.fast.kernels_numba import crew

    before = fast.threads()
    fast.threads(2)
    try:
        assert crew.hands() == 2
        monkeypatch.setattr(crew.numba.config, "THREADING_LAYER", "workqueue")
        crew._layer.cache_clear()
        assert crew.hands() == 1
    finally:
        fast.threads(before)
        monkeypatch.undo()
        crew._layer.cache_clear()
