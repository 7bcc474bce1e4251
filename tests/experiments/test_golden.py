"""The chapter, number for number: data to the bit, every epoch of every run to 1e-9, through
both gradient paths.
"""

import hashlib

import numpy as np
import pytest

import autocnn as ac
import reference
from tests.helpers import CLASSES, SEEDS, chapter_start

runs = pytest.mark.parametrize("which", CLASSES)


@runs
def test_initial_weights(golden, which, nn):
    facts = golden[which]["init"]
    _, _, cnn, _ = chapter_start(which, "tiny_cnn", nn)
    _, _, mlp, _ = chapter_start(which, "tiny_mlp", nn)
    assert (
        hashlib.sha256(np.ascontiguousarray(cnn[0]["w"]).tobytes()).hexdigest()
        == facts["conv.w.sha256"]
    )
    found = {"conv.w": cnn[0], "dense.w": cnn[4], "mlp.hidden.w": mlp[1], "mlp.output.w": mlp[3]}
    for name, layer in found.items():
        assert layer["w"].sum() == pytest.approx(facts[f"{name}.sum"], rel=1e-12)
        assert not layer["b"].any()


@runs
@pytest.mark.parametrize("name", SEEDS)
def test_every_epoch_of_every_run(golden, which, name, nn):
    data, model, params, state = chapter_start(which, name, nn)
    run = ac.train(params, data, model=model, state=state, seed=SEEDS[name][1])
    facts = golden[which][name]
    assert ac.trees.count(params) == facts["parameters"]
    assert run.history["epoch"] == list(range(81))
    for key, expected in facts["history"].items():
        np.testing.assert_allclose(run.history[key], expected, rtol=1e-9, atol=0, err_msg=key)
    if (which, name) == ("3class", "tiny_cnn"):
        np.testing.assert_allclose(run.params[0]["w"], golden[which]["kernels_final"], rtol=1e-9)
        assert list(run.snapshots) == golden[which]["kernel_snapshot_epochs"]
        assert np.array_equal(run.snapshots[80], run.params[0]["w"])
        assert np.array_equal(run.snapshots[0], params[0]["w"])


def test_the_default_run_is_the_chapters(golden):
    data, _, params, _ = chapter_start("3class", "tiny_cnn", ac.layers)
    history = ac.train(params, data).history
    for key, expected in golden["3class"]["tiny_cnn"]["history"].items():
        np.testing.assert_allclose(history[key], expected, rtol=1e-9, atol=0, err_msg=key)


def test_trace(golden, nn):
    data, model, params, state = chapter_start("3class", "tiny_cnn", nn)
    params = ac.train(params, data, model=model).params
    facts = golden["3class"]["trace"]
    index = int(np.flatnonzero(data.y_val == 0)[0])
    assert index == facts["val_index"]
    taps = ac.trace(model, params, state, data.x_val[index : index + 1])
    assert list(taps) == [
        "input",
        "conv",
        "relu",
        "max_pool",
        "flatten",
        "dense",
        "logits",
        "probs",
    ]
    np.testing.assert_allclose(taps["logits"][0], facts["logits"], rtol=1e-9)
    np.testing.assert_allclose(taps["probs"][0], facts["probs"], rtol=1e-9)
    np.testing.assert_allclose(taps["max_pool"][0], facts["pool"], rtol=1e-9)
    assert taps["conv"].sum() == pytest.approx(facts["conv_sum"], rel=1e-9)


@pytest.mark.parametrize(
    "filters", [1, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 9))]
)
def test_filter_sweep(golden, filters):
    """By the reference alone, which is quick; the runs above show that both paths give the same."""
    facts = golden["3class"]["cnn_filter_sweep"][str(filters)]
    data, model, params, state = chapter_start("3class", "tiny_cnn", reference, filters=filters)
    history = ac.train(params, data, model=model, state=state, seed=11).history
    assert ac.trees.count(params) == facts["parameters"]
    for key in ("train_loss", "train_acc", "val_acc"):
        assert history[key][-1] == pytest.approx(facts[key], rel=1e-9)


def test_the_filter_sweep_is_whole(golden):
    assert list(golden["3class"]["cnn_filter_sweep"]) == [str(n) for n in range(1, 9)]
