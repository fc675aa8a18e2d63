"""precomputed: the prefix ran once per image and view; its features come from the cache."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from thawline.data.sources.source import ImageSource
from thawline.features.cache import FeatureCache
from thawline.features.extract import extract
from thawline.features.feature_set import FeatureSet
from thawline.features.fingerprint import row_key
from thawline.features.prefix import Prefix
from thawline.training.kept import RamFeatures
from thawline.training.rows import row_feeds
from thawline.training.strategy import Feed


class Precomputed:
    """Feeds features that were computed before training.

    Those that come again and fit the memory are read from the cache once; others in every epoch they come in.

    Args:
        prefix: the frozen part, up to the thaw line or a candidate below it.
        cache: where features are kept.
        batch_size: images per batch, for the frozen layers between the cut and the thaw line.
    """

    gives_features = True
    is_ready = True

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

    def feeds(
        self, source: ImageSource, *, epoch: int, view: int, shuffle: bool, kept: RamFeatures | None = None
    ) -> Iterator[Feed]:
        """The features of one epoch, read ahead: from memory where they are kept there, else from the cache.

        An image that is left out stays out, also where features of it are stored; one whose file went away after its
        features were stored is not missed.
        """
        features = self._features(source)
        digests = source.content_digests()

        def read(indices: np.ndarray) -> list[np.ndarray]:
            return features.read([row_key(digests[index], view) for index in indices])

        def read_once(indices: np.ndarray) -> list[np.ndarray]:
            if kept is None:
                return read(indices)
            lacking = kept.lacking(indices, view)
            if len(lacking):
                kept.keep(lacking, view, read(lacking))
            return kept.rows(indices, view)

        return row_feeds(source, read_once, self._prefix.cut.row_bytes, epoch=epoch, view=view, shuffle=shuffle)

    def _features(self, source: ImageSource) -> FeatureSet:
        return self._cache.features(self._prefix.describe_features(source), self._prefix.cut.crossing)
