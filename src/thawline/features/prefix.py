"""The frozen part as something that gives features: a graph, and the engine that runs it."""

import os
import platform
import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from thawline.data.batches import iterate
from thawline.data.sources.source import ImageSource
from thawline.features.engines.choice import EngineChoice, choose_engine
from thawline.features.engines.engine import ENGINE_BATCH, Engine
from thawline.features.engines.make import describe_engine, make_engine
from thawline.features.fingerprint import (
    UNSHARED,
    describe_features,
    describe_prefix,
    describe_prefix_as_before,
    numeric_profile,
)
from thawline.features.identity import digest_description
from thawline.features.numerics import (
    Numerics,
    NumericsMemory,
    describe_machine,
    measure_numerics,
    probe_images,
    refuse_mixing,
)
from thawline.stack.cut import Cut


class Prefix:
    """What lies below a cut, with who runs it; an engine itself.

    The engine is chosen when the first images are there to try it on, and built when something has to be computed:
    where the choice is remembered and all features are stored, nothing is.

    Args:
        cut: the thaw line, or a candidate below it.
        engine: who runs it, as `Stack.fit` takes it.
        precision: in which numbers.
        memory: the folder in which choices of engines are kept; None to try them each time.
    """

    def __init__(self, cut: Cut, engine: str = "auto", precision: str = "float32", memory: Path | None = None) -> None:
        self.cut = cut
        self.choice: EngineChoice | None = None
        self._wanted = engine, precision
        self._memory = memory
        self._description = describe_prefix(cut)
        self._machine = describe_machine(), numeric_profile()
        self._engine: Engine | None = None
        self._numerics: Numerics | None = None
        self._is_introduced = False
        # Epochs and repairs ask from several threads.
        self._building = threading.Lock()

    def take_over(self, earlier: "Prefix") -> None:
        """Uses what another one chose and built, where both would give the same features: where graph, weights, code
        and the instructions that the environment allows are the same."""
        if (earlier._description, earlier._machine) == (self._description, self._machine):
            self.choice, self._engine, self._numerics = earlier.choice, earlier._engine, earlier._numerics

    def choose(self, source: ImageSource) -> EngineChoice:
        """Who runs it, tried on these images unless that is known already.

        Raises:
            EngineError: the engine that is wanted cannot be used.
        """
        if self.choice is None:
            engine, precision = self._wanted
            kind = digest_description(
                {
                    "prefix": self._description,
                    "decoding": source.pictures.identity(),
                    "profile": numeric_profile(),
                    # Machines may share the folder.
                    "machine": [platform.node(), os.cpu_count()],
                }
            )
            self.choice, self._engine = choose_engine(
                engine, self.cut.prefix, precision, lambda: _some_images(source), self._memory, kind
            )
        return self.choice

    def introduce(self, source: ImageSource) -> list[str]:
        """Says which engine runs it and why, once, unless it is just what was asked for."""
        is_news = not self._is_introduced and self._wanted != ("keras", "float32")
        self._is_introduced = True
        choice = self.choose(source)
        refuse_mixing(self.numerics(source), self.cut.name)
        return [f"engine: {choice}"] if is_news else []

    def label(self, source: ImageSource) -> str:
        """Where the features of a source come from, for people."""
        choice = self.choose(source)
        height, width = source.pictures.shape[:2]
        augmented = "" if source.augmentation is None else ", augmented"
        return f"{self.cut.name}, images of {height}x{width}{augmented}, {choice.engine} in {choice.precision}"

    def numerics(self, source: ImageSource) -> Numerics:
        """The bits that the engine gives here; measured unless they are remembered for this machine."""
        choice = self.choose(source)
        if self._numerics is None:
            engine = describe_engine(choice.engine, choice.precision)
            question = {"prefix": self._description, "engine": engine, "profile": numeric_profile()}
            memory = NumericsMemory(self._memory, question)
            self._numerics = memory.recall()
            if self._numerics is None:
                (images,) = self.cut.prefix.inputs
                self._numerics = measure_numerics(self._built(), probe_images(images.shape[1:], images.dtype))
                memory.keep(self._numerics)
        return self._numerics

    def describe_features(self, source: ImageSource) -> dict[str, Any]:
        """Everything that the features of a source depend on besides the image and the view.

        Raises:
            EngineError: they depend on the other images of a batch as well.
        """
        refuse_mixing(self.numerics(source), self.cut.name)
        choice = self.choose(source)
        engine = describe_engine(choice.engine, choice.precision)
        described = describe_features(self._description, source, engine)
        return {**described, "numerics": self.numerics(source).digest}

    def describe_as_before(self, source: ImageSource) -> dict[str, Any] | None:
        """The same as thawline 0.1 did, which knew neither of bits nor of what code computes.

        None where no features of others may be taken.
        """
        if UNSHARED in self._description:
            return None
        choice = self.choose(source)
        prefix = describe_prefix_as_before(self.cut, self._description)
        return describe_features(prefix, source, describe_engine(choice.engine, choice.precision))

    @property
    def unshared(self) -> dict[str, str]:
        """Layers of which nobody can say what their answers depend on, with the reason: features serve this process
        only."""
        problems: dict[str, str] = self._description.get(UNSHARED, {})
        return problems

    def describe(self) -> dict[str, Any]:
        """What answers depend on besides graph and weights, as the engine says."""
        return self._built().describe()

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Features of images, one array per crossing tensor; see `Engine`."""
        return self._built().run(images)

    def answers(self, batches: Iterable[np.ndarray]) -> Generator[list[np.ndarray], None, None]:
        """What `run` gives for each batch, in order, computed ahead; see `Engine`."""
        return self._built().answers(batches)

    def _built(self) -> Engine:
        with self._building:
            if self._engine is None:
                assert self.choice is not None
                self._engine = make_engine(self.choice.engine, self.cut.prefix, self.choice.precision)
            return self._engine


def _some_images(source: ImageSource) -> np.ndarray:
    """A batch of images, spread over the source, as the prefix takes them."""
    spread = np.unique(np.linspace(0, len(source) - 1, ENGINE_BATCH).astype(int))
    return next(iterate(source.select(spread), view=0, shuffle=False)).images
