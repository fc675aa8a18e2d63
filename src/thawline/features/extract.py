"""Run the prefix for what the cache lacks; nothing else."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from thawline.data.batches import in_batches, read_ahead
from thawline.data.sources.source import ImageSource
from thawline.features.cache import FeatureSet
from thawline.features.engines import ENGINE_BATCH, Engine
from thawline.features.fingerprint import row_key
from thawline.progress import progress


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Attributes:
        total: views of images that were asked for.
        extracted: how many of them had to be computed, and were.
        seconds: how long that took.
    """

    total: int
    extracted: int
    seconds: float


def extract(
    source: ImageSource,
    views: int,
    engine: Engine,
    features: FeatureSet,
    *,
    description: str = "extracting",
    show_progress: bool = True,
) -> Extraction:
    """Computes and stores the features that the cache lacks, batch by batch.

    Decoding and augmentation run in threads ahead of the engine. Interrupted at any time, what is stored stays, and
    the next call goes on from there. An image that is bad is an error, or with on_error="skip" left out: nothing is
    stored for it.

    Args:
        source: the images.
        views: how many views of each image are wanted.
        engine: who runs the prefix.
        features: where the features are kept.

    Raises:
        CacheFullError: no room is left.
        UnreadableImageError, ImageChangedError: an image is bad, and the source's on_error is "raise".
    """
    started = time.perf_counter()
    digests = source.content_digests(show_progress=show_progress)
    wanted = [(index, view) for index in range(len(source)) for view in range(views)]
    keys = [row_key(digests[index], view) for index, view in wanted]

    def load(positions: Sequence[int]) -> list[tuple[list[bytes], np.ndarray]]:
        found: list[tuple[bytes, np.ndarray]] = []
        # The views of an image lie next to one another: it is decoded once for all that are wanted.
        for index, group in groupby(positions, key=lambda position: wanted[position][0]):
            same = list(group)
            pictures = source.attempt(source.views, index, [wanted[position][1] for position in same])
            if pictures is not None:
                found += zip((keys[position] for position in same), pictures, strict=True)
        return [([key for key, _ in found], source.standardized([pixels for _, pixels in found]))] if found else []

    extracted = 0
    while True:
        missing = [at for at in features.missing(keys) if not source.is_left_out(wanted[at][0])]
        lacking = _first_of_each(keys, missing)
        stored = 0
        with progress(description, len(lacking), show=show_progress) as advance:
            for loaded in read_ahead(in_batches(lacking, ENGINE_BATCH), load):
                for chunk_keys, images in loaded:
                    features.write(chunk_keys, engine.run(images))
                    stored += len(images)
                    advance(len(images))
        extracted += stored
        # Of an image that went bad, an equal file may be left to take its place.
        if stored == len(lacking):
            return Extraction(len(wanted), extracted, time.perf_counter() - started)


def _first_of_each(keys: list[bytes], positions: list[int]) -> list[int]:
    """Positions without those whose key came before: two equal files have the same features."""
    return list({keys[position]: position for position in reversed(positions)}.values())[::-1]
