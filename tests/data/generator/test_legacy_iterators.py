"""Iterators with legacy=True against their oracle: Keras' own, image by image, in the same order."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator as KerasGenerator
from PIL import Image

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, DataError, FolderNotFoundError

pytestmark = [
    # Keras calls SciPy by a name that SciPy is going to drop, and its iterators forget to call super().__init__.
    pytest.mark.filterwarnings("ignore:.*scipy.ndimage.interpolation.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Your `PyDataset` class should call:UserWarning"),
]

EVERYTHING = {
    "rotation_range": 30,
    "width_shift_range": 0.2,
    "height_shift_range": [1, 2],
    "shear_range": 15,
    "zoom_range": 0.3,
    "channel_shift_range": 20,
    "brightness_range": (0.5, 1.5),
    "horizontal_flip": True,
    "rescale": 1 / 255,
}


@pytest.fixture
def untouched():
    """NumPy's global generator is the same before and after."""
    np.random.seed(4)

    def assert_untouched():
        state = np.random.get_state()[1]
        np.testing.assert_array_equal(state, np.random.RandomState(4).get_state()[1])

    return assert_untouched


def both(**arguments):
    return KerasGenerator(**arguments), tl.ImageDataGenerator(**arguments, legacy=True)


def parts(batch):
    return batch if isinstance(batch, tuple) else (batch,)


def assert_same_batches(theirs, ours, untouched, *, epochs=3):
    """The same batches by next(), and then by index as Keras' fit takes them, for some epochs each."""
    assert len(ours) == len(theirs)
    for take in ("next", "index"):
        expected, found = [], []
        for iterator, batches in ((theirs, expected), (ours, found)):
            if iterator is ours:
                np.random.seed(4)
            for _ in range(epochs):
                for index in range(len(theirs)):
                    batches.append(next(iterator) if take == "next" else iterator[index])
                if take == "index":
                    iterator.on_epoch_end()
        untouched()
        for batch, other in zip(expected, found, strict=True):
            for one, two in zip(parts(batch), parts(other), strict=True):
                np.testing.assert_array_equal(two, one)
                assert two.dtype == one.dtype


def test_the_constructor_has_keras_arguments_and_legacy():
    theirs = inspect.signature(KerasGenerator.__init__).parameters
    ours = dict(inspect.signature(tl.ImageDataGenerator.__init__).parameters)
    assert ours.pop("legacy").default is False
    assert {name: parameter.default for name, parameter in ours.items()} == {
        name: parameter.default for name, parameter in theirs.items()
    }
    assert list(ours) == list(theirs)


@pytest.mark.parametrize(
    "method",
    [
        "flow",
        "flow_from_directory",
        "flow_from_dataframe",
        "fit",
        "random_transform",
        "standardize",
        "get_random_transform",
        "apply_transform",
    ],
)
def test_every_method_has_keras_arguments(method):
    theirs = inspect.signature(getattr(KerasGenerator, method)).parameters
    ours = inspect.signature(getattr(tl.ImageDataGenerator, method)).parameters
    assert [(name, parameter.default) for name, parameter in ours.items()] == [
        (name, parameter.default) for name, parameter in theirs.items()
    ]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("seed", [0, 11])
def test_a_folder_gives_keras_files_labels_and_pixels_for_three_epochs(image_folder, untouched, shuffle, seed):
    folder = image_folder(3, count=4, size=(9, 13))
    generators = both(**EVERYTHING)
    options = {"target_size": (8, 10), "batch_size": 5, "seed": seed, "shuffle": shuffle}
    theirs, ours = (generator.flow_from_directory(str(folder), **options) for generator in generators)
    assert ours.filenames == theirs.filenames
    assert ours.filepaths == theirs.filepaths
    assert ours.class_indices == theirs.class_indices
    assert ours.classes.tolist() == theirs.classes.tolist() == ours.labels.tolist()
    for name in ("n", "samples", "num_classes", "batch_size", "image_shape", "seed", "shuffle"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert_same_batches(theirs, ours, untouched)


@pytest.mark.parametrize("subset", ["training", "validation"])
@pytest.mark.parametrize("class_mode", ["categorical", "sparse", "binary", "input", None])
def test_subsets_and_class_modes_are_those_of_keras(image_folder, untouched, subset, class_mode):
    folder = image_folder({"b": 5, "a": 3, "c": 7}, size=(6, 6))
    generators = both(validation_split=0.3, horizontal_flip=True)
    options = {"target_size": (6, 6), "batch_size": 4, "seed": 2, "class_mode": class_mode, "subset": subset}
    theirs, ours = (generator.flow_from_directory(str(folder), **options) for generator in generators)
    assert ours.filenames == theirs.filenames
    assert_same_batches(theirs, ours, untouched, epochs=2)


@pytest.mark.parametrize(
    "options",
    [
        {"color_mode": "grayscale", "interpolation": "bilinear"},
        {"color_mode": "rgba", "interpolation": "lanczos"},
        {"keep_aspect_ratio": True, "interpolation": "bicubic"},
        {"classes": ["class2", "class0"]},
    ],
    ids=str,
)
def test_ways_to_load_are_those_of_keras(image_folder, untouched, options):
    folder = image_folder(3, count=2, size=(11, 17), ending=".jpg")
    generators = both(rotation_range=20)
    theirs, ours = (
        generator.flow_from_directory(str(folder), target_size=(8, 6), seed=1, **options) for generator in generators
    )
    assert ours.filenames == theirs.filenames
    assert ours.class_indices == theirs.class_indices
    assert_same_batches(theirs, ours, untouched, epochs=1)


def test_files_that_keras_lists_and_others_do_not_are_listed(image_folder, untouched):
    folder = image_folder(2, count=2)
    (folder / ".hidden").mkdir()
    (folder / "class0" / "deeper").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "class0" / "deeper" / "a.ppm")
    Image.new("RGB", (8, 8)).save(folder / "class0" / "notjpg", format="png")
    (folder / "class1" / "notes.txt").write_text("no image")
    theirs, ours = (generator.flow_from_directory(str(folder), seed=0, target_size=(8, 8)) for generator in both())
    assert ours.filenames == theirs.filenames
    assert ours.class_indices == theirs.class_indices == {".hidden": 0, "class0": 1, "class1": 2}
    assert_same_batches(theirs, ours, untouched, epochs=1)


@pytest.mark.parametrize("shape", [(7, 7, 3), (6, 9, 1)], ids=str)
def test_arrays_give_the_bits_of_keras(untouched, shape):
    images = np.random.default_rng(0).integers(0, 256, (11, *shape)).astype(np.uint8)
    answers, weights = np.arange(11) * 2, np.linspace(0, 1, 11)
    theirs, ours = (
        generator.flow(images, answers, batch_size=4, seed=5, sample_weight=weights) for generator in both(**EVERYTHING)
    )
    assert_same_batches(theirs, ours, untouched)


def test_fitted_statistics_reach_the_batches(untouched):
    images = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3)).astype(np.float32)
    arguments = {"featurewise_center": True, "featurewise_std_normalization": True, "rotation_range": 10}
    generators = both(**arguments)
    for generator in generators:
        generator.fit(images, augment=True, rounds=2, seed=3)
    theirs, ours = (generator.flow(images, batch_size=3, seed=1) for generator in generators)
    assert_same_batches(theirs, ours, untouched, epochs=1)


@pytest.mark.parametrize("subset", ["training", "validation"])
def test_subsets_of_arrays_are_those_of_keras(untouched, subset):
    images = np.random.default_rng(0).integers(0, 256, (10, 5, 5, 3))
    answers = np.arange(10) % 2
    theirs, ours = (
        generator.flow(images, answers, batch_size=4, seed=5, subset=subset)
        for generator in both(validation_split=0.4, zoom_range=0.2)
    )
    assert_same_batches(theirs, ours, untouched, epochs=1)
    with pytest.raises(DataError, match=r"other classes than the rest\. Shuffle the arrays"):
        both(validation_split=0.4)[1].flow(images, np.arange(10), subset=subset)


def frame(folder):
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.png"))]
    table = pd.DataFrame({"filename": names, "class": [name.split("/")[0] for name in names]})
    table["both"] = [["class0", "class1"] if index % 2 else ["class2"] for index in range(len(table))]
    table["value"], table["other"] = np.arange(len(table)) / 7.0, np.arange(len(table))
    return table.sample(frac=1, random_state=1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_mode": "sparse", "classes": ["class2", "class0"]},
        {"y_col": "both"},
        {"class_mode": "raw", "y_col": "value", "weight_col": "other"},
        {"class_mode": "raw", "y_col": ["value", "other"]},
        {"class_mode": "input", "subset": "training"},
        {"class_mode": None, "subset": "validation"},
        {"shuffle": False, "subset": "training"},
    ],
    ids=str,
)
def test_a_table_gives_keras_rows_answers_and_pixels(image_folder, untouched, options):
    folder = image_folder(3, count=3)
    table = frame(folder)
    generators = both(rotation_range=20, validation_split=0.3)
    theirs, ours = (
        generator.flow_from_dataframe(table, str(folder), target_size=(8, 8), batch_size=4, seed=6, **options)
        for generator in generators
    )
    assert ours.filenames == theirs.filenames
    assert ours.filepaths == theirs.filepaths
    if options.get("class_mode", "categorical") in ("categorical", "sparse"):
        assert ours.class_indices == theirs.class_indices
        assert ours.classes == theirs.classes
    assert_same_batches(theirs, ours, untouched, epochs=2)


def test_copies_on_disk_are_those_of_keras(image_folder, tmp_path, untouched):
    folder = image_folder(2, count=2)
    iterators = []
    for name, generator in zip(("theirs", "ours"), both(rotation_range=20), strict=True):
        (tmp_path / name).mkdir()
        options = {"save_to_dir": str(tmp_path / name), "save_prefix": "look", "seed": 3, "batch_size": 3}
        iterators.append(generator.flow_from_directory(str(folder), target_size=(8, 8), **options))
    assert_same_batches(*iterators, untouched)
    theirs, ours = (sorted((tmp_path / name).iterdir()) for name in ("theirs", "ours"))
    assert [path.name for path in ours] == [path.name for path in theirs]
    for one, two in zip(theirs, ours, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(two)), np.asarray(Image.open(one)))


def test_single_images_are_those_of_keras(untouched):
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.float32)
    theirs, ours = both(**EVERYTHING)
    numbers = theirs.get_random_transform(image.shape, seed=8)
    expected = theirs.random_transform(image, seed=8)
    np.random.seed(4)
    assert ours.get_random_transform(image.shape, seed=8) == numbers
    np.testing.assert_array_equal(ours.random_transform(image, seed=8), expected)
    np.testing.assert_array_equal(ours.apply_transform(image, numbers), expected)
    np.testing.assert_array_equal(ours.standardize(image.copy()), theirs.standardize(image.copy()))
    ours.random_transform(image)
    untouched()


def test_a_model_learns_the_same_from_both(image_folder):
    folder = image_folder(2, count=5)
    losses = []
    for generator in both(**EVERYTHING):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
        model.compile("sgd", "categorical_crossentropy")
        train = generator.flow_from_directory(str(folder), target_size=(8, 8), batch_size=4, seed=9)
        losses.append(model.fit(train, epochs=3, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_for_never_ends_as_in_keras(image_folder):
    folder = image_folder(2, count=2)
    batches = tl.ImageDataGenerator(legacy=True).flow_from_directory(folder, target_size=(8, 8), batch_size=3)
    assert [len(images) for (images, _), _ in zip(batches, range(5), strict=False)] == [3, 1, 3, 1, 3]


def test_without_a_seed_draws_are_fresh_and_leave_the_global_generator_alone(untouched):
    images = np.zeros((40, 4, 4, 3))
    generator = tl.ImageDataGenerator(legacy=True)
    orders = [next(generator.flow(images, np.arange(40), batch_size=40))[1].tolist() for _ in range(2)]
    assert orders[0] != orders[1]
    untouched()


def test_an_iterator_goes_on_after_pickling(image_folder):
    batches = tl.ImageDataGenerator(legacy=True, rotation_range=9).flow_from_directory(
        image_folder(2, count=3), target_size=(8, 8), batch_size=4, seed=1
    )
    next(batches)
    other = pickle.loads(pickle.dumps(batches))  # noqa: S301
    for _ in range(3):
        np.testing.assert_array_equal(next(other)[0], next(batches)[0])


def test_a_stack_refuses_legacy_draws(image_folder):
    batches = tl.ImageDataGenerator(legacy=True).flow_from_directory(image_folder(2))
    with pytest.raises(ArgumentError, match=r"legacy=True draws depend on the order of the calls\. Use ImageDataGener"):
        _ = batches.source


def test_what_cannot_be_listed_is_refused(image_folder, tmp_path):
    generator = tl.ImageDataGenerator(legacy=True)
    with pytest.raises(FolderNotFoundError, match=r"The folder of images '.*nowhere' does not exist"):
        generator.flow_from_directory(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="subset is one of 'training', 'validation', None; got 'test'"):
        generator.flow_from_directory(image_folder(2), subset="test")
