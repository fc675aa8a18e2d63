"""What is known of a training before it runs: what learns in each phase, how fast, and which layers draw at random.

`read_phases` makes a `PhaseFacts` of each phase; `thawline.check.habits` judges them.
"""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.check.pretrained import has_moved, inner_layers, is_trained
from thawline.data.sources.left_out import BAD_IMAGE
from thawline.data.sources.source import ImageSource
from thawline.errors import NothingToLearnError
from thawline.stack.learning import Learning, name_learning, named_layers
from thawline.stack.series import StageSeries
from thawline.stack.stage import Stage
from thawline.training.compiled import Compiled
from thawline.training.part import Part, make_part
from thawline.training.phase import Phase

# A stage with so many trained layers is a base. A head of a few layers learns fast and bears it, trained or not.
_DEEP = 8

# A schedule is looked at in so many places.
_PLACES = 201

# Below this share of its largest value a learning rate moves nothing any more.
_IDLE = 1e-3

# How often one view of one image is made; a function that draws with probability one half stays hidden once in 2,000.
_TRIED = 12

# Layers that augment, beside those whose names begin with Random.
_AUGMENTING = ("RandAugment", "AugMix", "MixUp", "CutMix")


@dataclass(frozen=True)
class Norm:
    """A BatchNormalization that learns, so that its statistics move.

    Attributes:
        path: its name, like "base/block_16_expand_BN".
        is_trained: whether it has statistics that it would lose.
        is_flat: whether it gets one value per image and channel, not maps.
        momentum: the share of its statistics that a step keeps.
    """

    path: str
    is_trained: bool = False
    is_flat: bool = False
    momentum: float = 0.99


@dataclass(frozen=True)
class PhaseFacts:
    """What is known of one phase.

    Attributes:
        number: the phase's number, from 1; 0 where there are no phases, and all goes by the stack as it is.
        epochs: how many epochs; 0 where that is not known.
        images: how many images it learns from.
        batch_size: images per step.
        is_augmented: whether two views of an image differ.
        views: the number of views that is wanted, or None.
        optimizer: the optimizer's kind in lower case, like "adam".
        rates: the effective learning rate of each pretrained layer that learns, by its path; the largest of a schedule.
        idle_share: the share of the steps, at the end, in which a schedule leaves nothing of the rate; 0 without one.
        norms: BatchNormalization layers that learn.
        norm_patterns: patterns that name the same layers without those, where there are such.
        random_below: layers that augment below the thaw line, where they do nothing.
        random_above: layers that augment and keep frozen weights above the line, each with how many.
    """

    number: int = 0
    epochs: int = 0
    images: int = 1000
    batch_size: int = 32
    is_augmented: bool = False
    views: int | None = None
    optimizer: str = ""
    rates: tuple[tuple[str, float], ...] = ()
    idle_share: float = 0.0
    norms: tuple[Norm, ...] = ()
    norm_patterns: tuple[str, ...] = ()
    random_below: tuple[str, ...] = ()
    random_above: tuple[tuple[str, int], ...] = ()

    @property
    def steps(self) -> int:
        """Steps of the whole phase; 0 where its epochs are not known."""
        return self.epochs * -(-self.images // self.batch_size)


def read_phases(
    series: StageSeries, source: ImageSource, phases: Sequence[Phase], compiled: Compiled | None
) -> list[PhaseFacts]:
    """What is known of each phase, or of the stack as it is where there are none; nothing is changed.

    Raises:
        ArgumentError, NothingToLearnError, JointError: a phase cannot be, as `fit` would say.
    """
    return [_read_part(part, source, compiled) for part in _parts(series, phases)]


def _parts(series: StageSeries, phases: Sequence[Phase]) -> list[Part]:
    """What each phase trains; without phases all that is not frozen, as a part with the number 0."""
    parts = [make_part(series, phase, number) for number, phase in enumerate(phases, start=1)]
    return parts or [Part(0, Phase(None, 1), series, series)]


def _read_part(part: Part, source: ImageSource, compiled: Compiled | None) -> PhaseFacts:
    series, phase, number = part.stack, part.phase, part.number
    learning = _learning(series, phase)
    epochs = phase.epochs if number else 0
    size = min(source.batch_size, len(source))
    steps = epochs * -(-len(source) // size)
    optimizer, rate, idle_share = _read_rate(part, learning, compiled, steps)
    below, above = _random_layers(series, phase)
    norms = _norms(series, learning)
    return PhaseFacts(
        number=number,
        epochs=epochs,
        images=len(source),
        batch_size=size,
        is_augmented=source.augmentation is not None and source.augmentation.is_random,
        views=phase.views,
        optimizer=optimizer,
        rates=() if rate is None else tuple(_pretrained_rates(part, learning, rate)),
        idle_share=idle_share,
        norms=norms,
        norm_patterns=patterns_without(
            phase.patterns,
            [norm.path for norm in norms],
            [path for path, layer in named_layers(series.stages) if layer.weights and not _is_norm(layer)],
            [stage.name for stage in series.stages],
        ),
        random_below=below,
        random_above=above,
    )


def read_untrained(series: StageSeries, phases: Sequence[Phase]) -> list[tuple[str, int]]:
    """Stages whose weights are fresh ones and learn in no phase, with how many; those that never run are left out."""
    running: set[int] = set()
    learned: set[int] = set()
    for part in _parts(series, phases):
        running |= {id(stage) for stage in part.series.stages}
        learning = _learning(series, part.phase)
        learned |= {id(layer) for _, layer in named_layers(series.stages) if learning.learns(layer)}
    found = []
    for stage in series.stages:
        layers = [layer for _, layer in named_layers([stage])]
        idle = inner_layers(layer for layer in layers if id(layer) not in learned)
        is_fresh = any(has_moved(layer) is False for layer in idle) and not is_trained(layers)
        count = sum(math.prod(weight.shape) for layer in idle for weight in _own_kernels(layer))
        if id(stage) in running and is_fresh and count:
            found.append((stage.name, count))
    return found


def _own_kernels(layer: Any) -> list[Any]:
    return [weight for weight in layer._trainable_variables if len(weight.shape) > 1]


def _learning(series: StageSeries, phase: Phase) -> Learning:
    return name_learning(series.stages, phase.patterns) if phase.patterns else Learning()


# -- learning rates ------------------------------------------------------------------------------------------------


def _read_rate(
    part: Part, learning: Learning, compiled: Compiled | None, steps: int
) -> tuple[str, float | None, float]:
    """The optimizer's kind, its largest rate (None where that is not known or went well before), and its idle share."""
    if part.phase.optimizer is not None:
        optimizer = keras.optimizers.get(part.phase.optimizer)
    elif compiled is None or _goes_on(compiled, part, learning):
        return "", None, 0.0
    else:
        optimizer = compiled.optimizer
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    kind = type(optimizer).__name__.lower()
    if any(isinstance(callback, keras.callbacks.LearningRateScheduler) for callback in part.phase.callbacks):
        return kind, None, 0.0
    if part.phase.learning_rate is not None:
        return kind, part.phase.learning_rate, 0.0
    given = optimizer.get_config().get("learning_rate")
    if isinstance(given, dict):
        schedule = keras.optimizers.schedules.deserialize(given)
        places = np.unique(np.linspace(0, max(steps - 1, 0), _PLACES).astype(int))
        rates = np.array([float(schedule(int(place))) for place in places])
        return kind, float(rates.max()), idle_share(rates)
    return kind, None if given is None else float(given), 0.0


def _goes_on(compiled: Compiled, part: Part, learning: Learning) -> bool:
    """Whether these very weights were trained by this optimizer before: then its rate is one that they bear."""
    learned = {id(weight) for _, layer in named_layers(part.stack.stages) for weight in learning.variables(layer)}
    return set(compiled.optimized) == learned and int(compiled.optimizer.iterations) > 0


def idle_share(rates: np.ndarray) -> float:
    """The share of the places, at the end, in which next to nothing is left of the largest rate.

    Example:
        >>> idle_share(np.array([1e-3, 5e-4, 0.0, 0.0]))
        0.5
    """
    moving = np.flatnonzero(rates > _IDLE * rates.max(initial=0.0))
    return 0.0 if not len(moving) else float(1 - (moving[-1] + 1) / len(rates))


def _pretrained_rates(part: Part, learning: Learning, rate: float) -> Iterator[tuple[str, float]]:
    """Paths of pretrained layers that learn, with the rate of each."""
    factors = part.factors_by_id()
    for stage in part.stack.stages:
        for path, layer in _trained_layers(stage):
            weights = learning.variables(layer)
            if weights:
                yield path, rate * max(factors.get(id(weight), 1.0) for weight in weights)


def _trained_layers(stage: Stage) -> list[tuple[str, Any]]:
    """The layers of a base that know something; none where the stage is no base, or its weights are fresh."""
    layers = [(path, layer) for path, layer in named_layers([stage]) if layer.weights]
    if not is_trained(layer for _, layer in layers):
        return []
    found = [(path, layer) for path, layer in layers if _is_trained_layer(layer)]
    return found if len(found) >= _DEEP else []


def _is_trained_layer(layer: Any) -> bool:
    """In a stage that was trained, what cannot tell by itself was, too; fresh layers may have been put behind."""
    told = [has_moved(part) for part in inner_layers([layer])]
    return any(told) or False not in told


# -- layers --------------------------------------------------------------------------------------------------------


def _is_norm(layer: Any) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _norms(series: StageSeries, learning: Learning) -> tuple[Norm, ...]:
    """Every BatchNormalization that learns; one inside of an opaque layer goes by that layer's name."""
    return tuple(
        Norm(path, bool(has_moved(part)), getattr(part.input_spec, "ndim", None) == 2, float(part.momentum))
        for path, layer in named_layers(series.stages)
        if learning.learns(layer)
        for part in inner_layers([layer])
        if _is_norm(part) and (learning.named or part.trainable)
    )


def patterns_without(
    patterns: Sequence[str], norms: Sequence[str], others: Sequence[str], stages: Sequence[str]
) -> tuple[str, ...]:
    """Patterns for the same layers, but not for the BatchNormalization among them; none where it is not that simple.

    Args:
        patterns: those of a phase.
        norms: paths of its BatchNormalization layers.
        others: paths of all other layers with weights.
        stages: names of the stages.

    Example:
        >>> patterns_without(["head", "base/b16*"], ["base/b16_BN"], ["base/b16_conv", "head/dense"], ["base", "head"])
        ('head', 'base/b16*[!N]')
    """
    changed: list[str] = []
    for pattern in patterns:
        wide = f"{pattern}/*" if pattern in stages else pattern
        matched = [path for path in norms if fnmatchcase(path, wide)]
        if not matched:
            changed.append(pattern)
            continue
        wanted = {path for path in others if fnmatchcase(path, wide)}
        tried = [f"{wide.rstrip('*')}*[!{end}]" for end in {path[-1] for path in matched} - set("]!")]
        fitting = [
            narrow
            for narrow in tried
            if not any(fnmatchcase(path, narrow) for path in norms)
            and wanted
            and {path for path in others if fnmatchcase(path, narrow)} == wanted
        ]
        if not fitting:
            return ()
        changed.append(fitting[0])
    return tuple(changed)


def _random_layers(series: StageSeries, phase: Phase) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Layers that augment, below the thaw line, and above it with the frozen weights that they keep there."""
    try:
        cut = series.cut(train=phase.patterns or None)
    except NothingToLearnError:
        return (), ()
    below = tuple(dict.fromkeys(node.path for node in cut.below if _augments(node.layer)))
    kept_above: dict[str, int] = {node.path: 0 for node in cut.above if _augments(node.layer)}
    for node in cut.frozen_above:
        cause = cut.obstacles[id(node)].path
        if cause in kept_above:
            kept_above[cause] += sum(math.prod(weight.shape) for weight in node.layer.weights)
    return below, tuple((path, count) for path, count in kept_above.items() if count)


def _augments(layer: Any) -> bool:
    names = [type(part).__name__ for part in inner_layers([layer]) if type(part).__module__.startswith("keras.")]
    return any(name.startswith("Random") or name in _AUGMENTING for name in names)


# -- images --------------------------------------------------------------------------------------------------------


def read_chance(source: ImageSource) -> tuple[str, ...]:
    """Which of the user's own functions make one view of one image different each time: names of arguments.

    Tries them on an image in the middle of the source; Python's and NumPy's random states stay as they are.
    """
    steps = source.augmentation
    if steps is None or not (steps.functions or steps.preprocessing_function is not None):
        return ()
    with _same_random_state():
        try:
            pictures = [source.picture(len(source) // 2)[0] for _ in range(_TRIED)]
        except BAD_IMAGE:
            return ()
        found = () if _are_equal(pictures) else ("functions",)
        if steps.preprocessing_function is None:
            return found
        values = [source.standardized(pictures[:1]) for _ in range(_TRIED)]
        return found if _are_equal(values) else (*found, "preprocessing_function")


def _are_equal(arrays: Sequence[np.ndarray]) -> bool:
    return all(np.array_equal(array, arrays[0], equal_nan=True) for array in arrays)


@contextmanager
def _same_random_state() -> Iterator[None]:
    """Leaves the global random generators as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
