"""Verify: golden images through the stack and through an artefact, each where it will run, and the two compared.

The artefact runs in a fresh process, by its own reader.py, and cannot import thawline there.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.data.augment import Augmentation
from thawline.data.decode import Decoding, decode
from thawline.data.reading import as_augmentation
from thawline.errors import UnreadableImageError
from thawline.export import probe
from thawline.export.certificate import Certificate, Group, compare
from thawline.export.golden import Golden
from thawline.export.servable import Servable
from thawline.stack.series import StageSeries

_BATCH = 32

# An image may take seconds on a slow machine, but a process that hangs is to end.
_LIMIT_S = 1800

# What is looked up for each format, the first that is there.
_RUNTIMES = {
    "saved_model": ("tensorflow", "tensorflow-cpu"),
    "keras": ("keras",),
    "onnx": ("onnxruntime", "onnxruntime-gpu"),
    "litert": ("ai-edge-litert",),
    "openvino": ("openvino",),
}


class Expected:
    """The stack's own answers for golden images.

    Args:
        series: the stack.
        servable: the stack as it is exported.
        golden: the images.

    Attributes:
        golden: the images that thawline can read; others are not compared.
        pixels: uint8 (n, height, width, channels).
        answers: by output, (n, ...).
    """

    def __init__(self, series: StageSeries, servable: Servable, golden: Sequence[Golden]) -> None:
        read = [(each, _decoded(each, servable.decoding)) for each in golden]
        self.golden = [each for each, pixels in read if pixels is not None]
        self.pixels = np.stack([pixels for _, pixels in read if pixels is not None])
        self.answers = _answers(series.model, self.pixels, as_augmentation(servable.reading))


def verify(folder: Path, form: str, servable: Servable, expected: Expected) -> Certificate:
    """How the artefact in a folder answers, in a process of its own.

    Args:
        folder: it has artefact.json, the model and reader.py.
        form: its format.
        servable: what was exported, for the names of outputs.
        expected: what the stack answers.
    """
    runtime = " ".join(_runtime(form))
    environment = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
    }
    with tempfile.TemporaryDirectory() as temporary:
        done, answered = _run(folder, expected.golden, Path(temporary))
    if answered is None:
        return Certificate(form, runtime, environment=environment, failure=_failure(done))
    notes = json.loads(str(answered["notes"]))
    errors = {int(index): reason for index, reason in notes["errors"].items()}
    given = [answered[f"answers/{name}"] for name in servable.names] if len(errors) < len(expected.golden) else []
    groups = _groups(expected, given, answered["pixels"], errors)
    return Certificate(form, runtime, groups, notes["times"], environment)


def _answers(model: Any, pixels: np.ndarray, steps: Augmentation | None) -> list[np.ndarray]:
    """What the stack says of pixels as its sources give them, by output.

    Batches are filled up: Keras would compile the model anew for another size.
    """
    images = pixels if steps is None else np.stack([steps.standardize(each) for each in pixels])
    size, parts = min(_BATCH, len(images)), []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        filled = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])
        answers = keras.tree.flatten(model.predict_on_batch(filled))
        parts.append([np.asarray(answer)[: len(batch)] for answer in answers])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _groups(expected: Expected, given: Sequence[np.ndarray], pixels: np.ndarray, errors: dict[int, str]) -> list[Group]:
    """One group for each kind of images, in their order."""
    good = [index for index in range(len(expected.golden)) if index not in errors]
    place = {index: row for row, index in enumerate(good)}
    groups = []
    for kind in dict.fromkeys(each.kind for each in expected.golden):
        members = [index for index, each in enumerate(expected.golden) if each.kind == kind]
        read = [index for index in members if index in place]
        rows = [place[index] for index in read]
        groups.append(
            compare(
                kind,
                [answers[read] for answers in expected.answers],
                [answers[rows] for answers in given] if read else [answers[[]] for answers in expected.answers],
                (expected.pixels[read], pixels[rows] if read else expected.pixels[read]),
                [f"{expected.golden[index].name}: {errors[index]}" for index in members if index in errors],
            )
        )
    return groups


def _run(folder: Path, golden: Sequence[Golden], temporary: Path) -> tuple[Any, Any]:
    """Runs the reader on the images; what it wrote, or None where it failed."""
    names = []
    for number, each in enumerate(golden):
        path = temporary / f"{number:05d}{Path(each.name).suffix or '.png'}"
        path.write_bytes(each.data)
        names.append(str(path))
    listing, target = temporary / "images.txt", temporary / "answers.npz"
    listing.write_text("\n".join(names), encoding="utf-8")
    # -P: the script's own folder is not searched, where files are called onnx.py and openvino.py.
    command = [sys.executable, "-P", str(probe.__file__), *map(str, (folder.resolve(), listing, target))]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_BACKEND": keras.backend.backend()}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **quiet}, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {error.timeout:g} s"), None
    if done.returncode or not target.exists():
        return done, None
    with np.load(target) as answered:
        return done, {name: answered[name] for name in answered.files}


def _failure(done: Any) -> str:
    """The last error that a process told, in one line."""
    lines = done.stderr.splitlines()
    begins = [number for number, line in enumerate(lines) if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
    told = " ".join(" ".join(lines[begins[-1] :] if begins else lines[-1:]).split())[:500]
    return told or f"exit code {done.returncode}"


def _runtime(form: str) -> tuple[str, str]:
    """The package that runs a format, and its version."""
    for package in _RUNTIMES[form]:
        try:
            return package, version(package)
        except PackageNotFoundError:
            continue
    return _RUNTIMES[form][0], "(not installed)"


def _decoded(golden: Golden, decoding: Decoding) -> np.ndarray | None:
    try:
        return decode(golden.data, decoding, name=golden.name)
    except UnreadableImageError:
        return None
