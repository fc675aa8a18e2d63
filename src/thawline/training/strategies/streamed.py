"""streamed: an engine runs the prefix for each batch; its features are used and forgotten."""

import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing

import numpy as np

from thawline.data.batches import Batch, iterate
from thawline.data.sources.source import ImageSource
from thawline.features.prefix import Prefix
from thawline.training.strategies.kept import RamFeatures
from thawline.training.strategies.rows import present, row_feeds
from thawline.training.strategies.strategy import Feed, Preparation, unwrap


class Streamed:
    """Feeds features that are computed while the batch before is trained on.

    Of training images nothing is kept, whatever room there is: each epoch decodes them, so that a view is always of the
    file as it is then, and a file that goes bad is noticed in the epoch in which it does. Where views should come
    again, `precomputed` is the strategy. Validation images are the same in every epoch; their features are kept in
    memory where they fit.

    Args:
        prefix: the frozen part.
    """

    gives_features = True
    is_ready = False

    def __init__(self, prefix: Prefix) -> None:
        self.model = prefix.cut.suffix
        self._prefix = prefix
        # Seconds in which the engine waited for images, and in which features were waited for.
        self._reading_s = self._waiting_s = 0.0

    def waits_for(self) -> dict[str, float]:
        """Images, as far as the engine itself waits for them, and the engine."""
        images = min(self._reading_s / self._waiting_s, 1.0) if self._waiting_s else 0.0
        return {"images": images, "the frozen part": 1 - images}

    def prepare(self, source: ImageSource, views: int, *, description: str, show_progress: bool) -> Preparation:
        """Chooses the engine."""
        return Preparation(self._prefix.introduce(source))

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
        """The features of one epoch; from memory when all of them are kept there.

        As with stored features, a file that goes away after its features were kept is not missed.
        """
        if kept is not None and not len(kept.lacking(present(source, np.arange(len(source))), view)):

            def read(indices: np.ndarray) -> list[np.ndarray]:
                return kept.rows(indices, view)

            row_bytes = self._prefix.cut.row_bytes
            yield from row_feeds(source, read, row_bytes, epoch=epoch, view=view, shuffle=shuffle, start=start)
            return
        waiting: deque[Batch] = deque()

        def images() -> Generator[np.ndarray, None, None]:
            since = time.perf_counter()
            for batch in iterate(source, view, epoch=epoch, shuffle=shuffle, start=start):
                self._reading_s += time.perf_counter() - since
                waiting.append(batch)
                yield batch.images
                since = time.perf_counter()

        with closing(images()) as batches, closing(self._prefix.answers(batches)) as answers:
            since = time.perf_counter()
            for rows in answers:
                self._waiting_s += time.perf_counter() - since
                batch = waiting.popleft()
                if kept is not None:
                    kept.keep(batch.indices, view, rows)
                yield Feed(unwrap(rows), batch.targets, batch.indices)
                since = time.perf_counter()
