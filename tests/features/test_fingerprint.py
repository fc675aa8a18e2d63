"""Fingerprints: equal where the features are equal, different wherever they may differ."""

import importlib.util
import itertools
import sys

import numpy as np
import pytest

from thawline.backend import keras
from thawline.data.sources.folder import ImageFolder
from thawline.features.fingerprint import (
    describe_features,
    describe_prefix,
    digest_weights,
    numeric_profile,
    row_key,
)
from thawline.features.identity import digest_description
from thawline.stack.cut import find_cut

layers = keras.layers
PREFIX = {"calls": "abc"}
ENGINE = {"name": "keras", "batch": 32}


def frozen(layer):
    layer.trainable = False
    return layer


def model(base, *, seed=0, size=(8, 8), head=None):
    """A frozen base, given as a function of the images' tensor, below a head that learns."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((*size, 3))
    head = head or (lambda features: layers.Dense(2)(layers.Flatten()(features)))
    return keras.Model(images, head(base(images)))


def convolution(**arguments):
    return lambda images: frozen(layers.Conv2D(4, 3, **arguments))(images)


def fingerprint(built):
    return digest_description(describe_prefix(find_cut(built))).hex()


# -- the graph and its weights ---------------------------------------------------------------------------------


def test_the_same_graph_built_twice_is_the_same():
    first, second = model(convolution()), model(convolution())
    assert first.layers[1].name != second.layers[1].name
    assert fingerprint(first) == fingerprint(second)


def test_names_and_what_lies_above_the_line_do_not_count():
    plain = fingerprint(model(convolution()))
    assert fingerprint(model(convolution(name="block_1"))) == plain

    def other_head(features):
        return layers.Dense(7, "softmax")(layers.Dropout(0.5)(layers.Dense(3)(layers.Flatten()(features))))

    assert fingerprint(model(convolution(), head=other_head)) == plain


def test_a_nested_model_is_the_same_as_its_layers():
    def nested(images):
        inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
        return frozen(inner)(images)

    assert fingerprint(model(nested)) == fingerprint(model(convolution()))


def test_a_changed_weight_is_seen():
    built = model(convolution())
    before = fingerprint(built)
    kernel = built.layers[1].kernel
    values = keras.ops.convert_to_numpy(kernel).copy()
    values[0, 0, 0, 0] = np.nextafter(values[0, 0, 0, 0], np.float32(1))
    kernel.assign(values)
    assert fingerprint(built) != before


def test_statistics_of_batch_normalization_are_weights_too():
    built = model(lambda images: frozen(layers.BatchNormalization())(images))
    before = fingerprint(built)
    built.layers[1].moving_mean.assign([1.0, 0.0, 0.0])
    assert fingerprint(built) != before


def build_lambda(function):
    return model(lambda images: frozen(layers.Lambda(function, output_shape=(8, 8, 3)))(convolve_same(images)))


def convolve_same(images):
    return frozen(layers.Conv2D(3, 3, padding="same"))(images)


def scaler(factor):
    def scale(images):
        return images * factor

    return scale


def doubled():
    def function(images):
        return images * 2.0

    return function


def tripled():
    def function(images):
        return images * 3.0

    return function


def subtracted(position):
    """A frozen convolution of images minus a large constant that is 5 in one place."""
    constant = np.zeros((40, 40, 3), np.float32)
    constant[position] = 5
    return model(lambda images: convolution()(images - constant), size=(40, 40))


def two_heads(order):
    """Two convolutions in a row, both seen by the head, which looks at them in this order."""

    def base(images):
        first = convolve_same(images)
        return [first, convolve_same(first)]

    def head(pair):
        return layers.Add()([layers.Dense(2)(pair[index]) for index in order])

    return model(base, head=head)


def inner_dtype(policy):
    def base(images):
        return frozen(layers.Conv2D(3, 3, padding="same", dtype="float32"))(
            frozen(layers.Conv2D(3, 3, padding="same", dtype=policy))(images)
        )

    return model(base)


DIFFERENT = {
    "the configuration of a layer": [
        lambda: model(convolution()),
        lambda: model(convolution(activation="relu")),
        lambda: model(convolution(strides=2)),
    ],
    "the kind of a layer": [
        lambda: model(lambda images: layers.MaxPooling2D(2)(convolve_same(images))),
        lambda: model(lambda images: layers.AveragePooling2D(2)(convolve_same(images))),
    ],
    "the size of the images": [lambda: model(convolution()), lambda: model(convolution(), size=(9, 9))],
    "the initial weights": [lambda: model(convolution()), lambda: model(convolution(), seed=1)],
    "the order of arguments": [
        lambda: model(lambda images: 1.0 - convolve_same(images)),
        lambda: model(lambda images: convolve_same(images) - 1.0),
    ],
    "the place of a constant": [
        lambda: model(lambda images: keras.ops.where(convolve_same(images) > 0, images, 0.0)),
        lambda: model(lambda images: keras.ops.where(convolve_same(images) > 0, 0.0, images)),
    ],
    "a number": [
        lambda: model(lambda images: convolve_same(images) * 2.0),
        lambda: model(lambda images: convolve_same(images) * 2.0000001),
    ],
    "one number of a large constant": [lambda: subtracted((20, 19, 1)), lambda: subtracted((20, 20, 1))],
    "which tensor goes where": [
        lambda: model(lambda images: convolve_same(images) - images),
        lambda: model(lambda images: images - convolve_same(images)),
    ],
    "the order of what crosses": [lambda: two_heads([0, 1]), lambda: two_heads([1, 0])],
    "the dtype policy of an inner layer": [lambda: inner_dtype("float32"), lambda: inner_dtype("mixed_bfloat16")],
    "the function of a Lambda": [lambda: build_lambda(doubled()), lambda: build_lambda(tripled())],
    "what the function of a Lambda holds": [lambda: build_lambda(scaler(2.0)), lambda: build_lambda(scaler(3.0))],
    "the function of an activation": [
        lambda: model(convolution(activation=doubled())),
        lambda: model(convolution(activation=tripled())),
    ],
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_prefixes_that_may_answer_differently_are_different(what):
    prints = [fingerprint(build()) for build in DIFFERENT[what]]
    assert all(one != other for one, other in itertools.combinations(prints, 2))
    assert [fingerprint(build()) for build in DIFFERENT[what]] == prints


# -- layers that do not come with Keras ------------------------------------------------------------------------

CUSTOM = """
import keras

class Parent(keras.layers.Layer):
    offset = {offset}

class Scale(Parent):
    def call(self, images):
        return images * {factor} + self.offset
"""


def custom_layer(tmp_path, monkeypatch, **values):
    """The class of a layer from a file of its own, with these values in its code."""
    path = tmp_path / f"custom-{len(list(tmp_path.iterdir()))}.py"
    path.write_text(CUSTOM.format(**values))
    spec = importlib.util.spec_from_file_location("custom_layers", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "custom_layers", module)
    spec.loader.exec_module(module)
    return module.Scale


def test_the_source_of_a_custom_layer_and_of_its_parents_counts(tmp_path, monkeypatch):
    def of(**values):
        kind = custom_layer(tmp_path, monkeypatch, **{"factor": 2, "offset": 0, **values})
        return fingerprint(model(lambda images: frozen(kind())(convolve_same(images))))

    plain = of()
    assert of() == plain
    assert of(factor=3) != plain
    assert of(offset=1) != plain


def test_a_custom_layer_without_source_counts_by_what_it_does():
    """Classes of a notebook or a prompt have no source that Python could show."""

    def of(factor, blank_lines=0):
        names = {"__name__": "__main__"}
        exec("\n" * blank_lines + CUSTOM.format(factor=factor, offset=0), names)
        return fingerprint(model(lambda images: frozen(names["Scale"]())(convolve_same(images))))

    assert of(2) == of(2)
    assert of(2, blank_lines=5) == of(2)
    assert of(3) != of(2)


def test_a_function_that_holds_itself_is_described():
    def make(depth):
        def twice(images, left=depth):
            return images if left == 0 else twice(images * 2.0, left - 1)

        return twice

    assert fingerprint(build_lambda(make(1))) == fingerprint(build_lambda(make(1)))
    assert fingerprint(build_lambda(make(1))) != fingerprint(build_lambda(make(2)))


# -- weights ---------------------------------------------------------------------------------------------------


def test_weights_are_told_apart_by_value_shape_dtype_and_order():
    ones = np.ones((2, 3), np.float32)
    prints = [
        digest_weights([]),
        digest_weights([ones]),
        digest_weights([ones.T]),
        digest_weights([ones.astype(np.float64)]),
        digest_weights([ones, 2 * ones]),
        digest_weights([2 * ones, ones]),
        digest_weights([-ones]),
    ]
    assert len(set(prints)) == len(prints)
    assert digest_weights([keras.Variable(ones)]) == digest_weights([ones])
    assert len(prints[0]) == 64


# -- the images ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(image_folder):
    return image_folder()


def features_of(folder, augment=None, prefix=PREFIX, engine=ENGINE, **arguments):
    source = ImageFolder(folder, **{"image_size": (8, 8), "seed": 1, **arguments})
    return digest_description(describe_features(prefix, source.augment(**augment) if augment else source, engine))


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": (8, 9)},
        {"color_mode": "grayscale"},
        {"interpolation": "nearest"},
        {"augment": {"rotation_range": 10}},
        {"prefix": {"calls": "abd"}},
        {"engine": {"name": "keras", "batch": 64}},
        {"engine": {"name": "other", "batch": 32}},
    ],
)
def test_whatever_changes_features_changes_their_fingerprint(folder, change):
    assert features_of(folder, **change) != features_of(folder)


@pytest.mark.parametrize("change", [{"batch_size": 5}, {"label_mode": "sparse"}, {"classes": ["class1", "class0"]}])
def test_what_does_not_change_features_does_not_change_their_fingerprint(folder, change):
    assert features_of(folder, **change) == features_of(folder)


def test_the_seed_counts_only_where_something_is_drawn(folder):
    assert features_of(folder, seed=1) == features_of(folder, seed=2)
    augment = {"rotation_range": 10}
    assert features_of(folder, augment, seed=1) != features_of(folder, augment, seed=2)


@pytest.mark.parametrize("change", [{"rotation_range": 11}, {"zoom_range": 0.1}, {"fill_mode": "wrap"}, {"cval": 3}])
def test_every_value_of_the_augmentation_counts(folder, change):
    augment = {"rotation_range": 10}
    assert features_of(folder, {**augment, **change}) != features_of(folder, augment)
    assert features_of(folder, dict(augment)) == features_of(folder, augment)


def test_the_folder_and_its_names_do_not_count(image_folder):
    assert features_of(image_folder(name="here")) == features_of(image_folder({"x": 1, "y": 1}, name="there"))


def test_the_numeric_profile_names_what_moves_the_last_bits(monkeypatch):
    profile = numeric_profile()
    assert profile["keras"] == keras.__version__
    assert profile["backend"].split()[0] == keras.backend.backend()
    assert "unknown" not in profile["backend"]
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert numeric_profile() != profile


def test_a_row_is_named_by_the_images_digest_and_the_view():
    assert row_key(b"\1" * 32, 258) == b"\1" * 32 + b"\0\0\1\2"


def test_descriptions_are_told_apart_whatever_the_order_of_their_keys():
    assert digest_description({"a": 1, "b": [2]}) == digest_description({"b": [2], "a": 1})
    assert digest_description({"a": 1}) != digest_description({"a": 2})
    assert len(digest_description({})) == 16
