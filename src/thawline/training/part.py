"""Part: what one phase trains, from the images to the stage that its loss looks at, with the phase's probe on top."""

from dataclasses import dataclass
from typing import Any

from thawline.backend import keras
from thawline.data.labels import TargetSpec
from thawline.errors import ArgumentError, JointError, NothingToLearnError
from thawline.specs import TensorSpec
from thawline.stack.graph import last_layer
from thawline.stack.learning import find_layers
from thawline.stack.mask_classes import mask_mismatch
from thawline.stack.series import StageSeries
from thawline.stack.stage import Stage
from thawline.training.phase import Phase

# Losses that compare probabilities, by their names without "_", with the activation that gives these.
_ACTIVATIONS = {
    "categoricalcrossentropy": "softmax",
    "sparsecategoricalcrossentropy": "softmax",
    "binarycrossentropy": "sigmoid",
}


@dataclass(frozen=True, eq=False)
class Part:
    """What one phase trains.

    Attributes:
        number: the phase's number, from 1.
        phase: what was asked for.
        stack: the whole stack.
        series: the stages of the stack up to the loss, and the probe where there is one; it shares the weights.
    """

    number: int
    phase: Phase
    stack: StageSeries
    series: StageSeries

    @property
    def learned(self) -> tuple[str, ...]:
        """What learns, as the phase says it, or the names of the stages in which something learns."""
        return self.phase.patterns or tuple(stage.name for stage in self.series.stages if not stage.is_frozen)

    @property
    def probe_variables(self) -> list[Any]:
        """The variables of the probe, which are not the stack's."""
        return [] if self.phase.probe is None else list(self.phase.probe.variables)

    def learning_rate_factors(self) -> list[float]:
        """What the learning rate is multiplied with, for each weight that learns, in the order of the series."""
        factors = self.factors_by_id()
        return [factors.get(id(variable), 1.0) for variable in self.series.model.trainable_variables]

    def factors_by_id(self) -> dict[int, float]:
        """What the learning rate is multiplied with, by the `id` of a weight; those that are not in it have 1."""
        factors: dict[int, float] = {}
        for pattern, factor in (self.phase.learning_rate_factors or {}).items():
            whole = [stage.model for stage in self.stack.stages if stage.name == pattern]
            for layer in whole or [layer for _, layer in find_layers(self.stack.stages, pattern)]:
                factors.update({id(variable): float(factor) for variable in layer.variables})
        return factors

    def check_something_learns(self) -> None:
        """Raises NothingToLearnError when, with the layers as they are frozen now, only the probe would learn."""
        stages = [stage for stage in self.series.stages if stage.model is not self.phase.probe]
        if self.phase.probe is not None and all(stage.is_frozen for stage in stages):
            raise NothingToLearnError(
                f"Phase {self.number} would learn nothing that stays: every weight below the probe is frozen. "
                "Name a stage or a layer in train."
            )

    def __str__(self) -> str:
        probe = " and a probe" if self.phase.probe is not None else ""
        at = "" if self.phase.loss_at is None else f", loss at {self.phase.loss_at}"
        return f"phase {self.number}: {', '.join(self.learned)}{probe}{at}"


def make_part(stack: StageSeries, phase: Phase, number: int) -> Part:
    """The part of the stack that a phase trains; nothing is frozen or thawed yet.

    Raises:
        ArgumentError: a name or a pattern of the phase matches nothing, or names what cannot be.
        NothingToLearnError: what should learn has no weights.
        JointError: the probe does not fit on the stage below it.
    """
    learning = _learning_layers(stack, phase, number)
    for pattern in phase.learning_rate_factors or {}:
        if not any(id(layer) in learning for _, layer in find_layers(stack.stages, pattern)):
            raise ArgumentError(
                f"Phase {number} has a learning_rate_factor for {pattern!r}, in which nothing learns. "
                "Name it in train, too, or take the factor out."
            )
    end = _last_stage(stack, phase, number, max(learning.values()))
    if end == len(stack.stages) - 1 and phase.probe is None:
        return Part(number, phase, stack, stack)
    stages = list(stack.stages[: end + 1])
    if phase.probe is not None:
        stages.append(Stage(phase.probe, "probe"))
    return Part(number, phase, stack, StageSeries(stages))


def check_answers(part: Part, loss: Any, targets: TargetSpec, class_count: int) -> None:
    """Raises when what the part gives, its loss and the labels cannot belong together.

    Args:
        part: what a phase trains.
        loss: the phase's loss.
        targets: what the labels are.
        class_count: how many classes there are; 0 where labels are no classes.

    Raises:
        ArgumentError: the loss is not known, or there is a probe on a stage that gives answers itself.
        JointError: the answers do not fit the labels, or the loss does not fit one of them.
    """
    if targets is None and loss is None:
        # What a layer adds is the loss; that one does is looked at where the learning part is known.
        return
    if part.phase.probe is not None:
        below = part.series.stages[-2]
        is_last = below is part.stack.stages[-1]
        if (is_last or below.output_range == (0.0, 1.0)) and _fits(part, targets, class_count):
            raise ArgumentError(
                f"Phase {part.number} has a probe, but stage {below.name!r} gives answers that fit the labels. "
                f"Take the probe out, or put it on a stage before with loss_at=."
            )
    part.series.check_targets(targets, class_count)
    _check_loss(part.series.stages[-1], part.series.output_spec, loss, targets, part.number)


def _fits(part: Part, targets: TargetSpec, class_count: int) -> bool:
    """Whether the stage below the probe gives answers for these labels by itself."""
    if isinstance(targets, dict):
        return False
    try:
        StageSeries(part.series.stages[:-1]).check_targets(targets, class_count)
    except JointError:
        return False
    return True


def _learning_layers(stack: StageSeries, phase: Phase, number: int) -> dict[int, int]:
    """Ids of the layers with weights that the phase names, with the index of their stage."""
    named: list[tuple[str, Any]] = []
    for pattern in phase.patterns or [stage.name for stage in stack.stages]:
        named += find_layers(stack.stages, pattern)
    index = {stage.name: position for position, stage in enumerate(stack.stages)}
    # A subclassed model may have no layers, but weights of its own.
    learning = {id(layer): index[name.split("/", 1)[0]] for name, layer in named if layer.weights}
    if not learning:
        raise NothingToLearnError(
            f"Phase {number} would learn nothing: {', '.join(map(repr, phase.patterns))} matches only layers without "
            f"weights ({', '.join(list(dict(named))[:3])}). Name a stage or a layer that has weights."
        )
    return learning


def _last_stage(stack: StageSeries, phase: Phase, number: int, last_learning: int) -> int:
    """The index of the stage that the loss, or the probe, looks at."""
    names = [stage.name for stage in stack.stages]
    if phase.loss_at is None:
        return last_learning if phase.probe is not None else len(names) - 1
    if phase.loss_at not in names:
        raise ArgumentError(
            f"Phase {number} has loss_at={phase.loss_at!r}, which is no stage. Stages are {', '.join(names)}."
        )
    end = names.index(phase.loss_at)
    if phase.patterns and end < last_learning:
        raise ArgumentError(
            f"Phase {number} has loss_at={phase.loss_at!r}, but stage {names[last_learning]!r}, which should learn, "
            f"comes after it and would not run. Use loss_at={names[last_learning]!r}, or take it out of train."
        )
    return end


def _check_loss(stage: Stage, given: TensorSpec, loss: Any, targets: TargetSpec, number: int) -> None:
    """Raises JointError when a cross entropy of Keras fits neither the stage's answers nor the labels."""
    try:
        known = keras.losses.get(loss) if isinstance(loss, str) else loss
    except ValueError:
        raise ArgumentError(
            f"Phase {number}: {loss!r} is no loss of Keras. Look for the name in keras.losses."
        ) from None
    name = getattr(known, "__name__", type(known).__name__).replace("_", "").lower()
    if name not in _ACTIVATIONS:
        return
    layer = last_layer(stage.model)
    activation = getattr(getattr(layer, "activation", None), "__name__", None)
    if activation == "linear" and not getattr(known, "from_logits", False):
        raise JointError(
            f"Stage {stage.name!r} gives any numbers, as its last layer {layer.name!r} has no activation, but "
            f"{_loss_name(known)} in phase {number} compares probabilities. End it with "
            f"activation={_ACTIVATIONS[name]!r}, or use keras.losses.{_class_name(name)}(from_logits=True)."
        )
    if not isinstance(targets, TensorSpec):
        return
    mismatch = mask_mismatch(name, given, targets, getattr(known, "ignore_class", None))
    if mismatch is not None:
        raise JointError(f"{_loss_name(known)} in phase {number}, stage {stage.name!r}: {' '.join(mismatch)}")
    if len(targets.shape) > 2:
        return
    are_numbers = targets.dtype.startswith("int")
    if name == "sparsecategoricalcrossentropy" and not are_numbers:
        raise JointError(
            f"{_loss_name(known)} in phase {number} compares with class numbers, but the labels are {targets}: one "
            "value per class. Use 'categorical_crossentropy', or read the images with label_mode='sparse'."
        )
    if name == "categoricalcrossentropy" and are_numbers:
        raise JointError(
            f"{_loss_name(known)} in phase {number} compares with one value per class, but the labels are {targets}: "
            "class numbers. Use 'sparse_categorical_crossentropy', or read the images with label_mode='categorical'."
        )


def _loss_name(loss: Any) -> str:
    return str(getattr(loss, "__name__", type(loss).__name__))


def _class_name(name: str) -> str:
    """The class of a loss by its name without "_"."""
    return next(kind for kind in dir(keras.losses) if kind.lower() == name and kind[0].isupper())
