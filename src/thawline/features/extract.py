"""Run the prefix for what the cache lacks; nothing else.

Decoding and augmentation run in threads ahead of the engine, which reads ahead itself; finished batches are stored
while later ones are computed.
"""

import threading
import time
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np

from thawline.data.batches import in_batches, read_ahead
from thawline.data.sources.source import ImageSource
from thawline.features.engines.engine import ENGINE_BATCH, Engine, count_cores
from thawline.features.feature_set import FeatureSet
from thawline.features.fingerprint import row_key
from thawline.progress import format_seconds, progress, say

# An image's index and a view of it.
Wanted = tuple[int, int]

# Rows that are looked up in the cache at a time.
_LOOKED_UP = 10_000

_healing = threading.Lock()


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Attributes:
        total: views of images that were asked for.
        extracted: how many of them had to be computed, and were.
        seconds: how long that took.
        busy: how much of the processor's cores this process kept busy meanwhile, from 0 to 1.
        kept_in_float32: rows that were to be kept in float16, but have values too large for it.
    """

    total: int
    extracted: int
    seconds: float
    busy: float
    kept_in_float32: int = 0

    def __str__(self) -> str:
        text = f"{self.extracted:,} of {self.total:,} extracted"
        if self.extracted:
            text += (
                f" in {format_seconds(self.seconds)}: {self.extracted / self.seconds:,.0f} images/s, "
                f"the processor {self.busy:.0%} busy"
            )
        if self.kept_in_float32:
            text += f"; {self.kept_in_float32:,} kept in float32, because values are too large for float16"
        return text


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

    Interrupted at any time, what is stored stays, and the next call goes on from there. Where another process computes
    features of the same set, it is waited for, and what it stored is not computed again. An image that is bad is an
    error, or with on_error="skip" left out: nothing is stored for it.

    Args:
        source: the images.
        views: how many views of each image are wanted.
        engine: who runs the prefix.
        features: where the features are kept.

    Raises:
        CacheFullError: no room is left.
        UnreadableImageError, ImageChangedError: an image is bad, and the source's on_error is "raise".
    """
    started, worked = time.perf_counter(), time.process_time()
    image_keys = source.view_keys(show_progress=show_progress)

    def missing(part: np.ndarray) -> list[int]:
        return features.missing(
            [row_key(image_keys[index], view) for index, view in zip(*part.T.tolist(), strict=True)]
        )

    def lacking() -> np.ndarray:
        # Two equal files have the same features, unless each has views of its own.
        firsts = {image_keys[index]: index for index in reversed(range(len(source))) if not source.is_left_out(index)}
        indices = np.sort(np.fromiter(firsts.values(), np.int64))
        wanted = np.column_stack([np.repeat(indices, views), np.tile(np.arange(views), len(indices))])
        return np.concatenate([wanted[:0], *(part[missing(part)] for part in in_batches(wanted, _LOOKED_UP))])

    def is_any_lacking() -> bool:
        # Whoever computes them goes the same way: what is last here is stored last.
        return any(missing(part) for part in in_batches(todo[::-1], _LOOKED_UP))

    extracted = kept_in_float32 = 0
    todo = lacking()
    while len(todo):
        with features.sole_writer(is_any_lacking, lambda: _say_waiting(show_progress)) as is_ours:
            if not is_ours:
                break
            # While this process waited, another may have stored them.
            todo = lacking()
            with progress(description, len(todo), show=show_progress) as advance:
                for keys, tensors in _compute(source, todo, image_keys, engine):
                    kept_in_float32 += features.write(keys, tensors)
                    extracted += len(keys)
                    advance(len(keys))
            # Of an image that went bad, an equal file may be left to take its place.
            todo = lacking()
    seconds = time.perf_counter() - started
    busy = (time.process_time() - worked) / (seconds * count_cores())
    return Extraction(len(source) * views, extracted, seconds, min(busy, 1.0), kept_in_float32)


def heal(source: ImageSource, wanted: Sequence[Wanted], engine: Engine, features: FeatureSet) -> None:
    """Computes features anew whose rows are damaged or went away, stores them, and warns.

    Args:
        source: the images.
        wanted: which views of which images.
        engine: who runs the prefix.
        features: where the features are kept.
    """
    rows, healed = np.array(wanted, np.int64).reshape(-1, 2), 0
    # Readers come from several threads.
    with _healing:
        for keys, tensors in _compute(source, rows, source.view_keys(show_progress=False), engine):
            features.write(keys, tensors)
            healed += len(keys)
    warnings.warn(
        f"Rows of features in {features.path} were damaged or missing, and were computed anew: {healed:,}.",
        stacklevel=2,
    )


def _compute(
    source: ImageSource, wanted: np.ndarray, image_keys: Sequence[bytes], engine: Engine
) -> Generator[tuple[list[bytes], list[np.ndarray]], None, None]:
    """Keys and features, batch after batch; bad images are an error or left out, as the source says.

    Args:
        source: the images.
        wanted: an image's index and a view of it in each row, int64 (n, 2): a quarter of what tuples would take.
        image_keys: what stands for each image, from `ImageSource.view_keys`.
        engine: who runs the prefix.
    """

    def load(part: np.ndarray) -> tuple[list[bytes], np.ndarray] | None:
        keys, pictures = [], []
        # The views of an image lie next to one another: it is decoded once for all of them.
        for index, group in groupby(part.tolist(), key=itemgetter(0)):
            wanted_views = [view for _, view in group]
            made = source.attempt(source.views, index, wanted_views)
            if made is not None:
                keys += [row_key(image_keys[index], view) for view in wanted_views]
                pictures += made
        return (keys, source.standardized(pictures)) if pictures else None

    waiting: deque[list[bytes]] = deque()

    def batches() -> Generator[np.ndarray, None, None]:
        with closing(read_ahead(in_batches(wanted, ENGINE_BATCH), load)) as loaded:
            for each in loaded:
                if each is not None:
                    waiting.append(each[0])
                    yield each[1]

    with closing(batches()) as images, closing(engine.answers(images)) as answers:
        for tensors in answers:
            yield waiting.popleft(), tensors


def _say_waiting(is_shown: bool) -> None:
    if is_shown:
        say("another process computes these features; waiting for it")
