"""Backbones: every name, size and value range against Keras itself."""

import sys

import numpy as np
import pytest

from thawline.backend import keras
from thawline.errors import ArgumentError, WeightsError
from thawline.stack import backbones

KERAS_NAMES = sorted(name for name, value in vars(keras.applications).items() if callable(value))
PIXELS = np.random.default_rng(5).integers(0, 256, (2, 32, 32, 3)).astype("float32")
SMALL = (32, 32)


def module_of(name):
    """The public module of a model of keras.applications."""
    return getattr(keras.applications, getattr(keras.applications, name).__module__.rsplit(".", 1)[-1])


@pytest.fixture
def downloads(monkeypatch, tmp_path):
    """Stands in for Keras' downloads: a model's file is one of random weights; without a model they fail."""

    def use(name=None):
        if name is None:
            path = None
        else:
            path = str(tmp_path / "published.h5")
            factory = getattr(keras.applications, name)
            factory(include_top=False, weights=None, input_shape=(*SMALL, 3)).save(path)

        def get_file(*args, **kwargs):
            if path is None:
                raise Exception("URL fetch failure on https://example.org: None -- no network")
            return path

        monkeypatch.setattr(sys.modules["keras.src.utils.file_utils"], "get_file", get_file)

    return use


def test_names_are_all_models_of_keras_applications_and_lite0():
    assert backbones.names() == tuple(sorted([*KERAS_NAMES, "efficientnet_lite0"]))


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_value_range_is_what_keras_makes_of_pixels(name):
    backbone = backbones.find(name)
    prepared = module_of(name).preprocess_input(np.copy(PIXELS))
    if backbone.front:
        expected = keras.applications.imagenet_utils.preprocess_input(np.copy(PIXELS), mode=backbone.front)
        np.testing.assert_array_equal(prepared, expected)
        assert backbone.value_range == (0, 255)
    else:
        low, high = backbone.value_range
        np.testing.assert_allclose(prepared, low + PIXELS / 255 * (high - low), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in KERAS_NAMES if not name.startswith("MobileNetV3")])
def test_image_size_is_keras_default(name, monkeypatch):
    # MobileNetV3 has no default in its code; its documentation says 224.
    class SeenError(Exception):
        pass

    def stop(*args, default_size, **kwargs):
        raise SeenError(default_size)

    utilities = sys.modules[getattr(keras.applications, name).__module__].imagenet_utils
    monkeypatch.setattr(utilities, "obtain_input_shape", stop)
    with pytest.raises(SeenError) as seen:
        getattr(keras.applications, name)(weights=None)
    assert backbones.find(name).image_size == (seen.value.args[0],) * 2


@pytest.fixture(scope="module", params=[("VGG16", "subtract_means"), ("DenseNet121", "standardize")], ids="-".join)
def fronted(request):
    """A name, the name of the layer in front that prepares its pixels, and the model with random weights."""
    name, front = request.param
    return name, front, backbones.build(name, image_size=SMALL, weights=None, pooling="avg")


class TestFront:
    """Models whose preparation is put in front of them."""

    def test_layers_in_front_do_what_preprocess_input_does(self, fronted):
        name, front, model = fronted
        prepared = keras.Model(model.inputs[0], model.get_layer(front).output)(PIXELS)
        expected = module_of(name).preprocess_input(np.copy(PIXELS))
        np.testing.assert_allclose(np.asarray(prepared), expected, rtol=1e-6, atol=1e-5)

    def test_the_whole_model_is_preparation_then_keras_model(self, fronted):
        name, _, model = fronted
        plain = getattr(keras.applications, name)(
            include_top=False, weights=None, input_shape=(*SMALL, 3), pooling="avg"
        )
        plain.set_weights(model.get_weights())
        expected = plain(module_of(name).preprocess_input(np.copy(PIXELS)))
        np.testing.assert_allclose(np.asarray(model(PIXELS)), np.asarray(expected), rtol=1e-4, atol=1e-5)

    def test_it_is_saved_and_loaded_in_safe_mode(self, fronted, tmp_path):
        _, _, model = fronted
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
        np.testing.assert_array_equal(np.asarray(loaded(PIXELS)), np.asarray(model(PIXELS)))

    def test_it_is_flat(self, fronted):
        assert not any(isinstance(layer, keras.Model) for layer in fronted[-1].layers)

    def test_published_weights_load_behind_it(self, fronted, downloads, tmp_path):
        name, _, _ = fronted
        downloads(name)
        model = backbones.build(name, image_size=SMALL)
        plain = keras.models.load_model(tmp_path / "published.h5", compile=False)
        for weight, expected in zip(model.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize(
    ("name", "pooling", "shape"),
    [
        ("MobileNetV2", None, (None, 1, 1, 1280)),
        ("MobileNetV3Small", "avg", (None, 576)),
        ("VGG16", "max", (None, 512)),
        ("efficientnet_lite0", None, (None, 1, 1, 1280)),
        ("efficientnet_lite0", "max", (None, 1280)),
    ],
)
def test_output_shape_follows_pooling(name, pooling, shape):
    model = backbones.build(name, image_size=SMALL, weights=None, pooling=pooling)
    assert model.output_shape == shape
    assert model.input_shape == (None, *SMALL, 3)


@pytest.mark.parametrize("name", ["MobileNetV2", "efficientnet_lite0"])
def test_image_size_is_the_backbones_own_when_none_is_given(name):
    assert backbones.build(name, weights=None).input_shape == (None, *backbones.find(name).image_size, 3)


def test_imagenet_weights_of_lite0_come_from_the_package():
    model = backbones.build("efficientnet_lite0", image_size=SMALL)
    random = backbones.build("efficientnet_lite0", image_size=SMALL, weights=None)
    assert not np.allclose(model.get_layer("stem_conv").kernel, random.get_layer("stem_conv").kernel)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_weights_come_from_a_file_that_keras_saved(suffix, tmp_path):
    model = backbones.build("MobileNetV3Small", image_size=SMALL, weights=None)
    path = tmp_path / f"model{suffix}"
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    loaded = backbones.build("MobileNetV3Small", image_size=(64, 64), weights=path, pooling="avg")
    for weight, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_an_efficientnet_from_a_file_answers_as_the_one_that_was_saved(downloads, tmp_path):
    # Keras builds one more Rescaling into it for weights="imagenet" than for weights from a file.
    downloads("EfficientNetB0")
    model = backbones.build("EfficientNetB0", image_size=SMALL, pooling="avg")
    expected = np.asarray(model(PIXELS))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    for file in ("model.keras", "model.weights.h5", "again.weights.h5"):
        loaded = backbones.build("EfficientNetB0", image_size=SMALL, weights=tmp_path / file, pooling="avg")
        np.testing.assert_allclose(np.asarray(loaded(PIXELS)), expected, rtol=1e-4, atol=1e-6)
        if file == "model.weights.h5":
            loaded.save_weights(tmp_path / "again.weights.h5")


def test_weights_of_another_backbone_are_refused(tmp_path):
    path = tmp_path / "other.weights.h5"
    backbones.build("MobileNetV3Small", image_size=SMALL, weights=None).save_weights(path)
    with pytest.raises(WeightsError, match=r"other.weights.h5 do not fit MobileNetV2: .*weights=None"):
        backbones.build("MobileNetV2", image_size=SMALL, weights=path)


def test_weights_that_cannot_be_downloaded_say_what_to_do(downloads):
    downloads(None)
    with pytest.raises(WeightsError, match=r"weights of MobileNetV2 cannot be had: URL.*weights=None.*file\.keras"):
        backbones.build("MobileNetV2", image_size=(96, 96))


def test_weights_that_do_not_exist_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no.keras do not exist\. Check the path"):
        backbones.build("MobileNetV2", weights=tmp_path / "no.keras")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("resnet50", "ResNet50"),
        ("mobilenet_v2", "MobileNetV2"),
        ("EfficientNet-B0", "EfficientNetB0"),
        ("EfficientNetLite0", "efficientnet_lite0"),
        ("XCEPTION", "Xception"),
    ],
)
def test_case_hyphens_and_underscores_do_not_matter(written, name):
    assert backbones.find(written) is backbones.find(name)


def test_a_backbone_that_is_written_in_another_way_is_the_same_model():
    model = backbones.build("mobilenet-v3-small", image_size=SMALL, weights=None, pooling="avg")
    assert model.output_shape == (None, 576)
    assert backbones.build("EfficientNetLite0", image_size=SMALL, weights=None).name == "efficientnet_lite0"


@pytest.mark.parametrize("name", ["MobileNetV3Small", "MobileNetV2", "DenseNet121", "efficientnet_lite0", "VGG16"])
def test_weights_are_counted_without_a_classifier(name):
    assert backbones.find(name).weight_count == backbones.build(name, image_size=SMALL, weights=None).count_params()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobilenetv4", r"named 'mobilenetv4'\. Nearest: MobileNetV2,.* thawline backbones .* lists all 41"),
        ("ResNet5", r"Nearest: ResNet50"),
        ("EfficientNetLite1", r"Nearest: efficientnet_lite0"),
        ("???", r"named '\?\?\?'\. tl\.backbones\.names\(\)"),
    ],
)
def test_an_unknown_name_gets_the_nearest_known(name, message):
    with pytest.raises(ArgumentError, match=message):
        backbones.find(name)


@pytest.mark.parametrize("weights", [None, "imagenet"])
def test_an_image_size_that_cannot_work_is_refused(weights, downloads):
    downloads(None)
    with pytest.raises(ArgumentError, match=r"Xception cannot be built for images of 40x40.*\(299, 299\)"):
        backbones.build("Xception", image_size=(40, 40), weights=weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 22.4}, r"image_size is \(height, width\) in whole pixels.*got 22\.4"),
        ({"image_size": (0, 32)}, r"image_size is \(height, width\) in whole pixels.*got \(0, 32\)"),
        ({"pooling": "mean"}, r"pooling is None, 'avg' or 'max', but 'mean' came"),
        ({"weights": "imagnet"}, r"weights is 'imagenet', None or a path.*but 'imagnet' came"),
    ],
)
@pytest.mark.parametrize("name", ["MobileNetV2", "efficientnet_lite0"])
def test_arguments_that_cannot_work_are_named(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        backbones.build(name, **options)
