"""Layers of one's own: the docstring's example, and what is said where one is written wrongly."""

import doctest
import math
import pickle

import autograd.numpy as anp
import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn.layers import layer as page

SHAPE = (1, 8, 8)


def test_the_example_of_the_docstring_trains(patterns):
    names = {"Layer": ac.layers.Layer}
    (test,) = (
        t for t in doctest.DocTestFinder().find(page.Layer, globs=names) if "swish" in t.docstring
    )
    scope = test.globs
    assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0
    assert len(test.examples) == 5
    run = ac.train(scope["params"], patterns, epochs=2)
    assert run.model is scope["model"] and run.history["train_loss"][-1] < 0.8
    assert ac.gradcheck.check_model(scope["model"], SHAPE)


def init(key, shape, dtype):
    return shape, {"w": anp.ones((), dtype)}, {}


def good(params, state, x, train, key):
    return params["w"] * x, state


def network(own, nn=ac.layers):
    return nn.serial(nn.conv(3, 3), own, nn.flatten(), nn.dense(3))


def run(own, data, nn=ac.layers):
    """Draw, apply and differentiate, as a user comes across each."""
    model = network(own, nn)
    _, params, state = model.init(0, SHAPE)
    batch = data.x_train[:4], data.y_train[:4]
    model.apply(params, state, batch[0])
    model.loss_and_grad(params, state, batch)


FORWARDS = {
    "x alone": (lambda p, s, x, t, k: p["w"] * x, r"must return y, state; got a \w+: def forward"),
    "three": (lambda p, s, x, t, k: (x, s, None), r"must return y, state; got a tuple of 3"),
    "numpy": (
        lambda p, s, x, t, k: (np.where(x > 0, p["w"] * x, 0), s),
        "returned an array of objects; .* import autograd.numpy as np",
    ),
    "a number": (lambda p, s, x, t, k: (1.0, s), "must return an array as y, got float"),
    "numpy array": (
        lambda p, s, x, t, k: (np.asarray(p["w"] * x, float), s),
        "import autograd.numpy as np",
    ),
    "math": (
        lambda p, s, x, t, k: (math.exp(p["w"]) * x, s),
        "single numbers that nothing is differentiated through",
    ),
    "float": (
        lambda p, s, x, t, k: (float(p["w"]) * x, s),
        "single numbers that nothing is differentiated through",
    ),
    "int": (
        lambda p, s, x, t, k: (x[:, : int(p["w"])] * x, s),
        "single numbers that nothing is differentiated through",
    ),
    "if": (lambda p, s, x, t, k: (x if p["w"] * x > 0 else 0 * x, s), r"np\.where\(x > 0, a, b\)"),
    "shapes": (lambda p, s, x, t, k: (x + anp.ones(5), s), r"got x of shape \(4, 3, 6, 6\)"),
    "matmul": (
        lambda p, s, x, t, k: (anp.dot(x, anp.ones((5, 6))), s),
        r"and params of \{'w': \(\)\}",
    ),
    "another output": (
        lambda p, s, x, t, k: (x[:, :1], s),
        r"init says that the output of x \(4, 3, 6, 6\) is \(4, 3, 6, 6\), but forward returned "
        r"\(4, 1, 6, 6\)",
    ),
}


@pytest.mark.parametrize("nn", [ac.layers, ac.fast], ids=["layers", "fast"])
@pytest.mark.parametrize("forward, says", FORWARDS.values(), ids=FORWARDS)
def test_a_forward_pass_that_is_wrong(forward, says, nn, patterns):
    own = nn.Layer("mine", {}, init, forward)
    with pytest.raises(ValueError, match=f"layer 'mine': .*{says}"):
        run(own, patterns, nn)


def test_assignment_in_place(patterns):
    def forward(params, state, x, train, key):
        y = params["w"] * x
        y[y < 0] = 0
        return y, state

    with pytest.raises(ValueError, match=r"layer 'mine': .*assign nothing in place"):
        run(ac.layers.Layer("mine", {}, init, forward), patterns)


@pytest.mark.parametrize(
    "made, says",
    [
        (lambda: ac.layers.Layer("m", {}, lambda key, shape: (shape, {}, {}), good), "takes"),
        (lambda: ac.layers.Layer("m", {}, init, lambda params, x: x), "takes"),
        (lambda: ac.layers.Layer("m", {}, init, "relu"), "must be a function, def forward"),
        (lambda: ac.layers.Layer("m", {}, None, good), "must be a function, def init"),
        (
            lambda: reference.Layer("m", {}, init, backprop=lambda params, state, x: x),
            "takes",
        ),
    ],
)
def test_signatures_are_told_when_the_layer_is_made(made, says):
    with pytest.raises(ValueError, match=rf"layer 'm': \w+ ?{says}"):
        made()


@pytest.mark.parametrize(
    "drawn, got",
    [
        (lambda shape: shape, r"a tuple of 2|a tuple of 3 whose|whose first is 3"),
        (lambda shape: (shape, {}), "a tuple of 2"),
        (lambda shape: {}, "a dict"),
        (lambda shape: ({}, shape, {}), r"whose first is \{\}"),
    ],
)
def test_what_init_returns(drawn, got):
    own = ac.layers.Layer("mine", {}, lambda key, shape, dtype: drawn(shape), good)
    with pytest.raises(ValueError, match=rf"init must return \(out_shape, .*got .*({got})"):
        network(own).init(0, SHAPE)


def test_a_backward_pass_by_hand_that_is_wrong(patterns):
    own = reference.Layer("mine", {}, init, backprop=lambda p, s, x, t, k: (x, s))
    with pytest.raises(ValueError, match=r"backprop must return def backprop.*got a tuple of 2"):
        run(own, patterns, reference)


def test_errors_with_another_cause_come_through(patterns):
    def forward(params, state, x, train, key):
        raise KeyError("of one's own")

    with pytest.raises(KeyError, match="of one's own"):
        run(ac.layers.Layer("mine", {}, init, forward), patterns)

    def refuse(params, state, x, train, key):
        raise ValueError("x must be positive")

    with pytest.raises(ValueError, match=r"^x must be positive$"):
        run(ac.layers.Layer("mine", {}, init, refuse), patterns)


def test_a_right_layer_is_left_alone(patterns):
    own = ac.layers.Layer("mine", {"a": 1}, init, good)
    run(own, patterns)
    again = pickle.loads(pickle.dumps(own))
    assert repr(again) == "mine(a=1)" and not again.is_as_declared
    assert again.forward.unchecked is good and own.replace(name="b").forward.unchecked is good
    run(again, patterns)


def test_channels_last_are_told_at_init():
    with pytest.raises(
        ValueError, match=r"shape \(28, 28, 1\) looks like channels last.*\(1, 28, 28\)"
    ):
        ac.models.lenet5().init(0, (28, 28, 1))
    with pytest.warns(UserWarning, match=r"channels last; .*\(3, 224, 224\)"):
        ac.models.resnet50().init(None, (224, 224, 3))
    with pytest.warns(UserWarning, match=r"channels last; .*\(3, 32, 32\)"):
        ac.models.tiny_mlp().init(0, (32, 32, 3))


def test_all_that_init_returns_is_told(patterns):
    model = ac.models.tiny_cnn()
    drawn = model.init(0, SHAPE)
    with pytest.raises(ValueError, match="params are all that init returns: unpack them"):
        model.apply(drawn, drawn[2], patterns.x_train[:2])
    with pytest.raises(ValueError, match="params are all that init returns"):
        ac.train(drawn, patterns, model)
    with pytest.raises(ValueError, match="nothing says which network these params belong to"):
        ac.train(patterns.x_train, patterns)
    with pytest.raises(ValueError, match=r"grey images \(N, H, W\)"):
        ac.training.predict(model, drawn[1], drawn[2], patterns.x_train[:3, 0])
