"""Backbones by name, each with the image size and the value range it was made for.

`names` lists them, `find` describes one as a `Backbone`, `build` makes it a Keras model without its
classifier. They are the models of `keras.applications` by their Keras names, and `efficientnet_lite0`.

Pretrained models expect pixels prepared as they were in training, in one of four ways. Some take [0, 255] and
prepare inside. Some take [-1, 1]. Two older ways work channel by channel and no single value range says what
they want; `build` puts those steps in front as layers, so that the model takes [0, 255] and is saved and
exported with them. So in all cases `Backbone.value_range` says all there is to know.
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from thawline.arguments import height_and_width
from thawline.backend import keras
from thawline.errors import ArgumentError, WeightsError
from thawline.stack import efficientnet_lite0
from thawline.stack.backbone_table import Backbone, find, names

__all__ = ["Backbone", "build", "find", "names"]


# ImageNet's means and deviations per channel, from keras.applications.imagenet_utils; Caffe's as BGR.
_CAFFE_MEANS = (103.939, 116.779, 123.68)
_TORCH_MEANS = (0.485, 0.456, 0.406)
_TORCH_DEVIATIONS = (0.229, 0.224, 0.225)

# Those that Keras builds with one more layer for weights="imagenet"; see _fold_second_rescaling.
_RESCALED_TWICE = tuple(f"EfficientNetB{number}" for number in range(8))

_WEIGHTS_SUFFIXES = (".keras", ".weights.h5")


def build(
    name: str,
    *,
    image_size: tuple[int, int] | int | None = None,
    weights: str | Path | None = "imagenet",
    pooling: str | None = None,
) -> Any:
    """A backbone as a Keras model, without its classifier.

    Args:
        name: one of `names()`, in whatever case.
        image_size: height and width in pixels, or one number for a square; None for the backbone's own.
        weights: "imagenet" for the published ones (Keras looks into its cache, then downloads;
            `efficientnet_lite0` has them from a package), None for random ones, or the path of a file
            that Keras saved from such a model, with or without a classifier: .keras or .weights.h5.
        pooling: None for the feature map, "avg" or "max" over the image.

    Returns:
        A functional `keras.Model`, with its layers side by side, from float32 (batch, height, width, 3), RGB
        in `find(name).value_range`, to float32 (batch, rows, columns, channels), or (batch, channels) with
        pooling.

    Raises:
        ArgumentError: the name is not known, or the backbone cannot be built for this image size, or an
            argument is none of the above.
        WeightsError: the weights cannot be had, or belong to another model.
        MissingDependencyError: the package with the weights of `efficientnet_lite0` is not installed.

    Example:
        >>> build("MobileNetV2", image_size=(96, 96), weights=None, pooling="avg").output_shape
        (None, 1280)
    """
    backbone = find(name)
    size = height_and_width(backbone.image_size if image_size is None else image_size)
    if pooling not in (None, "avg", "max"):
        raise ArgumentError(f"pooling is None, 'avg' or 'max', but {pooling!r} came. Choose one of them.")
    path = _check_weights(weights)
    published = weights == "imagenet"
    builder = _OWN_BUILDERS.get(backbone.name, _build_from_keras)
    model = builder(backbone, size, published, pooling)
    if path is not None:
        _load_weights(backbone.name, model, path)
    return model


def _check_weights(weights: Any) -> Path | None:
    """The path of the weights' file, or None when `weights` is not a path."""
    if weights is None or weights == "imagenet":
        return None
    if not str(weights).endswith(_WEIGHTS_SUFFIXES):
        raise ArgumentError(
            f"weights is 'imagenet', None or a path that ends in {' or '.join(_WEIGHTS_SUFFIXES)}, but "
            f"{str(weights)!r} came. Save the model with model.save('name.keras') and give that path."
        )
    path = Path(weights)
    if not path.is_file():
        raise WeightsError(f"The weights {path} do not exist. Check the path, or build with weights=None.")
    return path


def _build_lite0(_: Backbone, size: tuple[int, int], published: bool, pooling: str | None) -> Any:
    model = efficientnet_lite0.build_model(image_size=size, pooling=pooling)
    if published:
        efficientnet_lite0.load_imagenet_weights(model)
    return model


def _build_from_keras(backbone: Backbone, size: tuple[int, int], published: bool, pooling: str | None) -> Any:
    """A model of keras.applications, with what goes in front of it, or an error that says what to do."""
    shape = (*size, 3)
    inputs = keras.Input(shape, name="images")
    front = _FRONTS[backbone.front](inputs) if backbone.front else inputs
    try:
        base = getattr(keras.applications, backbone.name)(
            include_top=False,
            weights="imagenet" if published else None,
            input_tensor=front,
            input_shape=shape,
            pooling=pooling,
        )
    except Exception as error:  # Keras raises a plain Exception when a download fails.
        if published:
            _build_from_keras(backbone, size, False, pooling)  # Raises when it is the image size that cannot work.
            raise WeightsError(
                f"The ImageNet weights of {backbone.name} cannot be had: {error}. Connect to the network, "
                "or build with weights=None, or with weights='path/to/file.keras' saved elsewhere."
            ) from error
        if isinstance(error, ValueError):
            raise ArgumentError(
                f"{backbone.name} cannot be built for images of {size[0]}x{size[1]} pixels: {error} "
                f"Its own image_size is {backbone.image_size}."
            ) from error
        raise
    # Given an input_tensor, Keras makes a model of a list of inputs, which warns when a tensor comes.
    return keras.Model(inputs, base.outputs[0], name=base.name)


def _add_caffe_front(inputs: Any) -> Any:
    """As `keras.applications.vgg16.preprocess_input`: RGB to BGR, minus the means."""
    flipped = keras.ops.flip(inputs, axis=-1)
    return keras.layers.Normalization(mean=_CAFFE_MEANS, variance=(1.0, 1.0, 1.0), name="subtract_means")(flipped)


def _add_torch_front(inputs: Any) -> Any:
    """As `keras.applications.densenet.preprocess_input`: to [0, 1], minus the means, by the deviations."""
    return keras.layers.Normalization(
        mean=[255 * mean for mean in _TORCH_MEANS],
        variance=[(255 * deviation) ** 2 for deviation in _TORCH_DEVIATIONS],
        name="standardize",
    )(inputs)


def _load_weights(name: str, model: Any, path: Path) -> None:
    """Sets a model's weights from a file that Keras saved; only numbers are read, no code."""
    try:
        model.load_weights(path)
        rescales_twice = name in _RESCALED_TWICE and _has_layer(path, "rescaling_1")
    except Exception as error:  # Each way a file can be wrong has its own.
        raise WeightsError(
            f"The weights {path} do not fit {name}: {error} Give a file saved from this backbone, "
            "or build with weights=None."
        ) from error
    if rescales_twice:
        _fold_second_rescaling(model)


def _has_layer(path: Path, name: str) -> bool:
    """Whether a file that Keras saved has a layer of this name; Keras counts each class of layers from 0."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            source: Any = io.BytesIO(archive.read("model.weights.h5"))
    else:
        source = path
    with h5py.File(source) as file:
        return f"layers/{name}" in file


def _fold_second_rescaling(model: Any) -> None:
    """Gives an EfficientNet B0 to B7 the same answers as the model that its weights were saved from.

    Keras builds these with one more Rescaling, by 1 / sqrt(deviation), when weights="imagenet", but not when
    their weights come from a file. Here it goes into the variance of the Normalization before it:
    (x - mean) / sqrt(variance) / sqrt(deviation) = (x - mean) / sqrt(variance * deviation).
    """
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    layer.adapt_variance.assign(layer.adapt_variance * np.asarray(_TORCH_DEVIATIONS, "float32"))
    layer.finalize_state()


_FRONTS: dict[str, Callable[[Any], Any]] = {"caffe": _add_caffe_front, "torch": _add_torch_front}

_OWN_BUILDERS: dict[str, Callable[[Backbone, tuple[int, int], bool, str | None], Any]] = {
    "efficientnet_lite0": _build_lite0
}
