"""Weights of images and classes: one formula in every interpretation, held to definitions that
do not share its code.
"""

import functools
import sys
import types

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn.ops import log_softmax
from autocnn.training import agreement, sample_weight
from autocnn.training import mpi as parallel
from autocnn.trees import leaves, tree_map

pytestmark = pytest.mark.kernels

W = np.array([0.5, 2.0, 0.0, 1.0, 3.0, 0.25, 1.0])


def network(nn):
    return nn.serial(
        nn.conv(4, 3),
        nn.batch_norm(),
        nn.relu(),
        nn.max_pool(2),
        nn.dropout(0.3),
        nn.flatten(),
        nn.dense(3),
    )


@pytest.fixture
def batch(generator):
    return generator.normal(size=(7, 2, 8, 8)), generator.integers(0, 3, 7)


def both(tree, other, tolerance):
    for (path, a), (_, b) in zip(leaves(tree), leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=path)


@pytest.mark.parametrize("train", [True, False])
def test_the_loss_is_the_weighted_mean(nn, batch, train):
    model = network(nn)
    _, params, state = model.init(1, (2, 8, 8))
    x, labels = batch
    loss, _, after = model.loss_and_grad(params, state, (x, labels, W), key=5, train=train)
    logits, also = model.apply(params, state, x, train, key=5)
    each = -log_softmax(logits)[np.arange(7), labels]
    assert loss == pytest.approx((W * each).sum() / W.sum(), rel=1e-13)
    both(after, also, 1e-14)


def test_all_interpretations_agree(batch):
    found = []
    for nn in (ac.layers, reference, ac.fast):
        model = network(nn)
        _, params, state = model.init(1, (2, 8, 8))
        loss, grads, _ = model.loss_and_grad(params, state, (*batch, W), key=5)
        found.append((np.asarray(loss), grads))
    both(found[0], found[1], 1e-12)
    both(found[0], found[2], 1e-12)


def test_gradients_are_those_of_finite_differences(nn, batch, generator):
    model = nn.serial(nn.conv(2, 3), nn.tanh(), nn.flatten(), nn.dense(3))
    _, params, state = model.init(1, (2, 8, 8))
    along = tree_map(lambda p: generator.normal(size=p.shape), params)

    def loss(t):
        moved = tree_map(lambda p, d: p + t * d, params, along)
        return model.loss_and_grad(moved, state, (*batch, W))[0]

    grads = model.loss_and_grad(params, state, (*batch, W))[1]
    slope = sum((g * d).sum() for (_, g), (_, d) in zip(leaves(grads), leaves(along), strict=True))
    assert (loss(1e-5) - loss(-1e-5)) / 2e-5 == pytest.approx(slope, rel=1e-8)


def test_class_weights_are_torchs(nn, generator):
    torch = pytest.importorskip("torch")
    model = nn.serial(nn.flatten(), nn.dense(3))
    _, params, state = model.init(1, (1, 4, 4))
    x, labels, by_class = (
        generator.normal(size=(9, 1, 4, 4)),
        generator.integers(0, 3, 9),
        [0.2, 3.0, 1.0],
    )
    w, b = (torch.tensor(params[1][name], requires_grad=True) for name in "wb")
    logits = torch.tensor(x.reshape(9, 16)) @ w + b
    theirs = torch.nn.functional.cross_entropy(
        logits, torch.tensor(labels), torch.tensor(by_class, dtype=torch.float64)
    )
    theirs.backward()
    each = sample_weight.example_weights(labels, 3, None, by_class)
    loss, grads, _ = model.loss_and_grad(params, state, (x, labels, each))
    assert loss == pytest.approx(theirs.item(), rel=1e-13)
    np.testing.assert_allclose(grads[1]["w"], w.grad.numpy(), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(grads[1]["b"], b.grad.numpy(), rtol=1e-11, atol=1e-14)


def test_float32_stays(nn, batch):
    model = network(nn)
    _, params, state = model.init(1, (2, 8, 8), "float32")
    loss, grads, _ = model.loss_and_grad(
        params, state, (batch[0].astype("float32"), batch[1], W), key=5
    )
    assert loss.dtype == np.float32 and {leaf.dtype for _, leaf in leaves(grads)} == {
        np.dtype("float32")
    }


@pytest.mark.parametrize("nn", [ac.layers, ac.fast])
def test_derivatives_through_the_gradient_carry_the_weights(nn, batch):
    """Someone else's autograd goes through ``loss_and_grad``: the weights are not lost where the
    fast path steps aside.
    """
    from autograd import grad

    model = nn.serial(nn.flatten(), nn.dense(3))
    _, params, state = model.init(1, (2, 8, 8))
    found = grad(lambda p: model.loss_and_grad(p, state, (*batch, W))[0])(params)
    both(found, model.loss_and_grad(params, state, (*batch, W))[1], 1e-13)


@pytest.mark.parametrize(
    "bad, words",
    [
        (W[:6], r"weights being 7 numbers; got float64 of shape \(6,\)"),
        (W[:, None], r"shape \(7, 1\)"),
        (W - 1, "finite, 0 or more, and not all 0; got -1.0"),
        (W * np.nan, "finite, 0 or more"),
        (W * 0, "not all 0"),
        (["heavy"] * 7, "7 numbers"),
    ],
)
def test_bad_weights_of_a_batch(nn, batch, bad, words):
    model = network(nn)
    _, params, state = model.init(1, (2, 8, 8))
    with pytest.raises(ValueError, match=words):
        model.loss_and_grad(params, state, (*batch, bad), key=5)
    with pytest.raises(ValueError, match="a batch is"):
        model.loss_and_grad(params, state, (*batch, W, W), key=5)


def test_balanced():
    labels = np.array([0, 0, 0, 1, 3, 3])
    found = sample_weight.balanced_class_weights(labels, 4)
    np.testing.assert_allclose(found, [6 / 9, 2, 1, 1])
    np.testing.assert_allclose(
        sample_weight.balanced_class_weights(labels, 4, np.array([1, 1, 1, 3, 0, 0])), [1, 1, 1, 1]
    )
    each = sample_weight.example_weights(labels, 4, None, "balanced")
    np.testing.assert_allclose(np.bincount(labels, each), [2, 2, 0, 2])
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    np.testing.assert_allclose(
        found[[0, 1, 3]],
        sklearn.compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels),
    )


def test_weights_of_examples():
    labels = np.array([0, 1, 2, 1])
    assert sample_weight.example_weights(labels, 3) is None
    assert (
        sample_weight.example_weights(labels, 3, [2, 2, 2, 2]) is None
    )  # a factor on all changes nothing
    np.testing.assert_array_equal(
        sample_weight.example_weights(labels, 3, [1, 2, 3, 4], {1: 10}), [1, 20, 3, 40]
    )
    np.testing.assert_array_equal(
        sample_weight.example_weights(labels, 3, None, [5, 6, 7]), [5, 6, 7, 6]
    )


@pytest.mark.parametrize(
    "options, words",
    [
        (
            dict(sample_weight=[1, 2]),
            r"sample_weight must be 180 numbers, one for each example; got shape \(2,\)",
        ),
        (dict(sample_weight=["a"] * 180), "sample_weight must be 180 numbers"),
        (dict(sample_weight=[-1] * 180), "0 or more; got -1.0 for example 0"),
        (dict(sample_weight=[0] * 180), "every weight is zero"),
        (dict(class_weight=[1, 2]), "class_weight must be 3 numbers, one for each class"),
        (dict(class_weight=[1, 2, np.inf]), "got inf for class 2"),
        (
            dict(class_weight={3: 1}),
            r"class_weight names classes that do not exist, \[3\]; there are 0..2",
        ),
        (
            dict(class_weight="fair"),
            "class_weight is 'balanced', a dict .* or 3 numbers; got 'fair'",
        ),
        (dict(class_weight={0: "x"}), "class_weight must be 3 numbers"),
    ],
)
def test_bad_weights_for_train(tiny, patterns, options, words):
    with pytest.raises(ValueError, match=words):
        ac.train(tiny[1], patterns, epochs=1, **options)


def same(run, other):
    assert run.history == other.history
    both(run.params, other.params, 0)


def test_training_with_weights(tiny, patterns):
    train = functools.partial(ac.train, tiny[1], patterns, epochs=2)
    same(train(), train(sample_weight=np.full(180, 3.0)))
    kept = np.arange(180) % 4 > 0
    fewer = patterns._replace(x_train=patterns.x_train[kept], y_train=patterns.y_train[kept])
    same(
        train(sample_weight=kept), ac.train(tiny[1], fewer, epochs=2)
    )  # weight 0 is absence, to the last bit
    each = np.array([1.0, 2.0, 5.0])[patterns.y_train]
    same(train(class_weight={1: 2, 2: 5}), train(sample_weight=each))
    assert train(sample_weight=each).history != train().history


def test_a_whole_batch_of_weights_is_one_of_repetitions(tiny, patterns, nn):
    """In one batch, an image of weight 3 is the image three times."""
    times = np.arange(180) % 3
    more = patterns._replace(
        x_train=np.repeat(patterns.x_train, times, 0), y_train=np.repeat(patterns.y_train, times)
    )
    model = ac.models.tiny_cnn(nn=nn)
    options = dict(model=model, epochs=5, batch_size=1000, optimizer=ac.optim.adam(0.01))
    weighted = ac.train(tiny[1], patterns, sample_weight=times, **options)
    both(weighted.params, ac.train(tiny[1], more, **options).params, 1e-10)


def test_class_weights_move_the_answers(patterns):
    """Two images of one class beside 120 of the others: balanced, theirs is an answer at all."""
    rare = np.flatnonzero((patterns.y_train > 0) | (np.arange(180) % 20 == 0))
    data = patterns._replace(x_train=patterns.x_train[rare], y_train=patterns.y_train[rare])
    _, params, _ = ac.models.tiny_cnn().init(3, (1, 8, 8))
    share = []
    for class_weight in (None, "balanced"):
        run = ac.train(params, data, epochs=4, class_weight=class_weight)
        share.append(
            (ac.predict(run.model, run.params, run.state, data.x_val).argmax(axis=1) == 0).mean()
        )
    assert share[0] == 0 and share[1] > 0.2  # of a third


class Halves:
    """A communicator of two ranks that are asked one after the other: stands for MPI, whose own
    tests need mpiexec.
    """

    size = 2

    def __init__(self, rank, sums, statuses):
        self.rank, self.sums, self.statuses = rank, sums, statuses

    def Iallreduce(self, status, largest, op):
        assert op == "max"
        self.statuses.append(status.copy())
        largest[:] = np.max(self.statuses, axis=0)
        return types.SimpleNamespace(Test=lambda: True)

    def Allreduce(self, buffer, total):
        self.sums.append(buffer.copy())
        total[:] = sum(self.sums)


def test_ranks_share_a_weighted_batch(batch, monkeypatch):
    stub = types.SimpleNamespace(MPI=types.SimpleNamespace(MAX="max"))
    monkeypatch.setitem(sys.modules, "mpi4py", stub)
    monkeypatch.setattr(agreement._Job, "world", None)
    model = ac.models.tiny_cnn()
    _, params, state = model.init(1, (1, 8, 8))
    part, sums = (batch[0][:, :1], batch[1], W), []
    statuses = []
    for rank in (0, 1):
        comm = Halves(rank, sums, statuses)
        found = parallel.shard(model, comm).loss_and_grad(params, state, part)
    np.testing.assert_array_equal(*statuses)  # of the same batch
    both(found, model.loss_and_grad(params, state, part), 1e-13)
