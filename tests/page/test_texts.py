"""The texts that a person reads and breaks: right as they stand, wrong where they are broken."""

import numpy as np
import pytest

import reference
from autocnn import gradcheck
from autocnn.page import texts
from autocnn.page.checking import _check
from autocnn.page.mistakes import MISTAKES
from autocnn.page.texts import blank, broken, broken_loss, points, source, word_of
from reference.loss import cross_entropy, loss_and_gradient

LAYERS = {
    "conv": reference.conv(3, (3, 2), stride=(1, 2), padding=(1, 0)),
    "relu": reference.relu(),
    "tanh": reference.tanh(),
    "max_pool": reference.max_pool(2),
    "avg_pool": reference.avg_pool((2, 3), stride=1),
    "dense": reference.dense(5),
    "flatten": reference.flatten(),
    "batch_norm": reference.batch_norm(),
}
# What the checker does not find at a random point: windows that do not overlap, and a kink at
# which either slope is a subgradient.
INVISIBLE = {
    ("max_pool", "= for += (shows only where windows overlap)"),
    ("relu", "gradient 1 at the kink"),
}
PAIRS = [(word, mistake.name) for word in MISTAKES for mistake in MISTAKES[word]]


def options(word):
    if word == "conv":
        return reference.conv(3, 3).options
    return LAYERS[word].options if word in LAYERS else {}


def checked(word, text):
    return _check(word, options(word), text, 60.0)


@pytest.mark.parametrize("word", LAYERS)
def test_the_text_is_the_layer_of_reference(word, generator):
    layer = LAYERS[word]
    assert word_of(layer) == word
    shape = (4,) if word == "dense" else (2, 7, 6)
    _, params, state = layer.init(0, shape)
    x = generator.normal(size=(3, *shape))
    names: dict = {}
    exec(source(word), names)
    mine, back = names[word](x, **params, **texts.arguments(word, layer.options))
    y, _, backward = layer.vjp(params, state, x, train=True)
    np.testing.assert_allclose(mine, y, rtol=1e-12, atol=1e-14)
    dy = generator.normal(size=y.shape)
    dx, grads = backward(dy)
    for name, gradient in back(dy).items():
        np.testing.assert_allclose(gradient, (grads | {"x": dx})[name], rtol=1e-10, atol=1e-12)


def test_every_text_is_in_the_table_of_mistakes():
    assert {*LAYERS, "cross_entropy"} == {*MISTAKES}


@pytest.mark.parametrize("word", MISTAKES)
def test_the_checker_agrees_with_the_text(word):
    assert checked(word, source(word))["ok"]


@pytest.mark.parametrize("word", MISTAKES)
def test_the_empty_backward_pass_runs_and_is_wrong(word):
    found = checked(word, blank(word))
    assert not found["ok"] and found["codes"]


QUICK = [("dense", "sign of dx"), ("relu", "no mask"), ("cross_entropy", "1 / N forgotten")]


@pytest.mark.parametrize(
    "word, mistake",
    [pytest.param(*p, marks=() if p in QUICK else pytest.mark.slow) for p in PAIRS],
)
def test_the_checker_finds_each_mistake_and_its_line(word, mistake):
    found = checked(word, source(word, mistake))
    assert found["ok"] == ((word, mistake) in INVISIBLE)
    if found["ok"] or mistake in ("every one of equal maxima gets it", "channels last"):
        return
    lines = source(word, mistake).splitlines()
    changed = [n for n, pair in enumerate(zip(lines, source(word).splitlines(), strict=True), 1)
               if pair[0] != pair[1]]  # fmt: skip
    assert abs(found["place"]["line"] - changed[0]) <= 1


@pytest.mark.parametrize("word, mistake", QUICK)
def test_the_edit_that_is_shown_mends_the_text(word, mistake):
    text = source(word, mistake)
    fix = checked(word, text)["fix"]
    lines = text.splitlines()
    old = lines[fix["line"] - 1]
    assert old.strip() == fix["before"]
    lines[fix["line"] - 1] = old.replace(fix["before"], fix["after"])
    assert checked(word, "\n".join(lines) + "\n")["ok"]


@pytest.mark.parametrize("word", LAYERS)
def test_a_broken_layer_has_the_same_outputs_and_other_gradients(word, generator):
    layer = LAYERS[word]
    shape = (4,) if word == "dense" else (2, 7, 6)
    _, params, state = layer.init(0, shape)
    x = generator.normal(size=(3, *shape))
    y, after, backward = layer.vjp(params, state, x, train=True)
    dy = generator.normal(size=y.shape)
    dx, grads = backward(dy)
    wrong = broken(layer, MISTAKES[word][0].name)
    mine, mine_after, back = wrong.pullback(params, state, x, True, None)
    np.testing.assert_allclose(mine, y, rtol=1e-12, atol=1e-14)
    assert str(mine_after) == str(after)
    mine_dx, mine_grads = back(dy)
    assert mine_dx.shape == dx.shape and mine_grads.keys() == grads.keys()
    assert not np.allclose(mine_dx, dx) or any(
        not np.allclose(mine_grads[name], grads[name]) for name in grads
    )


def test_a_broken_loss_is_as_large_as_it_was_forgotten(generator):
    logits, labels = generator.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 2])
    value, slope = loss_and_gradient(cross_entropy, logits, labels)
    other, wrong = loss_and_gradient(broken_loss("1 / N forgotten"), logits, labels)
    assert other == value
    np.testing.assert_allclose(wrong, 6 * slope, rtol=1e-12)


def test_layers_whose_options_the_text_lacks_have_none():
    assert word_of(reference.conv(4, 3, groups=2)) is None
    assert word_of(reference.max_pool(3, padding=1)) is None
    assert word_of(reference.dropout(0.5)) is None


def test_a_dense_layer_without_bias_can_be_broken(generator):
    layer = reference.dense(3, bias=False)
    _, params, state = layer.init(0, (4,))
    y, _, back = broken(layer, "sign of dx").pullback(
        params, state, generator.normal(size=(2, 4)), True, None
    )
    dx, grads = back(np.ones_like(y))
    assert grads.keys() == {"w"} and dx.shape == (2, 4)


def test_a_mistake_that_cannot_be_computed_is_one_line(generator):
    layer = reference.conv(3, (3, 1))
    _, params, state = layer.init(0, (1, 5, 5))
    wrong = broken(layer, "kernel's rows and columns exchanged")
    y, _, back = wrong.pullback(params, state, generator.normal(size=(1, 1, 5, 5)), True, None)
    with pytest.raises(ValueError, match="backward pass of conv raised IndexError: index 1 is"):
        back(y)


def test_unknown_mistakes_are_named():
    with pytest.raises(ValueError, match="relu has no planted mistake 'x'; there are 'no mask'"):
        source("relu", "x")


@pytest.mark.parametrize("word", MISTAKES)
def test_points_fit_the_layer(word):
    for arrays in points(word, options(word)):
        names: dict = {}
        exec(source(word), names)
        assert gradcheck.check(names[word], quick=True, **arrays).ok
