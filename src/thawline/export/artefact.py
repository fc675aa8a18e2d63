"""Artefact: the folder that an exported model lies in, and the model in it, run without a stack.

model...          the model: a folder `model/1` for TensorFlow Serving, or a file
artefact.json     format, versions, how images are read, class names, outputs, digests of the files, verified or not
reader.py         reads images and runs the model, without thawline
certificate.json  what was compared with the stack, and how far apart it was; certificate.txt says it in words
README.md         the model card
"""

import hashlib
import json
import os
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np

from thawline.data.reading import Reading
from thawline.errors import ArgumentError, MissingDependencyError
from thawline.export.reader import NEEDS
from thawline.export.trust import PROGRAMS, is_own
from thawline.files import write_json

FACTS = "artefact.json"

# Behind the name of a folder whose model does not answer as the stack does.
UNVERIFIED = "-unverified"

# Behind the name of an artefact that was exported before one that is not verified: it is not the one asked for.
EARLIER = "-earlier"

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
    def open(cls, path: str | os.PathLike[str], *, trust: bool = False) -> Self:
        """The artefact in a folder. The model is loaded when it is first asked for something.

        Args:
            path: the folder with artefact.json, or one in which a single such folder lies.
            trust: also open one that is a program (a SavedModel) and was exported by somebody else: it may do anything
                that you may do.

        Raises:
            ArgumentError: there is none, there are several, another version of thawline wrote it, what it says of
                its model cannot be, the model is not what was exported, or it is a program of somebody else's.
        """
        folder = _find(Path(path))
        artefact = cls(folder, read_facts(folder))
        damaged = [*artefact.damaged_files(of_model=True), *artefact.unknown_files()]
        if not any(map(artefact._is_of_model, artefact.facts["files"])):
            damaged = damaged or [artefact.facts["model"]]
        if damaged:
            raise ArgumentError(
                f"The artefact {str(folder)!r} is not what was exported: {', '.join(damaged)} "
                f"{'differs' if len(damaged) == 1 else 'differ'} from what {FACTS} says. Export it again, or copy it "
                "again from where it was exported."
            )
        if artefact.format in PROGRAMS and not trust and not is_own(artefact.facts["files"]):
            raise ArgumentError(
                f"The artefact {str(folder)!r} is a program: a model in the format {artefact.format} may read and "
                "write your files, and this one was not exported by you here. Open it with --trust (in Python "
                "trust=True) if you trust whoever made it, or get it as onnx, openvino, litert or keras: no programs."
            )
        return artefact

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

    def damaged_files(self, *, of_model: bool = False) -> list[str]:
        """Files whose content is not what was exported, by their digests.

        Args:
            of_model: look at the model only, not at what people may have written into, like the card.
        """
        return [
            name
            for name, digest in self.facts["files"].items()
            if (not of_model or self._is_of_model(name))
            and (not (self.path / name).is_file() or digest_file(self.path / name) != digest)
        ]

    def unknown_files(self) -> list[str]:
        """Files beside those of the model that were not exported; a runtime may take them for a part of it."""
        found = [path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir()]
        return sorted(name for name in found if self._is_of_model(name) and name not in self.facts["files"])

    def _is_of_model(self, name: str) -> bool:
        """Tells whether a file is the model, lies in its folder, or is called like it but for the ending."""
        model = PurePosixPath(self.facts["model"])
        path = PurePosixPath(name)
        return path.is_relative_to(model) or (path.parent == model.parent and path.stem == model.stem)

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


def _find(folder: Path) -> Path:
    """The folder with artefact.json: this one, or the only one inside.

    Raises:
        ArgumentError: there is none, or there are several.
    """
    if (folder / FACTS).is_file():
        return folder
    found = sorted(inner.parent for inner in folder.glob(f"*/{FACTS}"))
    if len(found) != 1:
        which = f"it holds {', '.join(inner.name for inner in found)}: name one of them" if found else "none"
        raise ArgumentError(
            f"No artefact in {str(folder)!r}: expected a folder with {FACTS}, as  thawline export  writes it; {which}."
        )
    return found[0]


def read_facts(folder: Path) -> dict[str, Any]:
    """The content of artefact.json.

    Raises:
        ArgumentError: it is damaged, of another version, or says of its model what cannot be.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{str(folder / FACTS)!r} is damaged: {error}. Export the artefact anew.") from error
    if not isinstance(facts, dict) or "version" not in facts:
        raise ArgumentError(f"{str(folder / FACTS)!r} says nothing of an artefact. Export it anew.")
    if facts["version"] != 1:
        raise ArgumentError(
            f"{str(folder)!r} has version {facts['version']} of {FACTS}; this thawline reads 1. Install the "
            "thawline that wrote it, or use its reader.py."
        )
    model, files = folder / str(facts.get("model")), facts.get("files")
    is_inside = model.resolve().is_relative_to(folder.resolve()) and model.resolve() != folder.resolve()
    if str(facts.get("format")) not in NEEDS or not is_inside or not isinstance(files, dict):
        raise ArgumentError(
            f"{str(folder / FACTS)!r} names a model {facts.get('model')!r} of the format {facts.get('format')!r}; "
            f"expected one in this folder, of {', '.join(NEEDS)}. Export it anew, or get it from whom you trust."
        )
    return facts


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Writes artefact.json with the digests of all other files that are in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FACTS)
    digests = {path.relative_to(folder).as_posix(): digest_file(path) for path in files}
    write_json(folder / FACTS, {**facts, "files": digests})


def digest_file(path: Path) -> str:
    """SHA-256 of a file, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_free(target: Path) -> None:
    """Refuses to put an artefact where something else lies.

    Raises:
        ArgumentError: there is a file, or a folder that holds no artefact.
    """
    if target.is_dir() and ((target / FACTS).is_file() or not any(target.iterdir())):
        return
    if target.exists():
        raise ArgumentError(f"{str(target)!r} exists and holds no artefact. Export to another folder, or move it.")
