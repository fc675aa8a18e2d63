"""What is exported takes pixels as bytes and does inside whatever the training did outside of the stack."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.data.reading import as_augmentation, as_decoding, describe_reading
from thawline.data.sources.arrays import ImageArrays
from thawline.errors import ArgumentError, ExportError
from thawline.export.servable import make_servable
from tiny_stack import pictures, reading, tiny_stack


def answers(servable, images):
    (given,) = servable.answers(images).values()
    return keras.ops.convert_to_numpy(given)


def test_pixels_as_bytes_give_what_the_stack_gives():
    stack = tiny_stack()
    servable = make_servable(stack, reading())
    expected = stack.model(pictures().astype(np.float32), training=False)
    np.testing.assert_array_equal(answers(servable, pictures()), expected)
    assert servable.names == ("probabilities",)
    assert servable.model.inputs[0].dtype == "uint8"


@pytest.mark.parametrize(
    "steps",
    [
        {"rescale": 1 / 255},
        {"samplewise_center": True},
        {"samplewise_std_normalization": True, "rescale": 1 / 127},
        {"featurewise_center": True},
        {"featurewise_std_normalization": True, "samplewise_center": True},
    ],
    ids=lambda steps: " ".join(steps),
)
def test_what_a_source_does_to_every_image_is_inside(steps):
    statistics = tl.Augmentation(**steps).fit(pictures().astype(np.float32)).statistics
    source = ImageArrays(pictures()).augment(rotation_range=40, statistics=statistics, **steps)
    stack = tiny_stack(value_range=None)
    written = describe_reading(source)
    shown = source.unaugmented().augmentation
    expected = stack.model(np.stack([shown.standardize(picture) for picture in pictures()]), training=False)
    given = answers(make_servable(stack, written), pictures())
    np.testing.assert_allclose(given, expected, atol=2e-6)
    np.testing.assert_array_equal(as_augmentation(written).standardize(pictures()[0]), shown.standardize(pictures()[0]))


def test_python_code_in_front_of_the_stack_is_refused():
    source = ImageArrays(pictures()).augment(preprocessing_function=lambda image: image / 2)
    with pytest.raises(ExportError, match=r"preprocessing_function, which is Python code .* Make it a layer"):
        make_servable(tiny_stack(value_range=None), describe_reading(source))


def test_images_of_another_size_are_refused():
    with pytest.raises(ArgumentError, match=r"takes images of \(12, 10, 3\), but they are read as \(8, 8, 3\)"):
        make_servable(tiny_stack(), reading(image_size=[8, 8]))


def test_several_outputs_keep_their_names():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 10, 3))
    flat = keras.layers.Flatten()(inputs)
    outputs = {"kind": keras.layers.Dense(2, "softmax")(flat), "age": keras.layers.Dense(1)(flat)}
    stack = tl.Stack([tl.Stage(keras.Model(inputs, outputs), "both", value_range=(0, 1))])
    servable = make_servable(stack, reading())
    expected = stack.model(pictures().astype(np.float32), training=False)
    given = servable.answers(pictures())
    assert [output["name"] for output in servable.outputs()] == ["age", "kind"] == list(given)
    for name in given:
        np.testing.assert_array_equal(given[name], expected[name])


def test_a_reading_survives_saving(tmp_path):
    stack = tiny_stack()
    stack.reading = reading(resize="pad")
    stack.save(tmp_path / "stack.keras")
    loaded = tl.load(tmp_path / "stack.keras")
    assert loaded.reading == stack.reading
    assert as_decoding(loaded.reading).resize == "pad"


def test_a_reading_that_lacks_a_word_is_refused():
    with pytest.raises(ArgumentError, match="'resize' is missing"):
        as_decoding({word: value for word, value in reading().items() if word != "resize"})
