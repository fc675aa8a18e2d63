"""Features: arrays in, findings out."""

import numpy as np
import pytest

from thawline.check.features import CODES, judge_features, judge_range, spread

RANDOM = np.random.default_rng(4)
FEATURES = np.maximum(RANDOM.normal(size=(6, 3, 3, 32)), 0)


def codes(features, **options):
    return [finding.code for finding in judge_features("base", features, **options)]


@pytest.mark.parametrize("scale", [1e-12, 1.0, 300.0])
@pytest.mark.parametrize("is_answer", [False, True])
def test_features_that_differ_are_silent_however_small(scale, is_answer):
    assert codes(FEATURES * scale, images_spread=0.5, is_answer=is_answer) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_found_and_counted(value):
    features = FEATURES.copy()
    features[2, 0, 0, :2] = value
    (finding,) = judge_features("base", features)
    assert (finding.code, finding.severity) == ("features-nan", "error")
    assert "2 values that are no finite numbers, in 1 of 6 images" in finding.what


def test_only_zeros_are_dead():
    assert codes(np.zeros((3, 8))) == ["features-dead"]
    assert codes(np.array([[0.0, 0.0], [0.0, 1e-30]])) == []


def test_values_beyond_ten_thousand_are_found():
    assert codes(FEATURES * 9_999 / FEATURES.max()) == []
    assert codes(FEATURES * 10_001 / FEATURES.max()) == ["features-huge"]


def test_features_that_hardly_differ_are_found_when_images_do():
    nearly = 1 + 0.01 * RANDOM.normal(size=(6, 40))
    assert codes(nearly, images_spread=0.5) == ["features-constant"]
    # Images that are alike themselves, or not known to differ, have a right to features that are.
    assert codes(nearly, images_spread=0.02) == []
    assert codes(nearly) == []
    assert codes(1 + 0.05 * RANDOM.normal(size=(6, 40)), images_spread=0.5) == []


def test_answers_have_to_be_equal_to_be_found():
    nearly = 0.5 + 1e-6 * RANDOM.normal(size=(6, 2))
    assert codes(nearly, images_spread=0.5, is_answer=True) == []
    assert codes(np.full((6, 2), 0.5), images_spread=0.5, is_answer=True) == ["features-constant"]


def test_channels_that_are_zero_for_every_image_are_counted():
    features = FEATURES.copy()
    features[..., :25] = 0
    assert codes(features) == []
    features[..., :26] = 0
    (finding,) = judge_features("base", features)
    assert (finding.code, finding.severity) == ("features-dead-channels", "note")
    assert finding.what.startswith("26 of 32 channels")
    assert codes(features[..., 20:]) == []


def test_the_spread_is_that_of_the_definition():
    values = RANDOM.normal(size=(5, 7)) + 2
    expected = np.sqrt(values.var(axis=0).mean() / (values**2).mean())
    assert spread(values) == pytest.approx(expected)
    assert spread(values * 1e-200) == pytest.approx(expected)


def test_a_declared_range_is_compared_with_what_comes():
    values = np.array([0.0, 6.0])
    assert judge_range("head", "base", values, (0.0, 6.0)) == []
    (finding,) = judge_range("head", "base", values, (0.0, 1.0))
    assert (finding.code, finding.severity) == ("joint-range", "warning")
    assert "'base' gives values from 0 to 6" in finding.what


def test_severities_are_those_of_the_table():
    for features in (np.full((2, 4), np.nan), np.zeros((2, 4)), np.full((2, 4), 1e9)):
        (finding,) = judge_features("base", features)
        assert CODES[finding.code].startswith(finding.severity)
