"""Calibration agrees with a calculation by hand and with scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from thawline.report.calibration import are_probabilities, calibrate
from thawline.report.scores import confidences, predicted_classes


def softmax(values):
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_error_is_that_of_a_calculation_by_hand():
    # Two answers of 0.8, one of them right: off by 0.3; two of 0.6, both right: off by 0.4.
    answers = np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]])
    found = calibrate(answers, np.array([0, 1, 1, 1]))
    assert found.error == pytest.approx((2 * 0.3 + 2 * 0.4) / 4)
    filled = [each for each in found.bins if each.count]
    assert [(each.high, each.count, each.accuracy) for each in filled] == [(0.6, 2, 1.0), (0.8, 2, 0.5)]


def test_bins_agree_with_scikit_learn():
    random = np.random.default_rng(5)
    answers, labels = softmax(random.normal(0, 2, (500, 4))), random.integers(0, 4, 500)
    found = calibrate(answers, labels)
    right, sure = calibration_curve(predicted_classes(answers) == labels, confidences(answers), n_bins=10)
    filled = [each for each in found.bins if each.count]
    np.testing.assert_allclose([each.accuracy for each in filled], right)
    np.testing.assert_allclose([each.confidence for each in filled], sure)
    assert sum(each.count for each in found.bins) == 500


def test_one_probability_of_class_1_is_as_sure_of_class_0():
    one = calibrate(np.array([[0.1], [0.8], [0.8]]), np.array([0, 1, 0]))
    both = calibrate(np.array([[0.9, 0.1], [0.2, 0.8], [0.2, 0.8]]), np.array([0, 1, 0]))
    # Empty bins have NaN, which equals nothing.
    assert repr(one) == repr(both)


def test_a_bin_takes_in_its_upper_end_and_certainty_the_last_one():
    counts = [each.count for each in calibrate(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 0])).bins]
    assert counts == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    "answers",
    [np.array([[3.0, -2.0]]), np.array([[0.9, 0.8]]), np.array([[1.5]]), np.zeros((0, 2))],
    ids=["logits", "several classes", "one logit", "no images"],
)
def test_without_probabilities_there_is_no_calibration(answers):
    assert calibrate(answers, np.zeros(len(answers), int)) is None


def test_rounded_probabilities_are_probabilities():
    assert are_probabilities(softmax(np.array([[1.0, 2.0, 3.0]])).astype(np.float16))
