"""Numbers as users give them: NumPy's count as Python's."""

import numpy as np
import pytest

from thawline.arguments import height_and_width, share, whole_number
from thawline.errors import ArgumentError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_whole_numbers_are_pythons(value):
    number = whole_number("batch_size", value)
    assert (number, type(number)) == (3, int)


@pytest.mark.parametrize("value", [0, np.int64(0), 3.0, np.float64(3), "3", None, True, np.bool_(True), [3]])
def test_what_is_no_whole_number_in_its_limits_is_refused(value):
    with pytest.raises(ArgumentError, match="batch_size is a whole number from 1 to 9; got "):
        whole_number("batch_size", value, most=9)


@pytest.mark.parametrize("value", [(4, 5), [np.int64(4), 5], np.array([4, 5])])
def test_a_size_is_a_pair_of_pythons_numbers(value):
    size = height_and_width(value)
    assert (size, *map(type, size)) == ((4, 5), int, int)


def test_one_number_is_a_square():
    assert height_and_width(np.int32(7)) == height_and_width(7) == (7, 7)


@pytest.mark.parametrize("value", [(4,), (4, 5, 3), (4.0, 5), (0, 5), 0, "45", np.array(4.5), None, True])
def test_what_is_no_size_is_refused(value):
    with pytest.raises(ArgumentError, match=r"image_size is \(height, width\) in whole pixels, like \(160, 160\),"):
        height_and_width(value)


def test_shares_are_numbers_between_0_and_1():
    assert share("validation", np.float32(0.25)) == 0.25
    for value in (0, 1, np.float32(1), "0.2", True, float("nan"), None):
        with pytest.raises(ArgumentError, match=r"validation is a share between 0 and 1, like 0\.2; got"):
            share("validation", value)
