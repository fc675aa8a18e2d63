"""What is near enough, and how it is told."""

import numpy as np
import pytest

from thawline.export.certificate import Certificate, compare, difference

PIXELS = np.zeros((2, 4, 4, 3), np.uint8)
EXPECTED = [np.array([[0.2, 0.8], [0.7, 0.3]], np.float32)]


def group(change=0.0, pixels=0, refused=()):
    other = PIXELS.copy()
    other[1, 0, 0, 0] = pixels
    return compare("grey", EXPECTED, [EXPECTED[0] + np.float32([[0, 0], [change, 0]])], (PIXELS, other), refused)


def test_equal_answers_are_within():
    found = group()
    assert (found.difference, found.top1, found.is_within, found.images) == (0, 1, True, 2)


def test_more_than_a_ten_thousandth_is_too_far():
    assert group(0.00009).is_within
    assert not group(0.00011).is_within


def test_a_hundredth_is_allowed_where_pixels_differ_and_the_reason_is_told():
    found = group(0.009, pixels=3)
    assert found.is_within
    assert "up to 3 of 255 in 50% of the images" in found.reason
    assert not group(0.011, pixels=3).is_within


def test_the_class_that_is_named_is_compared():
    assert group(-0.5).top1 == 0.5


def test_an_image_that_is_refused_is_not_near_enough():
    found = group(refused=["photo.tif: not decoded"])
    assert (found.images, found.refused, found.is_within) == (3, (1, "photo.tif: not decoded"), False)
    told = str(Certificate("onnx", "onnxruntime 1", [found], {}))
    assert "NOT verified" in told
    assert "grey: 1 of 3 images were not read, first: photo.tif: not decoded" in told


def test_an_artefact_that_does_not_run_is_not_verified():
    certificate = Certificate("onnx", "onnxruntime 1", failure="ImportError: no onnxruntime")
    assert not certificate.verified
    assert str(certificate).endswith("it does not run in onnxruntime 1: ImportError: no onnxruntime")
    assert certificate.as_dict()["largest_difference"] is None


@pytest.mark.parametrize("given", [np.array([[np.nan]]), np.array([[1.0, 2.0]])])
def test_no_numbers_and_other_shapes_are_infinitely_far(given):
    assert difference(np.array([[1.0]]), given) == np.inf


def test_large_answers_are_compared_in_relation():
    assert difference(np.array([[1000.0, 1.0]]), np.array([[1000.5, 1.0]])) == pytest.approx(5e-4)
