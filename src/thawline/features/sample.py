"""A sample of features, on which it is found out as which numbers the rest should be kept."""

import numpy as np

from thawline.data.sources.source import ImageSource
from thawline.features.engines.engine import Engine
from thawline.features.extract import extract
from thawline.features.feature_set import FeatureSet
from thawline.features.fingerprint import row_key
from thawline.features.storage import StorageChoice, choose_storage, measure_storages

# Images in the sample: with fewer, one that is taken for another class costs more accuracy than would be allowed.
_MOST_IMAGES = 300
_LEAST_IMAGES = 32
# Features of a sample are held in memory, about twice.
_MOST_BYTES = 256 << 20


def try_storages(source: ImageSource, rows: int, engine: Engine, features: FeatureSet) -> StorageChoice:
    """Computes and stores features of some images in float32, and compares what other storages would make of them.

    Nothing is computed twice: features in float32 serve whatever storage is chosen.

    Args:
        source: the images.
        rows: how many rows there will be in all.
        engine: who runs the prefix.
        features: where the features are kept, in float32.

    Raises:
        CacheFullError: no room is left.
        UnreadableImageError, ImageChangedError: an image is bad, and the source's on_error is "raise".
    """
    count = min(_MOST_IMAGES, max(_MOST_BYTES // features.row_bytes, _LEAST_IMAGES), len(source))
    sample = source.select(np.unique(np.linspace(0, len(source) - 1, count).astype(int)))
    extract(sample, 1, engine, features, description="trying storages on", show_progress=False)
    there = [index for index in range(len(sample)) if not sample.is_left_out(index)]
    image_keys = sample.view_keys(show_progress=False)
    tensors = features.read([row_key(image_keys[index], 0) for index in there])
    labels = None if sample.labels is None or sample.labels.ndim != 1 else sample.labels[there]
    return choose_storage(measure_storages(tensors, rows, labels))
