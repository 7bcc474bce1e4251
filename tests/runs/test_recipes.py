"""Recipes: networks by name, the images as they see them, and an optimizer whose schedule ends
with the run.
"""

import numpy as np
import pytest

from autocnn import augment, models, optim
from autocnn.runs import preprocessing, recipes
from autocnn.runs.preprocessing import Inputs
from autocnn.runs.recipes import Recipe
from autocnn.trees import count


@pytest.mark.parametrize(
    "network, shape, parameters",
    [
        ("tiny-cnn", (1, 8, 8), 310),
        ("tiny-mlp", (1, 8, 8), 1360),
        ("lenet5", (1, 28, 28), 61706),
        ("lenet5-1998", (1, 28, 28), 60000),
    ],
)
def test_networks_by_name(network, shape, parameters):
    seen = preprocessing.padded_shape(shape, recipes.inputs(network, shape))
    out, params, _ = models.build(network, 10).init(None, seen)
    assert out == (10,)
    assert count(params) == parameters
    assert network in models.NETWORKS


def test_width_multiplies_filters_and_units():
    for network, shape in (
        ("tiny-cnn", (1, 8, 8)),
        ("tiny-mlp", (1, 8, 8)),
        ("lenet5", (1, 28, 28)),
    ):
        sizes = [
            count(models.build(network, 10, width=w).init(None, shape)[1])
            for w in (0.1, 0.5, 1.0, 2.0)
        ]
        assert sizes == sorted(set(sizes))
    assert models.build("tiny-cnn", width=3.0).parts[0].options["filters"] == 9


def test_the_network_of_1998_sees_a_frame_of_background():
    x = np.random.default_rng(0).random((5, 1, 28, 28), np.float32)
    x[0, 0, 0, :2] = 0, 1
    inputs = recipes.inputs("lenet5-1998", (1, 28, 28))
    y = preprocessing.prepare(x, inputs)
    assert y.shape == (5, 1, 32, 32) == (5, *preprocessing.padded_shape((1, 28, 28), inputs))
    assert y.dtype == np.float32
    assert y[0, 0, 2, 2] == y.min() == np.float32(-0.1) and y[0, 0, 2, 3] == np.float32(1.175)
    assert (y[:, :, :2] == np.float32(-0.1)).all() and (y[..., -2:] == np.float32(-0.1)).all()
    np.testing.assert_allclose(y[..., 2:-2, 2:-2], 1.275 * x - 0.1, atol=1e-6)
    assert recipes.inputs("lenet5-1998", (1, 32, 32)).pad == 0


def test_other_networks_take_images_as_they_are():
    x = np.random.default_rng(0).random((2, 1, 8, 8))
    assert recipes.inputs("lenet5", (1, 28, 28)) == Inputs()
    assert preprocessing.prepare(x, Inputs()) is x


@pytest.mark.parametrize("shape", [(1, 33, 33), (1, 27, 27), (1, 28, 30)])
def test_images_that_do_not_fit_1998(shape):
    with pytest.raises(ValueError, match="32x32"):
        recipes.inputs("lenet5-1998", shape)


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_an_optimizer_falls_to_rest_at_the_end_of_the_run(kind):
    """Moves by the constant gradient 1, read off a parameter that no weight decay touches."""
    opt = recipes.optimizer(
        Recipe(epochs=10, optimizer=kind, rate=0.1, weight_decay=0.0, warmup=1), steps_per_epoch=8
    )
    p, places = [np.zeros(1)], [0.0]
    state = opt.init(p)
    for _ in range(80):
        p, state = opt.update(p, [np.ones(1)], state)
        places.append(float(p[0][0]))
    moves = -np.diff(places)
    top = 0.1 if kind == "adam" else 1.0  # momentum 0.9 adds up to ten gradients
    assert moves[0] == pytest.approx((0.1 if kind == "adam" else 0.1 * 1.9) / 8)
    assert 0.8 * top < moves.max() <= top * (1 + 1e-6)
    assert 0 < moves[-1] < 1e-3 * top


def test_the_warmup_of_a_short_run_is_short():
    one = recipes.optimizer(
        Recipe(epochs=1, rate=1.0, warmup=5, optimizer="sgd", weight_decay=0), steps_per_epoch=1
    )
    p, _ = one.update([np.zeros(1)], [np.ones(1)], one.init([np.zeros(1)]))
    assert p[0][0] == pytest.approx(-1.9)


def test_clip_comes_before_the_optimizer():
    opt = recipes.optimizer(
        Recipe(epochs=1, rate=1.0, clip=1e-3, optimizer="sgd", weight_decay=0, warmup=0), 10
    )
    p, _ = opt.update([np.zeros(1)], [np.array([50.0])], opt.init([np.zeros(1)]))
    assert p[0][0] == pytest.approx(-1.9e-3)


def test_augmentation():
    assert recipes.augmentation(Recipe()) is None
    x = np.random.default_rng(0).random((50, 1, 6, 6)) + 1
    y = recipes.augmentation(Recipe(shift=1, flip=True), fill=-0.1)(0, x)
    shifted, flipped = augment.shifts(1, -0.1), augment.flips()
    np.testing.assert_array_equal(y, shifted((0, 1), flipped((0, 0), x)))
    assert y.min() == -0.1


def test_every_recipe_is_for_a_network_that_exists():
    for network, data in recipes.RECIPES:
        recipe = recipes.recipe(network, data)
        assert network in models.NETWORKS
        assert isinstance(recipes.optimizer(recipe, 10), optim.Optimizer)
    assert recipes.recipe("lenet5", "/some/folder") == Recipe()
