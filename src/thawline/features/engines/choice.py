"""Which engine runs a prefix here: tried on real images, chosen by figures, remembered."""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from thawline.backend import keras
from thawline.errors import ArgumentError, EngineError
from thawline.features.engines.agreement import LARGEST_DIFFERENCE, SMALLEST_COSINE, Agreement, compare
from thawline.features.engines.engine import ENGINE_BATCH, PRECISIONS, Engine, check_precision
from thawline.features.engines.make import ENGINES, describe_engine, make_engine
from thawline.files import write_text

ENGINE_NAMES = ("auto", *ENGINES)

# How long each engine is timed on full batches, after one that is not timed; at least one is.
_TIMED_S = 0.1


@dataclass(frozen=True)
class EngineChoice:
    """Which engine runs a prefix, and why.

    Attributes:
        engine: "keras" or "openvino".
        precision: what it computes in, "float32" or "bfloat16".
        reason: one sentence with the figures that decided.
        largest_difference: of its features from those of keras in float32, relative to the largest feature; 0 for
            keras in float32 itself.
        cosine: the smallest between its features of an image and those of keras in float32; 1 for keras in float32.
        images_per_s: the speeds that were measured, by engine and precision, like "openvino float32"; empty where
            nothing was to be chosen.
    """

    engine: str
    precision: str
    reason: str
    largest_difference: float
    cosine: float
    images_per_s: dict[str, float]

    def __str__(self) -> str:
        return self.reason

    def as_dict(self) -> dict[str, Any]:
        """The choice as plain numbers and words, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Trial:
    """What came of trying an engine.

    Attributes:
        engine: its name.
        precision: what it computed in.
        agreement: how far its features are from those of keras in float32; None where it could not be tried.
        images_per_s: its speed; 0 where it was not timed.
        obstacle: why it could not be tried, a sentence; empty where it could.
    """

    engine: str
    precision: str
    agreement: Agreement | None = None
    images_per_s: float = 0.0
    obstacle: str = ""

    @property
    def name(self) -> str:
        """Engine and precision in words."""
        return f"{self.engine} in {self.precision}"

    @property
    def problem(self) -> str:
        """Why it must not be used, a sentence without its full stop; empty where it may."""
        if self.agreement is None:
            return self.obstacle.rstrip(".")
        found = self.agreement.problem(self.precision)
        return found and f"{self.name} {found}"


def choose_engine(
    name: str,
    prefix: Any,
    precision: str,
    images: np.ndarray | Callable[[], np.ndarray],
    memory: Path | None,
    identity: bytes,
) -> tuple[EngineChoice, Engine | None]:
    """Chooses who runs a prefix.

    "auto" is the fastest of the engines that are installed, can run the prefix and agree with keras in float32 on the
    images; in bfloat16 also one that computes in float32 may turn out to be the fastest. An engine that is named is
    taken or refused; keras in float32 is what all others are measured by, and taken untried.

    Args:
        name: "auto", "keras" or "openvino".
        prefix: Keras model from images to crossing tensors.
        precision: "float32", or "bfloat16": at most this precise, where it pays and agrees well enough.
        images: up to 32 real images as the prefix takes them, (n, height, width, channels); or a function that gives
            them, which is called only when they are needed.
        memory: a folder in which choices are kept, so that nothing has to be tried again; None to try each time.
        identity: stands for graph and weights of the prefix, and for the kind of images.

    Returns:
        The choice, and the engine where it was built to be tried.

    Raises:
        ArgumentError: there is no such engine or precision.
        EngineError: the named engine is not installed, cannot run the prefix, or is too far from keras in float32.
    """
    if name not in ENGINE_NAMES:
        raise ArgumentError(f"engine is one of {', '.join(map(repr, ENGINE_NAMES))}; got {name!r}.")
    check_precision(precision)
    if (name, precision) == ("keras", "float32"):
        return EngineChoice(name, precision, "keras in float32, as asked for", 0.0, 1.0, {}), None
    place = None if memory is None else memory / f"engine-{_digest(name, precision, identity)}.json"
    remembered = None if place is None else _recall(place)
    if remembered is not None:
        return remembered, None
    pixels = images() if callable(images) else images
    tried = _Tried(prefix, pixels)
    choice = _choose_fastest(tried, precision) if name == "auto" else _accept(tried, name, precision)
    if place is not None:
        # Where nothing can be kept, it is chosen again the next time.
        with contextlib.suppress(OSError):
            write_text(place, json.dumps(choice.as_dict(), indent=1))
    return choice, tried.engines.get((choice.engine, choice.precision))


def decide(reference: Trial, trials: list[Trial]) -> EngineChoice:
    """The fastest engine that agrees, and why.

    Args:
        reference: keras in float32, with its speed.
        trials: the others.

    Example:
        >>> slow, fast = Trial("keras", "float32", Agreement(0, 1, 1), 78), Agreement(1.9e-6, 1, 1)
        >>> print(decide(slow, [Trial("openvino", "float32", fast, 209)]))
        openvino in float32: 209 images/s against 78 by keras in float32; features differ by 1.9e-06 at most
    """
    usable = [trial for trial in trials if not trial.problem]
    best = max([reference, *usable], key=lambda trial: trial.images_per_s)
    others = [trial for trial in (reference, *usable) if trial is not best]
    parts = [f"{trial.images_per_s:,.0f} by {trial.name}" for trial in others]
    against = f"{best.images_per_s:,.0f} images/s against {' and '.join(parts)}" if parts else ""
    figures = "" if best is reference or best.agreement is None else best.agreement.figures(best.precision)
    refused = [trial.problem for trial in trials if trial.problem]
    reason = f"{best.name}: {'; '.join(part for part in (against, figures, *refused) if part)}"
    timed = [trial for trial in (best, *others) if trial.images_per_s]
    speeds = {f"{trial.engine} {trial.precision}": round(trial.images_per_s, 1) for trial in timed}
    return _as_choice(best, reason, speeds)


class _Tried:
    """The engines that were built to be tried on some images, and what keras in float32 answers for these."""

    def __init__(self, prefix: Any, images: np.ndarray) -> None:
        self._prefix = prefix
        self._images = images
        self.keras = make_engine("keras", prefix)
        self.expected = self.keras.run(images)
        self.engines: dict[tuple[str, str], Engine] = {("keras", "float32"): self.keras}

    def attempt(self, name: str, precision: str, *, is_timed: bool) -> Trial:
        """Compares an engine with what keras in float32 answered, and if it may be used, times it."""
        try:
            engine = self.engines[name, precision] = make_engine(name, self._prefix, precision)
        except EngineError as error:
            return Trial(name, precision, obstacle=str(error))
        trial = Trial(name, precision, compare(self.expected, engine.run(self._images)))
        return replace(trial, images_per_s=self.time(engine)) if is_timed and not trial.problem else trial

    def time(self, engine: Engine) -> float:
        """Images/s of an engine that has already run once."""
        return _images_per_s(engine, self._images)


def _choose_fastest(tried: _Tried, precision: str) -> EngineChoice:
    """The choice among all engines that may be worth it."""
    wanted = [("openvino", each) for each in dict.fromkeys((precision, "float32"))]
    # On a processor TensorFlow is slower in bfloat16 than in float32.
    if precision == "bfloat16" and keras.distribution.list_devices("gpu"):
        wanted.append(("keras", precision))
    trials = [tried.attempt(name, each, is_timed=True) for name, each in wanted]
    # Without a rival nobody has to be timed.
    speed = tried.time(tried.keras) if any(not trial.problem for trial in trials) else 0.0
    return decide(Trial("keras", "float32", compare(tried.expected, tried.expected), speed), trials)


def _accept(tried: _Tried, name: str, precision: str) -> EngineChoice:
    """The choice of the engine that was asked for."""
    trial = tried.attempt(name, precision, is_timed=False)
    if trial.problem:
        advice = "" if trial.agreement is None else " Use engine='auto', or engine='keras' with precision='float32'."
        raise EngineError(f"{trial.problem}.{advice}")
    assert trial.agreement is not None
    return _as_choice(trial, f"{trial.name}, as asked for; {trial.agreement.figures(precision)}", {})


def _images_per_s(engine: Engine, images: np.ndarray) -> float:
    """The speed of an engine that has already run once."""
    # Full batches, as an extraction has them.
    batch = images[np.arange(ENGINE_BATCH) % len(images)]
    started, count = time.perf_counter(), 0
    while not count or time.perf_counter() - started < _TIMED_S:
        count += sum(len(answer[0]) for answer in engine.answers([batch]))
    return count / (time.perf_counter() - started)


def _as_choice(trial: Trial, reason: str, images_per_s: dict[str, float]) -> EngineChoice:
    agreement = trial.agreement or Agreement(0.0, 1.0, 1.0)
    difference, cosine = agreement.largest_difference, agreement.cosine
    return EngineChoice(trial.engine, trial.precision, reason, difference, cosine, images_per_s)


def _digest(name: str, precision: str, identity: bytes) -> str:
    """What stands for a question in the memory: another version of an engine, or tolerance, is another question."""
    engines = [describe_engine(each, one) for each in ENGINES for one in PRECISIONS]
    question = [name, precision, identity.hex(), engines, LARGEST_DIFFERENCE, SMALLEST_COSINE]
    return blake3(json.dumps(question, sort_keys=True).encode()).hexdigest(length=16)


def _recall(place: Path) -> EngineChoice | None:
    """The choice in a file; None where there is none, or no whole one."""
    try:
        choice = EngineChoice(**json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return choice if choice.engine in ENGINES and choice.precision in PRECISIONS else None
