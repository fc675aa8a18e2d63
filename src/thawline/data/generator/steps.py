"""What happens to pixels after the augmentation, in float32: scaling, centring, whitening.

The arithmetic is Keras' (`LegacyTransform.standardize`); what differs is `fit`, whose images go through the same steps
as those of the batches, and that statistics which were never taken are an error.
"""

from dataclasses import replace

import numpy as np

from thawline.data.legacy import LegacyTransform
from thawline.errors import ArgumentError, DataError

# What happens to pixels in float32, after they were augmented.
STANDARDIZES = (
    "featurewise_center",
    "samplewise_center",
    "featurewise_std_normalization",
    "samplewise_std_normalization",
    "zca_whitening",
    "rescale",
    "preprocessing_function",
)

# What `fit` finds for each argument that needs it.
_STATISTICS = {
    "featurewise_center": "mean",
    "featurewise_std_normalization": "std",
    "zca_whitening": "zca_whitening_matrix",
}

# Values per image beyond which the whitening matrix, whose sides they are, would take more than 600 MB.
_MAX_ZCA_VALUES = 64 * 64 * 3


def check_fitted(steps: LegacyTransform) -> LegacyTransform:
    """The steps, when their statistics are there.

    Raises:
        ArgumentError: `fit` did not come first.
    """
    for name, found in _STATISTICS.items():
        if getattr(steps, name) and getattr(steps, found) is None:
            raise ArgumentError(f"{name} needs statistics of the training images. Call fit(images) first.")
    return steps


def check_images(steps: LegacyTransform, images: np.ndarray) -> None:
    """Refuses what statistics cannot be taken from.

    Raises:
        DataError: the array has not four axes.
        ArgumentError: ZCA on images of more than 64 x 64 x 3 values.
    """
    if images.ndim != 4:
        raise DataError(f"fit() takes images as one array, (n, height, width, channels); got {images.shape}.")
    values = int(np.prod(images.shape[1:]))
    if steps.zca_whitening and values > _MAX_ZCA_VALUES:
        raise ArgumentError(
            f"zca_whitening on images of {values:,} values takes a matrix of {values**2 * 4 / 1e9:.1f} GB. Use images "
            "of 64 x 64 x 3 values or less."
        )


def measure(steps: LegacyTransform, images: np.ndarray) -> None:
    """Takes the statistics from images, after the steps that come before them.

    Args:
        steps: they get the statistics.
        images: (n, height, width, channels), or channels first.
    """
    before = replace(steps, featurewise_center=False, featurewise_std_normalization=False, zca_whitening=False)
    prepared = np.stack([before.standardize(np.array(image, np.float32)) for image in images])
    measured = replace(steps, rescale=None)
    measured.fit(prepared, np.random.RandomState(0))
    for name in _STATISTICS.values():
        setattr(steps, name, getattr(measured, name))
