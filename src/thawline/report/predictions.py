"""predictions.csv: what a finished run answered for each of its held-out images."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thawline.data.sources.source import ImageSource
from thawline.errors import RunError
from thawline.files import NAMES, write_text
from thawline.report.scores import per_class, predicted_classes

# The first columns; after them comes one for each class, by its name.
_COLUMNS = ("path", "digest", "label", "answer")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Held-out images with their answers.

    Attributes:
        paths: the files.
        digests: the BLAKE3 digest of each file, in hexadecimal digits.
        labels: the name of each image's class.
        answers: the name of the class that each was called.
        class_names: the classes in the order of the probabilities.
        probabilities: float64 (n, classes), as the stack gave them.
    """

    paths: tuple[str, ...]
    digests: tuple[str, ...]
    labels: tuple[str, ...]
    answers: tuple[str, ...]
    class_names: tuple[str, ...]
    probabilities: np.ndarray


def write_predictions(path: Path, source: ImageSource, answers: np.ndarray) -> None:
    """Writes the answers for a source of labelled images as CSV, whole or not at all.

    One line per image: its path, the digest of its file, its class, the class that it was called, and the probability
    of each class in a column of the class's name.

    Args:
        path: where to.
        source: the images.
        answers: float (n, classes), or of class 1, float (n, 1).
    """
    names, labels = source.class_names, source.known_labels
    rows, predicted = per_class(answers), predicted_classes(answers)
    digests = source.content_digests(show_progress=False)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *names])
    for index, file in enumerate(source.paths):
        # Nine figures are enough for every float32 to come back.
        probabilities = [f"{value:.9g}" for value in rows[index]]
        writer.writerow([file, digests[index].hex(), names[labels[index]], names[predicted[index]], *probabilities])
    write_text(path, text.getvalue())


def read_predictions(path: Path) -> Predictions:
    """What `write_predictions` wrote.

    Raises:
        RunError: there is no such file, or it has other columns.
    """
    try:
        with path.open(encoding="utf-8", errors=NAMES, newline="") as file:
            header, *rows = [*csv.reader(file)] or [[]]
    except FileNotFoundError:
        raise RunError(
            f"{str(path)!r} is not there: the run was made before runs kept their answers. Train it again."
        ) from None
    if tuple(header[: len(_COLUMNS)]) != _COLUMNS or any(len(row) != len(header) for row in rows):
        raise RunError(
            f"{str(path)!r} should have the columns {', '.join(_COLUMNS)} and one per class. Train it again."
        )
    known = len(_COLUMNS)
    paths, digests, labels, answers = (tuple(row[place] for row in rows) for place in range(known))
    probabilities = np.array([[float(value) for value in row[known:]] for row in rows])
    return Predictions(paths, digests, labels, answers, tuple(header[known:]), probabilities)
