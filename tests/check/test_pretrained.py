"""Pretrained: backbones are recognised by their layers, and fresh weights by their values."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.check.pretrained import Known, is_trained, recognise
from thawline.stack import backbones
from thawline.stack.graph import flatten

COLOURS = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [10, 20, 30]], np.float64)


@pytest.mark.parametrize(
    "name",
    ["MobileNet", "MobileNetV2", "MobileNetV3Small", "ResNet50", "VGG16", "EfficientNetV2B1", "efficientnet_lite0"],
)
def test_a_backbone_is_recognised_by_its_layers_and_its_variant_by_its_name(name):
    model = backbones.build(name, image_size=(32, 32), weights=None)
    known = recognise(flatten(model).nodes, [model.name])
    assert known.backbone == backbones.find(name)
    assert not known.is_trained


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        (["conv1_conv", "conv1_bn", "conv2_block1_out"], "ResNet50"),
        (["conv1_conv", "conv1_bn", "conv2_block1_preact_bn"], "ResNet50V2"),
        (["conv1_conv", "conv1_bn", "conv2_block1_concat"], "DenseNet121"),
        (["my_stage_0_block_0_depthwise_conv", "my_stage_0_block_0_layernorm"], "ConvNeXtBase"),
        (["stem_conv", "block1a_dwconv", "block1a_se_reduce"], "EfficientNetB0"),
    ],
)
def test_a_model_that_was_given_another_name_is_the_first_of_its_family(layers, name):
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), *(keras.layers.Activation("relu", name=one) for one in layers)], name="mine"
    )
    assert recognise(flatten(model).nodes, ["mine"]).backbone.name == name


def test_other_models_are_not_recognised():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 1, name="stem_conv")], name="vgg16")
    assert recognise(flatten(model).nodes, ["vgg16"]) is None


def test_what_a_backbone_wants_is_what_its_preprocess_input_makes():
    for name in ("resnet50", "vgg16"):
        expected = getattr(keras.applications, name).preprocess_input(COLOURS[:, None, None].copy())[:, 0, 0]
        (wanted,) = Known(backbones.find("ResNet50"), ("caffe",), True).wanted(COLOURS)
        np.testing.assert_allclose(wanted, expected)
    (wanted,) = Known(backbones.find("MobileNetV2"), ("tf",), True).wanted(COLOURS)
    np.testing.assert_allclose(wanted, COLOURS / 127.5 - 1)


@pytest.mark.parametrize("layer", [keras.layers.BatchNormalization, lambda: keras.layers.Dense(3)])
def test_weights_count_as_trained_once_they_have_moved(layer):
    made = layer()
    made.build((None, 3))
    assert not is_trained([made])
    made.set_weights([weight + 0.25 for weight in made.get_weights()])
    assert is_trained([made])


def test_a_bias_that_was_drawn_is_not_trained():
    layer = keras.layers.Dense(3, bias_initializer="random_normal")
    layer.build((None, 3))
    assert not is_trained([layer])


def test_weights_inside_of_a_subclassed_model_are_looked_at_too():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(2)

        def call(self, x):
            return self.inner(x)

    model = Own()
    model(np.zeros((1, 3), np.float32))
    assert not is_trained([model])
    model.inner.bias.assign([0.0, 0.5])
    assert is_trained([model])
