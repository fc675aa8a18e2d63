"""Servable: a stack as one Keras model from uint8 pixels to answers, with what is known of it.

Whatever a training does to pixels outside of the stack, and to every image, is put inside: a factor, and samplewise
and featurewise steps. Augmentation is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from thawline.backend import keras, plain_argmax
from thawline.data.augment.standardize import EPSILON
from thawline.data.decode import Decoding
from thawline.data.reading import Reading, as_decoding
from thawline.errors import ArgumentError, ExportError
from thawline.stack.series import StageSeries

# The name of the input, everywhere.
INPUT = "images"


@dataclass(frozen=True)
class Servable:
    """What every format writes.

    Attributes:
        model: Keras model from uint8 images (n, height, width, channels) to answers.
        names: the outputs, in the order in which Keras flattens them.
        class_names: what the answers stand for; empty where that is not known.
        reading: how files become pixels, as plain values.
    """

    model: Any
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    reading: Reading

    @property
    def decoding(self) -> Decoding:
        """How files become pixels."""
        return as_decoding(self.reading)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the model takes."""
        height, width, channels = self.model.inputs[0].shape[1:]
        return height, width, channels

    def outputs(self) -> list[dict[str, Any]]:
        """Name, shape and dtype of each output."""
        tensors = keras.tree.flatten(self.model.outputs)
        return [
            {"name": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype)}
            for name, tensor in zip(self.names, tensors, strict=True)
        ]

    def answers(self, images: Any) -> dict[str, Any]:
        """Answers by output, in inference mode."""
        return dict(zip(self.names, keras.tree.flatten(self.model(images, training=False)), strict=True))


def make_servable(series: StageSeries, reading: Reading) -> Servable:
    """The whole stack behind what happens to pixels.

    Args:
        series: the stack.
        reading: how images were read, as `thawline.data.reading.describe_reading` gives it.

    Raises:
        ArgumentError: images that are read like this do not fit the stack.
        ExportError: something that is done to pixels is Python code.
    """
    shape = tuple(series.model.inputs[0].shape[1:])
    given = as_decoding(reading).shape
    if given != shape:
        raise ArgumentError(f"The stack takes images of {shape}, but they are read as {given}. Give other images.")
    images = keras.Input(shape, dtype="uint8", name=INPUT)
    model = keras.Model(images, series.model(_standardized(images, reading.get("standardize"))), name="servable")
    return Servable(model, _names(series), tuple(series.class_names), reading)


def _names(series: StageSeries) -> tuple[str, ...]:
    """The outputs' own names; a single one is called for what it is."""
    output = series.model.output
    if isinstance(output, dict):
        return tuple(sorted(output))
    name = "probabilities" if series.stages[-1].output_range == (0.0, 1.0) else "answers"
    count = len(series.model.outputs)
    return (name,) if count == 1 else tuple(f"{name}_{number:03d}" for number in range(count))


def _standardized(images: Any, steps: dict[str, Any] | None) -> Any:
    """float32 from uint8, as `thawline.data.augment.standardize` makes it of each image."""
    steps = steps or {}
    if steps.get("refused"):
        raise ExportError(
            f"The images went through {' and '.join(steps['refused'])}, which is Python code or a matrix outside of "
            "the stack, so that an exported model would answer otherwise. Make it a layer of the first stage, train "
            "on images without it, and export again."
        )
    layers, ops = keras.layers, keras.ops
    values = layers.Rescaling(steps.get("rescale") or 1.0, dtype="float32", name="as_float")(images)
    axes = (1, 2, 3)
    if steps.get("samplewise_center"):
        values = values - ops.mean(values, axis=axes, keepdims=True)
    if steps.get("samplewise_std_normalization"):
        values = values / (ops.std(values, axis=axes, keepdims=True) + EPSILON)
    if steps.get("mean") is not None:
        # Rescaling multiplies first.
        factors = [1 / (one + EPSILON) for one in steps["std"] or [1 - EPSILON] * len(steps["mean"])]
        offsets = [-mean * factor for mean, factor in zip(steps["mean"], factors, strict=True)]
        values = layers.Rescaling(factors, offsets, dtype="float32", name="featurewise")(values)
    return values


def traced(servable: Servable) -> Any:
    """The model as a TensorFlow function that holds its weights as constants, from "images" to named answers.

    Raises:
        ExportError: Keras does not run on TensorFlow.
    """
    tensorflow = import_tensorflow()
    weights = [(each, keras.ops.convert_to_numpy(each)) for each in servable.model.variables]

    def answer(images: Any) -> dict[str, Any]:
        constants = [(each, tensorflow.constant(value)) for each, value in weights]
        with keras.StatelessScope(state_mapping=constants), plain_argmax():
            return servable.answers(images)

    signature = [tensorflow.TensorSpec((None, *servable.image_shape), tensorflow.uint8, name=INPUT)]
    # Keras does not let AutoGraph rewrite its layers either.
    return tensorflow.function(answer, input_signature=signature, autograph=False)


def import_tensorflow() -> Any:
    """TensorFlow, where Keras runs on it.

    Raises:
        ExportError: it does not.
    """
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"This format is made of TensorFlow's graphs, but Keras runs on {keras.backend.backend()!r}. "
            "Set KERAS_BACKEND=tensorflow, load the stack and export again, or use format 'keras'."
        )
    return import_module("tensorflow")


@contextmanager
def refusing(form: str, advice: str) -> Iterator[None]:
    """Makes an ExportError of whatever a converter meets: a layer of the user's own, or an operation it does not know.

    Args:
        form: the format.
        advice: the next move.
    """
    try:
        yield
    except ExportError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (" ".join(lines[:2]) or type(error).__name__)[:400].rstrip(".")
        raise ExportError(f"The stack cannot be exported as {form}: {reason}. {advice}") from error
