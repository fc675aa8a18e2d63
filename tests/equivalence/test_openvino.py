"""OpenVINO in place of Keras below the line: the same training within the stated tolerance, and what is remembered."""

import cv2
import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.features.engines import choice as module
from thawline.training.verify import relative_difference

pytest.importorskip("openvino")
layers = keras.layers


@pytest.fixture(autouse=True)
def keras_engine_only():
    """Here every engine is what it is."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """50 noisy images of 16 px in two classes."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(2)
    for index in range(50):
        path = folder / ("bright" if index % 2 else "dark") / f"{index:03}.png"
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), (random.integers(0, 128, (16, 16, 3)) + 100 * (index % 2)).astype("uint8"))
    return tl.ImageFolder(folder, image_size=(16, 16), batch_size=8, seed=9)


def train(images, **options):
    """Three epochs over two views; gives the losses and the head's weights, and the history."""
    keras.utils.set_random_seed(4)
    base = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(16, 3, activation="relu"), layers.BatchNormalization()]
    )
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(2, "softmax")])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])
    stack.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy")
    history = stack.fit(images.augment(horizontal_flip=True, rotation_range=20), epochs=3, verbose=0, **options)
    return np.array(history.history["loss"]), [weight.numpy() for weight in head.weights], history


def largest_difference(one, other):
    """The largest relative difference of losses and weights."""
    pairs = [(one[0], other[0]), *zip(one[1], other[1], strict=True)]
    return max(relative_difference(*pair) for pair in pairs)


@pytest.mark.parametrize("strategy", ["precomputed", "streamed"])
def test_openvino_trains_as_keras_does_to_a_ten_thousandth(strategy, images, tmp_path):
    expected = train(images, strategy="joint", views=2)
    cache = tl.FeatureCache(tmp_path)
    found = train(images, strategy=strategy, views=2, engine="openvino", cache=cache)
    assert 0 <= largest_difference(expected, found) < 1e-4


def test_both_strategies_have_the_same_bits_by_openvino(images, tmp_path):
    """An image's features depend on neither its batch nor its place in it."""
    options = {"views": 2, "engine": "openvino", "cache": tl.FeatureCache(tmp_path)}
    ways = [train(images, strategy=strategy, **options) for strategy in ("precomputed", "streamed")]
    assert largest_difference(*ways) == 0


def test_what_was_chosen_is_remembered_and_nothing_is_built_when_all_is_stored(images, tmp_path, monkeypatch):
    cache = tl.FeatureCache(tmp_path)
    first = train(images, strategy="precomputed", views=2, cache=cache)
    monkeypatch.setattr(module, "make_engine", None)
    monkeypatch.setattr("thawline.features.prefix.make_engine", None)
    again = train(images, strategy="precomputed", views=2, cache=cache)
    assert again[2].record.extractions[0]["extracted"] == 0
    assert largest_difference(first, again) == 0


def test_features_of_another_precision_are_others(images, tmp_path):
    from_float32 = train(images, strategy="precomputed", views=1, engine="keras", cache=tl.FeatureCache(tmp_path))
    options = {"strategy": "precomputed", "views": 1, "engine": "keras", "precision": "bfloat16"}
    rough = train(images, cache=tl.FeatureCache(tmp_path), **options)
    assert rough[2].record.extractions[0]["extracted"] == 50
    assert 0 < largest_difference(from_float32, rough) < 0.1


@pytest.mark.parametrize(("storage", "tolerance"), [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_features_that_are_kept_with_fewer_digits_train_nearly_the_same(storage, tolerance, images, tmp_path):
    options = {"strategy": "precomputed", "views": 2, "engine": "keras"}
    exact = train(images, cache=tl.FeatureCache(tmp_path / "exact"), **options)
    short = train(images, cache=tl.FeatureCache(tmp_path / "short"), storage=storage, **options)
    assert 0 < largest_difference(exact, short) < tolerance
    # What is kept in full serves for less, too, with the same values.
    served = train(images, cache=tl.FeatureCache(tmp_path / "exact"), storage=storage, **options)
    assert served[2].record.extractions[0]["extracted"] == 0
    assert largest_difference(short, served) == 0


def test_a_storage_is_found_out_on_a_sample_said_and_remembered(images, tmp_path, capsys):
    keras.utils.set_random_seed(4)
    options = {"strategy": "precomputed", "views": 2, "engine": "keras", "storage": "auto"}
    cache = tl.FeatureCache(tmp_path)
    train(images, cache=cache, **options)
    base = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(16, 3, strides=2)])
    head = keras.Sequential([layers.Flatten(), layers.Dense(2, "softmax")])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])
    stack.compile("adam", "categorical_crossentropy")
    stack.fit(images, cache=cache, verbose=2, **options)
    said = capsys.readouterr().err
    assert "storage: " in said
    for name in ("float32", "float16", "bfloat16"):
        assert f"\n{name}" in said
    stack.fit(images, cache=cache, verbose=2, **options)
    assert "as found out before" in capsys.readouterr().err
