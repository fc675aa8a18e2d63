"""Sheets of pictures say what they show."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.report.sheets import attention_sheet, augmented_sheet, mistakes_sheet, uncertain_sheet
from thawline.report.value import PicturePair

layers = keras.layers


@pytest.fixture
def source(image_folder):
    """Images 0 to 2 are cats, 3 to 5 dogs."""
    return tl.ImageFolder(image_folder({"cat": 3, "dog": 3}, size=(12, 12)), image_size=(12, 12))


ANSWERS = np.array([[0.9, 0.1], [0.3, 0.7], [0.55, 0.45], [0.2, 0.8], [0.8, 0.2], [0.1, 0.9]])


def captions(sheet):
    return [picture.caption for picture in sheet.pictures]


def test_mistakes_are_shown_with_what_they_are_and_what_they_were_called(source):
    sheet = mistakes_sheet(source, ANSWERS)
    assert captions(sheet) == ["dog/001.png: dog, called cat (80 %)", "cat/001.png: cat, called dog (70 %)"]
    np.testing.assert_array_equal(sheet.pictures[0].pixels, source.image(4))


def test_where_all_is_right_it_says_so(source):
    sheet = mistakes_sheet(source, np.eye(2)[source.known_labels])
    assert sheet.text == "There were none." and not sheet.pictures


def test_uncertain_images_say_how_near_the_next_class_was(source):
    first = captions(uncertain_sheet(source, ANSWERS))[0]
    assert first == "cat/002.png: cat, right (55 %), the next one 10.0 % behind"


def test_clear_answers_are_not_called_uncertain(source):
    sheet = uncertain_sheet(source, ANSWERS)
    assert len(sheet.pictures) == 1 and "less than 30 percentage points apart" in sheet.text
    clear = uncertain_sheet(source, ANSWERS[[0, 1, 0, 3, 4, 5]])
    assert not clear.pictures
    assert clear.text.startswith("There were none: for every held-out image the answer was 30 percentage points or")


def test_augmented_images_are_a_few_views_of_some(source):
    sheet = augmented_sheet(source.augment(horizontal_flip=True))
    assert len(sheet.pictures) == 6 * 4
    assert captions(sheet)[:2] == ["cat/000.png, view 0", "cat/000.png, view 1"]


def test_explained_are_mistakes_and_then_right_answers(source):
    images = keras.Input((12, 12, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(images))
    sheet = attention_sheet(keras.Model(images, layers.Dense(2)(pooled)), source, ANSWERS)
    assert all(isinstance(pair, PicturePair) for pair in sheet.pictures)
    assert captions(sheet) == [
        "dog/001.png: dog, called cat (80 %)",
        "cat/001.png: cat, called dog (70 %)",
        "cat/000.png: cat, right (90 %)",
        "dog/002.png: dog, right (90 %)",
        "dog/000.png: dog, right (80 %)",
        "cat/002.png: cat, right (55 %)",
    ]
    first = sheet.pictures[0]
    np.testing.assert_array_equal(first.left.pixels, source.image(4))
    assert first.right.pixels.shape == (12, 12, 3)


def test_a_stack_without_feature_maps_says_that_it_has_none(source):
    model = keras.Sequential([keras.Input((12, 12, 3)), layers.Flatten(), layers.Dense(2)])
    sheet = attention_sheet(model, source, ANSWERS)
    assert sheet.text.startswith("This is left out. The stack has no feature map") and not sheet.pictures


def test_an_image_that_went_bad_is_left_out(source):
    images = tl.ImageFolder(source.paths[0].parent.parent, image_size=(12, 12), on_error="skip")
    images.paths[4].unlink()
    with pytest.warns(UserWarning, match="went bad"):
        assert captions(mistakes_sheet(images, ANSWERS)) == ["cat/001.png: cat, called dog (70 %)"]
