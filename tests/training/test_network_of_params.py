"""``train(params, data)``: the network is the one that the parameters came from, or it is said."""

import copy
import gc
import pickle
import warnings

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn.training.network import network_of
from autocnn.trees import leaves
from reference import origin
from tests.helpers import ROOT

SHAPE = (1, 8, 8)
RUNS = ROOT / "tests" / "data" / "runs"


def own(nn=ac.layers):
    """A network of TinyCNN's shapes that is not TinyCNN."""
    return nn.serial(nn.conv(3, 3), nn.tanh(), nn.avg_pool(2), nn.flatten(), nn.dense(3))


def cubed():
    """TinyCNN with a layer of one's own, under the name of the library's word."""

    def forward(params, state, x, train, key):
        return x * x * x, state

    relu = ac.layers.relu().replace(forward=forward)
    parts = [relu if part.name == "relu" else part for part in ac.models.tiny_cnn().parts]
    return ac.layers.serial(*parts)


def drawn(model, key=3):
    return model.init(key, SHAPE)[1]


def same(run, other):
    return all(
        np.array_equal(a, b)
        for (_, a), (_, b) in zip(leaves(run.params), leaves(other.params), strict=True)
    )


def remade(params):
    """The arrays as ``pickle`` returns them."""
    return pickle.loads(pickle.dumps(params))


@pytest.mark.parametrize("nn", [ac.layers, ac.fast, reference], ids=lambda nn: nn.__name__)
@pytest.mark.parametrize(
    "build",
    [
        own,
        lambda nn: ac.models.tiny_cnn(nn=nn),
        lambda nn: ac.models.tiny_cnn(pool=None, stride=2, nn=nn),
        lambda nn: ac.models.tiny_mlp(nn=nn),
    ],
    ids=["tanh and average pooling", "tiny_cnn", "strided", "tiny_mlp"],
)
def test_the_network_that_drew_them_is_trained_in_the_fast_interpretation(build, nn, patterns):
    params = drawn(build(nn))
    run = ac.train(params, patterns, epochs=1)
    assert same(run, ac.train(params, patterns, model=build(ac.fast), epochs=1))
    assert repr(run.model) == repr(build(nn)) and type(run.model) is type(build(ac.fast))


def test_a_layer_of_ones_own_is_trained_whatever_its_name(patterns):
    model = cubed()
    params = drawn(model)
    run = ac.train(params, patterns, epochs=1)
    assert run.model is model
    assert not same(run, ac.train(params, patterns, model=ac.models.tiny_cnn(), epochs=1))
    with pytest.raises(ValueError, match=r"relu.* is a layer of your own"):
        ac.models.rebuild(model, ac.fast)


def test_what_a_map_or_a_run_made_is_still_known(patterns):
    params = ac.trees.tree_map(lambda leaf: leaf.astype("float32") / 2, drawn(own()))
    seen = []
    run = ac.train(params, patterns, epochs=1, on_epoch=lambda now: seen.append(now.params))
    for known in (params, run.params, *seen):
        assert repr(network_of(known)) == repr(own())


@pytest.mark.parametrize(
    "change",
    [
        copy.deepcopy,
        remade,
        lambda params: [params[0], *remade(params)[1:]],
        lambda params: [drawn(ac.models.tiny_cnn())[0], *params[1:]],
    ],
    ids=["deepcopy", "pickle", "some of them copied", "drawn by two networks"],
)
@pytest.mark.parametrize("build", [own, ac.models.tiny_cnn], ids=["own", "tiny_cnn"])
def test_what_cannot_be_known_is_said(build, change, patterns):
    params = drawn(build())
    changed = change(params)
    with pytest.warns(UserWarning, match=r"nothing says which .* ac\.models\.tiny_cnn\(classes=3"):
        run = ac.train(changed, patterns, epochs=1)
    for unknown in (changed, run.params):  # the first guess is no evidence for a second one
        with pytest.warns(UserWarning, match="nothing says which"):
            ac.train(unknown, patterns, epochs=1)
    assert same(run, ac.train(changed, patterns, model=ac.models.tiny_cnn(nn=ac.fast), epochs=1))


def test_equal_numbers_are_no_evidence(patterns):
    """TinyCNN and a network of its shapes draw the same numbers from one key."""
    tiny, mine = drawn(ac.models.tiny_cnn()), drawn(own())
    assert same(ac.training.Run(tiny, *[None] * 5), ac.training.Run(mine, *[None] * 5))
    assert network_of(tiny).parts[1].name == "relu" and network_of(mine).parts[1].name == "tanh"


def test_unknown_parameters_of_other_shapes_are_refused(patterns):
    params = remade(drawn(ac.models.tiny_mlp()))
    with pytest.raises(ValueError, match=r"have 1\.w, 1\.b, 3\.w, 3\.b\. Pass .*model=\.\.\."):
        ac.train(params, patterns)


@pytest.mark.parametrize("wrong", ["lenet5", ac.models.tiny_cnn(), 3, print])
def test_what_is_no_parameters_is_told_the_call(wrong, patterns):
    with pytest.raises(
        ValueError, match=r"tree of float arrays, got .*train\(params, data, model="
    ):
        ac.train(wrong, patterns)


def test_arrays_that_two_networks_share_belong_to_neither(patterns):
    kept = drawn(own())

    def init(key, shape, dtype):
        return (3,), kept, [{} for _ in kept]

    params = ac.layers.Layer("shared", {}, init, own().forward).init(0, SHAPE)[1]
    assert params is kept and origin.origin_of(kept) is None


def test_a_network_that_passes_on_the_parameters_of_a_part_is_the_one_that_is_known(patterns):
    inner = own()
    outer = ac.layers.Layer("outer", {}, inner.init, inner.forward)
    assert network_of(drawn(outer)) is outer


def test_nothing_is_kept_of_arrays_that_are_gone():
    gc.collect()
    before = len(origin._notes)
    params = drawn(own())
    assert len(origin._notes) == before + 4
    del params
    assert len(origin._notes) == before


def test_drawing_nothing_notes_nothing():
    before = len(origin._notes)
    own().init(None, SHAPE)
    assert len(origin._notes) == before


def test_the_readme_s_call_is_silent(patterns):
    _, params, _ = ac.models.tiny_cnn().init(3, SHAPE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ac.train(params, patterns, epochs=1)


def test_the_parameters_of_a_run_folder_are_known():
    saved = ac.runs.load(RUNS / "tiny-mlp-digits", "last")
    assert repr(network_of(saved.train_state.params)) == repr(saved.model)
