"""Idioms of scripts with a generator, only its import changed: Keras' own, ours, and ours with legacy=True."""

import numpy as np
import pandas as pd
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator as KerasGenerator
from PIL import Image

import thawline as tl
from thawline.backend import keras

pytestmark = [
    pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning"),
    # Keras calls SciPy by a name that SciPy is going to drop, and its iterators forget to call super().__init__.
    pytest.mark.filterwarnings("ignore:.*scipy.ndimage.interpolation.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Your `PyDataset` class should call:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*ran out of data:UserWarning"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning"),
    pytest.mark.filterwarnings("ignore:steps_per_epoch is smaller:UserWarning"),
]

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(1, 256, (6, 32, 32, 3)).astype(np.uint8)
MOVES = {"rotation_range": 40, "width_shift_range": 0.1, "zoom_range": 0.2, "horizontal_flip": True}


class Ours(tl.ImageDataGenerator):
    """A generator under its own name, so that a script need not say which it is."""


class Legacy(tl.ImageDataGenerator):
    """The pixels of Keras, for scripts that do not say so."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options, legacy=True)


@pytest.fixture(params=[KerasGenerator, Ours, Legacy], ids=["keras", "default", "legacy"])
def generator(request):
    """The class that a script imports."""
    return request.param


@pytest.fixture
def scene(tmp_path):
    """Five photos and their masks, of one name each, in the folders of the usual segmentation script."""
    for number in range(5):
        pixels = RANDOM.integers(1, 128, (32, 32, 3)).astype(np.uint8)
        pixels[8:20, 5 + number : 25] += 128
        for name, content in (("image", pixels), ("label", (pixels[..., 0] > 127).astype(np.uint8) * 255)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(content).save(tmp_path / name / f"{number}.png")
    return tmp_path


def agreement(images, masks):
    """The share of pixels in which the bright part of an image is its mask."""
    return float(np.mean((images[..., 0] > 127) == (masks[..., 0] > 127)))


def train(data, steps=None, epochs=1, layers=()):
    """Trains the smallest model on batches and counts their steps, as (epoch, images in the step)."""
    counted = []
    model = keras.Sequential(layers or [keras.layers.Conv2D(1, 1)])
    model.compile("sgd", "mse")
    present = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: present.append(epoch),
        on_train_batch_end=lambda batch, logs: counted.append((present[-1], batch)),
    )
    model.fit(data, steps_per_epoch=steps, epochs=epochs, verbose=0, callbacks=[callback])
    return counted


def one_number():
    return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]


# -- images and masks ----------------------------------------------------------------------------------------


def test_images_and_masks_of_one_seed_move_together(generator):
    arguments = {**MOVES, "fill_mode": "constant", "interpolation_order": 0}
    images = generator(**arguments).flow(IMAGES, batch_size=4, seed=3)
    masks = generator(**arguments).flow((IMAGES[..., :1] > 127).astype(np.uint8) * 255, batch_size=4, seed=3)
    # Three passes, and both sizes of batches.
    for image, mask, _ in zip(images, masks, range(6), strict=False):
        assert agreement(image, mask) == 1.0


def pair_of(generator, scene, **options):
    images = generator(**MOVES, interpolation_order=0, **options)
    masks = generator(**MOVES, interpolation_order=0, **options)
    return images, masks


@pytest.mark.parametrize("kind", ["flow_from_directory", "flow_from_dataframe"])
@pytest.mark.parametrize("split", [0.0, 0.4])
def test_files_and_masks_of_one_seed_move_together(generator, scene, kind, split):
    def open_batches(one, name, subset):
        common = {"target_size": (32, 32), "class_mode": None, "batch_size": 2, "seed": 1, "subset": subset}
        if kind == "flow_from_directory":
            return one.flow_from_directory(str(scene), classes=[name], **common)
        table = pd.DataFrame({"filename": [f"{number}.png" for number in range(5)]})
        return one.flow_from_dataframe(table, str(scene / name), y_col=None, **common)

    images, masks = pair_of(generator, scene, validation_split=split)
    for subset in ("training", "validation") if split else (None,):
        pair = zip(open_batches(images, "image", subset), open_batches(masks, "label", subset), strict=False)
        for (image, mask), _ in zip(pair, range(6), strict=False):
            assert agreement(image, mask) == 1.0


def test_the_pair_of_a_segmentation_script_trains_every_step(generator, scene):
    """The generator function of every such script, trained for more epochs than one pass gives."""

    def pairs():
        images, masks = pair_of(generator, scene)
        common = {"target_size": (32, 32), "class_mode": None, "batch_size": 2, "seed": 1}
        both = zip(
            images.flow_from_directory(str(scene), classes=["image"], **common),
            masks.flow_from_directory(str(scene), classes=["label"], color_mode="grayscale", **common),
            strict=False,
        )
        for image, mask in both:
            assert agreement(image, mask) == 1.0
            yield image / 255, (mask > 127).astype(np.float32)

    assert len(train(pairs(), steps=3, epochs=4)) == 12


# -- loops, looks and own datasets ---------------------------------------------------------------------------


def test_a_preview_loop_writes_as_many_copies_as_it_counts(generator, tmp_path):
    arguments = {"batch_size": 1, "save_to_dir": str(tmp_path), "save_prefix": "cat", "save_format": "jpeg", "seed": 4}
    pictures = []
    for batch in generator(**MOVES).flow(IMAGES[:1], **arguments):
        pictures.append(batch[0].tobytes())
        if len(pictures) > 20:
            break
    assert len(set(pictures)) == 21
    assert len(list(tmp_path.iterdir())) == 21


def test_copies_of_several_pictures_fit_into_one_folder(generator, tmp_path):
    """Scripts that augment a data set on disk go through its files and make an iterator for each."""
    for image in IMAGES:
        batches = generator(rotation_range=20).flow(image[None], batch_size=1, save_to_dir=tmp_path, save_prefix="aug")
        for _ in zip(range(4), batches, strict=False):
            pass
    # Keras draws 1 of 10,000 marks for each copy: two may be equal.
    assert len(list(tmp_path.iterdir())) >= 23


def test_looking_at_the_same_batch_shows_the_augmentation(generator):
    batches = generator(rotation_range=45).flow(IMAGES, batch_size=2, shuffle=False)
    assert len({batches[0][0].tobytes() for _ in range(5)}) == 5


class Wrapped(keras.utils.PyDataset):
    """A wrapper as people write it around an iterator, for several inputs or answers of their own."""

    def __init__(self, batches, forwards):
        super().__init__()
        self.batches, self.forwards, self.seen, self.answers = batches, forwards, [], []

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        images, answers = self.batches[index]
        self.seen.append(images.tobytes())
        self.answers.append(answers.tolist())
        return images / 255, answers

    def on_epoch_end(self):
        if self.forwards:
            self.batches.on_epoch_end()


@pytest.mark.parametrize("forwards", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_an_own_dataset_sees_new_views_in_every_epoch(generator, forwards, shuffle):
    batches = generator(rotation_range=40).flow(IMAGES, np.arange(6), batch_size=2, shuffle=shuffle)
    data = Wrapped(batches, forwards)
    model = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(data, epochs=5, verbose=0, shuffle=False)
    # Keras looks at two batches first.
    assert len(set(data.seen)) == len(data.seen) == 17
    epochs = [sorted(np.concatenate(data.answers[2 + 3 * epoch : 5 + 3 * epoch]).tolist()) for epoch in range(5)]
    assert epochs == [list(range(6))] * 5
    orders = {str(data.answers[2 + 3 * epoch : 5 + 3 * epoch]) for epoch in range(5)}
    assert (len(orders) > 1) == (forwards and shuffle)


def test_on_epoch_end_shuffles_whoever_calls_it(generator):
    batches = generator().flow(np.repeat(IMAGES, 5, axis=0), np.arange(30), batch_size=30, seed=2)
    orders = []
    for _ in range(3):
        orders.append(batches[0][1].tolist())
        batches.on_epoch_end()
    assert len({str(order) for order in orders}) == 3
    assert [sorted(order) for order in orders] == [list(range(30))] * 3


def test_names_go_by_batch_index(generator, image_folder):
    folder = image_folder(2, count=3)
    batches = generator().flow_from_directory(
        str(folder), target_size=(8, 8), batch_size=4, shuffle=False, class_mode=None
    )
    names = []
    for place, images in enumerate(batches):
        first = (batches.batch_index - 1) * batches.batch_size if batches.batch_index else 4
        chunk = batches.filenames[first : first + batches.batch_size]
        assert len(chunk) == len(images)
        names += chunk
        if place == 1:
            break
    assert names == batches.filenames


def test_names_go_by_index_array(generator, image_folder):
    folder = image_folder(2, count=3)
    batches = generator().flow_from_directory(str(folder), target_size=(8, 8), batch_size=6, seed=5)
    images, _ = next(batches)
    for image, index in zip(images, batches.index_array, strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(batches.filepaths[index])))


@pytest.mark.parametrize("from_generator", [False, True])
def test_tensorflow_takes_a_loop_without_end(generator, from_generator):
    batches = generator().flow(IMAGES, np.arange(6), batch_size=4)

    def loop():
        for images, answers in batches:
            yield images / 255, answers

    tensorflow = pytest.importorskip("tensorflow")
    signature = (
        tensorflow.TensorSpec((None, 32, 32, 3), tensorflow.float32),
        tensorflow.TensorSpec((None,), tensorflow.float32),
    )
    data = tensorflow.data.Dataset.from_generator(loop, output_signature=signature) if from_generator else loop()
    assert len(train(data, 2, 3, one_number())) == 6


# -- steps ---------------------------------------------------------------------------------------------------


def test_steps_are_those_of_keras(generator):
    batches = generator(horizontal_flip=True).flow(np.repeat(IMAGES, 4, 0)[:22], np.zeros(22), batch_size=8, seed=1)
    steps = train(batches, batches.n // batches.batch_size, 6, one_number())
    assert steps == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (3, 0), (4, 0), (4, 1), (5, 0)]


# -- statistics, subclasses, words ---------------------------------------------------------------------------


def test_the_mean_of_imagenet_is_set_by_hand(generator, image_folder):
    folder = image_folder(2)
    mean = [123.68, 116.779, 103.939]
    datagen = generator(featurewise_center=True)
    datagen.mean = mean
    batches = datagen.flow_from_directory(str(folder), target_size=(8, 8), shuffle=False, batch_size=20)
    pixels = np.stack([np.asarray(Image.open(path)) for path in batches.filepaths])
    np.testing.assert_allclose(next(batches)[0], pixels - np.float32(mean), atol=1e-4)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_statistics_are_read_in_the_shapes_of_keras(generator, data_format):
    images = IMAGES if data_format == "channels_last" else IMAGES.transpose(0, 3, 1, 2)
    datagen = generator(featurewise_center=True, featurewise_std_normalization=True, data_format=data_format)
    assert datagen.mean is None
    datagen.fit(images)
    axes = (0, 1, 2) if data_format == "channels_last" else (0, 2, 3)
    assert datagen.mean.shape == ((1, 1, 3) if data_format == "channels_last" else (3, 1, 1))
    np.testing.assert_allclose(datagen.mean.ravel(), images.mean(axes), rtol=1e-4)
    np.testing.assert_allclose(datagen.std.ravel(), images.std(axes), rtol=1e-4)
    shown = next(datagen.flow(images, batch_size=6, shuffle=False))
    np.testing.assert_allclose(shown, (images - datagen.mean) / (datagen.std + 1e-6), atol=1e-3)


@pytest.mark.parametrize("of_each_value", [False, True])
def test_images_are_standardized_by_what_was_set(generator, of_each_value):
    datagen = generator(featurewise_center=True, featurewise_std_normalization=True)
    datagen.mean, datagen.std = (IMAGES.mean(0), IMAGES.std(0)) if of_each_value else (100.0, 50.0)
    shown = next(datagen.flow(IMAGES, batch_size=6, shuffle=False))
    np.testing.assert_allclose(shown, (IMAGES - datagen.mean) / (datagen.std + 1e-6), rtol=1e-4, atol=1e-4)


def test_fit_may_come_after_flow(generator):
    datagen = generator(featurewise_center=True)
    batches = datagen.flow(IMAGES, batch_size=6, shuffle=False)
    datagen.fit(IMAGES)
    np.testing.assert_allclose(next(batches).mean(axis=(0, 1, 2)), 0, atol=1e-3)


def test_arguments_may_be_set_later(generator):
    datagen = generator()
    batches = datagen.flow(IMAGES, batch_size=6, shuffle=False)
    datagen.rescale = 1 / 255
    np.testing.assert_allclose(next(batches), IMAGES / 255, rtol=1e-5)
    datagen.preprocessing_function = lambda image: 255 - image
    np.testing.assert_allclose(next(batches), (255.0 - IMAGES) / 255, atol=1e-6)


@pytest.mark.parametrize("method", ["apply_transform", "standardize", "get_random_transform"])
def test_methods_of_a_subclass_are_called(generator, method):
    class Mine(generator):
        def apply_transform(self, x, transform_parameters):
            moved = super().apply_transform(x, transform_parameters)
            return moved * 0 + 7 if method == "apply_transform" else moved

        def standardize(self, x):
            return super().standardize(x) * (2 if method == "standardize" else 1)

        def get_random_transform(self, img_shape, seed=None):
            numbers = super().get_random_transform(img_shape, seed)
            return {**numbers, "flip_vertical": True} if method == "get_random_transform" else numbers

    shown = next(Mine().flow(IMAGES, batch_size=6, shuffle=False))
    expected = {"apply_transform": np.full(IMAGES.shape, 7), "standardize": IMAGES * 2.0}
    np.testing.assert_allclose(shown, expected.get(method, IMAGES[:, ::-1]), rtol=1e-6)


def test_a_centred_array_keeps_its_values(generator):
    centred = IMAGES / 255.0
    centred -= centred.mean(0)
    shown = next(generator(horizontal_flip=True).flow(centred, batch_size=6, shuffle=False))
    for image, given in zip(shown, centred.astype(np.float32), strict=True):
        assert any(np.array_equal(image, other) for other in (given, given[:, ::-1]))


@pytest.mark.parametrize("levels", [4096, 65536])
def test_more_than_256_levels_keep_their_values(generator, levels):
    pixels = np.arange(levels - 4096, levels).reshape(1, 64, 64, 1)
    for given in (pixels.astype(np.float32) / (levels - 1), pixels.astype(np.int32)):
        np.testing.assert_allclose(next(generator().flow(given)), given, rtol=1e-6)


def test_one_seed_for_all_repeats_a_generator_without_one(generator):
    def look():
        keras.utils.set_random_seed(5)
        return next(generator(rotation_range=40).flow(IMAGES))

    np.testing.assert_array_equal(look(), look())
    assert not np.array_equal(*(next(generator(rotation_range=40).flow(IMAGES)) for _ in range(2)))


@pytest.mark.parametrize("word", ["has_ext", "sort", "drop_duplicates"])
def test_words_of_older_scripts_are_passed_over(generator, image_folder, word):
    folder = image_folder(2)
    table = pd.DataFrame({"filename": ["class0/000.png", "class1/001.png"], "class": ["a", "b"]})
    with pytest.warns(DeprecationWarning, match=word):
        batches = generator().flow_from_dataframe(table, str(folder), target_size=(8, 8), **{word: True})
    assert batches.n == 2


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "gif", "webp", "ppm"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_copies_are_written_in_every_format(generator, tmp_path, ending):
    if generator is KerasGenerator and ending == "jpg":
        pytest.skip("Keras says jpg where Pillow wants JPEG only with newer Pillows")
    next(generator().flow(IMAGES, batch_size=2, save_to_dir=str(tmp_path), save_format=ending, seed=1))
    paths = list(tmp_path.iterdir())
    assert len(paths) == 2
    assert Image.open(paths[0]).size == (32, 32)


def test_whole_numbers_of_numpy_are_numbers(generator):
    batches = generator().flow(IMAGES, batch_size=np.int64(4), seed=np.int64(3))
    assert [len(next(batches)) for _ in range(2)] == [4, 2]
    assert len(batches[np.int64(1)]) == 2


def test_a_table_without_answers_needs_no_column_of_them(generator, image_folder):
    folder = image_folder(1, count=5)
    table = pd.DataFrame({"filename": [f"class0/{number:03d}.png" for number in range(5)]})
    options = {"y_col": None, "target_size": (8, 8), "batch_size": 3, "shuffle": False}
    test = generator().flow_from_dataframe(table, str(folder), class_mode=None, **options)
    assert next(test).shape == (3, 8, 8, 3)
    same = generator().flow_from_dataframe(table, str(folder), class_mode="input", **options)
    np.testing.assert_array_equal(*next(same))


def test_what_was_found_is_printed(generator, image_folder, capsys):
    folder = image_folder(2, count=9)
    generator().flow_from_directory(str(folder))
    table = pd.DataFrame({"filename": ["class0/000.png", "class1/001.png"], "class": ["a", "b"]})
    generator().flow_from_dataframe(table, str(folder))
    generator().flow_from_dataframe(table, str(folder), class_mode=None, validate_filenames=False)
    assert capsys.readouterr().out.splitlines() == [
        "Found 18 images belonging to 2 classes.",
        "Found 2 validated image filenames belonging to 2 classes.",
        "Found 2 non-validated image filenames.",
    ]


@pytest.mark.filterwarnings("ignore:One class in:UserWarning")
def test_a_folder_of_test_images_is_one_class(generator, image_folder):
    folder = image_folder({"unknown": 4})
    batches = generator().flow_from_directory(str(folder), target_size=(8, 8), shuffle=False)
    assert (batches.samples, batches.class_indices) == (4, {"unknown": 0})
    assert next(batches)[1].tolist() == [[1.0]] * 4
    flat = generator().flow_from_directory(str(folder / "unknown"), classes=["."], class_mode=None, target_size=(8, 8))
    assert flat.samples == 4


@pytest.mark.filterwarnings("ignore:Class folders without images:UserWarning")
def test_empty_class_folders_keep_their_number(generator, image_folder):
    folder = image_folder({"a": 2, "b": 0, "c": 2})
    batches = generator().flow_from_directory(str(folder), target_size=(8, 8), shuffle=False)
    assert batches.class_indices == {"a": 0, "b": 1, "c": 2}
    assert next(batches)[1].argmax(1).tolist() == [0, 0, 2, 2]


# -- the three classic ways of training a stacked model ------------------------------------------------------


@pytest.fixture
def classic(generator, image_folder):
    """The common part of the three scripts: a generator, a base and a second model."""
    folder = image_folder(2, count=11, size=(20, 20))
    datagen = generator(rescale=1.0 / 255, shear_range=0.2, zoom_range=0.2, horizontal_flip=True)
    gen = datagen.flow_from_directory(str(folder), target_size=(16, 16), batch_size=4, class_mode="categorical")
    base = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()]
    )
    second = keras.Sequential(
        [
            keras.Input((base.output_shape[1],)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    return gen, base, second


CHEAP_SHEAR = pytest.mark.filterwarnings("ignore:shear_range is in degrees:UserWarning")


@CHEAP_SHEAR
def test_models_in_series_inside_a_third_one(classic):
    gen, base, second = classic
    inputs = keras.Input((16, 16, 3))
    both = keras.Model(inputs, second(base(inputs)))
    both.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    history = both.fit(gen, epochs=10, steps_per_epoch=gen.n // gen.batch_size, verbose=0)
    assert len(history.history["loss"]) == 10


@CHEAP_SHEAR
def test_features_of_a_loop_that_counts_images(classic):
    gen, base, second = classic
    features, labels = [], []
    for images, answers in gen:
        features.append(base.predict(images, verbose=0))
        labels.append(answers)
        if len(features) * gen.batch_size >= gen.n:
            break
    features, labels = np.concatenate(features), np.concatenate(labels)
    assert features.shape == (22, base.output_shape[1])
    assert labels.sum(0).tolist() == [11, 11]
    second.compile("adam", "categorical_crossentropy")
    assert len(second.fit(features, labels, epochs=10, batch_size=32, verbose=0).history["loss"]) == 10


@CHEAP_SHEAR
def test_a_generator_of_feature_maps(classic):
    gen, base, second = classic

    def maps():
        for images, answers in gen:
            yield base.predict(images, verbose=0), answers

    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    second.compile("adam", "categorical_crossentropy")
    second.fit(maps(), epochs=6, steps_per_epoch=gen.n // gen.batch_size, verbose=0, callbacks=[count])
    assert steps == list(range(5)) * 6


# -- attributes of iterators ---------------------------------------------------------------------------------


def test_a_loop_that_resets_before_a_pass_is_over_sees_all_images_in_time(generator):
    batches, seen = generator().flow(IMAGES, np.arange(6), batch_size=2, seed=3), set()
    for _ in range(12):
        batches.reset()
        for _ in range(2):
            seen |= set(next(batches)[1].tolist())
    assert seen == set(range(6))


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_size_set_later_counts_for_loops(generator, shuffle):
    batches = generator().flow(IMAGES, np.arange(6), batch_size=6, seed=3, shuffle=shuffle)
    batches.batch_size = 4
    passes = [np.concatenate([next(batches)[1] for _ in range(2)]).tolist() for _ in range(3)]
    assert [sorted(answers) for answers in passes] == [list(range(6))] * 3
    assert (passes[0] == list(range(6))) is not shuffle


def test_shuffling_can_be_switched_off_later(generator):
    batches = generator().flow(IMAGES, np.arange(6), batch_size=6, seed=3)
    next(batches)
    batches.shuffle = False
    batches.reset()
    assert next(batches)[1].tolist() == list(range(6))


@pytest.mark.parametrize("subset", ["training", "validation"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_arrays_of_an_iterator_are_those_of_its_subset(generator, subset, kind):
    images = IMAGES.astype(kind) / kind(1 if kind is np.uint8 else 255)
    extra = np.arange(6) + 10
    given = generator(validation_split=0.34).flow(
        (images, extra), np.arange(6) / 2, subset=subset, shuffle=False, ignore_class_split=True, batch_size=6
    )
    (shown, also), answers = given[0]
    assert len(given.x) == len(given.y) == len(given.x_misc[0]) == given.n
    np.testing.assert_array_equal(given.y, answers)
    np.testing.assert_array_equal(given.x_misc[0], also)
    np.testing.assert_allclose(given.x, shown, atol=1e-6)


# -- functions of users --------------------------------------------------------------------------------------


def test_a_function_that_draws_from_numpy_is_repeated_by_its_seed(generator):
    """Cutout and noise are written so; threads would draw in any order."""

    def cut_out(image):
        top, left = np.random.randint(0, 24, 2)
        image[top : top + 8, left : left + 8] = np.random.uniform(0, 255)
        return image

    def look():
        keras.utils.set_random_seed(5)
        batches = generator(preprocessing_function=cut_out).flow(IMAGES, batch_size=6, seed=3)
        return np.stack([next(batches) for _ in range(4)])

    first = look()
    for _ in range(3):
        np.testing.assert_array_equal(look(), first)


def test_a_function_is_called_with_one_image_after_the_other(generator):
    inside, most = [], []

    def count(image):
        inside.append(1)
        most.append(len(inside))
        np.linalg.svd(image[..., 0])
        inside.pop()
        return image

    generator(preprocessing_function=count).flow(np.repeat(IMAGES, 8, 0), batch_size=48)[0]
    assert len(most) == 48
    assert max(most) == 1


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_a_look_at_one_picture_keeps_its_dtype_so_that_it_can_be_shown(generator, dtype):
    """Plotters take uint8 as 0 to 255, and floats as 0 to 1: pixels as floats would all be white."""
    moved = generator(rotation_range=40).random_transform(IMAGES[0].astype(dtype), seed=1)
    assert moved.dtype == dtype
    assert moved.max() > 1
    assert generator(rotation_range=40).random_transform(IMAGES[0] / 255, seed=1).dtype == np.float64
