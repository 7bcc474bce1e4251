"""Programs of small networks: agreement with the other interpretations over the case table and
random chains; whole runs against the same runs step by step; what is not a program's.
"""

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn import fast
from autocnn.trees import leaves, tree_map
from tests.cases import CASES
from tests.helpers import assert_close, same_bits, setup_case

pytest.importorskip("llvmlite")

from autocnn.fast import program
from autocnn.fast.program import run
from autocnn.fast.program.lower import WORDS, lower
from autocnn.inspection.diagnose import Diverged
from autocnn.training import programs

OPTIMIZERS = {
    "sgd": ac.optim.sgd(0.12),
    "decay": ac.optim.sgd(0.1, weight_decay=0.01),
    "momentum": ac.optim.sgd(0.05, momentum=0.9, weight_decay=0.001),
    "nesterov": ac.optim.sgd(0.05, momentum=0.9, nesterov=True),
    "adam": ac.optim.adam(0.01),
    "adamw": ac.optim.adam(0.01, 0.8, 0.99, 1e-6, 0.05),
    "schedule": ac.optim.sgd(ac.optim.cosine(0.2, 30)),
}


def with_head(case, nn):
    """The case's layer, made a classifier of three classes."""
    layer = case.build(nn)
    out = layer.init(None, case.shape)[0]
    return nn.serial(layer, *([nn.flatten()] if len(out) > 1 else []), nn.dense(3))


def lowered(model, shape, params, train):
    return lower(model, shape, tuple((path, leaf.size) for path, leaf in leaves(params)), train)


def loss_and_grad(model, params, x, labels, train=True, key=None, weights=None):
    """By a program; None for a network that a program does not hold."""
    made = lowered(model, x.shape[1:], params, train)
    return made and run.loss_and_grad(made, params, run.Images.of(x, labels, weights), key)


def held(case):
    model = with_head(case, fast)
    _, params, _ = model.init(0, case.shape)
    return lowered(model, case.shape, params, True) is not None


HELD = [case for case in CASES if held(case)]
cases = pytest.mark.parametrize("case", HELD, ids=lambda case: case.name)


def test_all_words_of_programs_are_cases():
    assert {case.build(fast).name for case in HELD} >= WORDS


@cases
@pytest.mark.parametrize("inputs", ["normal", "ties"])
@pytest.mark.parametrize("n", [1, 8, 11])
def test_gradients_agree_with_the_reference(case, inputs, n):
    case = case._replace(build=lambda nn, case=case: with_head(case, nn))
    labels, weights = np.arange(n) % 3, np.arange(n) + 0.5
    for train, w in ((True, None), (False, weights / weights.sum())):
        results = []
        for nn in (fast, reference):
            model, params, state, x, _ = setup_case(case, nn, inputs, n=n)
            batch = (x, labels) if w is None else (x, labels, w)
            if nn is fast:
                results.append(loss_and_grad(model, params, x, labels, train, 9, w))
            else:
                results.append(model.loss_and_grad(params, state, batch, 9, train)[:2])
        assert_close(*results, 1e-10)


@cases
def test_single_precision_is_as_close_as_rounding_allows(case):
    case = case._replace(build=lambda nn, case=case: with_head(case, nn))
    labels = np.arange(11) % 3
    model, params, _, x, _ = setup_case(case, fast, dtype="float32", n=11)
    single = loss_and_grad(model, params, x, labels, key=9)
    exact = loss_and_grad(model, *tree_map(np.float64, (params, x)), labels, key=9)
    assert {leaf.dtype for _, leaf in leaves(single)} == {np.dtype("float32")}
    for (path, a), (_, b) in zip(leaves(single), leaves(exact), strict=True):
        scale = np.abs(b).max(initial=0) or 1
        assert np.abs(a - b).max(initial=0) <= 50 * np.finfo("float32").eps * scale, path


def random_chain(generator, nn):
    """Random words with random geometries; some do not fit the images."""
    draw = lambda low, high: int(generator.integers(low, high))  # noqa: E731
    pair = lambda low, high: (draw(low, high), draw(low, high))  # noqa: E731

    def conv():
        groups = draw(1, 4)
        geometry = pair(1, 4), pair(1, 4), pair(0, 3), pair(1, 3)
        return nn.conv(groups * draw(1, 4), *geometry, groups, bool(draw(0, 2)))

    words = []
    for _ in range(draw(1, 6)):
        words.append(
            [
                conv,
                lambda: nn.max_pool(pair(2, 4), pair(1, 4), pair(0, 2)),
                lambda: nn.avg_pool(pair(2, 4), pair(1, 4), pair(0, 2)),
                nn.relu,
                nn.tanh,
                nn.relu6,
                lambda: nn.dropout(0.4),
            ][draw(0, 7)]()
        )  # fmt: skip
    head = [[nn.flatten()], [nn.global_avg_pool()], [nn.flatten(), nn.dense(5), nn.relu()]]
    return nn.serial(*words, *head[draw(0, 3)], nn.dense(draw(1, 5)))


@pytest.mark.parametrize("block", range(4))
def test_random_chains_agree_with_the_reference(block):
    found = 0
    for seed in range(100 * block, 100 * (block + 1)):
        shape = tuple(int(n) for n in np.random.default_rng((seed, 1)).integers(1, 12, 3))
        try:
            models = [random_chain(np.random.default_rng(seed), nn) for nn in (fast, reference)]
            out, params, state = models[0].init(seed, shape)
        except ValueError:  # its layers do not fit the images
            continue
        generator = np.random.default_rng((seed, 2))
        params = tree_map(lambda p, g=generator: p + 0.1 * g.normal(size=p.shape), params)
        n = int(generator.integers(1, 20))
        x, labels = generator.normal(size=(n, *shape)), generator.integers(0, out[0], n)
        ours = loss_and_grad(models[0], params, x, labels, key=seed)
        assert_close(ours, models[1].loss_and_grad(params, state, (x, labels), seed)[:2], 1e-10)
        found += 1
    assert found > 20


# ------------------------------------------------------------------------------- whole runs


def start(nn=fast, dtype="float64", **options):
    data = ac.data.patterns(train_per_class=7, val_per_class=5)
    model = ac.models.tiny_cnn(nn=nn, **options)
    _, params, _ = model.init(3, (1, 8, 8), dtype)
    return data, model, params


def step_by_step(*args, **kwargs):
    with fast.using("numpy"):
        return ac.train(*args, **kwargs)


@pytest.fixture
def taken(monkeypatch):
    """The numbers of steps that programs took."""
    steps, train = [], run.Runner.train

    def counted(self, order, size, *args):
        is_finite = train(self, order, size, *args)
        steps.append(-(-len(order) // size) if is_finite else 0)
        return is_finite

    monkeypatch.setattr(run.Runner, "train", counted)
    return steps


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}, {"class_weight": "balanced"}], ids=str)
def test_runs_agree_with_those_step_by_step(taken, name, options):
    weighting = {"class_weight": [1.0, 3.0, 0.5]} if "class_weight" in options else {}
    data, model, params = start(dropout=options.get("dropout", 0.0))
    kept = tree_map(np.copy, params)
    arguments = dict(model=model, optimizer=OPTIMIZERS[name], epochs=6, batch_size=9, **weighting)
    ours = ac.train(params, data, **arguments)
    assert taken == [3] * 6  # the last batch is short
    theirs = step_by_step(params, data, **arguments)
    assert_close(ours.params, theirs.params, 1e-10)
    assert_close(ours.opt_state, theirs.opt_state, 1e-10)
    for column, values in theirs.history.items():
        np.testing.assert_allclose(ours.history[column], values, rtol=1e-10, err_msg=column)
    assert ours.train_state.loss == pytest.approx(theirs.train_state.loss, rel=1e-10)
    assert ours.train_state.step == theirs.train_state.step == 18
    assert same_bits(params, kept)


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}], ids=str)
def test_equal_bits_with_callbacks_and_in_parts(options):
    data, model, params = start(**options)
    arguments = dict(model=model, optimizer=OPTIMIZERS["adam"], batch_size=8)
    steps = []
    whole = ac.train(params, data, epochs=6, **arguments)
    watched = ac.train(params, data, epochs=6, on_step=steps.append, **arguments)
    assert [now.step for now in steps] == list(range(1, 19))
    middle, end = steps[7], steps[8]  # of an epoch
    first = ac.train(params, data, epochs=2, **arguments)
    kept = tree_map(np.copy, first.params)
    for again in (
        watched,
        ac.train(params, data, epochs=6, start=first.train_state, **arguments),
        ac.train(params, data, epochs=6, start=middle, **arguments),
        ac.train(params, data, epochs=6, start=end, **arguments),
        ac.train(params, data, epochs=6, **arguments),
    ):
        assert again.history == whole.history
        assert same_bits(again.params, whole.params)
        assert same_bits(again.opt_state, whole.opt_state)
    assert same_bits(first.params, kept)  # what was returned is not overwritten


def test_equal_bits_by_many_calls(monkeypatch, taken):
    data, model, params = start()
    whole = ac.train(params, data, model=model, epochs=3)
    del taken[:]
    monkeypatch.setattr(programs, "WORK_OF_A_CALL", 20_000)  # one batch, or 18 images
    parts = ac.train(params, data, model=model, epochs=3)
    assert taken == [1] * 6
    assert same_bits(parts.params, whole.params)
    np.testing.assert_allclose(parts.history["val_loss"], whole.history["val_loss"], rtol=1e-14)


def test_divergence_is_told_as_step_by_step(taken):
    data, model, params = start()
    arguments = dict(model=model, optimizer=ac.optim.sgd(1e200), epochs=3)
    told = []
    for train in (ac.train, step_by_step):
        with pytest.raises(Diverged) as error, np.errstate(all="ignore"):
            train(params, data, **arguments)
        told.append(str(error.value))
    assert told[0] == told[1]
    assert taken == [0]


@pytest.mark.parametrize("word", ["relu", "relu6", "max_pool", "tanh"])
def test_what_is_not_a_number_stays_so(word):
    """Else a run would go on that has overflowed."""
    args = (2,) if word == "max_pool" else ()
    model = fast.serial(getattr(fast, word)(*args), fast.flatten(), fast.dense(2))
    x = np.ones((1, 1, 4, 4))
    for place in range(16):
        x[...] = 1
        x.reshape(-1)[place] = np.nan
        _, params, _ = model.init(0, (1, 4, 4))
        assert loss_and_grad(model, params, x, np.zeros(1, int)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"model": ac.models.tiny_cnn(nn=ac.layers)},
        {"model": fast.serial(fast.conv(3, 3), fast.batch_norm(), fast.flatten(), fast.dense(3))},
        {"model": fast.serial(fast.conv(3, 3), fast.silu(), fast.flatten(), fast.dense(3))},
        {"loss": ac.losses.mse},
        {"optimizer": ac.optim.clip_by_global_norm(ac.optim.sgd(0.1), 1.0)},
        {"augment": lambda key, x: x},
    ],
    ids=["autograd", "state", "no kernel", "loss", "optimizer", "augment"],
)
def test_what_is_not_a_programs_goes_step_by_step(taken, change):
    data, model, _ = start()
    arguments = {"model": model, "epochs": 1} | change
    _, params, _ = arguments["model"].init(3, (1, 8, 8))
    ac.train(params, data, **arguments)
    assert taken == []


def test_bad_validation_images_are_told_as_before():
    data, model, params = start()
    for change in ({"y_val": data.y_val + 7}, {"y_val": data.y_val[1:]}):
        with pytest.raises(ValueError, match="labels"):
            ac.train(params, data._replace(**change), model=model, epochs=1)


# ---------------------------------------------------------------------------- single calls


@pytest.fixture
def called(monkeypatch):
    """What was computed by programs: "outputs" and "loss_and_grad"."""
    names = []

    def count(name):
        function = getattr(run, name)

        def counted(*args):
            names.append(name)
            return function(*args)

        monkeypatch.setattr(run, name, counted)

    count("outputs")
    count("loss_and_grad")
    return names


@pytest.mark.parametrize("n", [1, 33])
def test_single_calls_of_lenet_agree_with_the_reference(called, n):
    generator = np.random.default_rng(n)
    x, labels = generator.random((n, 1, 28, 28)), generator.integers(0, 10, n)
    weights = generator.random(n) + 0.1
    ours, theirs = (ac.models.lenet5(nn=nn) for nn in (fast, reference))
    _, params, state = ours.init(1, (1, 28, 28))
    kept = tree_map(np.copy, params)
    y, after = ours.apply(params, state, x)
    assert_close(y, theirs.apply(params, state, x)[0], 1e-10)
    assert after == state
    first = None
    for batch in ((x, labels), (x, labels, weights)):
        found = ours.loss_and_grad(params, state, batch)
        assert_close(found[:2], theirs.loss_and_grad(params, state, batch)[:2], 1e-10)
        first = first or (tree_map(np.copy, found), found)
    assert called == ["outputs", "loss_and_grad", "loss_and_grad"]
    assert same_bits(*first)  # what was returned is not overwritten
    assert same_bits(ours.loss_and_grad(params, state, (x, labels)), first[0])
    assert same_bits(params, kept)


def test_single_calls_that_are_not_a_programs(called):
    model = ac.models.lenet5(nn=fast)
    _, params, state = model.init(1, (1, 28, 28))
    x, labels = np.zeros((2, 1, 28, 28)), np.zeros(2, int)
    with fast.using("numpy"):
        model.loss_and_grad(params, state, (x, labels))
        model.apply(params, state, x)
    model.loss_and_grad(params, state, (x, labels), loss=ac.losses.mse)
    tiny = ac.models.tiny_cnn(nn=fast)
    tiny.loss_and_grad(*tiny.init(0, (1, 8, 8))[1:], (x[:, :, :8, :8], labels))
    assert called == []


def test_dropout_needs_a_key_as_before(called):
    model = fast.serial(fast.flatten(), fast.dense(64), fast.dropout(0.5), fast.dense(4))
    _, params, state = model.init(1, (1, 28, 28))
    x, labels = np.ones((9, 1, 28, 28)), np.arange(9) % 4
    with pytest.raises(ValueError, match="dropout needs a key"):
        model.loss_and_grad(params, state, (x, labels))
    other = reference.serial(
        reference.flatten(), reference.dense(64), reference.dropout(0.5), reference.dense(4)
    )
    for key, train in ((3, True), (None, False)):
        found = model.loss_and_grad(params, state, (x, labels), key, train)
        assert_close(
            found[:2], other.loss_and_grad(params, state, (x, labels), key, train)[:2], 1e-10
        )
    assert called == ["loss_and_grad"] * 2


def test_large_networks_are_not_programs():
    model = ac.models.vgg16(nn=fast)
    x = np.zeros((2, 3, 224, 224), "float32")
    _, params, _ = model.init(None, x.shape[1:], "float32")
    assert program.small_program(model, params, x, 2, True) is None
