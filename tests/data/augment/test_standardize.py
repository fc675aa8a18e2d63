"""From pixels to a model's input, against Keras' own ImageDataGenerator and NumPy."""

import json
import warnings

import numpy as np
import pytest

from thawline.backend import keras
from thawline.data.augment import Augmentation, Draw, Statistics
from thawline.errors import ArgumentError, DataError

RANDOM = np.random.default_rng(2)
IMAGES = RANDOM.integers(0, 256, (300, 4, 5, 3), dtype=np.uint8)
FITTED = ("featurewise_center", "featurewise_std_normalization", "zca_whitening")


def keras_generator(**arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from keras.src.legacy.preprocessing.image import ImageDataGenerator  # noqa: PLC0415

        return ImageDataGenerator(**arguments)


def halve(image):
    return image / 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"rescale": 1 / 255},
        {"preprocessing_function": halve},
        {"samplewise_center": True},
        {"samplewise_std_normalization": True},
        {"rescale": 1 / 127.5, "samplewise_std_normalization": True},
        {"featurewise_center": True},
        {"featurewise_std_normalization": True},
        {"rescale": 1 / 255, "featurewise_std_normalization": True},
        {"rescale": 1 / 255, "zca_whitening": True, "zca_epsilon": 1e-3},
    ],
)
def test_values_are_those_of_keras(arguments):
    generator = keras_generator(**arguments)
    if set(arguments) & set(FITTED):
        generator.fit(IMAGES.astype("float32"))
    expected = generator.standardize(IMAGES[0].astype("float32").copy())
    found = Augmentation(**arguments).fit(IMAGES).apply(IMAGES[0], Draw())
    assert found.dtype == np.float32 and found.shape == IMAGES[0].shape
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def test_statistics_see_what_is_used():
    """Keras' fit rescales, but never calls the function nor centres samples."""
    fitted = Augmentation(preprocessing_function=halve, featurewise_std_normalization=True).fit(IMAGES)
    np.testing.assert_allclose(fitted.statistics.mean, (IMAGES / 2).mean((0, 1, 2)), rtol=1e-5)
    standardized = np.stack([fitted.apply(image, Draw()) for image in IMAGES])
    np.testing.assert_allclose(standardized.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(standardized.std((0, 1, 2)), 1, atol=1e-4)


def test_whitened_images_are_uncorrelated():
    fitted = Augmentation(zca_whitening=True).fit(IMAGES)
    white = np.stack([fitted.apply(image, Draw()).ravel() for image in IMAGES])
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(60), atol=1e-3)


def test_without_standardizing_pixels_stay_uint8_and_with_it_ranges_are_known_or_not():
    def described(**arguments):
        augmentation = Augmentation(**arguments)
        return augmentation.output_dtype, augmentation.value_range

    assert described(rotation_range=5, noise_range=3) == ("uint8", (0, 255))
    assert described(rescale=2.0) == ("float32", (0, 510))
    assert described(rescale=-1.0) == ("float32", (-255, 0))
    for name in ("samplewise_center", "samplewise_std_normalization", *FITTED):
        assert described(**{name: True}) == ("float32", None)
    assert described(preprocessing_function=halve) == ("float32", None)


def test_what_preprocessing_functions_do_to_their_array_stays_theirs():
    image = IMAGES[0].copy()
    found = Augmentation(preprocessing_function=keras.applications.mobilenet_v2.preprocess_input).apply(image, Draw())
    np.testing.assert_array_equal(image, IMAGES[0])
    np.testing.assert_allclose(found, IMAGES[0] / 127.5 - 1, atol=1e-6)


def test_chance_and_scaling_are_told_apart():
    both = Augmentation(rotation_range=5, rescale=0.5, fill_mode="wrap")
    assert both.is_random and not both.is_identity
    assert both.without_chance() == Augmentation(rescale=0.5)
    assert not Augmentation(rescale=0.5).is_random and not Augmentation(rescale=0.5).is_identity
    assert Augmentation(rotation_range=5).without_chance().is_identity
    assert Augmentation(functions=[lambda image, rng: image]).is_random


def test_equal_statistics_are_equal_and_part_of_the_identity():
    plain = Augmentation(featurewise_center=True)
    assert plain.fit(IMAGES) == plain.fit(IMAGES) != plain
    identities = [each.identity() for each in (plain, plain.fit(IMAGES), plain.fit(IMAGES[:50]))]
    assert len({json.dumps(each) for each in identities}) == 3
    assert len({plain.fit(IMAGES).statistics, plain.fit(IMAGES).statistics}) == 1


def test_functions_enter_the_identity_by_their_code():
    def identity(**arguments):
        return json.dumps(Augmentation(**arguments).identity())

    def by(factor):
        return lambda image, rng: image * np.uint8(factor)

    assert identity(functions=[by(2)]) == identity(functions=[by(2)]) != identity(functions=[by(3)])
    assert identity(functions=[by(2), by(3)]) != identity(functions=[by(3), by(2)])
    assert identity(preprocessing_function=halve) != identity(preprocessing_function=lambda image: image / 3)


@pytest.mark.parametrize("name", FITTED)
def test_statistics_that_were_not_measured_are_an_error(name):
    with pytest.raises(ArgumentError, match=f"{name} needs statistics of the training images. Call fit"):
        Augmentation(**{name: True}).apply(IMAGES[0], Draw())


def test_statistics_without_a_whitening_matrix_do_not_whiten():
    statistics = Augmentation(featurewise_center=True).fit(IMAGES).statistics
    with pytest.raises(ArgumentError, match="zca_whitening needs statistics"):
        Augmentation(zca_whitening=True, statistics=statistics).apply(IMAGES[0], Draw())


def test_whitening_large_images_is_refused_with_the_size():
    with pytest.raises(ArgumentError, match=r"150 x 150 x 3 .* 67,500 x 67,500 numbers, 18.2 GB"):
        Augmentation(zca_whitening=True).fit(np.zeros((1, 150, 150, 3), np.uint8))


def test_whitening_images_of_another_size_is_refused():
    fitted = Augmentation(zca_whitening=True).fit(IMAGES)
    with pytest.raises(DataError, match=r"fitted on images of 60 values; this one is \(2, 5, 3\) with 30"):
        fitted.apply(IMAGES[0][:2], Draw())


def test_whitening_takes_the_place_of_the_deviation_as_in_keras():
    with pytest.warns(UserWarning, match="zca_whitening takes the place of featurewise_std_normalization"):
        both = Augmentation(zca_whitening=True, featurewise_std_normalization=True)
    assert both == Augmentation(zca_whitening=True)


def test_fitting_on_nothing_or_on_several_sizes_is_refused():
    with pytest.raises(DataError, match=r"fit\(\) got no images"):
        Augmentation(featurewise_center=True).fit([])
    with pytest.raises(DataError, match=r"image 0 is \(4, 5, 3\), image 1 is \(2, 5, 3\)"):
        Augmentation(featurewise_center=True).fit([IMAGES[0], IMAGES[0][:2]])


@pytest.mark.parametrize(
    ("function", "came"),
    [(lambda image: image[..., 0], r"float32 \(4, 5\)"), (str, r"<U\d+ \(\)"), (lambda image: None, r"object \(\)")],
)
def test_preprocessing_functions_that_give_no_such_image_are_named(function, came):
    with pytest.raises(
        DataError, match=rf"expects to give numbers of shape \(4, 5, 3\), as it got them, but gave {came}"
    ):
        Augmentation(preprocessing_function=function).apply(IMAGES[0], Draw())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rescale": float("inf")}, "rescale is a finite number; got inf"),
        ({"preprocessing_function": 3}, "preprocessing_function is a function image -> image; got 3"),
        ({"zca_epsilon": -1}, "zca_epsilon is a number from 0 up; got -1"),
        ({"statistics": 3}, "statistics are what fit.images. measured, a Statistics; got int"),
    ],
)
def test_values_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Augmentation(**arguments)


def test_rescale_beside_a_function_takes_what_keeps_pixels_and_refuses_what_scales():
    given = Augmentation(rescale=0.5, preprocessing_function=halve).apply(IMAGES[0], Draw())
    np.testing.assert_allclose(given, IMAGES[0] / 4)
    tenth = Augmentation(rescale=0.5, preprocessing_function=lambda image: image / 255)
    with pytest.raises(
        ArgumentError, match=r"exclude each other here: .* from 0 to 1 of pixels from 0 to 255, and the"
    ):
        tenth.apply(IMAGES[0], Draw())


def test_statistics_are_not_equal_to_something_else():
    assert Statistics(np.zeros(3), np.zeros(3)) != 3
