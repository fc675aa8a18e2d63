"""Artefact: the folder that an exported model lies in, and the model in it, run without a stack.

model...          the model: a folder `model/1` for TensorFlow Serving, or a file
artefact.json     format, versions, how images are read, class names, outputs, digests of the files, verified or not
reader.py         reads images and runs the model, without thawline
certificate.json  what was compared with the stack, and how far apart it was; certificate.txt says it in words
README.md         the model card
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np

from thawline.data.reading import Reading
from thawline.errors import ArgumentError, MissingDependencyError
from thawline.export.reader import NEEDS
from thawline.files import write_json

FACTS = "artefact.json"

# Behind the name of a folder whose model does not answer as the stack does.
UNVERIFIED = "-unverified"

# Images per batch that serve well: LiteRT and OpenVINO gain nothing by more, the others little.
_BATCH = 32


class Artefact:
    """An exported model.

    Attributes:
        path: its folder.
        facts: what artefact.json holds.

    Example:
        >>> artefact = Artefact.open("flowers-serving/onnx")  # doctest: +SKIP
        >>> artefact.predict(np.zeros((2, 160, 160, 3), np.uint8)).shape  # doctest: +SKIP
        (2, 5)
    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self.facts = facts
        self._runtime: Any = None

    def __repr__(self) -> str:
        state = {True: "verified", False: "unverified", None: "not verified"}[self.verified]
        return f"Artefact({str(self.path)!r}, {self.format}, {state})"

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """The artefact in a folder. The model is loaded when it is first asked for something.

        Args:
            path: the folder with artefact.json, or one in which a single such folder lies.

        Raises:
            ArgumentError: there is none, there are several, another version of thawline wrote it, or what it says of
                its model cannot be.
        """
        folder = Path(path)
        if not (folder / FACTS).is_file():
            found = sorted(inner.parent for inner in folder.glob(f"*/{FACTS}"))
            if len(found) != 1:
                which = f"it holds {', '.join(inner.name for inner in found)}: name one of them" if found else "none"
                raise ArgumentError(
                    f"No artefact in {str(path)!r}: expected a folder with {FACTS}, as  thawline export  writes it; "
                    f"{which}."
                )
            folder = found[0]
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ArgumentError(f"{str(folder / FACTS)!r} is damaged: {error}. Export the artefact anew.") from error
        if not isinstance(facts, dict) or "version" not in facts:
            raise ArgumentError(f"{str(folder / FACTS)!r} says nothing of an artefact. Export it anew.")
        if facts["version"] != 1:
            raise ArgumentError(
                f"{str(folder)!r} has version {facts['version']} of {FACTS}; this thawline reads 1. Install the "
                "thawline that wrote it, or use its reader.py."
            )
        model = folder / str(facts.get("model"))
        if str(facts.get("format")) not in NEEDS or not model.resolve().is_relative_to(folder.resolve()):
            raise ArgumentError(
                f"{str(folder / FACTS)!r} names a model {facts.get('model')!r} of the format {facts.get('format')!r}; "
                f"expected one in this folder, of {', '.join(NEEDS)}. Export it anew, or get it from whom you trust."
            )
        return cls(folder, facts)

    @property
    def format(self) -> str:
        """saved_model, keras, onnx, litert or openvino."""
        name: str = self.facts["format"]
        return name

    @property
    def verified(self) -> bool | None:
        """Whether the model answered as the stack does, in a process of its own; None where nobody looked."""
        answer: bool | None = self.facts["verified"]
        return answer

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the answers stand for, in their order."""
        return tuple(self.facts["class_names"])

    @property
    def reading(self) -> Reading:
        """How images are read for the model, as plain values."""
        reading: Reading = self.facts["reading"]
        return reading

    @property
    def image_files_arguments(self) -> dict[str, Any]:
        """What `ImageFiles` takes to read images for `predict`."""
        words = {word: value for word, value in self.reading.items() if word != "standardize"}
        return {word: tuple(value) if isinstance(value, list) else value for word, value in words.items()}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that `predict` takes."""
        height, width, channels = self.facts["image_shape"]
        return height, width, channels

    @property
    def batch_size(self) -> int:
        """How many images `predict` best gets at a time; it takes any number."""
        return _BATCH

    def damaged_files(self) -> list[str]:
        """Files whose content is not what was exported, by their digests."""
        return [
            name
            for name, digest in self.facts["files"].items()
            if not (self.path / name).is_file() or digest_file(self.path / name) != digest
        ]

    def predict(self, images: np.ndarray) -> Any:
        """Answers for images.

        Args:
            images: uint8 (n, height, width, channels), 0 to 255, of `image_shape`.

        Returns:
            float32 (n, ...), or a dictionary of such arrays where the stack has several outputs.

        Raises:
            ArgumentError: the images have another shape or dtype.
            MissingDependencyError: what runs the format is not installed.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            raise ArgumentError(
                f"The artefact takes uint8 (n, {', '.join(map(str, self.image_shape))}); got {images.dtype} "
                f"{images.shape}. Read files with ImageFiles(paths, **artefact.image_files_arguments)."
            )
        answers = self._loaded().run(images)
        return answers if len(answers) > 1 else next(iter(answers.values()))

    def _loaded(self) -> Any:
        if self._runtime is None:
            runtime = import_module(f"thawline.export.standalone.{self.format}_runtime").Runtime
            try:
                self._runtime = runtime(self.path, self.facts)
            except ImportError as error:
                extra = self.format if self.format in ("litert", "onnx", "openvino") else "cpu"
                raise MissingDependencyError(
                    f"To run a model in the format {self.format} install {NEEDS[self.format]}: "
                    f"pip install 'thawline[{extra}]'."
                ) from error
        return self._runtime


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Writes artefact.json with the digests of all other files that are in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FACTS)
    digests = {path.relative_to(folder).as_posix(): digest_file(path) for path in files}
    write_json(folder / FACTS, {**facts, "files": digests})


def digest_file(path: Path) -> str:
    """SHA-256 of a file, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def new_folder(parent: Path) -> Iterator[Path]:
    """A folder under a temporary name in which an artefact is made; what is left of it in the end is deleted."""
    parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".exporting-", dir=parent))
    temporary.chmod(0o755)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_free(target: Path) -> None:
    """Refuses to put an artefact where something else lies.

    Raises:
        ArgumentError: there is a file, or a folder that holds no artefact.
    """
    if target.is_dir() and ((target / FACTS).is_file() or not any(target.iterdir())):
        return
    if target.exists():
        raise ArgumentError(f"{str(target)!r} exists and holds no artefact. Export to another folder, or move it.")


def put_in_place(made: Path, target: Path) -> None:
    """Gives a folder its name; an artefact of that name goes."""
    check_free(target)
    if not target.exists():
        made.rename(target)
        return
    with new_folder(target.parent) as aside:
        target.rename(aside / "old")
        made.rename(target)
