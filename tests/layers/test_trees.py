import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autocnn import trees

TREES = st.recursive(
    st.floats(-9, 9).map(np.array),
    lambda t: (
        st.lists(t, max_size=3)
        | st.tuples(t, t)
        | st.dictionaries(st.sampled_from(["a", "b", "cc"]), t, max_size=3)
    ),
    max_leaves=12,
)

same = settings(deadline=None, derandomize=True)  # a test that fails does so for everyone


def test_paths_read_as_they_are_written():
    tree = [{}, {"main": [{"w": 1.0, "b": 2.0}], "shortcut": ()}, (3.0,)]
    assert trees.leaves(tree) == [("1.main.0.w", 1.0), ("1.main.0.b", 2.0), ("2.0", 3.0)]
    assert trees.leaves(5.0) == [("", 5.0)]


@same
@given(TREES)
def test_unflatten_is_the_inverse_of_leaves(tree):
    values = [leaf for _, leaf in trees.leaves(tree)]
    again = trees.unflatten(tree, values)
    assert trees.leaves(again) == trees.leaves(tree)
    assert type(again) is type(tree)
    assert repr(trees.tree_map(lambda a, b: a, tree, again)) == repr(tree)


@same
@given(TREES)
def test_tree_map_maps_each_leaf_once(tree):
    doubled = trees.tree_map(lambda a, b: a + b, tree, tree)
    assert [leaf for _, leaf in trees.leaves(doubled)] == [
        2 * leaf for _, leaf in trees.leaves(tree)
    ]
    assert trees.count(tree) == len(trees.leaves(tree))


@pytest.mark.parametrize(
    "one, other, says",
    [
        ([1.0, 2.0], [1.0], "root: a list of 2 in one, a list of 1"),
        (
            {"a": {"w": 1.0}},
            {"a": {"v": 1.0}},
            r"'a': a dict with keys \['w'\] in one, a dict with keys \['v'\]",
        ),
        ([1.0], [[1.0]], "'0': a leaf in one, a list of 1 in the other"),
        ([[1.0]], [1.0], "'0': a list of 1 in one, a leaf"),
        ([1.0], (1.0,), "root"),
    ],
)
def test_trees_of_different_structure_are_told_apart(one, other, says):
    with pytest.raises(ValueError, match=says):
        trees.tree_map(lambda a, b: a, one, other)


def test_unflatten_counts():
    with pytest.raises(ValueError, match="1 values for a tree of 2 leaves"):
        trees.unflatten([0.0, 0.0], [1.0])
    with pytest.raises(ValueError, match="3 values for a tree of 2 leaves"):
        trees.unflatten([0.0, 0.0], [1.0, 2.0, 3.0])


def test_the_largest_relative_difference_of_two_trees():
    one, zero, nan = np.array([2.0, -4.0]), np.zeros(2), np.array([1.0, np.nan])
    largest = trees.max_relative_difference
    assert largest([one, one], [one, one + 1]) == 0.25
    assert largest([zero], [zero]) == largest([], []) == 0
    assert largest([one, zero], [one, one]) == np.inf
    for pair in (([one, nan], [one, one]), ([nan, one], [one, zero]), ([one, one], [zero, nan])):
        assert np.isnan(largest(*pair))
