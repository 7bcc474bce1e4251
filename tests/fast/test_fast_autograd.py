"""A fast network is one function to autograd: the user's own losses, higher derivatives, other
dtypes, replaced layers.
"""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import autocnn as ac
from autocnn import autodiff, fast, layers
from autocnn.trees import leaves, tree_map
from tests import fast_ops
from tests.helpers import assert_close


def network(nn):
    inner = nn.serial(nn.conv(3, 3, padding=1, bias=False), nn.batch_norm(), nn.relu())
    return nn.serial(
        nn.conv(3, 3),
        nn.relu(),
        nn.max_pool(2),
        nn.residual(inner),
        nn.relu(),
        nn.flatten(),
        nn.dense(4),
    )


@pytest.fixture
def pair(generator):
    """The same network fast and plain, its trees, and images."""
    model = network(fast)
    _, params, state = model.init(3, (1, 8, 8))
    return model, network(layers), params, state, generator.normal(size=(3, 1, 8, 8))


def on_both(f, pair):
    fast_model, plain_model, *rest = pair
    return f(fast_model, *rest), f(plain_model, *rest)


@pytest.mark.parametrize("train", [False, True])
def test_grad_of_a_users_function(pair, train):
    fast_model, plain_model, params, state, x = pair

    def objective(model, params, x):
        y, _ = model.apply(params, state, x, train=train, key=1)
        return anp.sum(anp.tanh(y) ** 2) + 0.1 * anp.sum(params[0]["w"] ** 2)

    ours = [autograd.grad(objective, i)(fast_model, params, x) for i in (1, 2)]
    _, _, backward = autodiff.vjp(
        lambda params, x: (objective(plain_model, params, x), None), params, x
    )
    assert_close(ours, list(backward(1.0)), 1e-12)


def test_one_network_is_one_node(pair):
    model, _, params, state, x = pair
    seen = []

    def objective(params):
        y, _ = model.apply(params, state, x)
        seen.append(y._node)
        return anp.sum(y)

    autograd.grad(objective)(params)
    assert len(seen[0].parents) == len(leaves(params))


def test_second_derivatives_of_a_network(pair, generator):
    direction = None

    def f(model, params, state, x):
        nonlocal direction
        direction = direction or tree_map(lambda p: generator.normal(size=p.shape), params)

        def slope(params):
            _, grads, _ = model.loss_and_grad(params, state, (x, np.array([0, 3, 1])))
            terms = zip(leaves(grads), leaves(direction), strict=True)
            return sum(anp.sum(g * d) for (_, g), (_, d) in terms), None

        return list(autodiff.vjp(slope, params)[2](1.0))

    assert_close(*on_both(f, pair), 1e-10)


def test_forward_mode(generator):
    x, w, v = (
        generator.normal(size=(2, 2, 6, 6)),
        generator.normal(size=(3, 2, 3, 3)),
        generator.normal(size=(3, 2, 3, 3)),
    )
    found = [
        autograd.make_jvp(lambda w, ops=ops: anp.sin(ops.conv2d(x, w)))(w)(v)
        for ops in (fast_ops, ac.ops)
    ]
    assert_close(*([np.asarray(a) for a in part] for part in found), 1e-12)


def test_the_way_back_is_differentiable(pair, generator):
    """A product of dy with the Jacobian is linear in dy; its derivative is the Jacobian's
    product.
    """
    dy = generator.normal(size=(3, 4))

    def f(model, params, state, x):
        def through(dy):
            _, _, backward = model.vjp(params, state, x)
            return anp.sum(anp.sin(backward(dy)[0]))

        return autograd.grad(through)(dy)

    assert_close(*on_both(f, pair), 1e-12)


def test_a_replaced_forward_is_used(pair):
    """Whoever replaces a layer's forward gets that forward, differentiated by autograd, alone
    and inside a network.
    """
    _, _, params, _, x = pair
    part = fast.conv(3, 3)

    def twice(params, state, x, train, key):
        y, state = part.forward(params, state, x, train, key)
        return 2 * y, state

    doubled = part._replace(forward=twice)
    tree = params[0]
    y, _, backward = part.vjp(tree, {}, x)
    for model, p, s in ((doubled, tree, {}), (fast.serial(doubled), [tree], [{}])):
        y2, _, backward2 = model.vjp(p, s, x)
        assert_close([y2], [2 * y], 1e-15)
        assert_close(
            [leaf for _, leaf in leaves(backward2(y))],
            [2 * leaf for _, leaf in leaves(backward(y))],
            1e-12,
        )


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "complex128"])
def test_other_dtypes_go_the_plain_way(pair, dtype):
    def f(model, params, state, x):
        params, state = (tree_map(lambda p: p.astype(dtype), tree) for tree in (params, state))
        return model.forward(params, state, x.astype(dtype), False, None)[0]

    with np.errstate(all="ignore"):
        ours, theirs = on_both(f, pair)
    assert ours.dtype == theirs.dtype == dtype
    assert np.array_equal(ours, theirs)


def test_images_of_another_precision_than_the_parameters(pair):
    def f(model, params, state, x):
        y, _, backward = model.vjp(params, state, x.astype("float32"))
        return [y, backward(np.ones_like(y))]

    assert_close(*on_both(f, pair), 1e-6)


def test_single_precision_stays_through_autograd(pair):
    model, _, params, state, x = pair
    params, state = (tree_map(lambda p: p.astype("float32"), tree) for tree in (params, state))

    def objective(params):
        return anp.sum(anp.exp(model.apply(params, state, x.astype("float32"))[0]))

    assert {leaf.dtype for _, leaf in leaves(autograd.grad(objective)(params))} == {
        np.dtype("float32")
    }


def test_bad_input_is_refused_as_by_the_plain_network(pair):
    def f(model, params, state, x):
        messages = []
        for bad in (x[0], x[:, :, :3], np.where(x > 2, np.nan, x) * np.nan, x.astype(int)):
            with pytest.raises(ValueError) as error:
                model.loss_and_grad(params, state, (bad, np.array([0, 1, 2])))
            messages.append(str(error.value))
        with pytest.raises(ValueError) as error:
            model.loss_and_grad(params, state, (x, np.array([0, 1, 4])))
        return [*messages, str(error.value)]

    ours, theirs = on_both(f, pair)
    assert ours == theirs
