"""How far two engines are apart, by hand."""

import numpy as np
import pytest

from thawline.features.engines.agreement import Agreement, compare


def test_the_largest_difference_is_relative_to_the_largest_number_of_its_tensor():
    expected = [np.array([[1.0, -4.0]]), np.array([[100.0], [0.0]])]
    given = [np.array([[1.5, -4.0]]), np.array([[100.0], [1.0]])]
    assert compare(expected, given).largest_difference == 0.5 / 4


def test_cosines_are_taken_for_each_image_and_tensor():
    expected = [np.array([[1.0, 0.0], [1.0, 0.0]], np.float32), np.array([[[2.0]], [[3.0]]], np.float32)]
    given = [np.array([[1.0, 0.0], [0.6, 0.8]], np.float32), np.array([[[2.0]], [[3.1]]], np.float32)]
    agreement = compare(expected, given)
    assert agreement.cosine == pytest.approx(0.6)
    assert agreement.mean_cosine == pytest.approx((1 + 0.6 + 1 + 1) / 4)


def test_images_without_a_feature_agree_only_with_their_like():
    zero, one = np.zeros((1, 2)), np.ones((1, 2))
    assert compare([zero], [zero]) == Agreement(0.0, 1.0, 1.0)
    assert compare([zero], [one]) == Agreement(float("inf"), 0.0, 0.0)
    assert compare([one], [zero]) == Agreement(1.0, 0.0, 0.0)


@pytest.mark.parametrize(("left", "right"), [(np.nan, 1.0), (1.0, np.inf), (np.inf, -np.inf), (np.inf, np.nan)])
def test_gaps_of_one_only_are_a_problem(left, right):
    agreement = compare([np.array([[1.0, left]])], [np.array([[1.0, right]])])
    assert not agreement.has_same_gaps
    assert "NaN or infinite by one of them only" in agreement.problem("bfloat16")


def test_gaps_of_both_are_none():
    both = np.array([[np.nan, np.inf, -np.inf, 2.0]])
    assert compare([both], [both]) == Agreement(0.0, 1.0, 1.0)


def test_half_precision_is_compared_without_overflow():
    large = np.full((1, 1000), 60000, np.float16)
    assert compare([large], [large]) == Agreement(0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("agreement", "precision", "problem"),
    [
        (Agreement(1e-4, 0.0, 0.0), "float32", ""),
        (Agreement(1.1e-4, 1.0, 1.0), "float32", "features differ by 1.1e-04 at most, but 1e-04 is allowed"),
        (Agreement(9.0, 0.95, 0.97), "bfloat16", ""),
        (Agreement(0.0, 0.94, 0.97), "bfloat16", "cosines of features are 0.940 at least, 0.970 on average, but 0.95"),
    ],
)
def test_each_precision_has_its_tolerance(agreement, precision, problem):
    found = agreement.problem(precision)
    assert (problem in found) if problem else found == ""
