"""The checker on every derivative that this project gives by hand: the reference layers, its
loss, the adjoint pairs.
"""

import numpy as np
import pytest

import reference
from autocnn import gradcheck, layers
from tests.cases import parametrize


@pytest.mark.parametrize("nn", [reference, layers], ids=["reference", "autograd"])
@parametrize("word", "network")
def test_every_word(case, nn):
    report = gradcheck.check_layer(case.build(nn), case.shape)
    assert report.ok, str(report)
    assert all(leaf.verdict == "agree" for leaf in report.leaves.values())


@pytest.mark.parametrize(
    ("word", "arguments", "shape"),
    [
        ("conv", (3, 3), (2, 5, 4)),
        ("dense", (4,), (6,)),
        ("relu", (), (2, 5, 4)),
        ("max_pool", (2,), (2, 4, 6)),
        ("batch_norm", (), (2, 5, 4)),
    ],
)
def test_float32(word, arguments, shape):
    report = gradcheck.check_layer(getattr(reference, word)(*arguments), shape, dtype="float32")
    assert report.ok, str(report)
    assert {leaf.dtype for leaf in report.leaves.values()} == {"float32"}


def test_the_loss():
    def loss(logits, labels):
        value, dlogits = reference.softmax_cross_entropy(logits, labels)
        return value, {"logits": dlogits}

    for scale in (1e-6, 1.0, 30.0):
        logits = scale * np.random.default_rng(0).standard_normal((5, 4))
        assert gradcheck.check(loss, logits=logits, labels=np.array([0, 3, 1, 1, 2])).ok
