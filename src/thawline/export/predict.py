"""Answers for files, one after the other: decoded ahead by threads, answered in batches, in constant memory."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from thawline.data.batches import read_ahead
from thawline.data.decode import Decoding, decode
from thawline.data.formats import reason_of
from thawline.errors import UnreadableImageError

# Images that are answered at a time, and files that are read at a time.
BATCH = 32

# A larger file is no picture that a model should see: the largest camera's raw files have a tenth of that.
MAX_FILE_BYTES = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is said about one file.

    Attributes:
        path: the file.
        answer: the model's answer, float (classes,) or whatever shape it has; None for an image that is bad.
        error: why there is no answer; empty where there is one.
    """

    path: Path
    answer: np.ndarray | None
    error: str = ""


class Predictor(Protocol):
    """What answers for pixels: a stack, or an artefact that was exported.

    Attributes:
        class_names: what the places of an answer stand for; empty where that is not known.
        decoding: how files become pixels.
    """

    class_names: tuple[str, ...]
    decoding: Decoding

    def answers(self, batches: Iterable[np.ndarray]) -> Generator[np.ndarray, None, None]:
        """For each batch of pixels, uint8 (n, height, width, channels), the answers (n, ...), in order.

        It may read ahead.
        """


def predict_files(files: Iterable[Path], predictor: Predictor) -> Iterator[Prediction]:
    """What a predictor says about each file, in their order; a bad image is a prediction without an answer.

    At any time some hundred images are on their way, however many files there are.

    Args:
        files: names of files, taken as they are needed.
        predictor: who answers.
    """
    waiting: deque[list[tuple[Path, str]]] = deque()

    def batches() -> Generator[np.ndarray, None, None]:
        with closing(read_ahead(_parts(files), _reader(predictor.decoding))) as parts:
            for told, pixels in parts:
                waiting.append(told)
                if pixels:
                    yield np.stack(pixels)

    def bad_parts() -> Iterator[Prediction]:
        """Those that come before the next answers, in parts without a single picture."""
        while waiting and all(error for _, error in waiting[0]):
            yield from (Prediction(path, None, error) for path, error in waiting.popleft())

    with closing(batches()) as images, closing(predictor.answers(images)) as answers:
        for rows in answers:
            yield from bad_parts()
            row = iter(rows)
            for path, error in waiting.popleft():
                yield Prediction(path, None, error) if error else Prediction(path, next(row))
    yield from bad_parts()


def _parts(files: Iterable[Path]) -> Iterator[list[Path]]:
    iterator = iter(files)
    while part := list(islice(iterator, BATCH)):
        yield part


def _reader(decoding: Decoding) -> Callable[[list[Path]], tuple[list[tuple[Path, str]], list[np.ndarray]]]:
    """What reads some files: each with what is wrong with it or "", and the pixels of those that are fine."""

    def read(part: list[Path]) -> tuple[list[tuple[Path, str]], list[np.ndarray]]:
        told, pixels = [], []
        for path in part:
            try:
                pixels.append(decode(_read(path), decoding, name=str(path)))
            except UnreadableImageError as error:
                told.append((path, str(error).removeprefix(f"{path}: ")))
            else:
                told.append((path, ""))
        return told, pixels

    return read


def _read(path: Path) -> bytes:
    try:
        # A pipe or a device would be read for ever.
        if not path.is_file():
            if path.is_dir():
                # One that can be listed is not what an image is looked for in.
                os.scandir(path).close()
            raise UnreadableImageError("there is no such file." if not path.exists() else "is no file.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableImageError(f"is larger than {MAX_FILE_BYTES:,} bytes, which no image is.")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"cannot be read: {reason_of(error)}.") from error
