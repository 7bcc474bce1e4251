"""One image through a network: every number against trace, loss_and_grad and finite differences."""

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn.inspection.walk import rebuild, walk
from autocnn.page import texts
from autocnn.page.look import EXACT, both, digits, interpreted, look
from autocnn.trees import leaves, max_relative_difference

NETWORKS = {
    "tiny-cnn": (ac.models.tiny_cnn(), (1, 8, 8)),
    "lenet5": (ac.models.lenet5(), (1, 28, 28)),
    "lenet5-1998": (ac.models.lenet5(original=True, nn=reference), (1, 32, 32)),
    "paths": (
        ac.layers.serial(
            ac.layers.conv(4, 3, padding=1),
            ac.layers.residual(ac.layers.serial(ac.layers.conv(4, 3, padding=1), ac.layers.relu())),
            ac.layers.concat(ac.layers.identity(), ac.layers.avg_pool(3, stride=1, padding=1)),
            ac.layers.batch_norm(),
            ac.layers.flatten(),
            ac.layers.dense(3),
        ),
        (2, 6, 6),
    ),
}


@pytest.fixture(params=NETWORKS)
def seen(request, generator):
    model, shape = NETWORKS[request.param]
    _, params, state = model.init(3, shape)
    x = generator.random(shape)
    return model, params, state, x, look(both(model), params, state, x, 1)


def test_values_are_those_of_trace(seen):
    model, params, state, x, found = seen
    traced = ac.trace(interpreted(model, ac.layers), params, state, x[None])
    names = [name for name in traced if name not in ("logits", "probs")]
    assert [stage.name for stage in found.stages] == [*names, "probabilities"]
    for stage in found.stages[:-1]:
        np.testing.assert_array_equal(stage.values, traced[stage.name][0])
    np.testing.assert_array_equal(found.probabilities, traced["probs"][0])


def test_gradients_of_weights_are_those_of_loss_and_grad(seen):
    model, params, state, x, found = seen
    for nn, path in ((ac.layers, "auto"), (reference, "manual")):
        net = interpreted(model, nn)
        loss, grads, _ = net.loss_and_grad(params, state, (x[None], np.array([1])), train=False)
        assert found.loss == pytest.approx(float(loss), rel=1e-14)
        weights = [getattr(w, path) for stage in found.stages for w in stage.weights.values()]
        # leaves() sorts as the tree does, and so do the stages
        assert max_relative_difference(weights, [leaf for _, leaf in leaves(grads)]) < 1e-13


def test_gradients_of_every_stage_agree_and_say_so(seen):
    for stage in seen[-1].stages:
        assert stage.auto.shape == stage.manual.shape == stage.values.shape
        assert stage.digits > 13
        np.testing.assert_array_equal(stage.difference, stage.manual - stage.auto)
        assert np.abs(stage.auto).max() > 0


def test_the_gradient_of_a_stage_is_the_slope_of_the_loss(seen):
    model, params, state, x, found = seen
    nets = both(model)
    paths = [path for path, _ in walk(nets.automatic)]
    rng, h = np.random.default_rng(0), 1e-6
    tied = [stage.ties is not None and bool(stage.ties.any()) for stage in found.stages]
    for k, (path, stage) in enumerate(zip(paths, found.stages[1:-1], strict=True), 2):
        if any(tied[k:]) or k % 3 == 1:  # a sample; at a tie there is no slope
            continue
        u = rng.normal(size=stage.values.shape)

        def loss(step, path=path, u=u):
            def moved(at, layer):
                if at != path or layer.name == "serial":
                    return layer
                forward = layer.forward
                return layer.replace(forward=lambda *a: (forward(*a)[0] + step * u, forward(*a)[1]))

            net = rebuild(nets.automatic, moved)
            return float(net.loss_and_grad(params, state, (x[None], np.array([1])), train=False)[0])

        slope = (loss(h) - loss(-h)) / (2 * h)
        assert slope == pytest.approx(float((stage.auto * u).sum()), rel=1e-4, abs=1e-7)


def test_no_label_no_gradients(seen):
    model, params, state, x, _ = seen
    found = look(both(model), params, state, x)
    assert found.loss is None
    assert all(stage.auto is None and stage.digits is None for stage in found.stages)


def test_ties_are_equal_maxima_and_kinks():
    nn = ac.layers
    model = nn.serial(nn.relu(), nn.max_pool(2), nn.flatten(), nn.dense(2))
    _, params, state = model.init(0, (1, 4, 4))
    x = np.array([[[0, -1, 2, 2], [-3, -2, 1, 0], [1, 2, 5, 1], [3, 4, 1, 5.0]]])
    _, relu, pool, *_ = look(both(model), params, state, x, 0).stages
    assert relu.ties.astype(int).tolist() == [[[1, 0, 0, 0], [0, 0, 0, 1], [0] * 4, [0] * 4]]
    assert pool.ties.tolist() == [[[True, True], [False, True]]]


def test_digits():
    assert digits(np.ones(3), np.ones(3)) == EXACT
    assert digits(np.array([1.001, 0]), np.array([1.0, 0])) == pytest.approx(3)
    assert digits(np.array([np.nan]), np.ones(1)) == 0
    assert digits(np.ones(1), np.zeros(1)) == 0


def test_a_broken_layer_turns_the_stages_before_it_and_no_other(generator):
    model, shape = NETWORKS["lenet5"]
    _, params, state = model.init(3, shape)
    nets = both(model)
    hand = rebuild(
        nets.by_hand,
        lambda path, layer: texts.broken(layer, "mask reversed") if path == (4,) else layer,
    )
    found = look(nets._replace(by_hand=hand), params, state, generator.random(shape), 1)
    agreed = {stage.name: stage.digits for stage in found.stages}
    assert all(agreed[name] < 1 for name in ("input", "conv1", "relu1", "conv2"))
    assert all(agreed[name] > 13 for name in ("relu2", "max_pool2", "dense1", "dense3"))


def test_layers_of_your_own_are_refused():
    mine = ac.layers.Layer("mine", {}, lambda k, s, d: (s, {}, {}), lambda p, s, x, t, k: (x, s))
    with pytest.raises(ValueError, match="'mine' is not a word"):
        both(ac.layers.serial(mine))
