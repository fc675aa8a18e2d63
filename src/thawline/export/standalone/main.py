"""The reader itself, and what it does as a script.

`Runtime`, `answer_files` and `read_pixels` are those of the format that a reader is put together for.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thawline.export.standalone.from_pixels import answer_files, read_pixels
from thawline.export.standalone.onnx_runtime import Runtime


class Reader:
    """The model beside this file, with the way to read images for it.

    Args:
        folder: the folder with artefact.json; by default that of this file.

    Attributes:
        facts: what artefact.json holds.
        class_names: what the answers stand for, in their order; empty where that is not known.

    Example:
        reader = Reader()
        answers = reader.predict_files(["image.jpg"])
        print(reader.name_answers(answers, top=3))
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        home = Path(__file__).resolve().parent if folder is None else Path(folder)
        self.facts: dict[str, Any] = json.loads((home / "artefact.json").read_text(encoding="utf-8"))
        self.class_names: list[str] = self.facts["class_names"]
        self._runtime = Runtime(home, self.facts)

    def read(self, path: str | Path) -> np.ndarray:
        """The pixels of one file as the model takes them, uint8 (height, width, channels), 0 to 255."""
        return read_pixels(self._runtime, self.facts, path)

    def predict(self, images: np.ndarray) -> Any:
        """Answers for uint8 images (n, height, width, channels): an array, or a dictionary of them by output."""
        return _alone(self._runtime.run(images))

    def predict_files(self, paths: Sequence[str | Path], batch_size: int = 32) -> Any:
        """Answers for image files of any size, in their order: an array, or a dictionary of them by output."""
        parts = [
            answer_files(self._runtime, self.facts, paths[start : start + batch_size])
            for start in range(0, len(paths), batch_size)
        ]
        return _alone({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def name_answers(self, answers: np.ndarray, top: int = 1) -> list[list[tuple[str, float]]]:
        """For each image the likeliest classes with their probabilities, the likeliest first."""
        if answers.shape[-1] == 1 and len(self.class_names) == 2:
            answers = np.concatenate([1 - answers, answers], axis=-1)
        names = self.class_names or [str(number) for number in range(answers.shape[-1])]
        best = np.argsort(-answers, axis=-1, kind="stable")[:, :top]
        return [
            [(names[label], float(row[label])) for label in labels] for row, labels in zip(answers, best, strict=True)
        ]


def _alone(answers: dict[str, np.ndarray]) -> Any:
    return next(iter(answers.values())) if len(answers) == 1 else answers


def main() -> int:
    """Says what is in the images that are named on the command line."""
    parser = argparse.ArgumentParser(description="Says what the model beside this file sees in images.")
    parser.add_argument("images", nargs="+", help="files")
    parser.add_argument("--top", type=int, default=1, help="how many classes to name for each image")
    arguments = parser.parse_args()
    reader = Reader()
    failed = 0
    for path in arguments.images:
        try:
            answers = reader.predict_files([path])
        # A decoder meets damaged files with whatever it stumbles over.
        except Exception as error:
            sys.stderr.write(f"{path}: {error}\n")
            failed += 1
            continue
        if isinstance(answers, dict) or answers.ndim != 2:
            sys.stdout.write(f"{path}\t{json.dumps(np.asarray(answers).tolist())}\n")
            continue
        for name, value in reader.name_answers(answers, arguments.top)[0]:
            sys.stdout.write(f"{path}\t{name}\t{value:.6f}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
