"""TensorSpec: sizes, and what fits what."""

import ml_dtypes
import numpy as np
import pytest

from thawline.errors import ArgumentError
from thawline.specs import TensorSpec, dtype_bytes, dtype_mismatch, format_range, range_mismatch, shape_mismatch


def spec(*shape, dtype="float32", value_range=None):
    return TensorSpec(shape, dtype, value_range)


def test_a_spec_reads_as_people_write_it():
    assert str(spec(None, 160, 160, 3, dtype="uint8", value_range=(0, 255))) == "uint8 (None, 160, 160, 3) in [0, 255]"
    assert str(spec(None)) == "float32 (None,)"
    assert format_range((-1.0, 0.5)) == "[-1, 0.5]"


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "int32", "uint64", "float16", "float32", "float64", "complex64"]
)
def test_a_dtype_takes_the_bytes_that_numpy_says(dtype):
    assert dtype_bytes(dtype) == np.dtype(dtype).itemsize


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"])
def test_a_dtype_takes_the_bytes_that_ml_dtypes_says(dtype):
    assert dtype_bytes(dtype) == np.dtype(getattr(ml_dtypes, dtype)).itemsize


def test_a_row_takes_its_numbers_times_their_bytes():
    assert spec(None, 7, 5, 3).row_bytes == 7 * 5 * 3 * 4
    assert spec(None, dtype="uint8").row_bytes == 1
    assert spec(32, 10, dtype="float16").row_bytes == 20


def test_a_row_of_unknown_size_is_refused():
    with pytest.raises(
        ArgumentError, match=r"row of float32 \(None, None, 3\) is not known\. Give .* fixed image size"
    ):
        _ = spec(None, None, 3).row_bytes


@pytest.mark.parametrize("given", [(None, 5, 8), (32, 5, 8), (None, None, 8)])
def test_equal_and_unknown_sizes_fit(given):
    assert shape_mismatch(spec(*given), spec(None, 5, 8)) is None
    assert shape_mismatch(spec(None, 5, 8), spec(*given)) is None


def test_other_sizes_are_named_by_their_axis():
    assert shape_mismatch(spec(None, 5, 1280), spec(None, 5, 2048)) == "axis 2 is 1280, not 2048"
    assert shape_mismatch(spec(None, 5), spec(None, 5, 1)) == "2 axes, not 3"


def test_real_numbers_fit_each_other_and_nothing_else_does():
    assert dtype_mismatch(spec(dtype="uint8"), spec(dtype="bfloat16")) is None
    for one, other in [("string", "float32"), ("float32", "complex64"), ("bool", "int32")]:
        assert dtype_mismatch(spec(dtype=one), spec(dtype=other)) == f"dtype is {one}, not {other}"
        assert dtype_mismatch(spec(dtype=one), spec(dtype=one)) is None


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ((0, 255), (0, 255), True),
        ((0, 1), (0, 255), False),
        ((0, 255), (0, 1), False),
        ((-1, 1), (0, 1), False),
        ((0, 1), (-1, 1), True),
        ((0, 255.0001), (0, 255), True),
        ((0, 63), (0, 255), False),
        ((0, 64), (0, 255), True),
        (None, (0, 1), True),
        ((0, 1), None, True),
    ],
)
def test_a_range_fits_when_it_lies_inside_and_fills_a_quarter(given, wanted, fits):
    assert (range_mismatch(spec(value_range=given), spec(value_range=wanted)) is None) == fits


def test_ranges_that_do_not_fit_are_named():
    assert (
        range_mismatch(spec(value_range=(0, 1)), spec(value_range=(0, 255))) == "values are in [0, 1], not in [0, 255]"
    )
