"""Idioms of scripts with a generator, only its import changed: Keras' own, ours, and ours with legacy=True."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

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
