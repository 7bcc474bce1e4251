"""Training as a pure function, evaluation, trace and summary."""

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn.trees import leaves


def snapshot(*values):
    return [leaf.tobytes() for value in values for _, leaf in leaves(value)]


def test_train_leaves_its_arguments_untouched(tiny, patterns):
    _, params, _, _ = tiny
    before = snapshot(params, list(patterns[:4]))
    run = ac.train(params, patterns, epochs=2)
    assert snapshot(params, list(patterns[:4])) == before
    assert run.params[0]["w"] is not params[0]["w"]
    assert [len(v) for v in run.history.values()] == [3] * 5


def test_the_same_seed_gives_the_same_bits(patterns, nn):
    model = ac.models.tiny_cnn(nn=nn, dropout=0.3)
    _, params, _ = model.init(0, (1, 8, 8))
    one, two, other = (
        ac.train(params, patterns, model=model, epochs=2, seed=s) for s in ((5, 1), (5, 1), (5, 2))
    )
    assert snapshot(one.params) == snapshot(two.params)
    assert one.history == two.history
    assert snapshot(one.params) != snapshot(other.params)


def test_dropout_draws_anew_at_every_step_alike_in_both(patterns):
    finals = []
    for nn in (ac.layers, reference):
        model = ac.models.tiny_cnn(nn=nn, dropout=0.4)
        _, params, _ = model.init(0, (1, 8, 8))
        finals.append(ac.train(params, patterns, model=model, epochs=3).params)
    for (path, a), (_, b) in zip(*map(leaves, finals), strict=True):
        assert np.allclose(a, b, rtol=1e-11, atol=1e-13), path


def test_float32_parameters_train_in_float32(patterns, nn):
    model = ac.models.tiny_cnn(nn=nn)
    _, params, _ = model.init(3, (1, 8, 8), "float32")
    run = ac.train(params, patterns, model=model, epochs=2, optimizer=ac.optim.adam(0.01))
    assert {leaf.dtype for _, leaf in leaves(run.params)} == {np.dtype("float32")}


def test_a_short_last_batch_counts(patterns):
    """One batch of 180 and one epoch is one step; a batch size of 100 takes two, the second of
    80.
    """
    model = ac.models.tiny_cnn()
    params = model.init(3, (1, 8, 8))[1]
    steps = []

    class Watched(ac.layers.Layer):
        def loss_and_grad(self, params, state, batch, key=None, **options):
            steps.append((len(batch[0]), key))
            return model.loss_and_grad(params, state, batch, key, **options)

    watched = Watched(model.name, model.options, model.init, model.forward, model.parts)
    ac.train(params, patterns, model=watched, epochs=2, batch_size=100)
    assert [n for n, _ in steps] == [100, 80, 100, 80]
    assert len({key for _, key in steps}) == 4


def test_evaluate_does_not_depend_on_its_batches(tiny, patterns):
    model, params, state, _ = tiny
    whole = ac.evaluate(model, params, state, patterns.x_train, patterns.y_train)
    parts = ac.evaluate(model, params, state, patterns.x_train, patterns.y_train, batch_size=7)
    assert parts == pytest.approx(whole, rel=1e-13)
    logits = model.apply(params, state, patterns.x_train)[0]
    assert whole[1] == (logits.argmax(axis=1) == patterns.y_train).mean()
    assert isinstance(whole[0], float)
    assert isinstance(whole[1], float)


def test_snapshots_are_copies_of_the_first_convolutions_kernels(tiny, patterns):
    _, params, _, _ = tiny
    run = ac.train(params, patterns, epochs=3, snapshots=(0, 2, 3, 9))
    assert list(run.snapshots) == [0, 2, 3]
    assert np.array_equal(run.snapshots[3], run.params[0]["w"])
    mlp = ac.models.tiny_mlp()
    assert ac.train(mlp.init(5, (1, 8, 8))[1], patterns, model=mlp, epochs=1).snapshots == {}


def test_the_default_model_is_the_tiny_cnn_of_the_parameters(patterns):
    options = dict(filters=5, kernel=(2, 3))
    model, fast_model = (ac.models.tiny_cnn(**options, nn=nn) for nn in (ac.layers, ac.fast))
    _, params, _ = model.init(1, (1, 8, 8))
    assert (
        ac.train(params, patterns, epochs=1).history
        == ac.train(params, patterns, model=fast_model, epochs=1).history
    )


def test_trace_names_every_intermediate(nn, patterns):
    block = nn.residual(nn.serial(nn.conv(2, 1), nn.relu()))
    model = nn.serial(nn.conv(2, 3, padding=1), block, nn.relu(), nn.flatten(), nn.dense(3))
    _, params, state = model.init(0, (1, 8, 8))
    taps = ac.trace(model, params, state, patterns.x_val[:2])
    names = [
        "input",
        "conv1",
        "conv2",
        "relu1",
        "identity",
        "residual",
        "relu2",
        "flatten",
        "dense",
        "logits",
        "probs",
    ]
    assert list(taps) == names
    assert np.allclose(taps["residual"], taps["relu1"] + taps["conv1"])
    assert np.array_equal(taps["logits"], model.apply(params, state, patterns.x_val[:2])[0])
    assert np.allclose(taps["probs"].sum(axis=1), 1)
    assert [row.layer for row in ac.summary(model, (1, 8, 8))] == names[1:-2]
    assert "logits" in taps
    with pytest.raises(KeyError, match="there are input, conv1, conv2"):
        taps["conv"]
    with pytest.warns(DeprecationWarning, match="write 'flatten' for 'flat'"):
        assert taps["flat"] is taps["flatten"]


@pytest.mark.parametrize(
    "build, parameters, products",
    [
        (ac.models.tiny_cnn, [30, 0, 0, 0, 84], [36 * 27, 0, 0, 0, 81]),
        (ac.models.tiny_mlp, [0, 65 * 18, 0, 57], [0, 64 * 18, 0, 54]),
        (
            lambda nn=ac.layers: ac.models.tiny_cnn(stride=2, pool=None, nn=nn),
            [30, 0, 0, 84],
            [9 * 27, 0, 0, 81],
        ),
        (lambda nn=ac.layers: nn.conv(6, (3, 2), groups=2, padding=1), [42], [6 * 8 * 9 * 6]),
    ],
)
def test_summary(build, parameters, products):
    shape = (1, 8, 8) if len(parameters) > 1 else (2, 8, 8)
    for rows in (ac.summary(build, shape), ac.summary(build(nn=reference), shape)):
        assert [row.parameters for row in rows] == parameters
        assert [row.multiply_adds for row in rows] == products
        assert rows.parameters == ac.trees.count(build().init(0, shape)[1])
    assert str(rows).count("\n") == len(parameters) + 2
    assert "multiply-adds" in str(rows)


def test_runs_and_train_states_have_a_repr_of_one_line(tiny, patterns):
    _, params, _, _ = tiny
    options = dict(optimizer=ac.optim.sgd(0.0), restore="best", snapshots=(0, 2))
    run = ac.train(params, patterns, epochs=2, **options)
    loss, accuracy = run.history["val_loss"][-1], run.history["val_acc"][-1]
    told = f"val_loss {loss:.4g}, val_acc {accuracy:.4g}; 114 parameters"
    assert repr(run).startswith("Run(epoch 2, train_loss ")
    assert repr(run).endswith(f"{told} of epoch 0; snapshots of epochs 0, 2)")
    assert repr(run.train_state).startswith("TrainState(step 20, last loss ") and repr(
        run.train_state
    ).endswith(f"{told})")
    assert repr(run._replace(epoch=2, snapshots={})).endswith(f"{told})")
    begin = ac.training.TrainState(params, (), (), 0, np.nan, {})
    assert repr(begin) == "TrainState(step 0, no epoch yet; 114 parameters)"
    assert "no epoch yet" in repr(
        ac.training.Run(params, (), {"epoch": [], "val_acc": []}, {}, (), None, 0)
    )
