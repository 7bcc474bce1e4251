"""Warnings name the line of the user's code that called."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

import autocnn as ac
import reference
from reference.warn import warn

CHANNELS_LAST = (32, 32, 3)


def unscaled(n=40):
    images = np.random.default_rng(0).integers(0, 256, (n, 1, 8, 8)).astype(float)
    return images, np.arange(n) % 3


def evaluate():
    model = ac.models.tiny_cnn()
    _, params, state = model.init(1, (1, 8, 8))
    return ac.evaluate(model, params, state, *unscaled())


def deep(nn):
    return nn.serial(nn.conv(2, 3, padding=1), nn.global_avg_pool(), nn.flatten(), nn.dense(2))


@pytest.mark.parametrize(
    "call",
    [
        lambda: ac.layers.conv(2, 3).init(1, CHANNELS_LAST),
        lambda: deep(ac.layers).init(1, CHANNELS_LAST),
        lambda: deep(reference).init(1, CHANNELS_LAST),
        lambda: ac.summary(deep(ac.layers), CHANNELS_LAST),
        lambda: ac.train(ac.models.tiny_cnn().init(1, (1, 8, 8))[1], unscaled(), epochs=1),
        evaluate,
        lambda: ac.optim.drops,
    ],
)
def test_a_warning_names_the_line_that_called(call):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        call()
    assert told and {warning.filename for warning in told} == {__file__}


def test_a_warning_of_a_thread_of_ours_names_its_own_line():
    code = (
        "from threading import Thread; from reference.warn import warn; "
        "Thread(target=warn, args=['here']).start()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "UserWarning: here" in ran.stderr and "sys:1" not in ran.stderr


def test_the_category_is_that_of_the_call():
    with pytest.warns(DeprecationWarning, match="old") as told:
        warn("old", DeprecationWarning)
    assert told[0].filename == __file__
