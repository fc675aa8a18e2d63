"""Measuring a profile: each piece of the work is tried for a fraction of a second, and the stack left as it was.

Images are decoded by as many threads as in a training, engines run whole batches, and what learns takes real training
steps on features of real images, with an optimizer of its own.
"""

import copy
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from statistics import median
from typing import Any

import numpy as np

from thawline import __version__
from thawline.data.batches import in_batches, read_ahead
from thawline.data.memory import free_memory_bytes
from thawline.data.pixels import CachedPictures
from thawline.data.sources.source import ImageSource
from thawline.features.cache import FeatureCache
from thawline.features.engines.engine import ENGINE_BATCH, Engine, count_cores
from thawline.features.engines.make import ENGINES, describe_engine, make_engine
from thawline.features.fingerprint import describe_graph, describe_prefix, digest_weights, numeric_profile, row_key
from thawline.features.options import FeatureOptions
from thawline.features.prefix import Prefix
from thawline.files import working_folder
from thawline.stack.cut import Cut
from thawline.training.compiled import Compiled
from thawline.training.part import Part
from thawline.training.planning.forecast import KERAS
from thawline.training.planning.profile import FREE, Cost, Profile, ProfileMemory
from thawline.training.planning.rehearsal import MULTIPLY_ADDS_PER_S, more, rehearse, timed
from thawline.training.untouched import left_as_it_was

# Profiles lie here, in the folder of the feature cache.
_PROFILES_NAME = "profiles"

# How long each piece is tried, and how many images for decoding.
_TRIED_S = 0.3
_IMAGES = 128

# So many images are decoded at a time by each thread, as in a batch, and so many views are made of each.
_AT_A_TIME = 16
_VIEWS = 4

# An engine whose batch takes longer was timed well enough when it was chosen.
_SLOWEST_BATCH_S = 1.0

# In the training step a frozen part takes longer to trace than alone (measured on EfficientNet-Lite0 and MobileNetV2).
_TRACED_IN_STEP = 1.6

# However busy the machine is, a process gets this much of it in the long run.
_LEAST_CORES = 0.25

# Rows are written and read up to so many bytes.
_ROWS_BYTES = 32 << 20


@dataclass(frozen=True, eq=False)
class Subject:
    """What a profile is made of.

    Attributes:
        part: what the phase trains.
        cut: its thaw line, with the layers frozen as the phase has them.
        compiled: loss, metrics and optimizer.
        train: the images to learn from.
        held_out: how many images there are to measure on.
        features: how features are computed and kept.
        steps: training steps that Keras takes in one go where features are there beforehand.
    """

    part: Part
    cut: Cut
    compiled: Compiled
    train: ImageSource
    held_out: int
    features: FeatureOptions
    steps: int

    @cached_property
    def prefix(self) -> Prefix | None:
        """Who runs the frozen part; None where nothing is frozen."""
        return self.features.prefix(self.cut) if self.cut.has_frozen_weights else None

    @property
    def memory(self) -> ProfileMemory:
        """Where the profile is kept, and what it depends on."""
        train, above = self.train, [*self.cut.held, *self.cut.above]
        phase = self.part.phase
        key = {
            "thawline": __version__,
            "machine": [platform.node(), count_cores()],
            "profile": numeric_profile(),
            "decoding": train.pictures.identity(),
            "augmentation": None if train.augmentation is None else train.augmentation.identity(),
            "file": typical_size(train),
            # Speed does not depend on weights.
            "prefix": describe_graph(self.cut),
            "engine": [self.features.engine, *(describe_engine(name, self.features.precision) for name in ENGINES)],
            "storage": self.features.storage,
            "above": [[type(node.layer).__name__, [list(tensor.shape) for tensor in node.outputs]] for node in above],
            "learns": self.cut.weights_learning,
            "optimizer": phase.describe().get("optimizer") or self.compiled.kind.__name__,
            "loss": phase.describe().get("loss") or str(self.compiled.options.get("loss")),
            "batch": train.batch_size,
            "steps": self.steps,
            "measures": self.held_out > 0,
        }
        return ProfileMemory(self.features.cache_path / _PROFILES_NAME, key)


def recall_profile(subject: Subject) -> Profile | None:
    """The profile of an earlier time, with what is free now; None where there is none."""
    if not (subject.features.cache_path / _PROFILES_NAME).is_dir():
        return None
    remembered = subject.memory.recall()
    return None if remembered is None else _with_what_is_free(remembered, subject.features)


def measure_profile(subject: Subject) -> Profile:
    """Makes a profile in a few seconds, and keeps it.

    The stack, its optimizer and its metrics are afterwards as they were.

    Raises:
        EngineError: the engine that is wanted cannot be used.
        UnreadableImageError, ImageChangedError: an image is bad, and the source's on_error is "raise".
    """
    began = time.perf_counter()
    part, cut, train = subject.part, subject.cut, subject.train
    prepare_s = timed(lambda: (digest_weights(part.stack.model.weights), describe_prefix(cut))).wall_s
    decode, augment, standardize, images, images_tried = _time_images(train)
    engine, build_s, frozen_trace_s = "", 0.0, 0.0
    engines: dict[str, Cost] = {}
    if subject.prefix is None:
        rows = make_engine("keras", cut.prefix).run(images)
    else:
        engine = " ".join(_engine_of(subject.prefix, train))
        # Another one, which has to be built as in a training: that of the choice may be built already.
        prefix = subject.features.new_prefix(cut)
        prefix.choose(train)
        engines, build_s, frozen_trace_s, rows = _time_engines(prefix, engine, images, cut)
    with left_as_it_was(part.stack, subject.compiled, part.series.model):
        steps = rehearse(part, cut, subject.compiled, train, rows, subject.steps, subject.held_out)
    is_keepable = engine and not subject.features.cache_problem
    write, read = _time_cache(subject.features, cut, rows) if is_keepable else (FREE, FREE)
    profile = Profile(
        cores=_cores_had([*images_tried, *engines.values()]),
        decode=decode,
        augment=augment,
        standardize=standardize,
        engine=engine,
        engines=engines,
        build_s=build_s,
        prepare_s=2 * prepare_s,
        trace_s=steps.trace_s,
        validation_trace_s=steps.validation_trace_s,
        frozen_trace_s=_TRACED_IN_STEP * frozen_trace_s,
        step=steps.step,
        validation_step=steps.validation_step,
        steps_together=1 if steps.is_estimated else subject.steps,
        is_step_estimated=steps.is_estimated,
        write=write,
        read=read,
        row_bytes=subject.features.kept_bytes(cut.row_bytes),
        measured_s=time.perf_counter() - began,
    )
    subject.memory.keep(profile)
    return _with_what_is_free(profile, subject.features)


def typical_size(source: ImageSource) -> int:
    """The median size of an image file, as the next power of two: 2 ** 16 for 40 to 64 kB; 0 where there are no files.

    Example:
        >>> from thawline.data.sources.arrays import ImageArrays
        >>> typical_size(ImageArrays(np.zeros((2, 8, 8, 3), np.uint8)))
        0
    """
    paths = [source.paths[index] for index in np.linspace(0, len(source) - 1, 32).astype(int)]
    sizes = [path.stat().st_size for path in paths if path.is_file()]
    return 1 << (int(median(sizes)) - 1).bit_length() if sizes else 0


def _engine_of(prefix: Prefix, source: ImageSource) -> tuple[str, str]:
    choice = prefix.choose(source)
    return choice.engine, choice.precision


def _with_what_is_free(profile: Profile, features: FeatureOptions) -> Profile:
    disk = 0 if features.cache_problem else features.opened_cache.free_bytes
    return replace(profile, free_ram_bytes=free_memory_bytes(), free_disk_bytes=disk)


def _time_images(source: ImageSource) -> tuple[Cost, Cost, Cost, np.ndarray, list[Cost]]:
    """Decoding, augmenting and standardizing, for each image and view; a batch of images; what was timed in threads."""
    pictures = source.pictures
    if isinstance(pictures, CachedPictures):
        # What is kept says nothing of images that are not.
        source = copy.copy(source)
        source.pictures = pictures.originals
    spread = np.unique(np.linspace(0, len(source) - 1, _IMAGES).astype(int))
    parts = in_batches(np.random.default_rng(0).permutation(spread), _AT_A_TIME)
    views = _VIEWS if source.augmentation is not None and source.augmentation.is_random else 1
    several, shown = _time_views(source, parts, range(views))
    one, _ = _time_views(source, parts, range(1))
    if not shown:
        raise source.nothing_left()
    augment = Cost(
        max(several.wall_s - one.wall_s, 0.0) / max(views - 1, 1),
        max(several.cpu_s - one.cpu_s, 0.0) / max(views - 1, 1),
    )
    decode = Cost(max(one.wall_s - augment.wall_s, 0.0), max(one.cpu_s - augment.cpu_s, 0.0))
    batch = [shown[index % len(shown)] for index in range(ENGINE_BATCH)]
    alone = _tried(lambda: source.standardized(batch), ENGINE_BATCH)
    # Threads standardize, several batches at the same time.
    standardize = Cost(alone.wall_s / count_cores(), alone.cpu_s)
    return decode, augment, standardize, source.standardized(batch), [several, one]


def _time_views(
    source: ImageSource, parts: Sequence[np.ndarray], views: Sequence[int]
) -> tuple[Cost, list[np.ndarray]]:
    """What it costs to read an image in these views; with pictures of them."""

    def load(part: np.ndarray) -> list[np.ndarray]:
        made = [source.attempt(source.views, int(index), views) for index in part]
        return [pictures[0] for pictures in made if pictures is not None]

    found: list[np.ndarray] = []
    wall, processor = time.perf_counter(), time.process_time()

    def chunks() -> Iterator[np.ndarray]:
        for part in parts:
            yield part
            if time.perf_counter() - wall > _TRIED_S:
                return

    for pictures in read_ahead(chunks(), load):
        found += pictures
    done = max(len(found), 1)
    return Cost((time.perf_counter() - wall) / done, (time.process_time() - processor) / done), found


def _time_engines(
    prefix: Prefix, name: str, images: np.ndarray, cut: Cut
) -> tuple[dict[str, Cost], float, float, list[np.ndarray]]:
    """An image through the frozen part by the chosen engine and by Keras; until it is built, until it is traced."""
    rows: list[np.ndarray] = []
    first = timed(lambda: rows.extend(prefix.run(images)))
    engines = {name: _time_engine(prefix, images)}
    build_s = more(first, engines[name].times(ENGINE_BATCH))
    if name == KERAS:
        # It is traced where it runs by itself, too.
        return engines, build_s, build_s, rows
    known = {} if prefix.choice is None else prefix.choice.images_per_s
    is_slow = ENGINE_BATCH * cut.multiply_adds_below / MULTIPLY_ADDS_PER_S > _SLOWEST_BATCH_S
    if is_slow and known.get(KERAS):
        # Such a model keeps all cores busy.
        seconds = 1 / known[KERAS]
        return {**engines, KERAS: Cost(seconds, seconds * count_cores())}, build_s, build_s, rows
    by_keras = make_engine("keras", cut.prefix)
    traced = timed(lambda: by_keras.run(images))
    engines[KERAS] = _time_engine(by_keras, images)
    return engines, build_s, more(traced, engines[KERAS].times(ENGINE_BATCH)), rows


def _time_engine(engine: Engine, images: np.ndarray) -> Cost:
    """An image through an engine that has run before, several batches one after another."""
    began = time.perf_counter()

    def batches() -> Iterator[np.ndarray]:
        yield images
        while time.perf_counter() - began < _TRIED_S:
            yield images

    count = 0

    def run() -> None:
        nonlocal count
        for answers in engine.answers(batches()):
            count += len(answers[0])

    cost = timed(run)
    return cost.times(1 / count)


def _time_cache(features: FeatureOptions, cut: Cut, rows: Sequence[np.ndarray]) -> tuple[Cost, Cost]:
    """Writing and reading a row, in a set of its own that is deleted afterwards."""
    count = int(min(max(_ROWS_BYTES // max(cut.row_bytes, 1), 8), len(rows[0]) * 8))
    storage = "float32" if features.storage == "auto" else features.storage
    keys = [row_key(index.to_bytes(32, "big"), 0) for index in range(count)]
    at_once = min(ENGINE_BATCH, count)
    tensors = [np.take(tensor, np.arange(at_once) % len(tensor), axis=0) for tensor in rows]
    with working_folder(features.cache_path, ".profile-") as place:
        kept = FeatureCache(place).features({"profile": 1}, cut.crossing, storage=storage)
        batches = [batch for batch in in_batches(keys, at_once) if len(batch) == at_once]
        written = [timed(partial(kept.write, batch, tensors)) for batch in batches]
        shuffled = np.random.default_rng(0).permutation(len(batches) * at_once)
        chosen = [keys[index] for index in shuffled]
        read = _tried(lambda: kept.read(chosen), len(chosen))
    return _typical(written).times(1 / at_once), read


def _cores_had(costs: Sequence[Cost]) -> float:
    """How many cores there were for work that would take them all; fewer when something else runs on the machine."""
    had = max(cost.cpu_s / cost.wall_s for cost in costs if cost.wall_s > 0)
    return min(max(had, _LEAST_CORES), float(count_cores()))


def _tried(work: Callable[[], Any], pieces: int) -> Cost:
    """A piece of what is done many at a time, the median of several tries."""
    costs: list[Cost] = []
    began = time.perf_counter()
    while not costs or (time.perf_counter() - began < _TRIED_S / 3 and len(costs) < 9):
        costs.append(timed(work))
    return _typical(costs).times(1 / pieces)


def _typical(costs: Sequence[Cost]) -> Cost:
    return Cost(median(cost.wall_s for cost in costs), median(cost.cpu_s for cost in costs))
