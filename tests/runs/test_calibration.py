"""Calibration: the temperature that makes probabilities as often right as they say."""

import numpy as np
import pytest

from autocnn.runs import calibration as cal


def drawn(n=4000, sharpness=1.0, seed=0):
    """Outputs (n, 5), and labels drawn with the probabilities softmax(outputs / sharpness)."""
    draw = np.random.default_rng(seed)
    outputs = draw.normal(0, 3, (n, 5))
    probs = cal.softmax(outputs / sharpness, axis=1)
    return outputs, (draw.random((n, 1)) > probs.cumsum(axis=1)).sum(axis=1)


@pytest.mark.parametrize("sharpness", [0.6, 1.0, 2.5])
def test_the_temperature_of_labels_that_were_drawn_is_found(sharpness):
    found = cal.calibrate(*drawn(sharpness=sharpness))
    assert found.temperature == pytest.approx(sharpness, rel=0.08)
    assert found.ece < 0.025 and found.nll <= found.nll_before + 1e-4
    if sharpness != 1:
        assert found.ece_before > 2 * found.ece


def test_no_other_temperature_is_better():
    outputs, labels = drawn(sharpness=2)
    best = cal.fit_temperature(outputs, labels)
    losses = [
        cal.negative_log_likelihood(outputs / (best * factor), labels) for factor in (0.95, 1, 1.05)
    ]
    assert losses[1] == min(losses)


def test_answers_that_are_all_right_do_not_become_certain():
    outputs = 4 * np.eye(3)[np.arange(90) % 3]
    found = cal.calibrate(outputs, np.arange(90) % 3)
    assert found.probabilities(outputs).max() < 1 - 1 / 200


def test_the_answers_stay():
    outputs, labels = drawn(500, 3)
    found = cal.calibrate(outputs, labels)
    probs = found.probabilities(outputs.astype("f"))
    assert (probs.argmax(axis=1) == outputs.argmax(axis=1)).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1)


def test_the_expected_calibration_error_by_hand():
    probs = np.array([[0.9, 0.1]] * 10 + [[0.3, 0.7]] * 10)
    labels = np.array([0] * 8 + [1] * 2 + [1] * 7 + [0] * 3)
    assert cal.expected_calibration_error(probs, labels) == pytest.approx(0.5 * 0.1 + 0.5 * 0.0)
    assert cal.expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_images_with_small_outputs_for_every_class_are_unlike():
    outputs, labels = drawn(1000)
    found = cal.calibrate(outputs, labels)
    assert found.is_unlike(outputs).mean() == pytest.approx(0.005, abs=0.001)
    assert found.is_unlike(np.full((1, 5), -9.0)).all()


def test_few_or_infinite_outputs_are_not_calibrated():
    outputs, labels = drawn(60)
    assert cal.calibrate(outputs[:49], labels[:49]) is None
    outputs[3, 2] = np.inf
    assert cal.calibrate(outputs, labels) is None


def test_the_file(tmp_path):
    one = cal.calibrate(*drawn(100), run="a" * 32, epoch=3)
    path = tmp_path / cal.FILE
    path.write_bytes(cal.calibration_bytes([one]))
    assert cal.parse_calibration(path) == [one]
    assert cal.read_calibration(tmp_path, "a" * 32, 3) == (one, "")
    for run, epoch in (("b" * 32, 3), ("a" * 32, 2)):
        assert cal.read_calibration(tmp_path, run, epoch)[1].endswith("is of other parameters")
    content = bytearray(path.read_bytes())
    for k in range(len(content)):
        flipped = bytearray(content)
        flipped[k] ^= 1
        path.write_bytes(flipped)
        found, why = cal.read_calibration(tmp_path, "a" * 32, 3)
        assert found is None and why
    path.unlink()
    assert cal.read_calibration(tmp_path, None, 0) == (
        None,
        "the run has no calibration, which takes 50 validation images",
    )
