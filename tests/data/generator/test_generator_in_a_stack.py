"""What `ImageDataGenerator.flow_from_directory` gives, in a Stack: the same images, views and answers."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError

pytestmark = pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning")


@pytest.fixture
def folder(image_folder):
    return image_folder(2, count=5)


def flow(folder, arguments=(), **options):
    return tl.ImageDataGenerator(**dict(arguments)).flow_from_directory(
        folder, **{"target_size": (8, 8), "batch_size": 4, "seed": 3, **options}
    )


def test_a_stack_sees_the_same_images_and_views(folder):
    batches = flow(folder, {"rotation_range": 40, "validation_split": 0.2}, subset="training")
    source = batches.source
    assert [str(path) for path in source.paths] == batches.filepaths
    for batch, (images, answers) in zip(source.batches(epoch=0), batches, strict=True):
        np.testing.assert_array_equal(batch.images, images)
        np.testing.assert_array_equal(batch.targets, answers)


def test_a_stack_trains_on_an_iterator(folder):
    generator = tl.ImageDataGenerator(horizontal_flip=True, validation_split=0.2)
    train, val = (
        generator.flow_from_directory(folder, target_size=(8, 8), subset=subset, seed=1)
        for subset in ("training", "validation")
    )
    head = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    stack = tl.Stack([tl.Stage(head, "head", value_range=(0, 1))])
    stack.compile("sgd", "categorical_crossentropy")
    history = stack.fit(train, validation_data=val, epochs=2, verbose=0)
    assert len(history.history["val_loss"]) == 2
    assert stack.predict(val, verbose=0).shape == (2, 2)
    assert np.isfinite(stack.evaluate(val, verbose=0)).all()


def test_what_a_stack_cannot_take_is_refused(folder):
    with pytest.raises(ArgumentError, match=r"scales them itself, by Stage.*Leave rescale out of the ImageDataGen"):
        _ = flow(folder, {"rescale": 1 / 255}).source
    with pytest.raises(ArgumentError, match=r"Only flow_from_directory gives images for a Stack so far"):
        _ = tl.ImageDataGenerator().flow(np.zeros((2, 8, 8, 3), np.uint8)).source
    with pytest.raises(ArgumentError, match=r"class_mode='input' gives no labels for a Stack"):
        _ = flow(folder, class_mode="input").source
    head = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    stack = tl.Stack([tl.Stage(head, "head", value_range=(0, 1))])
    with pytest.raises(ArgumentError, match=r"predict takes images from thawline, .* got ndarray"):
        stack.predict(np.zeros((2, 8, 8, 3), np.uint8))
