"""How features are computed and kept: what users may say about it, in one place."""

import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from thawline.errors import ArgumentError, CacheError
from thawline.features.cache import FeatureCache
from thawline.features.names import EngineName, Precision, StorageName
from thawline.features.prefix import Prefix
from thawline.stack.cut import Cut
from thawline.store import default_cache_path

__all__ = ["CHOICES_NAME", "EngineName", "FeatureOptions", "Precision", "StorageName"]

# Choices of engines lie here, beside the features.
CHOICES_NAME = "engines"


# The cut that keeps an engine, as long as its stack lives.
_keeping: weakref.WeakSet[Cut] = weakref.WeakSet()


@dataclass(frozen=True)
class FeatureOptions:
    """How features are computed and kept.

    Attributes:
        cache: where they are kept; None for the user's cache folder.
        engine: who runs the frozen part: "keras", "openvino", or "auto" for the fastest that agrees with Keras.
        precision: in which numbers it computes, "float32" or "bfloat16".
        storage: as which numbers features are kept: "float32", "float16", "bfloat16", or "auto" for the smallest that
            costs no accuracy on a sample.

    Raises:
        ArgumentError: a name is not known.
    """

    cache: FeatureCache | None = None
    engine: EngineName = "auto"
    precision: Precision = "float32"
    storage: StorageName = "float32"

    def __post_init__(self) -> None:
        for name, kinds in (("engine", EngineName), ("precision", Precision), ("storage", StorageName)):
            if getattr(self, name) not in get_args(kinds):
                known = ", ".join(map(repr, get_args(kinds)))
                raise ArgumentError(f"{name} is one of {known}; got {getattr(self, name)!r}.")

    def prefix(self, cut: Cut) -> Prefix:
        """The part below a cut, with the engine that is wanted.

        The engine that an earlier call chose and built serves again, unless weights or code have changed since. Of all
        stacks the last one keeps its engine.
        """
        wanted = self.engine, self.precision, self.cache_path
        prefix = self.new_prefix(cut)
        if wanted in cut.engines:
            prefix.take_over(cut.engines[wanted])
        for other in list(_keeping):
            other.engines.clear()
        _keeping.clear()
        _keeping.add(cut)
        cut.engines[wanted] = prefix
        return prefix

    def new_prefix(self, cut: Cut) -> Prefix:
        """The same, with an engine that is still to be built."""
        return Prefix(cut, self.engine, self.precision, self.cache_path / CHOICES_NAME)

    def kept_bytes(self, row_bytes: int) -> int:
        """Bytes that a row of features takes in the storage that is wanted; at most, where that is to be found out."""
        return row_bytes // 2 if self.storage in ("float16", "bfloat16") else row_bytes

    @property
    def cache_path(self) -> Path:
        """The folder of the cache, which may not be there yet."""
        return default_cache_path() if self.cache is None else self.cache.path

    @property
    def opened_cache(self) -> FeatureCache:
        """The cache; the default one is opened only by who needs it."""
        return self.cache or FeatureCache()

    @property
    def cache_problem(self) -> str:
        """The reason why no features can be kept; empty where they can. Strategies that keep nothing do not ask."""
        try:
            self.opened_cache.check_usable()
        except CacheError as error:
            return str(error)
        return ""
