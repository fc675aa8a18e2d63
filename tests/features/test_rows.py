"""Rows of features: what is packed is unpacked, rounding is NumPy's, and a damaged row is never taken."""

import ml_dtypes
import numpy as np
import pytest
from blake3 import blake3

from thawline.errors import ArgumentError
from thawline.features.rows import HEADER_BYTES, STORAGES, pack_rows, row_bytes, serves, stored_as, unpack_row
from thawline.specs import TensorSpec

RANDOM = np.random.default_rng(0)
DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
NARROW = ("float16", "bfloat16")
# The smallest float32 that rounds to infinity: halfway between the largest number and the next power of two.
OVERFLOWS_AT = {"float16": 65520.0, "bfloat16": float(np.uint32(0x7F7F8000).view(np.float32))}


def floats(*shape):
    return RANDOM.standard_normal(shape, np.float32)


def keys(count):
    return [bytes(48) + number.to_bytes(4, "big") for number in range(count)]


def unpack(rows, tensors, storage, first=0):
    """The rows in new arrays that are like the tensors; every row must be whole."""
    read = [np.zeros_like(tensor) for tensor in tensors]
    for index, (key, row) in enumerate(zip(keys(len(rows)), rows, strict=True)):
        assert unpack_row(key, row, read, index, storage)
    return read


def assert_same_bits(tensors, others):
    for tensor, other in zip(tensors, others, strict=True):
        assert (tensor.dtype, tensor.shape) == (other.dtype, other.shape)
        assert tensor.tobytes() == other.tobytes()


def mixed(count):
    """Tensors as a prefix may give them: several shapes, dtypes and single numbers."""
    return [
        floats(count, 3, 2),
        RANDOM.integers(-9, 9, (count, 3)).astype(np.int32),
        floats(count),
        floats(count, 5).astype(np.float16),
        floats(count, 1).astype(ml_dtypes.bfloat16),
        RANDOM.integers(0, 2, (count, 3)).astype(bool),
        floats(count, 0, 4),
    ]


@pytest.mark.parametrize("storage", STORAGES)
def test_a_row_is_tag_checksum_and_tensors(storage):
    values, numbers = floats(2, 3), np.array([[7], [8]], np.int32)
    rows, overflowed = pack_rows([b"first", b"second"], [values, numbers], storage)
    tag = bytes([STORAGES.index(storage)])
    payload = values[1].astype(DTYPES[storage]).tobytes() + numbers[1].tobytes()
    assert rows[1] == tag + blake3(b"second" + tag + payload).digest(8) + payload
    assert overflowed == 0
    assert [stored_as(row) for row in rows] == [storage, storage]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_what_is_packed_is_unpacked_as_numpy_rounds_it(storage, count):
    for shape in [(), (1,), (1280,), (7, 7, 3), (2, 0), (1, 1, 1, 5)]:
        tensors = [floats(count, *shape) * 100]
        rows, _ = pack_rows(keys(count), tensors, storage)
        expected = [tensors[0].astype(DTYPES[storage]).astype(np.float32)]
        assert_same_bits(unpack(rows, tensors, storage), expected)
    tensors = mixed(count)
    rows, _ = pack_rows(keys(count), tensors, storage)
    expected = [t.astype(DTYPES[storage]).astype(np.float32) if t.dtype == np.float32 else t for t in tensors]
    assert_same_bits(unpack(rows, tensors, storage), expected)


@pytest.mark.parametrize("storage", STORAGES)
def test_row_bytes_are_those_of_a_packed_row(storage):
    tensors = mixed(2)
    rows, _ = pack_rows(keys(2), tensors, storage)
    specs = [TensorSpec((None, *tensor.shape[1:]), tensor.dtype.name) for tensor in tensors]
    assert {len(row) for row in rows} == {row_bytes(specs, storage)}


def test_a_size_that_is_not_known_is_said():
    with pytest.raises(ArgumentError, match="fixed image size"):
        row_bytes([TensorSpec((None, None, 3), "float32")], "float16")


def test_tensors_may_lie_in_memory_as_they_like():
    tensor = np.asfortranarray(floats(4, 6))[::2, ::3]
    rows, _ = pack_rows(keys(2), [tensor], "float32")
    assert_same_bits(unpack(rows, [tensor.copy()], "float32"), [tensor.copy()])


@pytest.mark.parametrize(
    "storage, values, expected",
    [
        ("float16", [2049, 2051, -2049, 2**-25], [2048, 2052, -2048, 0]),
        ("bfloat16", [257, 259, -257], [256, 260, -256]),
    ],
)
def test_halfway_is_rounded_to_the_even_number(storage, values, expected):
    tensor = np.array([values], np.float32)
    for stored in ("float32", storage):
        rows, _ = pack_rows(keys(1), [tensor], stored)
        assert unpack(rows, [tensor], storage)[0].tolist() == [expected]


@pytest.mark.parametrize("storage", NARROW)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_row_that_overflows_is_kept_in_float32(storage, sign):
    limit = np.float32(OVERFLOWS_AT[storage])
    tensor = floats(4, 3)
    tensor[1, 2] = sign * limit
    tensor[2, 0] = sign * np.nextafter(limit, np.float32(0))
    tensor[3] = [sign * limit, 0, sign * limit]
    rows, overflowed = pack_rows(keys(4), [tensor], storage)
    assert overflowed == 2
    assert [stored_as(row) for row in rows] == [storage, "float32", storage, "float32"]
    (read,) = unpack(rows, [tensor], storage)
    np.testing.assert_array_equal(read[[1, 3]], tensor[[1, 3]])
    np.testing.assert_array_equal(read[[0, 2]], tensor[[0, 2]].astype(DTYPES[storage]).astype(np.float32))


@pytest.mark.parametrize("storage", NARROW)
def test_one_tensor_that_overflows_keeps_all_of_its_row(storage):
    tensors = [floats(3, 2), floats(3)]
    tensors[1][1] = 3.4e38
    rows, overflowed = pack_rows(keys(3), tensors, storage)
    assert overflowed == 1
    read = unpack(rows, tensors, storage)
    assert_same_bits([read[0][1:2]], [tensors[0][1:2]])
    assert np.all(read[0][[0, 2]] != tensors[0][[0, 2]])


@pytest.mark.parametrize("storage", STORAGES)
def test_nan_and_infinity_of_the_engine_stay(storage):
    tensor = np.array([[np.nan, np.inf, -np.inf, -0.0], [1, 2, 3, 4], [0, 0, np.inf, 3.4e38]], np.float32)
    # A NaN whose few set bits are lost when the number is cut, and one that would be carried into the sign.
    tensor[1, :2] = np.array([0x7F800001, 0x7FFFFFFF], np.uint32).view(np.float32)
    rows, overflowed = pack_rows(keys(3), [tensor], storage)
    assert overflowed == (storage != "float32")
    (read,) = unpack(rows, [tensor], storage)
    np.testing.assert_array_equal(read, tensor)
    assert np.signbit(read[0, 3])


@pytest.mark.parametrize("storage", NARROW)
def test_a_float32_row_read_for_another_storage_has_the_values_of_that_storage(storage):
    tensors = mixed(40)
    tensors[0] *= 1000
    tensors[2][::5] = 3.4e38
    tensors[2][3::5] = 1e6
    exact, _ = pack_rows(keys(40), tensors, "float32")
    stored, overflowed = pack_rows(keys(40), tensors, storage)
    assert overflowed == (8 if storage == "bfloat16" else 16)
    assert_same_bits(unpack(exact, tensors, storage), unpack(stored, tensors, storage))


def test_where_nothing_is_float32_every_storage_is_served():
    tensors = [floats(2, 3).astype(np.float16), np.arange(2, dtype=np.uint8)]
    for storage in STORAGES:
        rows, _ = pack_rows(keys(2), tensors, storage)
        assert [stored_as(row) for row in rows] == ["float32", "float32"]
        for wanted in STORAGES:
            assert_same_bits(unpack(rows, tensors, wanted), tensors)


def test_only_float32_serves_other_storages():
    for stored in STORAGES:
        for wanted in STORAGES:
            assert serves(stored, wanted) == (stored in ("float32", wanted))
            row = pack_rows(keys(1), [floats(1, 4)], stored)[0][0]
            assert unpack_row(keys(1)[0], row, [floats(1, 4)], 0, wanted) == serves(stored, wanted)
    assert not serves(None, "float32")


def test_rows_are_read_out_of_the_middle_of_a_map():
    tensors = [floats(3, 5), np.arange(3, dtype=np.int64)]
    for storage in STORAGES:
        rows, _ = pack_rows(keys(3), tensors, storage)
        for start in range(1, 5):
            views = [memoryview(bytes(start) + row + b"end")[start:-3] for row in rows]
            assert [stored_as(view) for view in views] == [storage] * 3
            assert_same_bits(unpack(views, tensors, storage), unpack(rows, tensors, storage))


@pytest.mark.parametrize("storage", STORAGES)
def test_every_bit_that_flips_is_found(storage):
    key, place = b"key", [np.zeros((1, 3), np.float32), np.zeros((1,), np.int16)]
    ((row,), _) = pack_rows([key], [floats(1, 3), np.array([5], np.int16)], storage)
    assert unpack_row(key, row, place, 0, storage)
    for bit in range(8 * len(row)):
        damaged = bytearray(row)
        damaged[bit // 8] ^= 1 << bit % 8
        for wanted in STORAGES:
            assert not unpack_row(key, bytes(damaged), place, 0, wanted)


def test_a_row_of_another_key_or_length_is_refused():
    tensors = [floats(2, 3)]
    rows, _ = pack_rows(keys(2), tensors, "float32")
    place = [np.zeros((2, 3), np.float32)]
    assert unpack_row(keys(2)[0], rows[0], place, 0, "float32")
    assert not unpack_row(keys(2)[0], rows[1], place, 0, "float32")
    for damaged in [rows[0] + b"\0", *(rows[0][:length] for length in range(len(rows[0])))]:
        assert not unpack_row(keys(2)[0], damaged, place, 0, "float32")
    # Whole, but not of these tensors.
    for shape in [(2,), (4,), (3, 2), ()]:
        assert not unpack_row(keys(2)[0], rows[0], [np.zeros((2, *shape), np.float32)], 0, "float32")
    assert not unpack_row(keys(2)[0], rows[0], [*place, np.zeros((2, 1), np.uint8)], 0, "float32")
    assert not unpack_row(keys(2)[0], rows[0], [np.zeros((2, 2), np.float32)], 0, "float32")


def test_only_the_row_that_is_asked_for_is_written():
    rows, _ = pack_rows(keys(1), [np.ones((1, 2), np.float32)], "float16")
    place = np.zeros((3, 2), np.float32)
    assert unpack_row(keys(1)[0], rows[0], [place], 1, "float16")
    assert place.tolist() == [[0, 0], [1, 1], [0, 0]]


def test_what_is_no_row_names_no_storage():
    for row in [b"", bytes(HEADER_BYTES - 1), bytes([3]) + bytes(20), bytes([255]) + bytes(8)]:
        assert stored_as(row) is None
        assert stored_as(memoryview(row)) is None
    assert stored_as(bytes([1]) + bytes(HEADER_BYTES - 1)) == "float16"
