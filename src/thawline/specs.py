"""TensorSpec: what one part gives and the next part takes, and whether the two fit.

`data` and `stack` do not know each other; they meet here.
"""

import re
from dataclasses import dataclass

from thawline.errors import ArgumentError

ValueRange = tuple[float, float]

# Pixels as decoders give them, and as every stack takes them.
PIXELS: ValueRange = (0.0, 255.0)


@dataclass(frozen=True)
class TensorSpec:
    """The shape, dtype and value range of a batch of tensors.

    Attributes:
        shape: the shape with the batch dimension first; None where any size fits.
        dtype: the name of the dtype, like "uint8" or "float32".
        value_range: the smallest and the largest value, or None where it is not known.

    Example:
        >>> print(TensorSpec((None, 160, 160, 3), "uint8", (0, 255)))
        uint8 (None, 160, 160, 3) in [0, 255]
    """

    shape: tuple[int | None, ...]
    dtype: str
    value_range: ValueRange | None = None

    def __str__(self) -> str:
        shape = "(" + ", ".join(str(size) for size in self.shape) + ("," if len(self.shape) == 1 else "") + ")"
        values = "" if self.value_range is None else f" in {format_range(self.value_range)}"
        return f"{self.dtype} {shape}{values}"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, without the batch dimension. Every other size must be known, or it is an ArgumentError."""
        size = dtype_bytes(self.dtype)
        for length in self.shape[1:]:
            if length is None:
                raise ArgumentError(f"The size of a row of {self} is not known. Give the model a fixed image size.")
            size *= length
        return size


def dtype_bytes(dtype: str) -> int:
    """Bytes per number of a dtype, from its name: 4 for "float32", 2 for "bfloat16", 1 for "bool"."""
    # The first number is the bits; "float8_e4m3fn" has more.
    bits = re.search(r"\d+", dtype)
    return max(int(bits.group()) // 8, 1) if bits else 1


def format_range(value_range: ValueRange) -> str:
    """A value range as people write it: [-1, 1]."""
    return f"[{value_range[0]:g}, {value_range[1]:g}]"


def shape_mismatch(given: TensorSpec, wanted: TensorSpec) -> str | None:
    """Says which part of the shapes does not fit, or None when `given` can go where `wanted` is asked for.

    Example:
        >>> shape_mismatch(TensorSpec((None, 5, 1280), "float32"), TensorSpec((None, 5, 2048), "float32"))
        'axis 2 is 1280, not 2048'
    """
    if len(given.shape) != len(wanted.shape):
        return f"{len(given.shape)} axes, not {len(wanted.shape)}"
    for axis, (came, expected) in enumerate(zip(given.shape, wanted.shape, strict=True)):
        if axis > 0 and expected is not None and came is not None and came != expected:
            return f"axis {axis} is {came}, not {expected}"
    return None


def dtype_mismatch(given: TensorSpec, wanted: TensorSpec) -> str | None:
    """Says why the dtypes do not fit, or None. Real numbers fit each other: Keras casts them at a model's input."""
    if _kind(given.dtype) == _kind(wanted.dtype):
        return None
    return f"dtype is {given.dtype}, not {wanted.dtype}"


def range_mismatch(given: TensorSpec, wanted: TensorSpec) -> str | None:
    """Says why the value ranges do not fit, or None when they do or when one of them is not known.

    A given range fits when it lies within the wanted one and fills at least a quarter of it: values in [0, 1]
    do not fit [0, 255], although they lie inside.
    """
    if given.value_range is None or wanted.value_range is None:
        return None
    (low, high), (least, most) = given.value_range, wanted.value_range
    slack = 1e-3 * (most - least)
    if low >= least - slack and high <= most + slack and (high - low) >= 0.25 * (most - least):
        return None
    return f"values are in {format_range(given.value_range)}, not in {format_range(wanted.value_range)}"


def _kind(dtype: str) -> str:
    """The family of a dtype: numbers, strings, booleans or complex numbers."""
    for kind in ("string", "bool", "complex"):
        if dtype.startswith(kind):
            return kind
    return "number"
