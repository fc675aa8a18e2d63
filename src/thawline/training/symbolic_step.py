"""A training step without numbers: whether loss and metrics can be computed, found out before anything is."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from thawline.backend import keras
from thawline.data.labels import TargetSpec
from thawline.errors import ArgumentError, JointError
from thawline.specs import TensorSpec
from thawline.training.part import Part

# What Keras compiles losses and metrics to; it exports neither these nor its way to run on shapes alone.
_COMPILED = import_module("keras.src.trainers.compile_utils")
_BACKEND = import_module("keras.src.backend")


def figure_names(
    part: Part, suffix: Any, options: Mapping[str, Any], targets: TargetSpec, batch_size: int
) -> list[str]:
    """The names of the figures of an epoch, without those on validation images; none are known in eager mode.

    Loss and metrics are run on shapes, as Keras runs them when it traces a step, which takes some hundredths of a
    second. In eager mode they may need numbers, and are not run.

    Args:
        part: what a phase trains.
        suffix: the Keras model that learns in it.
        options: the phase's arguments of `compile`.
        targets: what the labels are.
        batch_size: images per step.

    Raises:
        JointError: the loss or a metric cannot be computed from what the part answers and the labels.
    """
    if options["run_eagerly"]:
        return []
    answers = keras.tree.map_structure(lambda tensor: _symbolic(tensor, batch_size), suffix.output)
    expected = (
        {name: _symbolic(spec, batch_size) for name, spec in targets.items()}
        if isinstance(targets, dict)
        else (None if targets is None else _symbolic(targets, batch_size))
    )
    names = ["loss"]
    if options["loss"] is None:
        _check_adds_loss(part, suffix)
    if expected is None and (options["metrics"] or options["weighted_metrics"]):
        raise ArgumentError("Metrics compare answers with labels, but the images have none. Compile without metrics.")
    loss, loss_weights = options["loss"], options["loss_weights"]
    if loss is not None and expected is not None:
        compiled = _COMPILED.CompileLoss(loss, loss_weights, output_names=suffix.output_names)
        _run(compiled, expected, answers, f"The loss {_told(loss)}", part)
        names += [metric.name for metric in compiled.metrics]
    given, weighted = options["metrics"], options["weighted_metrics"]
    if (given or weighted) and expected is not None:
        metrics = _COMPILED.CompileMetrics(given, weighted, output_names=suffix.output_names)

        def measure(expected: Any, answers: Any) -> Any:
            if not metrics.built:
                metrics.build(expected, answers)
            metrics.update_state(expected, answers)
            results = metrics.result()
            names.extend(results)
            return results

        _run(measure, expected, answers, f"A metric of {_told([*_parts(given), *_parts(weighted)])}", part)
    return list(dict.fromkeys(names))


def _check_adds_loss(part: Part, suffix: Any) -> None:
    """Raises ArgumentError when nothing in the learning part adds a loss: without compile(loss=) there is none."""
    zeros = [keras.ops.zeros((2, *(size or 8 for size in tensor.shape[1:])), tensor.dtype) for tensor in suffix.inputs]
    # Whatever training moves besides weights, like statistics and seeds, moves in the scope only.
    with keras.StatelessScope(collect_losses=True) as scope:
        suffix(zeros if len(zeros) > 1 else zeros[0], training=True)
    if not scope.losses:
        raise ArgumentError(
            f"There is no loss in phase {part.number}: compile() has none, and no layer that learns adds one by "
            "add_loss(). Give compile(loss=...)."
        )


def _symbolic(spec: TensorSpec | Any, batch_size: int) -> Any:
    return keras.KerasTensor((batch_size, *spec.shape[1:]), str(spec.dtype))


def _run(function: Any, expected: Any, answers: Any, what: str, part: Part) -> None:
    try:
        _BACKEND.compute_output_spec(function, expected, answers)
    except Exception as error:
        reason = " ".join(str(error).split("\n\nArguments received")[0].split())
        raise JointError(
            f"{what} of phase {part.number} cannot be computed: the answers of stage {part.series.stages[-1].name!r} "
            f"are {_shapes(answers)}, the labels {_shapes(expected)}. Keras says: {reason[:300]}"
        ) from error


def _shapes(tensors: Any) -> str:
    if isinstance(tensors, dict):
        return ", ".join(f"{name!r} {_shapes(part)}" for name, part in tensors.items())
    if isinstance(tensors, list | tuple):
        return ", ".join(map(_shapes, tensors))
    return f"{tensors.dtype} {(None, *tensors.shape[1:])}"


def _parts(given: Any) -> list[Any]:
    return keras.tree.flatten(given) if given else []


def _told(things: Any) -> str:
    """Losses or metrics by their names."""
    names = [
        each if isinstance(each, str) else getattr(each, "name", getattr(each, "__name__", ""))
        for each in _parts(things)
    ]
    return ", ".join(map(repr, names))
