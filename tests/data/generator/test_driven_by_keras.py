"""Iterators in `keras.Model.fit`: what is trained on does not depend on threads, looks, and what Keras reads ahead."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import DataError

pytestmark = [
    pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning"),
    pytest.mark.filterwarnings("ignore:.*ran out of data:UserWarning"),
]

IMAGES = np.random.default_rng(5).integers(0, 256, (22, 6, 6, 3)).astype(np.uint8)


class Seen(keras.layers.Layer):
    """Keeps the images of every step that a model is trained on."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def call(self, inputs, training=False):
        if training:
            self.steps.append(keras.ops.convert_to_numpy(inputs))
        return inputs


def trained_on(batches, *, callbacks=(), **options):
    """The images of each step, in order."""
    seen = Seen()
    model = keras.Sequential([keras.Input((6, 6, 3)), seen, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(batches, verbose=0, shuffle=False, callbacks=list(callbacks), **options)
    return seen.steps


def open_batches(workers=1):
    generator = tl.ImageDataGenerator(rotation_range=40, horizontal_flip=True, rescale=1 / 255)
    batches = generator.flow(IMAGES, np.zeros(22), batch_size=4, seed=9)
    batches.workers = workers
    return batches


def assert_equal_steps(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:steps_per_epoch is smaller:UserWarning")
@pytest.mark.parametrize("steps", [None, 5, 4, 2])
def test_workers_change_no_pixel(steps):
    options = {"epochs": 5, "steps_per_epoch": steps}
    assert_equal_steps(trained_on(open_batches(4), **options), trained_on(open_batches(1), **options))


def test_every_epoch_shows_new_views_of_every_image_in_a_new_order():
    steps = trained_on(open_batches(), epochs=3)
    epochs = [np.concatenate(steps[start : start + 6]) for start in (0, 6, 12)]
    assert [len(epoch) for epoch in epochs] == [22] * 3
    assert len({image.tobytes() for epoch in epochs for image in epoch}) == 66


def test_the_view_of_an_epoch_is_its_number():
    batches = open_batches()
    steps = trained_on(batches, epochs=2)
    assert batches.epoch == 2
    expected = open_batches()
    for epoch in range(2):
        expected.epoch = epoch
        expected.on_epoch_begin()
        assert_equal_steps(steps[6 * epoch : 6 * epoch + 6], [expected[index][0] for index in range(6)])


def test_looks_before_and_while_keras_trains_change_no_pixel():
    expected = trained_on(open_batches(), epochs=2)
    batches = open_batches()
    for _ in range(3):
        batches[0], next(batches)
    look = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches[1])
    assert_equal_steps(trained_on(batches, epochs=2, callbacks=[look]), expected)


def test_a_training_that_was_stopped_in_an_epoch_begins_that_epoch_again():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                raise KeyboardInterrupt

    batches = open_batches()
    with pytest.raises(KeyboardInterrupt):
        trained_on(batches, callbacks=[Stop()])
    assert_equal_steps(trained_on(batches, epochs=2), trained_on(open_batches(), epochs=2))


def test_fewer_steps_than_batches_are_warned_of_once():
    with pytest.warns(UserWarning) as told:
        trained_on(open_batches(), epochs=6, steps_per_epoch=22 // 4)
    ours = [str(warning.message) for warning in told if "steps_per_epoch is smaller" in str(warning.message)]
    assert ours == [
        "steps_per_epoch is smaller than the 6 batches of these 22 images: Keras 3 gives what an epoch leaves to the "
        "next one, which then may end early. Leave steps_per_epoch out, and every epoch has all 6 batches."
    ]


@pytest.mark.filterwarnings("error")
def test_steps_of_evaluation_and_validation_are_nobodys_fault():
    batches, model = open_batches(), keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(open_batches(), validation_data=batches, validation_steps=5, epochs=3, verbose=0)
    for _ in range(2):
        model.evaluate(batches, steps=5, verbose=0)
        model.predict(batches, steps=5, verbose=0)


def test_text_is_refused_before_keras_sees_it():
    batches = tl.ImageDataGenerator().flow(IMAGES[:2], np.array(["cat", "dog"]))
    assert batches[0][1].tolist() == ["cat", "dog"] or batches[0][1].tolist() == ["dog", "cat"]
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(
        DataError, match=r"y holds 'cat'; Keras learns numbers\. For classes by name use flow_from_data"
    ):
        model.fit(batches, verbose=0)


def test_outputs_by_name_and_in_a_list_train():
    inputs = keras.Input((6, 6, 3))
    flat = keras.layers.Flatten()(inputs)
    named = {"kind": np.arange(22) % 2, "size": np.linspace(0, 1, 22)[:, None]}
    outputs = {name: keras.layers.Dense(1, name=name)(flat) for name in named}
    for answers, given in ((named, outputs), (list(named.values()), list(outputs.values()))):
        batches = tl.ImageDataGenerator(rescale=1 / 255).flow(IMAGES, answers, batch_size=4, seed=1)
        images, targets = batches[0]
        parts = targets if isinstance(targets, tuple) else tuple(targets[name] for name in named)
        for image, kind, size in zip(images, *parts, strict=True):
            place = int(np.flatnonzero(np.isclose(image * 255, IMAGES).all(axis=(1, 2, 3)))[0])
            assert (kind, size.tolist()) == (named["kind"][place], named["size"][place].tolist())
        model = keras.Model(inputs, given)
        model.compile("sgd", ["mse", "mse"] if isinstance(given, list) else {"kind": "mse", "size": "mse"})
        assert np.isfinite(model.fit(batches, verbose=0).history["loss"]).all()


def test_predictions_of_a_shuffled_iterator_find_their_images_by_index_array():
    batches = tl.ImageDataGenerator().flow(IMAGES, batch_size=4, seed=1)
    model = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.GlobalAveragePooling2D()])
    for _ in range(2):
        answers = model.predict(batches, verbose=0)
        np.testing.assert_allclose(answers, IMAGES.mean(axis=(1, 2))[batches.index_array], rtol=1e-5)
