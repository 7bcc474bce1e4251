"""Figures of a run: the numbers that they show, read back from the figure, and the cases at the
edge.
"""

import numpy as np
import pytest

from autocnn.plots.training import confusion, counts, curves, mistakes

CLASSES = ("cat", "dog", "owl")


def test_counts_are_true_class_by_answer():
    labels, answers = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 2, 0])
    np.testing.assert_array_equal(counts(labels, answers, 3), [[1, 1, 0], [0, 1, 0], [2, 0, 1]])


def test_confusion_writes_each_count_where_it_belongs():
    matrix = np.array([[1000, 1, 0], [0, 5, 0], [2, 0, 1]])
    (axes,) = confusion(matrix, CLASSES).axes
    shown = {
        (round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axes.texts
    }
    assert shown == {(0, 0): "1,000", (0, 1): "1", (1, 1): "5", (2, 0): "2", (2, 2): "1"}
    assert (
        [t.get_text() for t in axes.get_yticklabels()]
        == list(CLASSES)
        == [t.get_text() for t in axes.get_xticklabels()]
    )
    assert axes.get_title("left") == "3 mistakes of 1,009"
    confusion(np.zeros((2, 2), int), CLASSES[:2]).canvas.draw()


def test_curves_show_both_sets():
    history = {"epoch": [0, 1, 2], "train_loss": [9, 1, 0.5], "train_acc": [0.1, 0.8, 0.9]}
    history |= {"val_loss": [8, 1.1, 0.7], "val_acc": [0.2, 0.7, 0.85]}
    loss, accuracy = curves(history).axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in accuracy.lines}
    assert drawn == {"training": history["train_acc"], "validation": history["val_acc"]}
    assert "85.00%" in accuracy.get_title("left") and "0.7000" in loss.get_title("left")
    assert loss.get_ylim()[1] < 2  # the start does not squash the rest
    curves({name: values[:1] for name, values in history.items()}).canvas.draw()


@pytest.mark.parametrize("channels", [1, 3])
def test_mistakes_are_the_least_expected_first(channels):
    x = np.random.default_rng(0).random((5, channels, 4, 4), np.float32)
    probs = np.array(
        [[0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6], [0.05, 0.05, 0.9], [0.98, 0.01, 0.01]]
    )
    fig = mistakes(x, np.array([0, 1, 2, 1, 2]), probs, CLASSES, rows=1, columns=4)
    titles = [axes.get_title("center") for axes in fig.axes]
    assert titles == ["cat (98%)\nis owl", "owl (90%)\nis dog", "cat (50%)\nis dog", ""]
    seen = np.asarray(fig.axes[0].images[0].get_array())
    np.testing.assert_array_equal(seen, x[4, 0] if channels == 1 else x[4].transpose(1, 2, 0))
    assert "3 mistakes" in fig.get_suptitle()
    fig.canvas.draw()


def test_no_mistakes():
    fig = mistakes(np.zeros((2, 1, 4, 4)), np.array([0, 1]), np.eye(2), CLASSES[:2])
    assert fig.get_suptitle() == "No mistakes"
    fig.canvas.draw()
