"""Plans of whole networks in single precision: the same numbers as the layers', values for ever."""

import gc

import numpy as np
import pytest

import autocnn as ac
from autocnn import fast, layers
from autocnn.fast.plans import cache, program
from autocnn.fast.plans.bounds import Overflow
from autocnn.fast.plans.library import library
from autocnn.fast.plans.prediction import Weights
from autocnn.trees import leaves, tree_map
from tests.cases import parametrize
from tests.helpers import setup_case

pytestmark = [
    pytest.mark.skipif(library() is None, reason="oneDNN is not installed: autocnn[onednn]"),
    pytest.mark.usefixtures("two_threads"),
]

cases = parametrize()


@pytest.fixture(autouse=True)
def _plans_for_all_sizes():
    with fast.using("onednn"):
        yield


def moved(state, generator):
    """Running statistics other than those before training; variances are positive."""
    return tree_map(lambda s: (s + generator.uniform(0, 1, s.shape)).astype(s.dtype), state)


def assert_single(found, exact, error=50):
    """Fail unless float32 results are within rounding of those of double precision."""
    for (path, a), (other, b) in zip(leaves(found), leaves(exact), strict=True):
        assert path == other and a.dtype == np.float32 and a.shape == b.shape, path
        scale = np.abs(b).max(initial=0) or 1
        assert np.abs(a - b).max(initial=0) <= error * np.finfo("float32").eps * scale, path


@cases
@pytest.mark.parametrize("n", [1, 3])
def test_outputs_are_those_of_double_precision(case, n, generator):
    layer, params, state, x, _ = setup_case(case, fast, dtype="float32", n=n)
    state = moved(state, generator)
    y, after = layer.apply(params, state, x)
    double = [tree_map(lambda a: a.astype("float64"), tree) for tree in (params, state, x)]
    exact, _ = setup_case(case, layers)[0].apply(*double)
    assert_single(y, exact)
    assert all(a is b for (_, a), (_, b) in zip(leaves(after), leaves(state), strict=True))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
def test_response_norms_in_a_layout_of_onednn(size, generator):
    def model(nn):
        return nn.serial(nn.conv(8, 1), nn.local_response_norm(size, alpha=0.5))

    _, params, state = model(fast).init(0, (3, 5, 4), "float32")
    x = generator.normal(size=(2, 3, 5, 4)).astype("float32")
    expected = model(layers).apply(params, state, x)[0]
    assert_single(model(fast).apply(params, state, x)[0], expected)


def convnet(nn=fast):
    return nn.serial(
        nn.conv(8, 3, padding=1, bias=False),
        nn.batch_norm(),
        nn.relu(),
        nn.residual(nn.serial(nn.conv(8, 3, padding=1), nn.relu(), nn.conv(8, 3, padding=1))),
        nn.relu(),
        nn.max_pool(2),
        nn.flatten(),
        nn.dense(10),
    )


@pytest.fixture
def network(generator):
    """(model, params, state, x) of a network that a plan holds."""
    model = convnet()
    _, params, state = model.init(0, (3, 12, 12), "float32")
    x = generator.normal(size=(4, 3, 12, 12)).astype("float32")
    assert cache.prediction(model, x.shape) is not None
    return model, params, moved(state, generator), x


def test_words_that_plans_hold():
    """Everything that the published networks are made of, LeNet-5 to DenseNet-121."""
    for name in ("lenet5", "vgg16", "resnet50", "mobilenet_v2", "densenet121"):
        shape = (1, 28, 28) if name == "lenet5" else (3, 32, 32)
        model = getattr(ac.models, name)(nn=fast)
        assert cache.prediction(model, (2, *shape)) is not None, name


def test_other_layers_dtypes_and_settings_go_layer_by_layer(network):
    model, params, state, x = network
    own = layers.Layer("own", {}, lambda key, s, d: (s, {}, {}), lambda p, s, x, t, k: (x, s))
    assert cache.prediction(fast.serial(model, own), x.shape) is None
    assert cache.prediction(model.replace(forward=model.forward), x.shape) is None
    assert cache.prediction(convnet(layers), x.shape) is None
    with fast.using("numpy"):
        assert not cache.available()
    with fast.using("auto"):
        assert cache.prediction(model, (1, 3, 12, 12)) is None  # too small to pay
        assert cache.prediction(model, x.shape) is not None
    double = [tree_map(lambda a: a.astype("float64"), tree) for tree in (params, state, x)]
    assert model.apply(*double)[0].dtype == np.float64


def test_an_array_that_is_changed_in_place_counts(network):
    model, params, state, x = network
    before = model.apply(params, state, x)[0]
    kept = before.copy()
    for place in (params[0]["w"], params[3]["main"][0]["b"], params[-1]["w"], state[1]["mean"]):
        place += 0.25
        after = model.apply(params, state, x)[0]
        assert not np.array_equal(after, before)
        before = after
    assert not np.array_equal(kept, before)


def test_results_stay_what_they_are_and_repeat_to_the_bit(network):
    model, params, state, x = network
    held = [leaf.copy() for _, leaf in leaves([params, state, x])]
    y = model.apply(params, state, x)[0]
    kept = y.copy()
    model.apply(params, state, x[::-1])
    np.testing.assert_array_equal(y, kept)
    np.testing.assert_array_equal(model.apply(params, state, x)[0], kept)
    np.testing.assert_array_equal(model.apply(params, state, x.copy("F"))[0], kept)
    for before, (_, now) in zip(held, leaves([params, state, x]), strict=True):
        np.testing.assert_array_equal(before, now)


def test_a_predictor_holds_values(network):
    model, params, state, x = network
    p = fast.predictor(model, params, state)
    expected = model.apply(params, state, x)[0]
    first = p(x)
    np.testing.assert_array_equal(first, expected)
    for _, leaf in leaves([params, state]):
        leaf *= 2
    np.testing.assert_array_equal(p(x), expected)
    np.testing.assert_array_equal(p(x[:3]), p(x)[:3])
    np.testing.assert_array_equal(first, expected)
    with pytest.raises(ValueError, match="finite"):
        p(np.where(x > 1, np.nan, x).astype("float32"))
    with pytest.raises(ValueError, match="pass x\\[None\\]"):
        p(x[0])
    assert p(x.astype("float64")).dtype == np.float64


def test_predictors_of_one_network_take_turns(network):
    model, params, state, x = network
    others = tree_map(lambda p: p * np.float32(1.5), params)
    expected = [model.apply(p, state, x)[0] for p in (params, others)]
    predictors = [fast.predictor(model, p, state) for p in (params, others)]
    for _ in range(2):
        for predictor, y in zip(predictors, expected, strict=True):
            np.testing.assert_array_equal(predictor(x), y)


def test_a_predictor_checks_the_parameters(network):
    model, params, state, x = network
    with pytest.raises(ValueError, match="not this network's"):
        fast.predictor(model, params[1:], state)(x)


def scaled(params, factors):
    """Parameters of a chain, those of some of its layers times a factor: {layer: factor}."""
    return [
        tree_map(lambda a, i=i: a * np.float32(factors.get(i, 1)), part)
        for i, part in enumerate(params)
    ]


def all_signs(generator, size):
    return (size * generator.choice([-1, 1], (2, 3, 20, 20))).astype("float32")


# (network, {layer: factor of its parameters}, images), which become infinite, then NaN.
OVERFLOWS = {
    "in the first layer": (
        lambda nn: nn.serial(nn.conv(8, 3), nn.conv(8, 3), nn.relu(), nn.max_pool(2)),
        {0: 1e30},
        lambda generator: np.full((2, 3, 20, 20), 1e10, "float32"),
    ),
    "in images without a positive number": (
        lambda nn: nn.serial(nn.conv(8, 3), nn.conv(8, 3), nn.relu()),
        {},
        lambda generator: np.full((2, 3, 20, 20), -3e38, "float32"),
    ),
    "in a sum": (
        lambda nn: nn.serial(nn.residual(nn.conv(3, 1), nn.conv(3, 1)), nn.relu()),
        {0: 1e37},
        lambda generator: all_signs(generator, 1e4),
    ),
    "on the way": (
        lambda nn: nn.serial(*[nn.conv(8, 3, padding=1), nn.relu()] * 6),
        dict.fromkeys(range(12), 1e8),
        lambda generator: all_signs(generator, 1),
    ),
}


@pytest.mark.parametrize("case", OVERFLOWS)
def test_an_overflow_is_not_hidden(case, generator):
    """oneDNN's ReLU would turn NaN into 0."""
    build, factors, images = OVERFLOWS[case]
    model, x = build(fast), images(generator)
    assert cache.prediction(model, x.shape) is not None
    _, params, state = model.init(0, (3, 20, 20), "float32")
    params = scaled(params, factors)
    with np.errstate(all="ignore"):
        y = model.apply(params, state, x)[0]
        expected = build(layers).apply(params, state, x)[0]
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))


def test_deep_networks_are_looked_at_on_the_way(generator):
    """Bounds of thirty layers say nothing; the numbers themselves do."""
    depth = 30
    parts = [fast.conv(16, 3, padding=1), fast.relu()] * depth
    model = fast.serial(*parts)
    _, params, state = model.init(0, (16, 9, 9), "float32")
    x = generator.normal(size=(2, 16, 9, 9)).astype("float32")
    plan = cache.prediction(model, x.shape)
    assert len(Weights(plan, params, state).checks) > 1
    y = model.apply(params, state, x)[0]
    double = [tree_map(lambda a: a.astype("float64"), tree) for tree in (params, state, x)]
    assert_single(y, model.apply(*double)[0], 500)
    params[20]["w"] = params[20]["w"] * np.float32(1e37)
    params[22]["w"] = params[22]["w"] * np.float32(1e37)
    with pytest.raises(Overflow):
        plan.run(Weights(plan, params, state), x)


def step_of(case, nn, params, state, x, key=9):
    """Return the loss, the gradients and the state of a case's layer: mse takes any output."""
    layer = setup_case(case, nn)[0]
    y = layer.apply(params, state, x, train=True, key=key)[0]
    targets = np.resize(np.cos(np.arange(1001)), y.shape)
    return layer.loss_and_grad(params, state, (x, targets), key, loss=ac.losses.mse)


@cases
def test_steps_are_those_of_double_precision(case, generator):
    _, params, state, x, _ = setup_case(case, fast, dtype="float32")
    state = moved(state, generator)
    found = step_of(case, fast, params, state, x)
    double = [tree_map(lambda a: a.astype("float64"), tree) for tree in (params, state, x)]
    exact = step_of(case, layers, *double)
    assert_single(list(found), list(exact), 200)


def test_a_step_takes_any_loss_weights_and_dropout(generator):
    model, plain = (
        nn.serial(
            nn.conv(8, 3), nn.relu(), nn.dropout(0.3), nn.max_pool(2), nn.flatten(),
            nn.dropout(0.5), nn.dense(4),
        )
        for nn in (fast, layers)
    )  # fmt: skip
    _, params, state = model.init(0, (3, 12, 12), "float32")
    x, labels = generator.normal(size=(5, 3, 12, 12)).astype("float32"), np.array([0, 1, 2, 3, 0])
    assert cache.step(model, x.shape) is not None
    double = [tree_map(lambda a: a.astype("float64"), tree) for tree in (params, state, x)]
    smoothed = ac.losses.smoothed_cross_entropy(0.1)
    for loss in (ac.losses.cross_entropy, smoothed, ac.losses.mse):
        for extra in ((), (np.array([1.0, 0, 2, 3, 1]),)):
            found = model.loss_and_grad(params, state, (x, labels, *extra), (3, 1), loss=loss)
            exact = plain.loss_and_grad(*double[:2], (double[2], labels, *extra), (3, 1), loss=loss)
            assert_single(list(found), list(exact), 200)
    with pytest.raises(ValueError, match="dropout needs a key"):
        model.loss_and_grad(params, state, (x, labels))


def test_the_first_step_equals_later_ones_and_none_changes(network):
    model, params, state, x = network
    model = convnet()  # without a plan yet
    held = [leaf.copy() for _, leaf in leaves([params, state, x])]
    batch = x, np.array([0, 3, 9, 4])
    loss, grads, after = model.loss_and_grad(params, state, batch)
    first = [leaf.copy() for _, leaf in leaves([grads, after])]
    other = model.loss_and_grad(params, state, (x[::-1], batch[1]))
    again = model.loss_and_grad(params, state, batch)
    assert other[0] != loss == again[0]
    for kept, (_, now), (_, later) in zip(
        first, leaves([grads, after]), leaves(list(again[1:])), strict=True
    ):
        np.testing.assert_array_equal(kept, now)
        np.testing.assert_array_equal(kept, later)
    for before, (_, now) in zip(held, leaves([params, state, x]), strict=True):
        np.testing.assert_array_equal(before, now)


def test_a_batch_without_a_variance_is_refused(network):
    model = fast.serial(fast.conv(8, 12), fast.batch_norm(), fast.flatten(), fast.dense(3))
    _, params, state = model.init(0, (3, 12, 12), "float32")
    with pytest.raises(ValueError, match="more than one value"):
        model.loss_and_grad(params, state, (network[3][:1], np.array([0])))


def test_gradients_that_are_kept_are_not_written_again(network):
    """The memory of gradients is used again only if nobody has any of them."""
    model, params, state, x = network
    labels = np.array([0, 3, 9, 4])
    kept = [model.loss_and_grad(params, state, (x, np.roll(labels, k)))[1] for k in range(4)]
    one = [grads[0]["w"][1:] for grads in kept]  # a view keeps its memory, too
    copies = [a.copy() for a in one]
    del kept
    for k in range(4):
        model.loss_and_grad(params, state, (-x, np.roll(labels, k)))
    for a, copy in zip(one, copies, strict=True):
        np.testing.assert_array_equal(a, copy)


def test_memory_goes_with_the_network(network):
    model, params, state, x = network
    model.apply(params, state, x)
    assert program._kept
    other = convnet()
    other.apply(params, state, x)
    del other
    gc.collect()
    assert not program._kept


def test_a_sum_is_not_written_over_what_others_read(generator):
    def model(nn):
        block = nn.residual(nn.conv(8, 3, padding=1))
        return nn.serial(nn.conv(8, 1), nn.concat(block, nn.identity()), nn.relu())

    _, params, state = model(fast).init(0, (3, 6, 6), "float32")
    x = generator.normal(size=(2, 3, 6, 6)).astype("float32")
    expected = model(layers).apply(params, state, x)[0]
    assert_single(model(fast).apply(params, state, x)[0], expected)


@pytest.mark.parametrize(
    "block",
    [
        lambda nn: nn.residual(nn.identity()),
        lambda nn: nn.concat(nn.residual(nn.conv(8, 1)), nn.conv(8, 1)),
        lambda nn: nn.concat(nn.identity(), nn.residual(nn.serial(nn.identity()))),
    ],
    ids=["x + x", "read after its sum", "x and x + x"],
)
def test_gradients_of_all_that_read_a_value_add_up(block, generator):
    def model(nn):
        return nn.serial(nn.conv(8, 1), nn.relu(), block(nn), nn.flatten(), nn.dense(3))

    _, params, state = model(fast).init(0, (3, 6, 6), "float32")
    x = generator.normal(size=(2, 3, 6, 6)).astype("float32")
    assert cache.step(model(fast), x.shape) is not None
    batch = x, np.array([0, 2])
    found = model(fast).loss_and_grad(params, state, batch)
    double = [tree_map(lambda a: a.astype("float64"), tree) for tree in (params, state, x)]
    exact = model(layers).loss_and_grad(*double[:2], (double[2], batch[1]))
    assert_single(list(found[:2]), list(exact[:2]))
