"""The set of features that a prefix gives for a source, found in a cache or begun there.

Sets of thawline 0.1 do not say by which bits they were made. Some of their rows are computed again: equal ones make the
set this machine's, others leave it to the machine that made it.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from thawline.data.sources.source import ImageSource
from thawline.features.cache import FeatureCache
from thawline.features.engines.agreement import compare
from thawline.features.engines.engine import ENGINE_BATCH
from thawline.features.feature_set import FeatureSet
from thawline.features.fingerprint import row_key
from thawline.features.identity import digest_description
from thawline.features.prefix import Prefix
from thawline.features.rows import STORAGES, Storage, round_rows

# Rows of an earlier set that are computed again.
_TRIED_ROWS = 8

# Notes on the card of an earlier set: the description that it serves, as its digest, and those that it does not.
_SERVES, _NOT_FOR = "serves", "does not serve"


def open_features(
    cache: FeatureCache, prefix: Prefix, source: ImageSource, *, storage: Storage = "float32"
) -> FeatureSet:
    """The set of features that a prefix gives for a source; a new one is empty.

    Warns where features that were stored before cannot be used, or new ones by no other process.

    Args:
        cache: where features are kept.
        prefix: the frozen part.
        source: the images, as they are decoded and augmented.
        storage: as which numbers features are kept.

    Raises:
        EngineError: an image's features depend on the other images of its batch.
        CacheError, CacheDamagedError: as `FeatureCache.features`.
    """
    description = prefix.describe_features(source)
    for path, problem in prefix.unshared.items():
        warnings.warn(
            f"Features of {path!r} serve in this process only, and are computed again in the next: the layer "
            f"{problem}, so that another process could not tell whether they are the same.",
            stacklevel=2,
        )
    earlier = _earlier_set(cache, prefix, source, description, storage)
    if earlier is not None and not cache.holds(description):
        return earlier
    features = cache.features(description, prefix.cut.crossing, storage=storage, label=prefix.label(source))
    if earlier is None:
        return features
    keys = [row_key(key, 0) for key in source.view_keys(show_progress=False)]
    return min(earlier, features, key=lambda each: len(each.missing(keys)))


def is_any_kept(cache: FeatureCache, prefix: Prefix, source: ImageSource) -> bool:
    """Tells whether there is a set that may have features of this source; looking makes none."""
    before = prefix.describe_as_before(source)
    return cache.holds(prefix.describe_features(source)) or (before is not None and cache.holds(before))


def _earlier_set(
    cache: FeatureCache, prefix: Prefix, source: ImageSource, description: dict[str, Any], storage: Storage
) -> FeatureSet | None:
    """The set of thawline 0.1 for this source, where it has the bits of this machine."""
    before = prefix.describe_as_before(source)
    if before is None or not cache.holds(before):
        return None
    features = cache.features(before, prefix.cut.crossing, storage=storage, label=prefix.label(source))
    wanted = digest_description(description).hex()
    known, others = features.recall(_SERVES), features.recall(_NOT_FOR) or []
    if known is not None or wanted in others:
        return features if known == wanted else None
    is_same = _has_same_bits(source, prefix, cache, before)
    if is_same is None:
        return None
    if is_same:
        features.remember(**{_SERVES: wanted})
        return features
    features.remember(**{_NOT_FOR: [*others, wanted]})
    warnings.warn(
        f"Features in {features.path} were computed with other bits than this machine computes now (another processor, "
        "other instructions or other code): they are left alone, and new ones are computed.",
        stacklevel=3,
    )
    return None


def _has_same_bits(
    source: ImageSource, prefix: Prefix, cache: FeatureCache, description: dict[str, Any]
) -> bool | None:
    """Whether rows of a set that are computed again are those that are stored; None where it has none of the source."""
    image_keys = source.view_keys(show_progress=False)
    for storage in STORAGES:
        features = cache.features(description, prefix.cut.crossing, storage=storage)
        pictures = _stored_pictures(source, features)
        if pictures:
            expected = features.read([row_key(image_keys[index], 0) for index in pictures])
            return _are_rows(expected, source.standardized(list(pictures.values())), prefix, source, storage)
    return None


def _stored_pictures(source: ImageSource, features: FeatureSet) -> dict[int, np.ndarray]:
    """The first views of up to 8 images of which features are stored, spread over the source, by index."""
    keys = [row_key(key, 0) for key in source.view_keys(show_progress=False)]
    lacking = set(features.missing(keys))
    there = [index for index in range(len(keys)) if index not in lacking and not source.is_left_out(index)]
    chosen = np.unique(np.linspace(0, len(there) - 1, min(_TRIED_ROWS, len(there))).astype(int))
    made = [(there[place], source.attempt(source.views, there[place], [0])) for place in chosen]
    return {index: views[0] for index, views in made if views is not None}


def _are_rows(
    expected: Sequence[np.ndarray], images: np.ndarray, prefix: Prefix, source: ImageSource, storage: Storage
) -> bool:
    """Whether the features of images are those that are expected, bit for bit where the engine repeats its bits."""
    answers = _as_stored(prefix.run(images), storage)
    if not prefix.numerics(source).is_repeatable:
        return not compare(expected, answers).problem("float32")
    return all(
        _is_row(expected, row, answers, row) or _is_at_any_place(expected, row, images[row], prefix, storage)
        for row in range(len(images))
    )


def _is_at_any_place(
    expected: Sequence[np.ndarray], row: int, image: np.ndarray, prefix: Prefix, storage: Storage
) -> bool:
    """Tells whether a stored row is what the engine answers at some place in a batch; which one it was nobody noted."""
    everywhere = np.repeat(image[None], ENGINE_BATCH, axis=0)
    answers = _as_stored(prefix.run(everywhere), storage)
    return any(_is_row(expected, row, answers, place) for place in range(ENGINE_BATCH))


def _is_row(expected: Sequence[np.ndarray], row: int, answers: Sequence[np.ndarray], place: int) -> bool:
    pairs = zip(expected, answers, strict=True)
    return all(one[row].tobytes() == other[place].tobytes() for one, other in pairs)


def _as_stored(tensors: Sequence[np.ndarray], storage: Storage) -> list[np.ndarray]:
    """Features as they are read again when they were kept in this storage."""
    rounded, overflows = round_rows(tensors, storage)
    fits = overflows == 0
    kept = [tensor.copy() for tensor in tensors]
    for tensor, values in zip(kept, rounded, strict=True):
        tensor[fits] = values[fits]
    return kept
