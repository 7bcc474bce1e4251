"""The tape: any structure, any order, exceptions and threads included."""

import threading

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.tracer import trace_stack

import autocnn as ac
from autocnn.autodiff import vjp


def test_gradients_come_back_in_the_trees_structure():
    y, aux, backward = vjp(
        lambda p, x: (p["a"][0] * x**2, "kept"),
        {"a": (np.array(3.0),), "b": [np.ones(2)]},
        np.array(5.0),
    )
    assert (y, aux) == (75.0, "kept")
    dp, dx = backward(2.0)
    assert dp["a"] == (50.0,)
    assert dx == 60.0
    assert np.array_equal(dp["b"][0], [0, 0])  # does not influence y


def test_output_without_any_input():
    _, _, backward = vjp(lambda x: (np.ones(3), None), np.ones((2, 2), "float32"))
    (dx,) = backward(np.ones(3))
    assert dx.shape == (2, 2)
    assert dx.dtype == np.float32
    assert not dx.any()


def test_a_leaf_used_twice_gets_both_parts():
    _, _, backward = vjp(lambda x: (x * x + 3.0 * x, None), np.array(2.0))
    assert backward(1.0) == (7.0,)


def test_it_nests_in_autograd_and_in_itself():
    def inner(x):
        return vjp(lambda z: (z**3, None), x)[2](1.0)[0]

    assert autograd.grad(inner)(2.0) == pytest.approx(12.0)  # (3 x^2)' = 6 x
    assert vjp(lambda x: (inner(x), None), np.array(2.0))[2](1.0)[0] == pytest.approx(12.0)


def test_users_can_differentiate_through_a_network(tiny):
    model, params, state, (x, labels) = tiny

    def loss(w):
        changed = [{**params[0], "w": w}, *params[1:]]
        return ac.ops.cross_entropy(model.apply(changed, state, x)[0], labels)

    _, grads, _ = model.loss_and_grad(params, state, (x, labels))
    assert np.allclose(autograd.grad(loss)(params[0]["w"]), grads[0]["w"], rtol=1e-13, atol=0)
    by_x = autograd.grad(lambda x: anp.sum(model.apply(params, state, x)[0] ** 2))(x)
    assert by_x.shape == x.shape


@pytest.mark.parametrize("nn", [ac.layers, ac.fast], ids=["autograd", "fast"])
def test_autograd_takes_a_whole_tree(nn, tiny):
    _, params, state, (x, labels) = tiny
    model = ac.models.tiny_cnn(nn=nn)
    whole = autograd.grad(
        lambda params: ac.ops.cross_entropy(model.apply(params, state, x)[0], labels)
    )(params)
    expected = ac.trees.leaves(model.loss_and_grad(params, state, (x, labels))[1])
    for (path, a), (_, b) in zip(ac.trees.leaves(whole), expected, strict=True):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-16), path


def test_an_exception_inside_leaves_autograd_usable(tiny):
    _, params, _, batch = tiny
    before = trace_stack.top

    def fail(x):
        raise ZeroDivisionError("inside")

    with pytest.raises(ZeroDivisionError):
        vjp(fail, np.ones(2))
    flat = ac.layers.flatten()
    broken = ac.layers.serial(ac.layers.conv(3, 3), flat._replace(forward=lambda *arguments: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        broken.loss_and_grad([params[0], {}], [{}, {}], (batch[0], np.zeros(18, int)))
    assert trace_stack.top == before
    assert autograd.grad(lambda x: x**2)(3.0) == 6.0


def test_threads_take_turns(tiny):
    model, params, state, batch = tiny
    expected = model.loss_and_grad(params, state, batch)[1][0]["w"]
    found, stop = [], threading.Barrier(4)

    def work():
        stop.wait()
        found.extend(model.loss_and_grad(params, state, batch)[1][0]["w"] for _ in range(25))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 100
    assert all(np.array_equal(w, expected) for w in found)
    assert trace_stack.top == -1
