"""Words of Keras' loaders in sources: taken where they mean the same, else answered with what stands for them."""

import numpy as np
import pandas as pd
import pytest

from thawline.backend import keras
from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.files import ImageFiles
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.frame import ImageFrame
from thawline.data.sources.holder import is_shuffled
from thawline.errors import ArgumentError

SIZE = {"image_size": (8, 8)}


@pytest.fixture
def folder(image_folder):
    return image_folder({"a": 2, "b": 3}, size=(8, 12))


def by_keras(folder, **words):
    """Loads one batch by Keras' loader with the same words: images and labels, unshuffled."""
    (batch,) = keras.utils.image_dataset_from_directory(
        folder, image_size=(8, 8), shuffle=False, verbose=False, **words
    )
    return batch


def ours(folder, **words):
    (batch,) = ImageFolder(folder, **SIZE, **words).batches(shuffle=False)
    return batch


# -- taken -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        {"label_mode": "int"},
        {"labels": "inferred", "label_mode": "int"},
        {"label_mode": "int", "class_names": ["b", "a"]},
        {"label_mode": "categorical", "class_names": ["b", "a"]},
        {"label_mode": "binary"},
    ],
)
def test_labels_are_those_of_keras(folder, words):
    np.testing.assert_array_equal(ours(folder, **words).targets, by_keras(folder, **words)[1])


@pytest.mark.parametrize("words", [{"labels": None}, {"label_mode": None}, {"labels": None, "label_mode": None}])
def test_without_labels_there_are_none(folder, words):
    assert ours(folder, **words).targets is None
    assert len(by_keras(folder, **words)) == len(ours(folder, **words).images) == 5


def test_images_directly_inside_are_taken_without_labels(image_folder):
    folder = image_folder({"": 3})
    assert len(ours(folder, labels=None).images) == len(by_keras(folder, labels=None)) == 3


@pytest.mark.parametrize(("word", "resize"), [("crop_to_aspect_ratio", "crop"), ("pad_to_aspect_ratio", "pad")])
def test_the_aspect_ratio_is_kept_as_asked(folder, word, resize):
    taken, plain = ImageFolder(folder, **SIZE, **{word: True}), ImageFolder(folder, **SIZE, **{word: False})
    np.testing.assert_array_equal(taken.image(0), ImageFolder(folder, resize=resize, **SIZE).image(0))
    np.testing.assert_array_equal(plain.image(0), ImageFolder(folder, **SIZE).image(0))


def test_words_that_change_nothing_are_passed_over(folder):
    source = ImageFolder(folder, **SIZE, verbose=True, data_format="channels_last", color_mode="rgb", follow_links=True)
    assert source.spec.shape == (None, 8, 8, 3)
    assert source.shuffle


def test_unshuffled_epochs_stay_in_the_order_of_the_images(folder):
    source = ImageFolder(folder, **SIZE, shuffle=False, batch_size=9)
    for same in (source, source.select(range(5)), source.augment(horizontal_flip=True)):
        (batch,) = same.batches(epoch=3)
        assert batch.indices.tolist() == [0, 1, 2, 3, 4]
        assert not is_shuffled(same)
    assert next(iter(source.batches(epoch=3, shuffle=True))).indices.tolist() != [0, 1, 2, 3, 4]


def test_the_other_sources_take_what_makes_sense_for_them(folder):
    table = pd.DataFrame({"filename": ["a/000.png", "b/000.png"], "class": ["a", "b"]})
    frame = ImageFrame(table, directory=folder, label_mode="int", crop_to_aspect_ratio=True, shuffle=False, **SIZE)
    assert frame.targets(np.arange(2)).tolist() == [0, 1]
    assert frame.pictures.decoding.resize == "crop"
    assert not frame.shuffle
    assert ImageFrame(table, directory=folder, labels=None, **SIZE).target_spec is None
    files = ImageFiles([folder], labels=None, label_mode=None, pad_to_aspect_ratio=True, shuffle=False, **SIZE)
    assert files.pictures.decoding.resize == "pad"
    arrays = ImageArrays(np.zeros((2, 8, 8, 3), np.uint8), [0, 1], label_mode="int", shuffle=False)
    assert arrays.targets(np.arange(2)).tolist() == [0, 1]
    assert ImageArrays(np.zeros((2, 8, 8, 3), np.uint8), [0, 1], label_mode=None).target_spec is None
    several = ImageArrays(np.zeros((2, 8, 8, 3), np.uint8), {"kind": [0, 1]}, label_mode={"kind": "int"})
    assert several.targets(np.arange(2))["kind"].tolist() == [0, 1]


# -- answered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            {"validation_split": 0.3, "subset": "training"},
            "ImageFolder() has no validation_split. Split the source: train, val = "
            "ImageFolder(...).split(validation=0.3). Sides go by content: copies stay together.",
        ),
        (
            {"subset": "validation"},
            "ImageFolder() has no subset. Split the source: train, val = ImageFolder(...).split(validation=0.2). Sides "
            "go by content: copies stay together.",
        ),
        (
            {"labels": [0, 1, 0]},
            "ImageFolder() takes no labels of single files. Give a table of files and labels: "
            "ImageFrame(pandas.DataFrame({'filename': paths, 'class': labels})).",
        ),
        ({"image_sise": (8, 8)}, "ImageFolder() has no argument 'image_sise'. Did you mean 'image_size'?"),
        ({"class_name": ["a"]}, "ImageFolder() has no argument 'class_name'. Did you mean 'class_names'?"),
        ({"target_size": (8, 8)}, "ImageFolder() has no target_size. It is called image_size here."),
        ({"class_mode": "binary"}, "ImageFolder() has no class_mode. It is called label_mode here."),
        (
            {"horizontal_flip": True},
            "ImageFolder() has no horizontal_flip. Augment the source: ImageFolder(...).augment(horizontal_flip=True).",
        ),
        (
            {"data_format": "channels_first"},
            "ImageFolder() gives the channels last; got data_format='channels_first'. Leave it out.",
        ),
        (
            {"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True},
            "pad_to_aspect_ratio=True and crop_to_aspect_ratio= say different things. Give one of them.",
        ),
        (
            {"crop_to_aspect_ratio": True, "resize": "pad"},
            "crop_to_aspect_ratio=True and resize= say different things. Give one of them.",
        ),
        (
            {"class_names": ["a", "b"], "classes": ["b", "a"]},
            "class_names=['a', 'b'] and classes= say different things. Give one of them.",
        ),
        ({"keep_aspect_ratio": True}, "ImageFolder() has no keep_aspect_ratio. Give resize='crop', or 'pad'."),
        (
            {"dtype": "float32"},
            "ImageFolder() has no dtype. Batches are uint8 pixels from 0 to 255, or float32 after "
            "augment(rescale=...).",
        ),
    ],
)
def test_other_words_are_answered_with_what_stands_for_them(folder, words, says):
    with pytest.raises(ArgumentError) as caught:
        ImageFolder(folder, **words)
    assert str(caught.value) == says


def test_a_word_that_is_like_none_is_answered_with_all(folder):
    with pytest.raises(
        ArgumentError, match=r"ImageFolder\(\) has no argument 'zzz'\. It takes directory, image_size, bat"
    ):
        ImageFolder(folder, zzz=1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ImageFiles(["."], seed=3), r"ImageFiles\(\) has no argument 'seed'"),
        (lambda: ImageFiles(["."], class_names=["a"]), r"ImageFiles\(\) has no argument 'class_names'"),
        (
            lambda: ImageFiles(["."], label_mode="int"),
            r"ImageFiles\(\) has no labels; got label_mode='int'\. Use ImageF",
        ),
        (
            lambda: ImageFrame("t.csv", y_col="class"),
            r"ImageFrame\(\) has no y_col\. It is called label_columns here\.",
        ),
        (
            lambda: ImageFrame("t.csv", classes=["a"]),
            r"ImageFrame\(\) has no classes\. It is called class_names here\.",
        ),
        (lambda: ImageFrame("t.csv", sample_weight=1), r"has no sample_weight\. It is called weight_column here\."),
        (lambda: ImageArrays(np.zeros((1, 8, 8, 3)), sample_weight=1), r"It is called sample_weights here\."),
        (
            lambda: ImageArrays(np.zeros((1, 8, 8, 3)), crop_to_aspect_ratio=True),
            r"ImageArrays\(\) has no argument 'crop_",
        ),
        (lambda: ImageArrays(np.zeros((1, 8, 8, 3)), lables=[1]), r"no argument 'lables'\. Did you mean 'labels'\?"),
    ],
)
def test_the_other_sources_answer_too(make, says):
    with pytest.raises(ArgumentError, match=says):
        make()
