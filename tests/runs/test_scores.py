"""Scores of a network's answers, against scikit-learn's."""

import numpy as np
import pytest

from autocnn.runs.scores import class_scores, scores


def test_scores_of_classes_are_scikit_learns(generator):
    metrics = pytest.importorskip("sklearn.metrics")
    labels, predicted = generator.integers(0, 4, 200), generator.integers(0, 4, 200)
    rows = class_scores(predicted, labels, "abcd")
    precision, recall, _, count = metrics.precision_recall_fscore_support(labels, predicted)
    np.testing.assert_allclose([row["precision"] for row in rows], precision)
    np.testing.assert_allclose([row["recall"] for row in rows], recall)
    assert [row["images"] for row in rows] == count.tolist()


def test_classes_without_images_or_answers():
    rows = class_scores(np.array([0, 0, 1]), np.array([0, 1, 1]), ["a", "b", "c"])
    a, b, c = rows
    assert (a["precision"], a["recall"], a["taken_for"]) == (0.5, 1, None)
    assert (b["precision"], b["recall"], b["taken_for"], b["times"]) == (1, 0.5, "a", 1)
    assert (c["images"], c["precision"], c["recall"]) == (0, None, None)


def test_scores_without_a_calibration():
    found = scores(np.array([[0.0, np.log(3)]]), np.array([1]), None)
    assert found["accuracy"] == 1 and found["loss"] == pytest.approx(-np.log(0.75))
    assert found["calibration"]["ece_before"] == pytest.approx(0.25)
    assert found["calibration"]["temperature"] is None
