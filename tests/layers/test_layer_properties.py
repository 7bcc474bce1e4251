"""Whatever comes, a layer is made or refused by a ValueError, and by all three vocabularies
alike.
"""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autocnn as ac
import reference
from autocnn.trees import leaves

many = settings(max_examples=150, deadline=None, derandomize=True)

NUMBERS = st.integers(-2, 9) | st.sampled_from(
    [0.5, -1.0, math.nan, math.inf, None, True, "3", np.int64(2), 10**20]
)
ANYTHING = (
    NUMBERS
    | st.lists(NUMBERS, max_size=4)
    | st.lists(NUMBERS, max_size=4).map(tuple)
    | st.text(max_size=3)
)
SHAPES = (
    ANYTHING
    | st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
    | st.tuples(st.integers(1, 9))
)
DTYPES = st.sampled_from(
    ["float32", "float64", "f2", "int64", "floaty", "", None, 3, float, np.float32, object]
)
ARGUMENTS = {
    "conv": ("filters", "kernel", "stride", "padding", "dilation", "groups"),
    "dense": ("units",),
    "max_pool": ("size", "stride", "padding"),
    "avg_pool": ("size", "stride", "padding"),
    "dropout": ("p",),
    "batch_norm": ("momentum", "eps"),
    "local_response_norm": ("size", "alpha", "beta", "k"),
    "subsample": ("size",),
    "scaled_tanh": ("amplitude", "slope"),
    "table_conv": ("table", "kernel"),
    "rbf": ("codes",),
    "relu": (),
    "flatten": (),
    "global_avg_pool": (),
}


def outcome(call):
    """What a call returns, or that it is refused; whatever else it raises comes through."""
    try:
        return call()
    except ValueError as error:
        assert str(error)
        return "refused"


@many
@given(st.sampled_from(list(ARGUMENTS)), st.data())
def test_layers_are_made_or_refused_alike(word, data):
    names = ARGUMENTS[word]
    given_names = data.draw(st.sets(st.sampled_from(names))) if names else ()
    needed = {
        name: 2
        for name in names[
            : {"conv": 2, "table_conv": 2, "batch_norm": 0, "scaled_tanh": 0}.get(word, 1)
        ]
    }
    options = needed | {
        name: data.draw(ANYTHING, label=name) for name in names if name in given_names
    }
    shape, dtype = data.draw(SHAPES), data.draw(DTYPES)

    def made(nn):
        out, params, state = getattr(nn, word)(**options).init(0, shape, dtype)
        assert all(type(n) is int and n >= 1 for n in out)
        return out, [(path, leaf.shape, leaf.dtype) for path, leaf in leaves([params, state])]

    ours, *others = (outcome(lambda nn=nn: made(nn)) for nn in (ac.layers, reference, ac.fast))
    assert all(ours == other for other in others)


ODD = st.sampled_from(
    [
        None,
        1.5,
        "abc",
        [],
        {},
        (),
        np.zeros(()),
        np.zeros((0, 3)),
        np.zeros((2, 3), "M8[s]"),
        object(),
        [np.ones(3)],
    ]
)
ARRAYS_OF_ALL_KINDS = ODD | hnp.arrays(
    hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=5, max_side=4)
)


@many
@given(
    st.sampled_from(["params", "leaf", "state", "x", "labels", "batch", "key"]), ARRAYS_OF_ALL_KINDS
)
def test_odd_arguments_are_refused(place, odd):
    for nn in (ac.layers, reference, ac.fast):
        model = nn.serial(nn.conv(2, 2), nn.dropout(0.5), nn.flatten(), nn.dense(3))
        _, params, state = model.init(0, (1, 3, 3))
        good = {
            "params": params,
            "state": state,
            "x": np.ones((2, 1, 3, 3)),
            "labels": np.array([0, 2]),
            "key": 0,
        }
        given = good | (
            {"params": [{**params[0], "w": odd}, *params[1:]]} if place == "leaf" else {place: odd}
        )
        batch = given.get("batch", (given["x"], given["labels"]))
        found = outcome(
            lambda call=model.loss_and_grad, g=given, b=batch: call(
                g["params"], g["state"], b, g["key"]
            )
        )
        assert found == "refused" or place in (
            "leaf",
            "x",
            "labels",
            "key",
        )  # an array drawn at random may happen to fit
