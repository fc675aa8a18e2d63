"""Disk: how much room features may take, and whether those of a cut fit."""

from dataclasses import dataclass

from thawline.arguments import is_number
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError
from thawline.features.feature_set import stored_bytes
from thawline.features.options import FeatureOptions
from thawline.stack.cut import Cut
from thawline.training.strategies.precomputed import Precomputed

# Of what is free on a disk, this share may be taken: a full disk stops everything else, too.
USABLE_SHARE = 0.9


@dataclass(frozen=True)
class Disk:
    """Where features go, and for which images.

    Attributes:
        features: how features are computed and kept.
        max_disk: bytes of disk that the features may take, those that are stored already included; None leaves it to
            what is free.
        train: the images to learn from.
        validation: the images to measure on.

    Raises:
        ArgumentError: max_disk is no number of bytes.
    """

    features: FeatureOptions
    max_disk: float | None
    train: ImageSource
    validation: ImageSource | None = None

    def __post_init__(self) -> None:
        if self.max_disk is not None and not (is_number(self.max_disk) and self.max_disk > 0):
            raise ArgumentError(f"max_disk is a number of bytes above 0, like 10e9 for 10 GB; got {self.max_disk!r}.")

    @property
    def problem(self) -> str:
        """The reason why nothing can be kept on it; empty where something can."""
        return self.features.cache_problem

    def needed_bytes(self, row_bytes: int, views: int) -> int:
        """Bytes of disk for features of so many bytes each, of all images and views."""
        count = len(self.train) * views + (0 if self.validation is None else len(self.validation))
        return count * stored_bytes(self.features.kept_bytes(row_bytes))

    def usable_bytes(self) -> int:
        """Bytes that new features may take."""
        free = self._free_bytes()
        return free if self.max_disk is None else min(free, int(self.max_disk))

    def fits(self, cut: Cut, views: int) -> bool:
        """Whether there is room for what the cache lacks, and `max_disk` for all of it."""
        needed = self.needed_bytes(cut.row_bytes, views)
        if self.max_disk is not None and needed > self.max_disk:
            return False
        free = self._free_bytes()
        # Asking what is stored reads all images' digests: only where it matters.
        return needed <= free or self._lacking_bytes(cut, views) <= free

    def _lacking_bytes(self, cut: Cut, views: int) -> int:
        precomputed = Precomputed(self.features.prefix(cut), self.features.opened_cache)
        lacking = precomputed.count_missing(self.train, views)
        if self.validation is not None:
            lacking += precomputed.count_missing(self.validation, 1)
        return lacking * stored_bytes(self.features.kept_bytes(cut.row_bytes))

    def _free_bytes(self) -> int:
        return int(USABLE_SHARE * self.features.opened_cache.free_bytes)
