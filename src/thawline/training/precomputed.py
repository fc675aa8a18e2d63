"""precomputed: the prefix ran once per image and view; its features come from the cache."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from thawline.data.batches import epoch_order, in_batches, read_ahead, with_targets
from thawline.data.sources.source import ImageSource
from thawline.features.cache import FeatureCache
from thawline.features.extract import extract
from thawline.features.feature_set import FeatureSet
from thawline.features.fingerprint import row_key
from thawline.features.prefix import Prefix
from thawline.training.strategy import Feed, unwrap


class Precomputed:
    """Feeds features that were computed before training.

    Args:
        prefix: the frozen part, up to the thaw line or a candidate below it.
        cache: where features are kept.
        batch_size: images per batch, for the frozen layers between the cut and the thaw line.
    """

    def __init__(self, prefix: Prefix, cache: FeatureCache, *, batch_size: int = 0) -> None:
        self.model = prefix.cut.suffix_for(batch_size)
        self._prefix = prefix
        self._cache = cache

    def prepare(self, source: ImageSource, views: int, *, description: str, show_progress: bool) -> dict[str, Any]:
        """Computes the features that the cache lacks, for all views."""
        done = extract(
            source,
            views,
            self._prefix,
            self._features(source),
            description=f"extracting {description}",
            show_progress=show_progress,
        )
        return asdict(done)

    def count_missing(self, source: ImageSource, views: int) -> int:
        """How many views of images the cache lacks."""
        digests = source.content_digests()
        keys = [row_key(digest, view) for digest in digests for view in range(views)]
        return len(self._features(source).missing(keys))

    def feeds(self, source: ImageSource, *, epoch: int, view: int, shuffle: bool) -> Iterator[Feed]:
        """The features of one epoch, read ahead from the cache.

        An image that is left out stays out, also where features of it are stored; one whose file went away after its
        features were stored is not missed.
        """
        features = self._features(source)
        digests = source.content_digests()

        def load(indices: np.ndarray) -> list[Feed]:
            kept = np.array([index for index in indices if not source.is_left_out(index)], np.int64)
            chosen, _, targets = with_targets(source, kept, view)
            if not len(chosen):
                return []
            rows = features.read([row_key(digests[index], view) for index in chosen])
            return [Feed(unwrap(rows), targets, chosen)]

        order = epoch_order(len(source), source.seed, epoch, shuffle=shuffle)
        is_empty = True
        for feeds in read_ahead(in_batches(order, source.batch_size), load):
            is_empty = is_empty and not feeds
            yield from feeds
        if is_empty:
            raise source.nothing_left()

    def _features(self, source: ImageSource) -> FeatureSet:
        return self._cache.features(self._prefix.describe_features(source), self._prefix.cut.crossing)
