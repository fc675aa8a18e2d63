"""Rows: the features of one view of one image, as bytes with a checksum.

A row is one byte that names its storage, eight bytes of checksum, and the crossing tensors one after another, in the
machine's byte order. The checksum is BLAKE3 over key, first byte and tensors: a row that was damaged, or that lies
under another key, is found when it is read.

float32 keeps every tensor as the engine computed it. float16 and bfloat16 round the float32 tensors to the nearest
number, halfway to the even one, and take half the bytes; tensors of other dtypes stay as they are. A row in which
rounding would make a finite value infinite is kept as computed.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import ml_dtypes
import numpy as np
from blake3 import blake3

from thawline.specs import TensorSpec

Storage = Literal["float32", "float16", "bfloat16"]

# A storage's place in this table is the first byte of its rows: the order never changes, new ones come last.
STORAGES: tuple[Storage, ...] = ("float32", "float16", "bfloat16")

# What float32 tensors become. NumPy has no bfloat16; ml_dtypes, which Keras itself stands on, adds it.
_FLOAT32 = np.dtype(np.float32)
_DTYPES = {
    "float32": _FLOAT32,
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}

_TAG_BYTES = 1
_CHECKSUM_BYTES = 8
HEADER_BYTES = _TAG_BYTES + _CHECKSUM_BYTES


def row_bytes(specs: Sequence[TensorSpec], storage: Storage) -> int:
    """Bytes of a stored row, its header included. A row that would overflow takes those of float32.

    Args:
        specs: one TensorSpec per crossing tensor.
        storage: how the row is kept.

    Raises:
        ArgumentError: the size of a tensor is not known.

    Example:
        >>> specs = [TensorSpec((None, 1280), "float32"), TensorSpec((None, 2), "int32")]
        >>> row_bytes(specs, "float32"), row_bytes(specs, "float16")
        (5137, 2577)
    """
    kept = (replace(spec, dtype=storage) if spec.dtype == "float32" else spec for spec in specs)
    return HEADER_BYTES + sum(spec.row_bytes for spec in kept)


def round_rows(tensors: Sequence[np.ndarray], storage: Storage) -> tuple[list[np.ndarray], np.ndarray]:
    """Tensors as they are kept, and which rows must not be kept so.

    Args:
        tensors: one array (n, ...) per crossing tensor.
        storage: how they are kept.

    Returns:
        One array (n, ...) per tensor, float32 ones in the dtype of the storage; and how many values of each row are
        finite and would become infinite, int (n,).
    """
    rounded, overflows = [], np.zeros(len(tensors[0]), np.intp)
    for tensor in tensors:
        if storage == "float32" or tensor.dtype != _FLOAT32:
            rounded.append(tensor)
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            narrow = tensor.astype(_DTYPES[storage])
            # Rounding keeps the order: where the two ends stay finite, all values do. NaN is an end, too.
            ends = np.array([tensor.min(initial=0), tensor.max(initial=0)]).astype(narrow.dtype)
        if not np.isfinite(ends).all():
            lost = np.isinf(narrow) & np.isfinite(tensor)
            overflows += np.count_nonzero(lost, axis=tuple(range(1, tensor.ndim)))
        rounded.append(narrow)
    return rounded, overflows


def pack_rows(keys: Sequence[bytes], tensors: Sequence[np.ndarray], storage: Storage) -> tuple[list[bytes], int]:
    """Rows as they are stored.

    NaN and infinity that the engine gave stay what they are. Where no tensor is float32, there is nothing to round: the
    rows are marked as float32, which serves every storage.

    Args:
        keys: n keys, one per row.
        tensors: one array (n, ...) per crossing tensor, of any dtype.
        storage: how float32 tensors are kept.

    Returns:
        n rows, and how many of them are kept in float32 because a value would overflow.

    Example:
        >>> rows, overflowed = pack_rows([b"a", b"b"], [np.array([[1, 2], [3, 1e6]], np.float32)], "float16")
        >>> [len(row) for row in rows], overflowed
        ([13, 17], 1)
    """
    if all(tensor.dtype != _FLOAT32 for tensor in tensors):
        storage = "float32"
    rounded, overflows = round_rows(tensors, storage)
    rows = _sealed(keys, rounded, storage)
    overflowed = np.flatnonzero(overflows).tolist()
    if overflowed:
        kept = _sealed([keys[index] for index in overflowed], [tensor[overflowed] for tensor in tensors], "float32")
        for index, row in zip(overflowed, kept, strict=True):
            rows[index] = row
    return rows, len(overflowed)


def stored_as(row: bytes | memoryview) -> Storage | None:
    """The storage that a row names, or None where it names none or is no row.

    Example:
        >>> stored_as(bytes([2]) + bytes(8)), stored_as(b"")
        ('bfloat16', None)
    """
    if len(row) < HEADER_BYTES or row[0] >= len(STORAGES):
        return None
    return STORAGES[row[0]]


def serves(stored: Storage | None, wanted: Storage) -> bool:
    """Whether a row that is stored so can be read for a storage: float32 for every one, others for themselves.

    Example:
        >>> serves("float32", "float16"), serves("float16", "float32"), serves(None, "float32")
        (True, False, False)
    """
    return stored is not None and stored in ("float32", wanted)


def is_whole(key: bytes, row: bytes | memoryview) -> bool:
    """Whether a stored row is what was stored under this key: not a byte of it is another.

    Example:
        >>> (row,), _ = pack_rows([b"a"], [np.array([[1, 2]], np.float32)], "float16")
        >>> is_whole(b"a", row), is_whole(b"b", row)
        (True, False)
    """
    if stored_as(row) is None:
        return False
    view = memoryview(row)
    return _checksum(key, view[:_TAG_BYTES], [view[HEADER_BYTES:]]) == view[_TAG_BYTES:HEADER_BYTES]


def unpack_row(
    key: bytes, row: bytes | memoryview, tensors: Sequence[np.ndarray], index: int, storage: Storage
) -> bool:
    """Writes a stored row into arrays, with the values that `storage` gives.

    A row in float32 that is read for another storage is rounded first, as `pack_rows` would have done: which of them it
    was stored for makes no difference to what is learned from it.

    Args:
        key: the key under which it lies.
        row: what `pack_rows` gave.
        tensors: one C-contiguous array (n, ...) per crossing tensor, of the dtype that the engine gave.
        index: which row of them is written.
        storage: how the features are kept.

    Returns:
        Whether the row is whole. Where it is damaged, or stored in a way that does not serve, what lies in its place is
        not to be used.

    Example:
        >>> (row,), _ = pack_rows([b"a"], [np.array([[1, 2]], np.float32)], "float16")
        >>> features = np.empty((1, 2), np.float32)
        >>> unpack_row(b"a", row, [features], 0, "float16"), features.tolist()
        (True, [[1.0, 2.0]])
        >>> unpack_row(b"b", row, [features], 0, "float16")
        False
    """
    stored = stored_as(row)
    if stored is None or not serves(stored, storage) or not is_whole(key, row):
        return False
    view = memoryview(row)
    # A slice, because the row itself may be a single number.
    places = [tensor[index : index + 1] for tensor in tensors]
    end = HEADER_BYTES
    for place in places:
        dtype = _DTYPES[stored] if place.dtype == _FLOAT32 else place.dtype
        start, end = end, end + place.size * dtype.itemsize
        if end > len(view):
            return False
        place[:] = np.frombuffer(view, dtype, place.size, start).reshape(place.shape)
    if end != len(view):
        return False
    if stored != storage:
        rounded, overflows = round_rows(places, storage)
        if not overflows.any():
            for place, values in zip(places, rounded, strict=True):
                place[:] = values
    return True


def _sealed(keys: Sequence[bytes], tensors: Sequence[np.ndarray], storage: Storage) -> list[bytes]:
    """Rows of these tensors, byte by byte."""
    tag = bytes([STORAGES.index(storage)])
    payloads = zip(*map(_as_bytes, tensors), strict=True)
    return [
        b"".join((tag, _checksum(key, tag, payload), *payload)) for key, payload in zip(keys, payloads, strict=True)
    ]


def _as_bytes(tensor: np.ndarray) -> list[memoryview]:
    """The bytes of each row."""
    rows = np.ascontiguousarray(tensor).reshape(len(tensor), math.prod(tensor.shape[1:]))
    return [row.data for row in rows.view(np.uint8)]


def _checksum(key: bytes, tag: bytes | memoryview, payload: Sequence[memoryview]) -> bytes:
    # One call over joined bytes: a second call costs more than joining 5 kB, and for 2.8 MB joining costs a tenth.
    return blake3(b"".join((key, tag, *payload))).digest(length=_CHECKSUM_BYTES)
