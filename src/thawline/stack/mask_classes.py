"""Checks that the class numbers in masks, a stage's values per pixel and a cross entropy belong together."""

from thawline.specs import TensorSpec


def mask_mismatch(
    loss: str, given: TensorSpec, wanted: TensorSpec, ignore_class: int | None = None
) -> tuple[str, str] | None:
    """Describes a mismatch in a sentence, and the way out; None where all fits or nothing is known.

    Args:
        loss: the loss's name in lower case without "_".
        given: what the stage gives.
        wanted: the masks, with the largest class number as the end of their range.
        ignore_class: the class that the loss leaves out, or None.

    Example:
        >>> given, masks = TensorSpec((None, 8, 8, 3), "float32"), TensorSpec((None, 8, 8, 1), "uint8", (0, 255))
        >>> mask_mismatch("sparsecategoricalcrossentropy", given, masks)[0]
        'The masks hold class numbers up to 255, but there are 3 values per pixel, for the classes 0 to 2.'
    """
    channels = given.shape[-1]
    if len(wanted.shape) != 4 or wanted.value_range is None or "int" not in wanted.dtype or channels is None:
        return None
    highest = int(wanted.value_range[1])
    if loss == "sparsecategoricalcrossentropy" and highest >= channels and highest != ignore_class:
        return (
            f"The masks hold class numbers up to {highest}, but there are {channels} values per pixel, for the classes "
            f"0 to {channels - 1}.",
            f"Build the last layer with {highest + 1} channels; where {highest} marks pixels to leave out, use "
            f"keras.losses.SparseCategoricalCrossentropy(ignore_class={highest}).",
        )
    if loss == "binarycrossentropy" and highest > 1:
        return (
            f"The masks hold class numbers up to {highest}, but a binary cross entropy compares with 0 and 1.",
            f"Build the last layer with {highest + 1} channels and softmax, and use sparse_categorical_crossentropy; "
            "or say by mask_colors=[...] which number is class 0 and which class 1.",
        )
    if loss == "categoricalcrossentropy" and channels > 1:
        return (
            f"The masks hold class numbers, but a categorical cross entropy compares with {channels} values per pixel.",
            "Use sparse_categorical_crossentropy.",
        )
    return None
