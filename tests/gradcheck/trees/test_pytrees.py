"""Trees of parameters go in and out: leaves have paths, and what a gradient lacks, adds or
misshapes is said by path.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest

from autocnn import gradcheck
from autocnn.gradcheck import pytrees

rng = np.random.default_rng(5)
W, B, X = rng.standard_normal((3, 2)), rng.standard_normal(2), rng.standard_normal((4, 3))


@dataclasses.dataclass(frozen=True)
class Record:
    W: Any
    b: Any
    name: str = "dense"


class Pair(NamedTuple):
    W: Any
    b: Any


def dense(get, pack):
    """x W + b with the parameters in one tree: `get(params) -> (W, b)`, `pack(dW, db) -> tree`."""

    def layer(params, x):
        w, b = get(params)
        return x @ w + b, lambda dy: {"params": pack(x.T @ dy, dy.sum(0)), "x": dy @ w.T}

    return layer


NESTED = {"conv": {"W": W, "b": B}}
TREES = {
    "dict": (NESTED, lambda p: p["conv"].values(), lambda a, b: {"conv": {"W": a, "b": b}}),
    "dict of dW": (NESTED, lambda p: p["conv"].values(), lambda a, b: {"conv": {"dW": a, "db": b}}),
    "flat": (NESTED, lambda p: p["conv"].values(), lambda a, b: [a, b]),
    "list": ([W, 3, B], lambda p: p[::2], lambda a, b: [a, None, b]),
    "list of floats": ([W, 3, B], lambda p: p[::2], lambda a, b: [a, b]),
    "tuples": (((W,), (B,)), lambda p: (p[0][0], p[1][0]), lambda a, b: ((a,), (b,))),
    "named tuple": (Pair(W, B), lambda p: (p.W, p.b), Pair),
    "dataclass": (Record(W, B), lambda p: (p.W, p.b), Record),
    "dict of dataclass": (
        {"a": [Record(W, B)]},
        lambda p: (p["a"][0].W, p["a"][0].b),
        lambda a, b: {"a": [{"W": a, "b": b}]},
    ),
    "numbers as keys": ({0: W, 1: B}, lambda p: (p[0], p[1]), lambda a, b: {0: a, 1: b}),
}
PATHS = {
    "dict": ["params.conv.W", "params.conv.b"],
    "list": ["params[0]", "params[2]"],
    "tuples": ["params[0][0]", "params[1][0]"],
    "named tuple": ["params.W", "params.b"],
    "dict of dataclass": ["params.a[0].W", "params.a[0].b"],
    "numbers as keys": ["params[0]", "params[1]"],
}


@pytest.mark.parametrize("kind", TREES)
def test_trees_of_every_kind_are_compared_leaf_by_leaf(kind):
    params, get, pack = TREES[kind]
    report = gradcheck.check(dense(get, pack), params=params, x=X)
    assert report.ok and len(report.leaves) == 3 and not report.warnings, str(report)
    if kind in PATHS:
        assert list(report.leaves) == [*PATHS[kind], "x"]


@pytest.mark.parametrize("kind", TREES)
def test_a_wrong_branch_is_named_by_path(kind):
    params, get, pack = TREES[kind]
    report = gradcheck.check(
        dense(get, lambda a, b: pack(a, 2 * b)), params=params, x=X, quick=True
    )
    wrong = [n for n, leaf in report.leaves.items() if leaf.verdict == "wrong"]
    assert wrong == [list(report.leaves)[1]]
    assert [(c.code, c.leaf) for c in report.errors] == [("scale", wrong[0])]


def _conv(pack):
    return dense(lambda p: p["conv"].values(), pack)


@pytest.mark.parametrize(
    ("pack", "code", "words"),
    [
        (lambda a, b: {"conv": {"W": a}}, "missing", "params.conv.b"),
        (lambda a, b: {"conv": {"w": a, "b": b}}, "extra", "params.conv.w, which is no"),
        (lambda a, b: {"conv": {"W": a, "b": b, "c": b}}, "extra", "params.conv.c"),
        (lambda a, b: {"convs": {"W": a, "b": b}}, "extra", "params.convs"),
        (lambda a, b: {"conv": a}, "extra", "where params.conv holds params.conv.W, params.conv.b"),
        (lambda a, b: {"conv": {"W": a.T, "b": b}}, "shape", "(2, 3), the leaf (3, 2)"),
        (lambda a, b: {"conv": {"W": {"d": a}, "b": b}}, "extra", "params.conv.W is an array"),
        (lambda a, b: [a, b, b], "extra", "params[2]"),
    ],
)
def test_missing_extra_and_misshapen_branches_are_said_by_path(pack, code, words):
    report = gradcheck.check(_conv(pack), params=NESTED, x=X, quick=True)
    found = [c for c in report.causes if c.code == code]
    assert found and any(words in f"{c.leaf} {c.message}" for c in found), str(report)


def test_a_misspelt_branch_is_answered():
    def layer(params):
        return params["weight"] ** 2, lambda dy: {"params": {"wieght": 2 * params["weight"] * dy}}

    report = gradcheck.check(layer, params={"weight": W, "rest": [B]}, quick=True)
    assert not report.ok and "is params.weight meant?" in str(report)


def test_one_array_in_two_places_is_two_leaves():
    def product(params):
        a, b = params["a"], params["b"]
        return a * b, lambda dy: {"params": {"a": dy * b, "b": 0 * dy}}

    report = gradcheck.check(product, params={"a": X, "b": X}, quick=True)
    assert [(c.code, c.leaf) for c in report.errors] == [("zero", "params.b")]


def test_outputs_are_trees_and_cotangents_have_their_structure():
    def layer(w):
        y = X @ w

        def backward(dy):
            inner = dy["a"]
            return X.T @ (inner.W + 3 * inner.b[0] + 2 * y * inner.b[1])

        return {"a": Pair(y, [3 * y, y * y])}, backward

    assert gradcheck.check(layer, w=W).ok

    def without_one(w):
        y, backward = layer(w)
        return y, lambda dy: backward({"a": dy["a"]._replace(W=0 * dy["a"].W)})

    assert not gradcheck.check(without_one, w=W, quick=True).ok


def test_output_that_is_no_float_is_named_by_path():
    with pytest.raises(ValueError, match=r"int.* at a\[1\]"):
        gradcheck.check(lambda w: ({"a": [w, 3]}, lambda dy: dy["a"][0]), w=W)


def test_pairs_and_vjps_take_trees():
    def forward(params, x):
        return x @ params["W"] + params["b"], x

    def backward(dy, x):
        return {"params": {"W": x.T @ dy, "b": dy.sum()}}

    report = gradcheck.check_pair(forward, backward, params=NESTED["conv"], x=X, wrt="params")
    assert [(c.code, c.leaf) for c in report.errors] == [("shape", "params.b")]


def test_rebuilding_keeps_structure_and_copies_containers():
    tree = {"a": [W, (B, Record(W, None))], "b": Pair(1, {})}
    paths = [p for p, _ in pytrees.leaves(tree, "t")]
    assert paths == ["t.a[0]", "t.a[1][0]", "t.a[1][1].W", "t.a[1][1].b", "t.a[1][1].name", "t.b.W"]
    again = pytrees.rebuild(tree, iter(range(6)))
    assert again == {"a": [0, (1, Record(2, 3, 4))], "b": Pair(5, {})}
    assert tree["a"][0] is W and pytrees.path_steps("t.a[1].W") == ("t", ["a", "[1]", "W"])
