"""Checks before a training begins: what can be known to go wrong is an error before anything is computed.

Phases are gone through as they will run, each with its layers frozen, and everything is put back.
"""

from collections.abc import Sequence
from typing import Any

from thawline.backend import keras
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError
from thawline.stack.cut import Cut
from thawline.stack.series import StageSeries
from thawline.stack.thaw import freeze_and_thaw
from thawline.training.compiled import Compiled
from thawline.training.keras_names import KINDS, check_names
from thawline.training.naming import named_as
from thawline.training.optimizers import check_own_weights, find_optimizer
from thawline.training.part import Part, check_answers, make_part
from thawline.training.phase import Phase
from thawline.training.planning.phase_plan import choose_plan
from thawline.training.symbolic_step import figure_names
from thawline.training.untouched import frozen_as_they_were

# What a subclass of keras.Model may say of its training.
_STEPS = ("train_step", "compute_loss", "compute_metrics", "test_step")


def checked_parts(
    series: StageSeries,
    compiled: Compiled,
    train: ImageSource,
    phases: Sequence[Phase],
    validation: ImageSource | None,
    callbacks: Sequence[Any] = (),
) -> tuple[list[Part], ImageSource | None]:
    """The parts that the phases train, and the validation images without augmentation; all of it fits together."""
    parts = [make_part(series, phase, number) for number, phase in enumerate(phases, start=1)]
    validation = None if validation is None else named_as(validation, train)
    for part in parts:
        _check_names(part)
        _check_callbacks(part, callbacks)
    for source in (train, validation):
        if source is not None:
            series.check_input(source.spec)
            for part in parts:
                loss = compiled.phase_options(part)["loss"]
                check_answers(part, loss, source.target_spec, len(source.class_names))
    _check_optimizers(compiled, parts)
    with frozen_as_they_were([series.model, *(part.series.model for part in parts)]):
        for part in parts:
            if part.phase.patterns:
                freeze_and_thaw(series, part.phase.patterns)
            part.check_something_learns()
            _check_steps(part)
            cut = part.series.cut()
            _check_strategy(part, cut, train)
            options = compiled.phase_options(part)
            names = figure_names(part, cut.suffix, options, train.target_spec, min(train.batch_size, len(train)))
            if names and not callbacks and not part.phase.callbacks:
                _check_watched(part, names, has_validation=validation is not None)
    return parts, None if validation is None else validation.unaugmented()


def check_can_be_saved(series: StageSeries, compiled: Compiled, parts: Sequence[Part]) -> None:
    """Raises ArgumentError when the stack could not be saved at the end of a phase, as a checkpoint needs."""
    optimizers = [find_optimizer(part.phase.optimizer, "") for part in parts if part.phase.optimizer is not None]
    for thing in (series.model, compiled.given, *optimizers):
        try:
            keras.saving.serialize_keras_object(thing)
            if thing is series.model:
                thing.get_compile_config()
        except Exception as error:
            name = "The stack" if thing is series.model else f"The optimizer {type(thing).__name__}"
            raise ArgumentError(
                f"checkpoint= saves the stack after each phase, but {name[0].lower()}{name[1:]} cannot be saved: "
                f"{' '.join(str(error).split())[:300]} Add a get_config(), or train without checkpoint=."
            ) from error


def _check_callbacks(part: Part, callbacks: Sequence[Any]) -> None:
    """Raises ArgumentError for a callback of a phase that the whole fit has as well."""
    for callback in part.phase.callbacks:
        if any(callback is other for other in callbacks):
            raise ArgumentError(
                f"The same {type(callback).__name__} is among the callbacks of fit() and of phase {part.number}, and "
                "would be told everything twice. Give it to one of them."
            )


def _check_names(part: Part) -> None:
    """Raises ArgumentError for a loss or a metric of a phase that Keras does not know."""
    place = f"Phase {part.number}"
    check_names(part.phase.loss, KINDS["loss"], place)
    check_names(part.phase.metrics, KINDS["metric"], place)


def _check_optimizers(compiled: Compiled, parts: Sequence[Part]) -> None:
    """Raises ArgumentError for an optimizer that belongs to another model, or whose rate a phase cannot set."""
    weights = [*parts[0].stack.model.variables, *(weight for part in parts for weight in part.probe_variables)]
    check_own_weights(compiled.optimizer, weights, "compile()")
    for part in parts:
        if part.phase.optimizer is not None:
            check_own_weights(
                find_optimizer(part.phase.optimizer, f"Phase {part.number}"), weights, f"Phase {part.number}"
            )
        compiled.check_rate(part)


def _check_steps(part: Part) -> None:
    """Raises ArgumentError for a stage whose class says itself how it is trained: nothing would call that."""
    for stage in part.series.stages:
        own = [name for name in _STEPS if _is_overridden(stage.model, name)]
        if own and not stage.is_frozen:
            raise ArgumentError(
                f"The class {type(stage.model).__name__} of stage {stage.name!r} has a {own[0]}() of its own, which "
                "Keras calls for the model that is fitted, not for a part of it, so that it would never run. Put what "
                "it does into compile(loss=...), or into call() with add_loss(); or train that model by itself with "
                "keras.Model.fit, and freeze the stage."
            )


def _is_overridden(model: Any, name: str) -> bool:
    own = getattr(type(model), name, None)
    return own is not None and own is not getattr(keras.Model, name) and not own.__module__.startswith("keras.src.")


def _check_strategy(part: Part, cut: Cut, train: ImageSource) -> None:
    """Raises what planning the phase would raise but for a lack of room."""
    choose_plan(
        cut,
        is_augmented=train.augmentation is not None and train.augmentation.is_random,
        epochs=part.phase.epochs,
        strategy=part.phase.strategy,
        views=part.phase.views,
    )


def _check_watched(part: Part, names: Sequence[str], *, has_validation: bool) -> None:
    """Raises ArgumentError when early stopping watches a figure that an epoch will not have."""
    watched = (part.phase.stopping or {}).get("monitor")
    every = [*names, *(f"val_{name}" for name in names if has_validation)]
    if watched is not None and watched not in every:
        raise ArgumentError(
            f"early_stopping watches {watched!r}, but an epoch gives {', '.join(sorted(every))}. "
            "Name one of these, or give validation_data."
        )
