"""Pretrained: which known backbone is inside a graph, whether it was trained, and which values its weights know.

Backbones are recognised by the names of their layers, which Keras gives and files keep, whatever the model around them
is called.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.stack import backbones
from thawline.stack.graph import Node

# What Keras builds into EfficientNetB0 to B7 with weights="imagenet": one more division, by the deviations' roots.
_DEVIATION_ROOTS = np.sqrt([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Family:
    """Backbones that share the names of their layers.

    Attributes:
        names: those of `thawline.stack.backbones`.
        preparations: how pixels arrive at the first layer that learns, by Keras' words: "tf" for [-1, 1], "caffe" for
            BGR minus means, "torch" for means and deviations, "torch_twice" for those and `_DEVIATION_ROOTS`.
        marks: patterns of layer names; each has to match one.
        lacks: patterns of layer names that none may match.
    """

    names: tuple[str, ...]
    preparations: tuple[str, ...]
    marks: tuple[str, ...]
    lacks: tuple[str, ...] = ()


# Names of layers and preparations from the source of Keras 3.15.
_FAMILIES = (
    Family(("MobileNetV2",), ("tf",), ("bn_Conv1", "expanded_conv_depthwise", "block_1_expand")),
    Family(
        ("MobileNetV3Large", "MobileNetV3Small"),
        ("tf",),
        ("conv_bn", "expanded_conv_depthwise", "expanded_conv_1_expand"),
    ),
    Family(("MobileNet",), ("tf",), ("conv1_bn", "conv_dw_1", "conv_pw_1")),
    Family(
        ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
        ("tf",),
        ("conv1_conv", "conv2_block1_preact_bn"),
    ),
    Family(("DenseNet121", "DenseNet169", "DenseNet201"), ("torch",), ("conv1_conv", "conv2_block1_concat")),
    Family(("ResNet50", "ResNet101", "ResNet152"), ("caffe",), ("conv1_conv", "conv1_bn", "conv2_block1_out")),
    Family(("VGG16", "VGG19"), ("caffe",), ("block1_conv1", "block1_conv2", "block5_conv3", "block5_pool")),
    Family(("Xception",), ("tf",), ("block1_conv1_bn", "block2_sepconv1")),
    Family(("InceptionResNetV2",), ("tf",), ("mixed_5b", "conv_7b")),
    Family(("InceptionV3",), ("tf",), ("mixed0", "mixed10")),
    Family(("NASNetMobile", "NASNetLarge"), ("tf",), ("stem_conv1", "reduction_conv_1_stem_1")),
    Family(
        tuple(f"EfficientNetB{number}" for number in range(8)),
        ("torch_twice", "torch"),
        ("stem_conv", "block1a_dwconv", "block1a_se_reduce"),
    ),
    Family(
        tuple(name for name in backbones.names() if name.startswith("EfficientNetV2")),
        ("torch", "tf"),
        ("stem_conv", "block1a_project_conv", "top_conv"),
        lacks=("block1a_dwconv",),
    ),
    Family(
        ("efficientnet_lite0",), ("tf",), ("stem_conv", "block1a_dwconv", "block7a_project_bn"), lacks=("*_se_reduce",)
    ),
    Family(
        tuple(name for name in backbones.names() if name.startswith("ConvNeXt")),
        ("torch",),
        ("*stage_0_block_0_depthwise_conv", "*stage_0_block_0_layernorm"),
    ),
)


@dataclass(frozen=True)
class Known:
    """A backbone that was recognised.

    Attributes:
        backbone: what `thawline.stack.backbones` knows of it. Where the model's own name does not say which of a family
            it is, the first one.
        preparations: as in `Family`.
        is_trained: whether its weights are other ones than fresh ones.
    """

    backbone: backbones.Backbone
    preparations: tuple[str, ...]
    is_trained: bool

    def wanted(self, colours: np.ndarray) -> list[np.ndarray]:
        """What these colours are at the first layer that learns, one array (n, 3) for each preparation.

        Args:
            colours: RGB, (n, 3), 0 to 255.
        """
        return [_prepare(colours, preparation) for preparation in self.preparations]


def recognise(nodes: Sequence[Node], model_names: Iterable[str] = ()) -> Known | None:
    """The backbone inside a graph, or None.

    Args:
        nodes: the calls of the flattened graph.
        model_names: names of models in it, which may say which of a family it is.

    Example:
        >>> from thawline.stack.graph import flatten
        >>> model = backbones.build("MobileNetV2", image_size=(32, 32), weights=None)
        >>> known = recognise(flatten(model).nodes)
        >>> known.backbone.name, known.is_trained
        ('MobileNetV2', False)
    """
    names = {node.layer.name for node in nodes if isinstance(node.layer, keras.layers.Layer)}

    def has(pattern: str) -> bool:
        return pattern in names or ("*" in pattern and any(fnmatch(name, pattern) for name in names))

    for family in _FAMILIES:
        if all(map(has, family.marks)) and not any(map(has, family.lacks)):
            name = _which(family, model_names)
            return Known(backbones.find(name), family.preparations, is_trained(node.layer for node in nodes))
    return None


def is_trained(layers: Iterable[Any]) -> bool:
    """Whether layers have other weights than fresh ones: statistics that have moved, or biases that are not 0.

    Example:
        >>> is_trained([keras.layers.BatchNormalization(), keras.layers.Dense(3)])
        False
    """
    return any(map(has_moved, inner_layers(layers)))


def inner_layers(layers: Iterable[Any]) -> list[Any]:
    """Layers and those inside of them, in wrappers and subclassed models, too, each once; operations are left out."""
    found = [part for layer in layers if isinstance(layer, keras.layers.Layer) for part in layer._flatten_layers()]
    return list({id(part): part for part in found}.values())


def has_moved(layer: Any) -> bool | None:
    """Whether a layer has other weights than fresh ones; None where its weights cannot tell.

    Kernels are drawn at random, and say nothing. Statistics, and biases and shifts that begin as 0, do.

    Example:
        >>> has_moved(keras.layers.Dense(3)) is None
        True
    """
    if isinstance(layer, keras.layers.BatchNormalization):
        firsts = {"moving_mean": 0.0, "moving_variance": 1.0}
    else:
        # They may be drawn at random at first.
        begins = [("bias", "bias_initializer"), ("beta", "beta_initializer")]
        zeros = keras.initializers.Zeros
        firsts = {name: 0.0 for name, first in begins if isinstance(getattr(layer, first, None), zeros)}
    telling = [(weight, firsts[weight.name]) for weight in layer.weights if weight.name in firsts]
    return any(_has_moved(weight, first) for weight, first in telling) if telling else None


def _has_moved(weight: Any, first: float) -> bool:
    return bool((keras.ops.convert_to_numpy(weight) != first).any())


def _which(family: Family, model_names: Iterable[str]) -> str:
    """The name in the family that a model's name begins with; Keras adds sizes and has its own way of writing."""
    plain = {name: re.sub(r"[^a-z0-9]", "", name.lower()) for name in family.names}
    for model_name in model_names:
        given = re.sub(r"[^a-z0-9]", "", model_name.lower())
        fitting = [name for name in family.names if given.startswith(plain[name])]
        if fitting:
            return max(fitting, key=len)
    return family.names[0]


def _prepare(colours: np.ndarray, preparation: str) -> np.ndarray:
    mode = preparation.removesuffix("_twice")
    prepared: np.ndarray = keras.applications.imagenet_utils.preprocess_input(
        np.array(colours, np.float64)[:, None, None, :], data_format="channels_last", mode=mode
    )[:, 0, 0, :]
    return prepared / _DEVIATION_ROOTS if preparation.endswith("_twice") else prepared
