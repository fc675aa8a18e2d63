"""What is known of the end of a stack: its last layers, and the loss, metrics and labels they meet.

`read_head` makes a `Head` of one output; `thawline.check.heads` judges it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.data.sources.source import ImageSource
from thawline.specs import TensorSpec
from thawline.stack.graph import flatten, is_graph
from thawline.stack.series import StageSeries

# Layers that are activations by themselves, and what they are called as activations.
_ACTIVATION_LAYERS = {"Softmax": "softmax", "ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "PReLU": "prelu"}
_ACTIVATION_OPERATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Relu": "relu", "Relu6": "relu6", "Tanh": "tanh"}

# What gives the values it takes, in another arrangement at most.
_PASSING = {
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "GaussianNoise",
    "Flatten",
    "Reshape",
    "Permute",
    "Identity",
}


@dataclass(frozen=True)
class Metric:
    """One metric, as `compile` was given it.

    Attributes:
        name: its name in lower case without "_", like "binaryaccuracy".
        text: how to call it in messages.
        threshold: from which value on it takes an answer for a yes; None where it has no single one.
    """

    name: str
    text: str
    threshold: float | None = None


@dataclass(frozen=True)
class Head:
    """What is known of one output and what it is compared with.

    Attributes:
        stage: the last stage's name.
        given: what the output gives.
        labels: what the labels are: "one-hot", "numbers" (of classes), "binary" (one number of 0 or 1), "several"
            (classes per image), "quantities", "map" or "unknown".
        wanted: what a batch of targets is.
        layer: the name of the layer that makes the answers.
        activation: its activation by Keras' name, "linear" for none; None where it is not known.
        class_count: how many classes there are; 0 where labels are no classes.
        label_range: the smallest and the largest label of quantities, where they are known.
        loss: the loss's name in lower case without "_"; "" for none.
        loss_text: how to call it in messages.
        from_logits: whether the loss applies the activation itself.
        ignore_class: the class that the loss leaves out, or None.
        metrics: the metrics.
        output: the output's name where there are several.
    """

    stage: str
    given: TensorSpec
    labels: str
    wanted: TensorSpec
    layer: str = "?"
    activation: str | None = None
    class_count: int = 0
    label_range: tuple[float, float] | None = None
    loss: str = ""
    loss_text: str = ""
    from_logits: bool = False
    ignore_class: int | None = None
    metrics: tuple[Metric, ...] = ()
    output: str = ""

    @property
    def width(self) -> int:
        """The values per image or place; 0 where that is not known."""
        return self.given.shape[-1] or 0

    @property
    def who(self) -> str:
        """Stage and output, for messages."""
        return f"Stage {self.stage!r}" + (f", output {self.output!r}," if self.output else "")


def read_head(series: StageSeries, source: ImageSource, wanted: TensorSpec, *, output: str = "") -> Head:
    """What is known of one output before a loss is; nothing is computed and no image is read.

    Args:
        series: the stack, or the part of it that a phase trains.
        source: images with labels.
        wanted: what a batch of targets of this output is.
        output: the output's name, where the stack gives a dictionary.
    """
    stage = series.stages[-1]
    tensor = series.model.output[output] if output else series.model.outputs[0]
    position = next(index for index, one in enumerate(series.model.outputs) if one is tensor)
    layer, activation = _last_layer(stage.model, position)
    # The classes of several outputs are not known by name; the width of their targets is.
    count = 0 if output else len(source.class_names)
    labels = None if output else source.labels
    kind = _label_kind(wanted, labels, count, is_alone=not output)
    label_range = None
    if kind == "quantities" and labels is not None and labels.size:
        label_range = (float(labels.min()), float(labels.max()))
    given = TensorSpec(tuple(tensor.shape), str(tensor.dtype))
    return Head(stage.name, given, kind, wanted, layer, activation, count, label_range, output=output)


def read_loss(loss: Any, labels: str, width: int) -> tuple[str, str, bool]:
    """A loss's name in lower case without "_", how to call it in messages, and whether it takes logits.

    Args:
        loss: as `compile` takes it.
        labels: what the labels are, as in `Head`.
        width: the values per image that the head gives.

    Raises:
        ValueError: Keras knows no loss of this name.

    Example:
        >>> read_loss(keras.losses.BinaryCrossentropy(from_logits=True), "binary", 1)
        ('binarycrossentropy', 'BinaryCrossentropy', True)
    """
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        # As Keras resolves it.
        by_labels = "sparsecategoricalcrossentropy" if labels == "numbers" else "categoricalcrossentropy"
        return ("binarycrossentropy" if width == 1 else by_labels), loss, False
    known = keras.losses.get(loss) if isinstance(loss, str) else loss
    text = loss if isinstance(loss, str) else _name_of(loss)
    return _plain(_name_of(known)), text, bool(getattr(known, "from_logits", False))


def read_metrics(metrics: Any) -> tuple[Metric, ...]:
    """Metrics as `compile` takes them; those that Keras does not know are left to Keras."""
    found: list[Metric] = []
    for metric in [metrics] if isinstance(metrics, str) or not isinstance(metrics, Iterable) else metrics:
        if isinstance(metric, list | tuple):
            found += read_metrics(metric)
        elif isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
            found.append(Metric("auto", repr(metric), 0.5))
        elif metric is not None:
            found += _read_metric(metric)
    return tuple(found)


def _read_metric(metric: Any) -> list[Metric]:
    try:
        known = keras.metrics.get(metric)
    except (ValueError, TypeError):
        # A user's own, which `compile` keeps in a form that only the user's program can read.
        return []
    thresholds = getattr(known, "thresholds", None)
    single = thresholds[0] if isinstance(thresholds, list) and len(thresholds) == 1 else None
    threshold = getattr(known, "threshold", single)
    name = _name_of(known)
    # A wrapper around a function goes by the function's name.
    name = _name_of(known._fn) if name == "MeanMetricWrapper" else name
    return [Metric(_plain(name), repr(metric) if isinstance(metric, str) else name, threshold)]


def _label_kind(wanted: TensorSpec, labels: np.ndarray | None, class_count: int, *, is_alone: bool) -> str:
    """What labels are, as `Head` calls it."""
    if len(wanted.shape) > 2:
        return "map"
    if not is_alone:
        return "numbers" if wanted.dtype.startswith("int") and len(wanted.shape) == 1 else "unknown"
    if not class_count:
        return "quantities"
    if len(wanted.shape) == 1:
        return "numbers"
    if wanted.shape[-1] == 1 and class_count == 2:
        return "binary"
    return "several" if labels is not None and labels.ndim == 2 else "one-hot"


def _last_layer(model: Any, position: int) -> tuple[str, str | None]:
    """The layer that makes one of the answers, and its activation by Keras' name, or None where it is not known."""
    if not is_graph(model) or not model.built:
        return model.name, _activation(model)
    graph = flatten(model)
    makers = {id(tensor): node for node in graph.nodes for tensor in node.outputs}
    tensor = keras.tree.flatten(graph.outputs)[position]
    while id(tensor) in makers:
        node = makers[id(tensor)]
        name = type(node.layer).__name__
        activation = _activation(node.layer)
        is_passing = name in _PASSING or (name == "Activation" and activation == "linear")
        if not is_passing or len(node.inputs) != 1:
            return node.layer.name, activation
        tensor = node.inputs[0]
    return model.name, None


def _activation(layer: Any) -> str | None:
    name = type(layer).__name__
    if not isinstance(layer, keras.layers.Layer):
        return _ACTIVATION_OPERATIONS.get(name)
    if name in _ACTIVATION_LAYERS:
        return _ACTIVATION_LAYERS[name]
    activation = getattr(getattr(layer, "activation", None), "__name__", None)
    return None if activation == "<lambda>" else activation


def _name_of(thing: Any) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
