"""KerasDataset: a source in keras.Model.fit, evaluate and predict, with the order and views of its batches."""

import pickle

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, DataError

TURNED = {"rotation_range": 40, "horizontal_flip": True}


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
    return tl.ImageArrays(pixels, np.arange(10) % 2, batch_size=4, seed=3, label_mode="sparse")


def model():
    keras.utils.set_random_seed(1)
    built = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    built.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    return built


def weights_by_hand(source, epochs, views=None):
    """The weights after training on the batches of a source, one by one."""
    trained = model()
    for epoch in range(epochs):
        for batch in source.batches(epoch, views=views):
            trained.train_on_batch(batch.images, batch.targets, sample_weight=batch.weights)
    return trained.get_weights()


@pytest.mark.parametrize("views", [None, 2])
def test_fit_sees_every_image_once_per_epoch_in_the_order_and_views_of_the_source(images, views):
    source = images.augment(**TURNED)
    trained = model()
    trained.fit(tl.KerasDataset(source, shuffle=True, views=views), epochs=3, shuffle=False, verbose=0)
    for mine, expected in zip(trained.get_weights(), weights_by_hand(source, 3, views), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-7)


def test_sample_weights_go_with_the_images(images):
    source = tl.ImageArrays(
        np.stack([images.image(index) for index in range(10)]),
        images.labels,
        batch_size=4,
        label_mode="sparse",
        sample_weights=np.arange(10),
    )
    trained = model()
    trained.fit(tl.KerasDataset(source, shuffle=True), epochs=2, shuffle=False, verbose=0)
    for mine, expected in zip(trained.get_weights(), weights_by_hand(source, 2), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-7)


def test_predict_and_evaluate_go_in_the_order_of_the_images(images):
    asked, pixels = model(), np.stack([images.image(index) for index in range(10)])
    dataset = tl.KerasDataset(images, shuffle=False)
    np.testing.assert_allclose(
        asked.predict(dataset, verbose=0), asked.predict(pixels, batch_size=4, verbose=0), rtol=1e-5
    )
    expected = asked.evaluate(pixels, images.labels, batch_size=4, verbose=0)
    assert asked.evaluate(dataset, verbose=0) == pytest.approx(expected, rel=1e-5)
    unlabelled = tl.KerasDataset(tl.ImageArrays(pixels, batch_size=4), shuffle=False)
    np.testing.assert_allclose(
        asked.predict(unlabelled, verbose=0), asked.predict(pixels, batch_size=4, verbose=0), rtol=1e-5
    )


def test_images_are_float32_pixels_or_what_the_source_makes_of_them(images):
    pixels = tl.KerasDataset(images, shuffle=False)[0][0]
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[2], images.image(2))
    scaled = tl.KerasDataset(images.augment(rescale=1 / 255), shuffle=False)[0][0]
    np.testing.assert_allclose(scaled, pixels / 255, rtol=1e-6)


def test_an_epoch_counts_only_when_it_began(images):
    dataset = tl.KerasDataset(images.augment(**TURNED), shuffle=False)
    first = dataset[0][0]
    dataset.on_epoch_end()
    np.testing.assert_array_equal(dataset[0][0], first)
    dataset.on_epoch_begin()
    dataset.on_epoch_end()
    assert dataset.epoch == 1
    assert not np.array_equal(dataset[0][0], first)
    dataset.epoch = 0
    np.testing.assert_array_equal(dataset[-3][0], first)


def test_a_dataset_goes_on_after_pickling(images):
    dataset = tl.KerasDataset(images.augment(**TURNED), shuffle=True)
    dataset.epoch = 2
    other = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    for batch, expected in zip(other, dataset, strict=True):
        np.testing.assert_array_equal(batch[0], expected[0])
        np.testing.assert_array_equal(batch[1], expected[1])


def test_a_batch_that_is_not_there_is_refused(images):
    with pytest.raises(ArgumentError, match="There are 3 batches, 0 to 2; got 3"):
        _ = tl.KerasDataset(images, shuffle=True)[3]


def test_bad_images_are_left_out_and_a_batch_without_any_is_an_error(image_folder):
    folder = image_folder({"a": 2, "b": 2})
    dataset = tl.KerasDataset(tl.ImageFolder(folder, image_size=(8, 8), batch_size=2, on_error="skip"), shuffle=False)
    (folder / "a" / "000.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="went bad and is left out"):
        assert len(dataset[0][0]) == len(dataset[0][1]) == 1
    (folder / "a" / "001.png").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="went bad and is left out"),
        pytest.raises(DataError, match="None of 2 images can be used any more"),
    ):
        _ = dataset[0]


def test_what_is_no_source_is_refused(images):
    with pytest.raises(
        ArgumentError, match=r"KerasDataset takes a source, like tl\.ImageFolder\('flowers'\); got list"
    ):
        tl.KerasDataset([1], shuffle=True)
    with pytest.raises(ArgumentError, match="views is a whole number from 1 up; got 0"):
        tl.KerasDataset(images, shuffle=True, views=0)


@pytest.mark.parametrize(
    "give",
    [
        lambda asked, images: asked.fit(images),
        lambda asked, images: asked.fit(images, validation_split=0.2),
        lambda asked, images: asked.fit(tl.KerasDataset(images, shuffle=True), validation_data=images, verbose=0),
        lambda asked, images: asked.evaluate(images),
        lambda asked, images: asked.predict(images),
        lambda asked, images: asked.train_on_batch(images),
        lambda asked, images: np.asarray(images),
    ],
)
def test_a_source_itself_says_what_keras_takes(images, give):
    with pytest.raises(ArgumentError) as caught:
        give(model(), images)
    assert str(caught.value).startswith(
        "ImageArrays is no array. Give keras.Model.fit tl.KerasDataset(images, shuffle=True), evaluate and predict the "
        "same with shuffle=False; Stack.fit takes the images themselves; images.batches() gives arrays batch by batch."
    )
