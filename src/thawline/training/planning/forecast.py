"""Forecasts: what each way to run a phase would cost, from a profile and how much there is to do. Plain arithmetic.

Two rules stand behind every figure. Work that keeps the processor busy adds up, whoever does it: decoding, the engine
and the training step share the cores. And a pipeline is never faster than its slowest part alone.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from thawline.features.feature_set import stored_bytes
from thawline.training.planning.profile import FREE, Cost, Profile

# Images that an extraction has in each batch, and batches that are ready ahead of who asks for them.
_EXTRACTED_AT_ONCE = 32
_BATCHES_AHEAD = 5

# Around each execution of steps Keras and Python work for so long (see `steps`).
_EXECUTION_S = 0.0015

# Handing a batch to Keras takes processor time for each of its bytes: 8 ns, where images of 96 and 224 px were fed.
_FED_S_PER_BYTE = 8e-9

# What runs in the training step where the strategy is joint.
KERAS = "keras float32"


def ahead_bytes(batch_size: int, image_bytes: int) -> int:
    """Bytes of the batches that are ready ahead of who asks for them."""
    return _BATCHES_AHEAD * batch_size * image_bytes


@dataclass(frozen=True)
class Place:
    """A place where the model may be cut.

    Attributes:
        number: its position in `Cut.places`; 0 is the thaw line.
        name: the last layer below.
        row_bytes: bytes of features per view of an image, in memory.
        share_below: how much of the work below the thaw line lies below this cut; 1 at the line.
        missing: for each view, how many training images lack its features in the cache; views beyond lack all.
        missing_validation: how many validation images lack theirs; None where all do.
    """

    number: int
    name: str
    row_bytes: int
    share_below: float = 1.0
    missing: tuple[int, ...] = ()
    missing_validation: int | None = None


@dataclass(frozen=True)
class Workload:
    """How much there is to do in a phase.

    Attributes:
        train: training images.
        validation: images to measure on after each epoch.
        batch_size: images per step.
        epochs: how many epochs will run.
        image_bytes: bytes of an image as the model takes it.
        places: where the model may be cut, the thaw line first.
        keeps_pixels: whether decoded pixels are kept, so that later epochs need not decode.
        max_ram: bytes of memory that features may take in all.
        storage_share: what a row takes on disk as a share of what it takes in memory: 0.5 in half precision.
    """

    train: int
    validation: int
    batch_size: int
    epochs: int
    image_bytes: int
    places: tuple[Place, ...]
    keeps_pixels: bool = False
    max_ram: float = math.inf
    storage_share: float = 1.0

    def missing(self, place: Place, views: int) -> tuple[int, int]:
        """Views of training images, and validation images, whose features have to be computed."""
        known = place.missing[:views]
        rows = sum(known) + (views - len(known)) * self.train
        validation = self.validation if place.missing_validation is None else place.missing_validation
        return rows, validation


@dataclass(frozen=True)
class Forecast:
    """What one way to run a phase would cost.

    Attributes:
        strategy: "joint", "precomputed" or "streamed".
        views: distinct views of each image.
        epochs: how many epochs.
        place: which of `Cut.places` the model is cut at.
        prepare_s: seconds before anything is computed: digests, and the engine where it is streamed.
        extract_s: seconds until the engine is built and all features are in the cache.
        trace_s: seconds that Keras traces and compiles for, once, in the first epoch.
        first_epoch_s: seconds of each of the first epochs, validation included, without `trace_s`.
        first_epochs: how many epochs take so long: until what comes again lies in memory.
        later_epoch_s: seconds of each epoch after these.
        extracted: views of images that have to be computed.
        disk_bytes: bytes of disk that all features take.
        ram_bytes: bytes of memory for features and batches at most.
        keeps_in_ram: whether features of training images stay in memory.
    """

    strategy: str
    views: int
    epochs: int
    place: int
    prepare_s: float
    extract_s: float
    trace_s: float
    first_epoch_s: float
    first_epochs: int
    later_epoch_s: float
    extracted: int = 0
    disk_bytes: int = 0
    ram_bytes: int = 0
    keeps_in_ram: bool = False

    @property
    def total_s(self) -> float:
        """Seconds in all."""
        return self.prepare_s + self.extract_s + self.trace_s + sum(map(self.epoch_s, range(self.epochs)))

    def epoch_s(self, epoch: int) -> float:
        """Seconds of an epoch, counted from 0 in its phase, without what Keras does once."""
        return self.first_epoch_s if epoch < self.first_epochs else self.later_epoch_s

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, the total among them."""
        return {**asdict(self), "total_s": self.total_s}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Forecast":
        """The forecast that `as_dict` gave."""
        return cls(**{name: value for name, value in values.items() if name != "total_s"})


def in_pipeline(cores: float, parts: Sequence[Cost]) -> float:
    """Seconds for parts that run at the same time and share the cores.

    Example:
        >>> in_pipeline(2, [Cost(wall_s=1, cpu_s=2), Cost(wall_s=1.5, cpu_s=1)])  # both cores are busy
        1.5
        >>> in_pipeline(2, [Cost(wall_s=1, cpu_s=2), Cost(wall_s=1, cpu_s=1), Cost(wall_s=0.2, cpu_s=0.4)])
        1.7
    """
    return max(sum(part.cpu_s for part in parts) / cores, *(part.wall_s for part in parts))


@dataclass(frozen=True)
class Forecaster:
    """Forecasts for one phase: a profile, and how much there is to do.

    Attributes:
        profile: how long each piece of the work takes.
        work: how much of it there is.
    """

    profile: Profile
    work: Workload

    def forecast(self, strategy: str, views: int, place: int = 0) -> Forecast:
        """What a strategy would cost.

        Args:
            strategy: "joint", "precomputed" or "streamed".
            views: distinct views of each image.
            place: where the model is cut, of `Workload.places`.
        """
        views = min(views, self.work.epochs)
        ways = {"joint": self._joint, "precomputed": self._precomputed, "streamed": self._streamed}
        return ways[strategy](views, place)

    def for_epochs(self, epochs: int) -> "Forecaster":
        """The same for another number of epochs."""
        return replace(self, work=replace(self.work, epochs=epochs))

    def _joint(self, views: int, place: int) -> Forecast:
        profile, work = self.profile, self.work
        frozen = profile.engines.get(KERAS, FREE)
        steps = self._steps(together=False)
        # Keras takes images from Python to its own tensors.
        fed = Cost(0.0, _FED_S_PER_BYTE * work.image_bytes)
        first_s, later_s = (
            self._at_once([*self._images(decode), frozen.times(work.train), fed.times(work.train), steps])
            + self._measured([*self._held_out(decode), frozen.times(work.validation), fed.times(work.validation)])
            for decode in self._decodes
        )
        return self._forecast(
            "joint",
            views,
            first_epoch_s=first_s,
            later_epoch_s=later_s,
            trace_s=self._trace_s + (2 if work.validation else 1) * profile.frozen_trace_s,
        )

    def _streamed(self, views: int, place: int) -> Forecast:
        profile, work = self.profile, self.work
        engine = profile.engines.get(profile.engine, FREE)
        validation_bytes = work.validation * work.places[0].row_bytes
        is_kept = work.epochs > 1 and validation_bytes <= self.kept_bytes
        (first_s, measured_s), (later_s, measured_again_s) = (
            (
                self._at_once([*self._images(decode), engine.times(work.train), self._steps(together=False)]),
                self._measured([*self._held_out(decode), engine.times(work.validation)]),
            )
            for decode in self._decodes
        )
        return self._forecast(
            "streamed",
            views,
            prepare_s=profile.build_s,
            first_epoch_s=first_s + measured_s,
            later_epoch_s=later_s + (self._measured([]) if is_kept else measured_again_s),
            ram_bytes=validation_bytes if is_kept else 0,
        )

    def _precomputed(self, views: int, number: int) -> Forecast:
        profile, work, place = self.profile, self.work, self.work.places[number]
        rows, validation = work.missing(place, views)
        train_bytes, validation_bytes = work.train * views * place.row_bytes, work.validation * place.row_bytes
        is_kept = work.epochs > views and train_bytes <= self.kept_bytes
        left = self.kept_bytes - (train_bytes if is_kept else 0)
        is_validation_kept = work.epochs > 1 and validation_bytes <= left
        # What lies between an earlier cut and the thaw line runs again with every batch.
        held = profile.engines.get(KERAS, FREE).times(1 - place.share_below)
        read = profile.read.times(self._larger(place))
        again = [self._steps(together=True), held.times(work.train)]
        first_s = self._at_once([*again, read.times(work.train)])
        measured = [held.times(work.validation)]
        measured_s = self._measured([*measured, read.times(work.validation)])
        return self._forecast(
            "precomputed",
            views,
            place=number,
            extract_s=(profile.build_s if rows + validation else 0.0)
            + self._extract_s(place, min(rows, work.train), rows, profile.augment)
            + self._extract_s(place, validation, validation, FREE),
            first_epoch_s=first_s + measured_s,
            first_epochs=views if is_kept else 1,
            later_epoch_s=(self._at_once(again) if is_kept else first_s)
            + (self._measured(measured) if is_validation_kept else measured_s),
            extracted=rows + validation,
            disk_bytes=self.disk_bytes(place, views),
            ram_bytes=(train_bytes if is_kept else 0) + (validation_bytes if is_validation_kept else 0),
            keeps_in_ram=is_kept,
        )

    @property
    def kept_bytes(self) -> float:
        """Bytes of memory that are left for features beside the batches that are read ahead."""
        return max(self.work.max_ram - ahead_bytes(self.work.batch_size, self.work.image_bytes), 0)

    def disk_bytes(self, place: Place, views: int) -> int:
        """Bytes of disk for all features, those that are stored already included."""
        row_bytes = stored_bytes(math.ceil(place.row_bytes * self.work.storage_share))
        return (self.work.train * views + self.work.validation) * row_bytes

    # -- parts of an epoch -----------------------------------------------------------------------------------------

    @property
    def _decodes(self) -> tuple[Cost, Cost]:
        """What decoding an image costs in the first epoch, and in later ones."""
        return self.profile.decode, FREE if self.work.keeps_pixels else self.profile.decode

    @property
    def _trace_s(self) -> float:
        profile = self.profile
        return profile.trace_s + (profile.validation_trace_s if self.work.validation else 0.0)

    def _images(self, decode: Cost) -> list[Cost]:
        """One view of each training image, from files to batches."""
        parts = (decode, self.profile.augment, self.profile.standardize)
        return [part.times(self.work.train) for part in parts]

    def _held_out(self, decode: Cost) -> list[Cost]:
        """Each validation image, from files to batches."""
        return [part.times(self.work.validation) for part in (decode, self.profile.standardize)]

    def _steps(self, *, together: bool) -> Cost:
        """The training steps of an epoch, several in one go or one by one."""
        apart_s = 0.0 if together else _EXECUTION_S * (1 - 1 / self.profile.steps_together)
        step = self.profile.step
        return Cost(step.wall_s + apart_s, step.cpu_s + apart_s).times(-(-self.work.train // self.work.batch_size))

    def _measured(self, before: Sequence[Cost]) -> float:
        """The validation of an epoch, with what has to be done before its steps; nothing without validation images."""
        if not self.work.validation:
            return 0.0
        steps = self.profile.validation_step.times(-(-self.work.validation // self.work.batch_size))
        return self._at_once([*before, steps])

    def _extract_s(self, place: Place, images: int, rows: int, augment: Cost) -> float:
        """Seconds to compute rows of so many images and to store them; the engine waits for the first batch."""
        if not rows:
            return 0.0
        profile = self.profile
        engine = profile.engines.get(profile.engine, FREE)
        parts = [
            profile.decode.times(images),
            augment.times(rows),
            profile.standardize.times(rows),
            engine.times(rows * place.share_below),
            profile.write.times(rows * self._larger(place)),
        ]
        first_batch_s = min(_EXTRACTED_AT_ONCE, rows) * (profile.decode.cpu_s * images / rows + augment.cpu_s)
        return self._at_once(parts) + first_batch_s

    def _at_once(self, parts: Sequence[Cost]) -> float:
        return in_pipeline(self.profile.cores, parts)

    def _larger(self, place: Place) -> float:
        """How much larger rows are than those that reading and writing were timed with."""
        return place.row_bytes * self.work.storage_share / max(self.profile.row_bytes, 1)

    def _forecast(self, strategy: str, views: int, **figures: Any) -> Forecast:
        """A forecast with what all of them have in common."""
        common = {"place": 0, "extract_s": 0.0, "trace_s": self._trace_s, "first_epochs": 1}
        prepare_s = self.profile.prepare_s + figures.pop("prepare_s", 0.0)
        ram_bytes = ahead_bytes(self.work.batch_size, self.work.image_bytes) + figures.pop("ram_bytes", 0)
        named = {"strategy": strategy, "views": views, "epochs": self.work.epochs}
        return Forecast(**{**common, **named, **figures, "prepare_s": prepare_s, "ram_bytes": ram_bytes})
