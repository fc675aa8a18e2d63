"""Class weights as users give them, by name or number, and what they make each image count in the loss.

A stack with several outputs has weights for each: `{"kind": {"rose": 2.0}}`. Outputs that are not named weigh all
their classes alike.
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thawline.data.class_order import tell_names
from thawline.data.labels import SampleWeights
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError

# Weights by class number; of several outputs a dictionary of these.
ClassWeight = Mapping[int, float] | Mapping[str, Mapping[int, float]]


def weights_by_number(given: Any, source: ImageSource, named: ImageSource) -> ClassWeight | None:
    """Weights by class number, or for each output.

    Args:
        given: weights by class name or number, "balanced", a dictionary of these by output, or None.
        source: the images as they were given, which numbers are about.
        named: the same images with the classes in the order that is trained on.

    Raises:
        ArgumentError: a class or an output is not known, or a class comes twice.

    Example:
        >>> import numpy as np
        >>> from thawline.data.sources.arrays import ImageArrays
        >>> images = ImageArrays(np.zeros((2, 8, 8, 3), np.uint8), ["cat", "dog"])
        >>> weights_by_number({"dog": 2.0}, images, images)
        {1: 2.0}
    """
    if given is None:
        return None
    if isinstance(named.target_spec, dict):
        return _by_output(given, source, named)
    if isinstance(given, str) and given == "balanced":
        return named.class_weights()
    return _by_number(given, source.class_names, named.class_names, "class_weight")


def _by_output(given: Any, source: ImageSource, named: ImageSource) -> dict[str, dict[int, float]]:
    """Weights for each output that is named, or for all whose targets are classes where all should be balanced."""
    labels = named.output_labels
    if isinstance(given, str) and given == "balanced":
        given = dict.fromkeys(labels, "balanced")
    outputs = list(named.target_spec) if isinstance(named.target_spec, dict) else []
    weights: dict[str, dict[int, float]] = {}
    for output, wanted in given.items() if isinstance(given, Mapping) else [(None, None)]:
        if output not in outputs:
            raise ArgumentError(
                f"The images have several outputs, {', '.join(map(repr, outputs))}: class_weight goes by output, like "
                f"{{{next(iter(labels), 'kind')!r}: {{'cat': 2.0}}}}; got {given!r}."
            )
        if output not in labels:
            raise ArgumentError(
                f"class_weight has weights for the output {output!r}, which needs one class per image, but its labels "
                "are none, several, or numbers. Give the source sample weights instead."
            )
        names = named.output_class_names[output]
        if isinstance(wanted, str) and wanted == "balanced":
            counts = np.bincount(labels[output], minlength=len(names))
            present = int(np.count_nonzero(counts))
            weights[output] = {
                number: len(named) / (present * count) for number, count in enumerate(counts.tolist()) if count
            }
        else:
            own = source.output_class_names[output]
            weights[output] = _by_number(wanted, own, names, f"class_weight of the output {output!r}")
    return weights


def _by_number(given: Any, own: Sequence[str], names: Sequence[str], what: str) -> dict[int, float]:
    """Weights by the numbers that are trained on.

    Args:
        given: weights by class name or number.
        own: the classes in the order that numbers are about.
        names: the classes in the order that is trained on.
        what: what is given, for errors.
    """
    if not isinstance(given, Mapping):
        raise ArgumentError(f"{what} is a dictionary like {{'cat': 2.0}}, or 'balanced'; got {given!r}.")
    weights: dict[int, float] = {}
    for key, weight in given.items():
        number = _number(key, own, names, what)
        if number in weights:
            raise ArgumentError(f"{what} has the class {key!r} by its name and by its number. Keep one.")
        weights[number] = float(weight)
    return weights


def _number(key: Any, own: Sequence[str], names: Sequence[str], what: str) -> int:
    """The number that is trained on, of a class by its name or its number in the images as given."""
    if isinstance(key, str):
        if key not in names:
            raise ArgumentError(
                f"{what} names the class {key!r}, which the images do not have; they have {tell_names(tuple(names))}."
            )
        return list(names).index(key)
    try:
        number = operator.index(key)
    except TypeError:
        raise ArgumentError(f"{what} goes by names of classes or whole numbers; got {key!r}.") from None
    if not 0 <= number < len(own):
        # Whoever makes the weights of images says what numbers there are.
        return number
    return list(names).index(own[number]) if own[number] in names else number


def describe_class_weight(class_weight: ClassWeight | None) -> Any:
    """Plain values that are equal for class weights which train the same."""
    if class_weight is None:
        return None
    return sorted(
        (key, sorted(weight.items()) if isinstance(weight, Mapping) else weight) for key, weight in class_weight.items()
    )


def image_weights(source: ImageSource, class_weight: Mapping[Any, Any] | None) -> SampleWeights:
    """Weight of each image in the loss, float32 (n,): its own weight times its class's; None when all are 1.

    Of several outputs a dictionary of these, where weights differ between outputs.

    Raises:
        ArgumentError: images show no or several classes, or a class is not known.
    """
    own, spec = source.weights, source.target_spec
    if class_weight is None:
        if not isinstance(own, dict) or not isinstance(spec, dict):
            return own
        return {name: own.get(name, np.ones(len(source), np.float32)) for name in spec}
    if not isinstance(spec, dict):
        weights = _label_weights(source.labels, source.class_names, class_weight)
        return weights if own is None else weights * own
    labels = source.output_labels
    made: dict[str, np.ndarray] = {}
    for name in spec:
        made[name] = np.ones(len(source), np.float32)
        if name in class_weight:
            made[name] = _label_weights(labels[name], source.output_class_names[name], class_weight[name])
        part = own.get(name) if isinstance(own, dict) else own
        made[name] = made[name] if part is None else made[name] * part
    return made


def _label_weights(labels: Any, names: Sequence[str], class_weight: Mapping[Any, Any]) -> np.ndarray:
    """The weight of each image, float32, from the weight of its class; classes that are not named weigh 1."""
    if labels is None or labels.ndim != 1:
        raise ArgumentError(
            "class_weight needs one class per image, but these have none, several, or numbers. "
            "Give the source sample weights instead."
        )
    unknown = [label for label in class_weight if label not in range(len(names))]
    if unknown:
        raise ArgumentError(f"class_weight names class {unknown[0]!r}; classes are the numbers 0 to {len(names) - 1}.")
    table = np.array([class_weight.get(label, 1.0) for label in range(len(names))], np.float32)
    weights: np.ndarray = table[labels]
    return weights
