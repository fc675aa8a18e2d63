"""thawline predict: what a trained stack sees in images, row by row."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from thawline.cli.output import say
from thawline.errors import ArgumentError, RunError
from thawline.export.artefact import FACTS, Artefact
from thawline.export.artefact_predictor import ArtefactPredictor
from thawline.export.listing import list_files
from thawline.export.predict import Prediction, Predictor, predict_files
from thawline.export.stack_predictor import StackPredictor
from thawline.facade.stack import load
from thawline.printable import printable, printable_lines
from thawline.progress import progress
from thawline.training.run_folder.run import RunFolder

# What is known of a file, as plain values.
Row = dict[str, Any]

# Columns of a table, which is written before all paths are known.
_PATH_WIDTH = 40


def predict(
    path: Path,
    words: Sequence[str],
    *,
    top: int,
    form: str,
    engine: str,
    precision: str,
    is_trusted: bool,
    quiet: bool,
) -> None:
    """Prints the likeliest classes of each image as they come; ends with exit code 1 when an image was bad."""
    predictor = _open(path, engine, precision, is_trusted=is_trusted)
    counts = {"all": 0, "bad": 0}

    def rows() -> Iterator[Row]:
        with progress("predicting", None, show=not quiet) as advance:
            for prediction in predict_files(list_files(words, sys.stdin), predictor):
                counts["all"] += 1
                counts["bad"] += bool(prediction.error)
                advance(1)
                yield describe_prediction(prediction, predictor.class_names, top)

    is_seen = sys.stdout.isatty()
    for text in FORMS[form](rows(), top):
        sys.stdout.write(printable_lines(text) if is_seen else text)
    sys.stdout.flush()
    if not counts["all"]:
        raise ArgumentError(f"No images in {', '.join(words)}. Name files, folders of images or patterns.")
    if counts["bad"]:
        say(f"{counts['bad']:,} of {counts['all']:,} images are bad; their rows say why.", quiet=quiet)
        raise typer.Exit(1)


def describe_prediction(prediction: Prediction, class_names: Sequence[str], top: int) -> Row:
    """The path with the likeliest classes, the likeliest first, or with what is wrong.

    An answer that is no list of classes is given as it is.

    Example:
        >>> describe_prediction(Prediction(Path("a.jpg"), np.array([0.25, 0.75])), ["cat", "dog"], 1)
        {'path': 'a.jpg', 'classes': [{'name': 'dog', 'probability': 0.75}]}
    """
    row: Row = {"path": str(prediction.path)}
    if prediction.answer is None:
        return row | {"error": prediction.error}
    answer = np.asarray(prediction.answer, np.float64)
    if answer.shape == (1,) and len(class_names) == 2:
        answer = np.array([1 - answer[0], answer[0]])
    if answer.shape != (len(class_names),):
        return row | {"answer": answer.tolist()}
    best = np.argsort(-answer, kind="stable")[:top]
    return row | {"classes": [{"name": class_names[label], "probability": float(answer[label])} for label in best]}


def _as_table(rows: Iterable[Row], top: int) -> Iterator[str]:
    for row in rows:
        yield f"{printable(row['path']):<{_PATH_WIDTH}}   {printable(_in_words(row))}\n"


def _in_words(row: Row) -> str:
    if "error" in row:
        return f"error: {row['error']}"
    if "answer" in row:
        return json.dumps(row["answer"])
    return ", ".join(f"{found['name']} {found['probability']:.1%}" for found in row["classes"])


def _as_csv(rows: Iterable[Row], top: int) -> Iterator[str]:
    """A header and one line per image; of an answer that is no list of classes, one column with JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")

    def taken() -> str:
        line = text.getvalue()
        text.seek(0)
        text.truncate()
        return line

    places = [""] if top == 1 else [f"_{place}" for place in range(1, top + 1)]
    writer.writerow(["path", *(f"{word}{place}" for place in places for word in ("class", "probability")), "error"])
    for row in rows:
        if "answer" in row:
            raise ArgumentError("The answers are no probabilities of classes, which CSV has columns for. Use jsonl.")
        cells = [cell for found in row.get("classes", ()) for cell in (found["name"], f"{found['probability']:.6g}")]
        cells += [""] * (2 * top - len(cells))
        writer.writerow([row["path"], *cells, row.get("error", "")])
        yield taken()
    yield taken()


def _as_json_lines(rows: Iterable[Row], top: int) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row) + "\n"


def _as_json(rows: Iterable[Row], top: int) -> Iterator[str]:
    """One document, written as it comes."""
    yield "["
    for number, row in enumerate(rows):
        yield ("," if number else "") + "\n " + json.dumps(row)
    yield "\n]\n"


FORMS: dict[str, Callable[[Iterable[Row], int], Iterator[str]]] = {
    "table": _as_table,
    "csv": _as_csv,
    "jsonl": _as_json_lines,
    "json": _as_json,
}


def _open(path: Path, engine: str, precision: str, *, is_trusted: bool) -> Predictor:
    """Who answers: a run's stack, a saved stack, or an artefact."""
    if (path / "recipe.yaml").exists():
        path = RunFolder.open(path).stack_path
    if path.suffix == ".keras":
        return StackPredictor(load(path), path, engine=engine, precision=precision)
    if (path / FACTS).exists() or any(path.glob(f"*/{FACTS}")):
        return ArtefactPredictor(Artefact.open(path, trust=is_trusted))
    raise RunError(
        f"{str(path)!r} cannot answer: expected a folder that  thawline train  or  thawline export  wrote, like "
        "runs/flowers, or a stack that was saved, like flowers.keras."
    )
