"""precomputed: the prefix ran once per image and view; its features come from the cache."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import get_args

import numpy as np

from thawline.data.sources.source import ImageSource
from thawline.features.cache import FeatureCache
from thawline.features.extract import extract, heal
from thawline.features.feature_set import FeatureSet
from thawline.features.fingerprint import row_key
from thawline.features.opening import is_any_kept, open_features
from thawline.features.prefix import Prefix
from thawline.features.rows import Storage
from thawline.features.sample import try_storages
from thawline.training.strategies.kept import RamFeatures
from thawline.training.strategies.rows import row_feeds
from thawline.training.strategies.strategy import Feed, Preparation


class Precomputed:
    """Feeds features that were computed before training.

    Those that come again and fit the memory are read from the cache once; others in every epoch they come in. Rows that
    turn out to be damaged, or went away, are computed anew.

    Args:
        prefix: the frozen part, up to the thaw line or a candidate below it.
        cache: where features are kept.
        storage: as which numbers; "auto" finds it out on a sample of the first images that are prepared.
        batch_size: images per batch, for the frozen layers between the cut and the thaw line.
    """

    gives_features = True
    is_ready = True

    def __init__(self, prefix: Prefix, cache: FeatureCache, storage: str = "float32", *, batch_size: int = 0) -> None:
        self.model = prefix.cut.suffix_for(batch_size)
        self._prefix = prefix
        self._cache = cache
        self._wanted_storage = storage
        self._storage: Storage | None = None
        # Held as in use as long as this lives; with their sources, whose ids are only theirs as long as they live.
        self._sets: dict[int, tuple[ImageSource, FeatureSet]] = {}

    def waits_for(self) -> dict[str, float]:
        """Features; what is not kept in memory is read from the cache in time is not waited for."""
        return {"features": 1.0}

    def prepare(self, source: ImageSource, views: int, *, description: str, show_progress: bool) -> Preparation:
        """Computes the features that the cache lacks, for all views; chooses engine and storage on the way."""
        lines = self._prefix.introduce(source)
        if self._storage is None:
            lines += self._choose_storage(source, views)
        done = extract(
            source,
            views,
            self._prefix,
            self._features(source),
            description=f"extracting {description}",
            show_progress=show_progress,
        )
        return Preparation([*lines, f"{description}: {done}"], asdict(done))

    def count_missing(self, source: ImageSource, views: int) -> int:
        """How many views of images the cache lacks."""
        image_keys = source.view_keys()
        keys = [row_key(key, view) for key in image_keys for view in range(views)]
        return len(self._features(source).missing(keys))

    def missing_by_view(self, source: ImageSource, views: int) -> list[int] | None:
        """For each view how many images lack it in the cache; None where nothing of the kind is stored. Looking makes
        no set of features."""
        if not is_any_kept(self._cache, self._prefix, source):
            return None
        features = self._features(source)
        remembered = features.recall("storage")
        if self._wanted_storage == "auto" and remembered in get_args(Storage):
            features = self._open(source, remembered)
        image_keys = source.view_keys()
        return [len(features.missing([row_key(key, view) for key in image_keys])) for view in range(views)]

    def feeds(
        self,
        source: ImageSource,
        *,
        epoch: int,
        view: int,
        shuffle: bool,
        kept: RamFeatures | None = None,
        start: int = 0,
    ) -> Iterator[Feed]:
        """The features of one epoch, read ahead: from memory where they are kept there, else from the cache.

        An image that is left out stays out, also where features of it are stored; one whose file went away after its
        features were stored is not missed.
        """
        features = self._features(source)
        image_keys = source.view_keys()

        def read(indices: np.ndarray) -> list[np.ndarray]:
            def mend(lost: Sequence[int]) -> None:
                heal(source, [(int(indices[position]), view) for position in lost], self._prefix, features)

            return features.read([row_key(image_keys[index], view) for index in indices], mend)

        def read_once(indices: np.ndarray) -> list[np.ndarray]:
            if kept is None:
                return read(indices)
            lacking = kept.lacking(indices, view)
            if len(lacking):
                kept.keep(lacking, view, read(lacking))
            return kept.rows(indices, view)

        row_bytes = self._prefix.cut.row_bytes
        return row_feeds(source, read_once, row_bytes, epoch=epoch, view=view, shuffle=shuffle, start=start)

    def _features(self, source: ImageSource) -> FeatureSet:
        if id(source) not in self._sets:
            self._sets[id(source)] = source, self._open(source, self._storage or "float32")
        return self._sets[id(source)][1]

    def _open(self, source: ImageSource, storage: Storage) -> FeatureSet:
        return open_features(self._cache, self._prefix, source, storage=storage)

    def _choose_storage(self, source: ImageSource, views: int) -> list[str]:
        """Finds out as which numbers features are kept; gives what there is to say about it."""
        self._storage = next((each for each in get_args(Storage) if each == self._wanted_storage), None)
        if self._storage is not None:
            return []
        features = self._open(source, "float32")
        remembered = features.recall("storage")
        if remembered in get_args(Storage):
            self._storage = remembered
            return [f"storage: {remembered}, as found out before"]
        choice = try_storages(source, len(source) * views, self._prefix, features)
        features.remember(storage=choice.storage)
        self._storage = choice.storage
        return [f"storage: {choice}"]
