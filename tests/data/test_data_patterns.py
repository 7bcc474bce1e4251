"""The chapter's patterns, bit by bit against its recorded hashes, and its rules at other sizes
and classes.
"""

import doctest
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from autocnn.data import Dataset, dataset, patterns
from autocnn.data.patterns import MIN_SIZE, clean

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "chapter25.json").read_text())
CHAPTER = ("vertical", "horizontal", "diagonal")
NAMES = (*CHAPTER, "dot", "cross")


@pytest.mark.parametrize("key, classes", [("3class", CHAPTER), ("4class", (*CHAPTER, "dot"))])
def test_the_chapters_data_bit_by_bit(key, classes):
    data = patterns(classes=classes)
    for name, expected in GOLDEN[key]["data"].items():
        array = getattr(data, name)
        assert list(array.shape) == expected["shape"]
        assert array.dtype == expected["dtype"]
        assert array.flags.c_contiguous
        assert hashlib.sha256(array.tobytes()).hexdigest() == expected["sha256"]
    assert data.classes == classes
    assert isinstance(data, Dataset)


def test_the_default_is_the_chapters():
    for a, b in zip(patterns()[:4], patterns(60, 30, 8, 7, list(CHAPTER))[:4], strict=True):
        np.testing.assert_array_equal(a, b)


def slow_patterns(train_per_class, val_per_class, size, seed, classes):
    """The rules read one cell at a time."""
    c = size // 2
    on = {
        "vertical": lambda i, j: j in (c - 1, c),
        "horizontal": lambda i, j: i in (c - 1, c),
        "dot": lambda i, j: i in (c - 1, c) and j in (c - 1, c),
        "cross": lambda i, j: i in (c - 1, c) or j in (c - 1, c),
        "diagonal": lambda i, j: {0: 1.0, 1: 0.35}.get(abs(i - j), 0.0),
    }
    rng, groups = np.random.default_rng(seed), []
    for name in classes:
        group = []
        for _ in range(train_per_class + val_per_class):
            down, right = rng.integers(-1, 2, size=2)
            brightness, noise = rng.uniform(0.85, 1.15), rng.normal(0, 0.12, (size, size))
            image = np.zeros((size, size))
            for i, j in itertools.product(range(size), repeat=2):
                inside = 0 <= i - down < size and 0 <= j - right < size
                value = float(on[name](i - down, j - right)) if inside else 0.0
                image[i, j] = min(max(value * brightness + noise[i, j], 0.0), 1.0)
            group.append(image)
        groups.append(group)
    split, train, val = np.random.default_rng(seed + 99), [], []
    for label, group in enumerate(groups):
        order = split.permutation(len(group))
        train += [(group[i], label) for i in order[:train_per_class]]
        val += [(group[i], label) for i in order[train_per_class:]]
    sets = []
    for part in (train, val):
        order = split.permutation(len(part))
        sets += [np.array([part[i][0][None] for i in order]), np.array([part[i][1] for i in order])]
    return sets


@pytest.mark.parametrize(
    "train, val, size, seed, classes",
    [
        (3, 2, 8, 7, NAMES),
        (2, 5, 4, 0, ("cross", "dot")),
        (4, 1, 13, 123, ("diagonal",)),
        (1, 1, 28, 5, NAMES[::-1]),
    ],
)
def test_other_sizes_seeds_and_classes_follow_the_rules(train, val, size, seed, classes):
    data = patterns(train, val, size, seed, classes)
    for ours, expected in zip(
        data[:4], slow_patterns(train, val, size, seed, classes), strict=True
    ):
        np.testing.assert_array_equal(ours, expected)
    assert data.x_train.shape == (train * len(classes), 1, size, size)
    assert np.bincount(data.y_train).tolist() == [train] * len(classes)
    assert np.bincount(data.y_val).tolist() == [val] * len(classes)


def test_the_smallest_size_is_where_shifted_patterns_stop_coinciding():
    def coincide(size):
        seen = {}
        for name, down, right in itertools.product(NAMES, range(3), range(3)):
            image = np.pad(clean(name, size), 1)[down : down + size, right : right + size]
            seen.setdefault(image.tobytes(), set()).add(name)
        return any(len(names) > 1 for names in seen.values())

    assert coincide(MIN_SIZE - 1)
    assert not any(coincide(size) for size in range(MIN_SIZE, 20))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"classes": ("vertical", "horizontle")},
            "no pattern 'horizontle'; did you mean 'horizontal'",
        ),
        ({"classes": ("Dot",)}, "did you mean 'dot'"),
        (
            {"classes": ("vertical", 3)},
            "no pattern 3. The patterns are vertical, horizontal, diagonal, dot, cross",
        ),
        ({"classes": ("dot", "cross", "dot")}, "'dot' more than once"),
        ({"classes": "dot"}, "tuple of names, got 'dot'"),
        ({"classes": 3}, "tuple of names, got 3"),
        ({"classes": ()}, "at least one class"),
        ({"train_per_class": 0}, "train_per_class must be an int, 1 or more; got 0"),
        ({"val_per_class": -3}, "val_per_class must be an int, 1 or more; got -3"),
        ({"train_per_class": 2.5}, "got 2.5"),
        ({"size": 3}, "size must be an int, 4 or more; got 3"),
        ({"size": "8"}, "got '8'"),
        ({"seed": -1}, "seed must be an int, 0 or more; got -1"),
        ({"seed": None}, "got None"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        patterns(**arguments)


def test_a_data_set_prints_as_one_line():
    assert repr(patterns(2, 1)) == (
        "Dataset(6 + 3 images of 1x8x8, float64, classes: vertical, horizontal, diagonal)"
    )


def test_the_docstring_example():
    assert doctest.testmod(dataset) == (0, 3)
