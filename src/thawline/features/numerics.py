"""Bits that an engine gives here: measured on a fixed batch, remembered for this machine, part of a set's description.

Two processors may round otherwise, one without fused multiply-adds for example, and no list of names tells which. So
the frozen part answers a batch of made-up images, and the digest of its answers says with whom it may share features.
A machine remembers its digest, so that a run whose features are all stored builds no engine for it.
"""

import contextlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from thawline.errors import EngineError
from thawline.features.engines.engine import Engine, count_cores
from thawline.features.identity import canonical
from thawline.files import write_text
from thawline.source_code import digest_arrays
from thawline.stack.batch_axis import with_other_neighbours

# Variables that choose among instructions, threads and precisions, by how they begin.
_SWITCHES = ("ONEDNN_", "DNNL_", "OV_", "TF_")

_CPU_FILE = Path("/proc/cpuinfo")
# What the system says of a processor, by the name of the line: on x86, and on Arm.
_CPU_LINES = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")

# Images in the probe. Keras computes them at the shape of all extraction, filled up.
_PROBE_IMAGES = 8
# For sides that a prefix leaves open.
_OPEN_SIZE = 64


@dataclass(frozen=True)
class Numerics:
    """The bits that an engine gives for a prefix.

    Attributes:
        digest: of its answers to the probe, 64 hexadecimal digits.
        is_repeatable: whether it gave the same bits for the same batch twice.
        is_by_image: whether an image's answer stayed the same when others in its batch changed.
    """

    digest: str
    is_repeatable: bool = True
    is_by_image: bool = True


def describe_machine() -> dict[str, Any]:
    """Conditions of bits beside versions: host, processor with its instructions, cores, switches by environment.

    Example:
        >>> sorted(describe_machine())
        ['cores', 'environment', 'host', 'processor']
    """
    return {
        "host": platform.node(),
        "processor": _describe_processor(),
        "cores": count_cores(),
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_SWITCHES)},
    }


def probe_images(shape: tuple[int | None, ...], dtype: str = "float32") -> np.ndarray:
    """Made-up images, the same on every machine: noise, up to 255, up to 1, and from -1 to 1 in turn.

    Args:
        shape: height, width and channels; an open size counts as 64.
        dtype: of the prefix's input; one of whole numbers gets noise up to 255 only.

    Returns:
        dtype (8, height, width, channels).

    Example:
        >>> images = probe_images((4, 4, 3))
        >>> [bool(image.max() > 1) for image in images[:3]], bool(images[2].min() < 0)
        ([True, False, False], True)
    """
    sizes = [_OPEN_SIZE if size is None else size for size in shape]
    pixels = np.random.default_rng(0).integers(0, 256, (_PROBE_IMAGES, *sizes), np.uint8)
    if not dtype.startswith(("float", "bfloat")):
        return pixels
    images = pixels.astype(np.float32)
    images[1::3] /= 255
    images[2::3] = images[2::3] / 127.5 - 1
    return images


def measure_numerics(engine: Engine, images: np.ndarray) -> Numerics:
    """The bits of an engine, from three short batches at most.

    Args:
        engine: runs the prefix.
        images: from `probe_images`.
    """
    answers = engine.run(images)
    neighboured = engine.run(with_other_neighbours(images))
    is_by_image = _is_same([rows[::2] for rows in answers], [rows[::2] for rows in neighboured])
    if not is_by_image and not _is_same(answers, engine.run(images)):
        # No digest of answers would be found again: who may share is said by the machine.
        machine = describe_machine()
        known = {"processor": machine["processor"], "environment": machine["environment"]}
        return Numerics(blake3(canonical(known)).hexdigest(), is_repeatable=False)
    return Numerics(digest_arrays(answers), is_by_image=is_by_image)


class NumericsMemory:
    """Memory of the bits of an engine, for this machine.

    Args:
        folder: beside the choices of engines; None to remember nothing.
        question: prefix, engine and versions.
    """

    def __init__(self, folder: Path | None, question: Mapping[str, Any]) -> None:
        asked = canonical({**question, "machine": describe_machine()})
        self._place = None if folder is None else folder / f"numerics-{blake3(asked).hexdigest(length=16)}.json"

    def recall(self) -> Numerics | None:
        """The measurement made here; None where that is not known, or cannot be read."""
        try:
            return None if self._place is None else Numerics(**json.loads(self._place.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, numerics: Numerics) -> None:
        """Remembers what was measured; where nothing can be kept, it is measured again the next time."""
        if self._place is not None:
            with contextlib.suppress(OSError):
                write_text(self._place, json.dumps(asdict(numerics), indent=1))


def refuse_mixing(numerics: Numerics, name: str) -> None:
    """Raises EngineError where an image's features depend on the other images of its batch.

    Args:
        numerics: what was measured.
        name: what crosses, for the message.
    """
    if not numerics.is_by_image:
        raise EngineError(
            f"The features up to {name} cannot be computed ahead: an operation in the frozen part works over the batch "
            "axis, so that an image's features depend on the other images of its batch. Use strategy='joint', or put "
            "the operation into a stage that learns."
        )


def _is_same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return digest_arrays(one) == digest_arrays(other)


def _describe_processor() -> dict[str, str]:
    """The first processor, as the system describes it."""
    try:
        text = _CPU_FILE.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {"name": platform.processor() or platform.machine()}
    lines = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines if name.strip() in _CPU_LINES}
