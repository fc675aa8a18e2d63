"""ImageDataGenerator in its own meaning: arguments, epochs, subsets, answers, and what Keras' fit sees."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import thawline as tl
from thawline.backend import keras
from thawline.data.generator import differences
from thawline.data.generator.differences import CHANGES, ChangedMeaningWarning, differences_page
from thawline.errors import ArgumentError, DataError

# Its own test looks at it; elsewhere it would come by chance, once per process.
pytestmark = pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning")


def pictures(count=7, shape=(6, 8, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)


def one_pass(batches):
    return [next(batches) for _ in range(len(batches))]


def answers_of(batches):
    return np.concatenate([batch[1] for batch in one_pass(batches)]).tolist()


@pytest.fixture
def folder(image_folder):
    return image_folder(2, count=5)


def flow(folder, arguments=(), **options):
    return tl.ImageDataGenerator(**dict(arguments)).flow_from_directory(
        folder, **{"target_size": (8, 8), "batch_size": 4, "seed": 3, **options}
    )


# -- epochs --------------------------------------------------------------------------------------------------


def test_every_image_comes_once_per_epoch_in_an_order_of_the_seed():
    images, numbers = pictures(7), np.arange(7)
    batches = tl.ImageDataGenerator().flow(images, numbers, batch_size=3, seed=1)
    assert len(batches) == batches.num_batches == 3
    orders = [answers_of(batches) for _ in range(3)]
    assert [sorted(order) for order in orders] == [list(range(7))] * 3
    assert orders[0] != orders[1] != orders[2]
    again = tl.ImageDataGenerator().flow(images, numbers, batch_size=3, seed=1)
    assert [answers_of(again) for _ in range(3)] == orders
    other = tl.ImageDataGenerator().flow(images, numbers, batch_size=3, seed=2)
    assert answers_of(other) != orders[0]


def test_without_shuffle_the_order_stays():
    batches = tl.ImageDataGenerator().flow(pictures(5), np.arange(5), batch_size=2, shuffle=False)
    assert [answers_of(batches) for _ in range(2)] == [[0, 1, 2, 3, 4]] * 2


def test_for_never_ends_and_goes_on_like_next():
    def batches():
        return tl.ImageDataGenerator().flow(pictures(5), np.arange(5), batch_size=2, seed=1)

    stepped, looped = batches(), batches()
    assert [next(stepped)[1].tolist() for _ in range(7)] == [
        batch[1].tolist() for batch, _ in zip(looped, range(7), strict=False)
    ]


def test_reset_makes_next_begin_again_in_the_next_order():
    for shuffle in (False, True):
        batches = tl.ImageDataGenerator().flow(pictures(5), np.arange(5), batch_size=2, seed=1, shuffle=shuffle)
        first = next(batches)[1].tolist()
        batches.reset()
        again = [next(batches)[1].tolist() for _ in range(3)]
        assert sorted(np.concatenate(again).tolist()) == list(range(5))
        assert (again[0] == first) is not shuffle


def test_a_batch_depends_on_seed_index_and_how_often_it_was_asked_for(folder):
    arguments = {"rotation_range": 30, "horizontal_flip": True, "zoom_range": 0.2}
    one, other = flow(folder, arguments), flow(folder, arguments)
    first = one[1][0]
    np.testing.assert_array_equal(first, other[-2][0])
    again = one[1][0]
    assert not np.array_equal(first, again)
    for index in (2, 0):
        np.testing.assert_array_equal(one[index][0], other[index][0])
    np.testing.assert_array_equal(other[1][0], again)
    one.epoch = other.epoch = 5
    np.testing.assert_array_equal(one[1][0], other[1][0])


def test_negative_indices_count_from_the_end_and_others_are_refused():
    batches = tl.ImageDataGenerator().flow(pictures(5), np.arange(5), batch_size=2, seed=1)
    assert batches[-1][1].tolist() == batches[2][1].tolist()
    assert len(batches[-1][1]) == 1
    with pytest.raises(ArgumentError, match=r"There are 3 batches, 0 to 2; got 3\."):
        _ = batches[3]


def test_an_iterator_goes_on_after_pickling(folder):
    batches = flow(folder, {"rotation_range": 20})
    next(batches)
    other = pickle.loads(pickle.dumps(batches))  # noqa: S301
    for _ in range(4):
        np.testing.assert_array_equal(next(other)[0], next(batches)[0])


def test_the_global_generator_is_neither_read_nor_written(folder):
    np.random.seed(4)
    arguments = {"rotation_range": 20, "width_shift_range": 0.1, "brightness_range": (0.5, 1.5)}
    batches = flow(folder, arguments, seed=None)
    one_pass(batches)
    generator = tl.ImageDataGenerator(**arguments)
    generator.random_transform(pictures()[0])
    generator.fit(pictures(), augment=True)
    np.testing.assert_array_equal(np.random.get_state()[1], np.random.RandomState(4).get_state()[1])


class Seen(keras.layers.Layer):
    """Remembers the first value of every image that a model is trained on."""

    def __init__(self):
        super().__init__()
        self.values = []

    def call(self, inputs, training=False):
        if training:
            self.values.append(keras.ops.convert_to_numpy(inputs)[:, 0, 0, 0].tolist())
        return inputs


@pytest.mark.parametrize("workers", [1, 3])
def test_keras_trains_on_every_image_once_per_epoch_in_the_order_of_the_seed(workers):
    images = np.broadcast_to(np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1), (7, 4, 4, 3))
    train = tl.ImageDataGenerator().flow(images, np.arange(7) % 2, batch_size=3, seed=1)
    train.workers = workers
    seen = Seen()
    model = keras.Sequential([keras.Input((4, 4, 3)), seen, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    history = model.fit(train, epochs=3, verbose=0, shuffle=False)
    assert len(history.epoch) == 3
    assert [len(batch) for batch in seen.values] == [3, 3, 1] * 3
    epochs = [[value for batch in seen.values[start : start + 3] for value in batch] for start in (0, 3, 6)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    assert train.epoch == 3
    train.epoch = 0
    assert epochs == [[float(value) for batch in one_pass(train) for value in batch[0][:, 0, 0, 0]] for _ in range(3)]


def test_keras_evaluates_and_predicts_in_the_order_of_the_files(folder):
    batches = flow(folder, {"rescale": 1 / 255}, shuffle=False)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    model.compile(loss="mse")
    means = np.stack([np.asarray(Image.open(path)).mean(axis=(0, 1)) / 255 for path in batches.filepaths])
    np.testing.assert_allclose(model.predict(batches, verbose=0), means, atol=1e-5)
    two = keras.Sequential([model, keras.layers.Dense(2)])
    two.compile(loss="mse")
    assert np.isfinite(two.evaluate(batches, verbose=0))


def test_models_of_several_inputs_and_outputs_train():
    images = pictures(6, (4, 4, 3))
    table = (np.arange(6) / 6, np.ones((6, 2)))
    batch = tl.ImageDataGenerator().flow((images, table[1]), table[0], batch_size=4, seed=0)[0]
    assert [part.shape for part in batch[0]] == [(4, 4, 4, 3), (4, 2)]
    alone = tl.ImageDataGenerator().flow((images, table[1]), batch_size=4, seed=0)[0]
    assert isinstance(alone, tuple)
    assert len(alone) == 1
    first, second = keras.Input((4, 4, 3)), keras.Input((2,))
    merged = keras.layers.Concatenate()([keras.layers.Flatten()(first), second])
    model = keras.Model([first, second], keras.layers.Dense(1)(merged))
    model.compile("sgd", "mse")
    model.fit(tl.ImageDataGenerator().flow((images, table[1]), table[0], batch_size=4), verbose=0)


# -- pixels --------------------------------------------------------------------------------------------------


def test_width_shifts_move_sideways_and_height_shifts_up_and_down():
    image = np.zeros((5, 9, 1), np.uint8)
    image[2, 4] = 200
    generator = tl.ImageDataGenerator()
    assert np.argwhere(generator.apply_transform(image, {"tx": 2})).tolist() == [[2, 2, 0]]
    assert np.argwhere(generator.apply_transform(image, {"ty": 1})).tolist() == [[1, 4, 0]]
    wide = tl.ImageDataGenerator(width_shift_range=0.4).get_random_transform((5, 9, 1), seed=0)
    assert wide["tx"] != 0 == wide["ty"]
    high = tl.ImageDataGenerator(height_shift_range=0.4).get_random_transform((5, 9, 1), seed=0)
    assert high["ty"] != 0 == high["tx"]


@pytest.mark.parametrize(
    ("arguments", "name", "values"),
    [
        ({"width_shift_range": 3}, "tx", {-2, -1, 0, 1, 2}),
        ({"height_shift_range": [2, 4]}, "ty", {-4, -2, 2, 4}),
        ({"horizontal_flip": True}, "flip_horizontal", {False, True}),
    ],
)
def test_draws_take_the_values_that_keras_documents(arguments, name, values):
    generator = tl.ImageDataGenerator(**arguments)
    assert {generator.get_random_transform((9, 9, 3), seed=seed)[name] for seed in range(60)} == values


def test_channel_shift_is_one_offset_clipped_to_pixels():
    generator = tl.ImageDataGenerator(channel_shift_range=50)
    image = np.full((4, 4, 3), 100, np.uint8)
    offset = generator.get_random_transform(image.shape, seed=1)["channel_shift_intensity"]
    np.testing.assert_array_equal(generator.random_transform(image, seed=1), np.full((4, 4, 3), round(100 + offset)))


def test_fractions_come_back_as_fractions_and_brightness_does_not_blacken_them():
    images = pictures(4) / 255.0
    batches = tl.ImageDataGenerator(brightness_range=(0.5, 0.5)).flow(images, batch_size=4, shuffle=False)
    np.testing.assert_allclose(batches[0], images / 2, atol=0.6 / 255)
    plain = tl.ImageDataGenerator().flow(images, batch_size=4, shuffle=False)[0]
    np.testing.assert_allclose(plain, images, atol=1e-6)
    assert plain.dtype == np.float32


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match=r"Images hold NaN or infinite values\. Replace them"):
        tl.ImageDataGenerator().flow(np.array([-1.0, np.nan]).reshape(2, 1, 1, 1))


def test_files_look_as_a_folder_decodes_them(folder):
    images = tl.ImageFolder(folder, image_size=(5, 7), interpolation="bilinear")
    batches = flow(folder, target_size=(5, 7), interpolation="bilinear", shuffle=False, batch_size=20)
    assert batches.image_shape == (5, 7, 3)
    for index, image in enumerate(batches[0][0]):
        np.testing.assert_array_equal(image, images.image(index))


def test_steps_follow_in_keras_order():
    images = pictures(3)
    generator = tl.ImageDataGenerator(rescale=1 / 255, samplewise_center=True, samplewise_std_normalization=True)
    given = generator.flow(images, batch_size=3, shuffle=False)[0]
    scaled = images / 255.0
    expected = scaled - scaled.mean(axis=(1, 2, 3), keepdims=True)
    expected /= scaled.std(axis=(1, 2, 3), keepdims=True) + 1e-6
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_featurewise_statistics_are_those_of_what_the_batches_show():
    images = pictures(20)
    generator = tl.ImageDataGenerator(
        featurewise_center=True,
        featurewise_std_normalization=True,
        preprocessing_function=lambda image: image / 100.0,
    )
    batches = generator.flow(images, batch_size=20)
    with pytest.raises(
        ArgumentError,
        match=r"center and featurewise_std_normalization need .* Call fit\(images\) first, or set \.mean and \.std",
    ):
        next(batches)
    generator.fit(images)
    given = next(batches)
    np.testing.assert_allclose(given.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(given.std(axis=(0, 1, 2)), 1, atol=1e-4)


def test_zca_whitens_and_is_refused_where_it_would_not_fit():
    images = pictures(30, (2, 2, 1))
    generator = tl.ImageDataGenerator(featurewise_center=True, zca_whitening=True)
    generator.fit(images)
    flat = generator.flow(images, batch_size=30)[0].reshape(30, -1)
    np.testing.assert_allclose(flat.T @ flat / 30, np.eye(4), atol=1e-2)
    with pytest.raises(ArgumentError, match=r"needs a matrix of 67,500 x 67,500 numbers, 18\.2 GB"):
        generator.fit(np.zeros((1, 150, 150, 3), np.uint8))


def test_channels_first_gives_the_same_pixels_in_another_order(folder):
    arguments = {"rotation_range": 30, "rescale": 1 / 255}
    last, first = flow(folder, arguments), flow(folder, {**arguments, "data_format": "channels_first"})
    assert first.image_shape == (3, 8, 8)
    np.testing.assert_array_equal(first[0][0].transpose(0, 2, 3, 1), last[0][0])


@pytest.mark.parametrize("mode", ["tf", "caffe", "torch"])
def test_rescale_beside_a_function_that_scales_is_refused(mode):
    generator = tl.ImageDataGenerator(
        rescale=1 / 255,
        preprocessing_function=lambda image: keras.applications.imagenet_utils.preprocess_input(image, mode=mode),
    )
    with pytest.raises(ArgumentError, match=r"exclude each other here: the function makes values from -"):
        generator.flow(np.full((1, 4, 4, 3), 255, np.uint8))[0]
    fractions = tl.ImageDataGenerator(rescale=1 / 255, preprocessing_function=lambda image: image / 255)
    with pytest.raises(ArgumentError, match=r"makes values from 0 to 1 of pixels"):
        fractions.flow(pictures())[0]


def test_a_function_that_keeps_pixels_comes_before_rescale():
    generator = tl.ImageDataGenerator(rescale=1 / 255, preprocessing_function=lambda image: 255 - image)
    given = generator.flow(pictures(), shuffle=False)[0]
    np.testing.assert_allclose(given, (255.0 - pictures()) / 255, atol=1e-6)


@pytest.mark.parametrize("name", CHANGES)
def test_each_changed_meaning_is_told_once(monkeypatch, name):
    monkeypatch.setattr(differences, "_told", set())
    value = {"brightness_range": (0.5, 1.5), "preprocessing_function": abs, "interpolation_order": 0}.get(name, 0.3)
    value = 20 if name in ("shear_range", "channel_shift_range") else value

    def make():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tl.ImageDataGenerator(**{name: value})
        return [str(told.message) for told in caught if told.category is ChangedMeaningWarning]

    assert make() == [f"{name} {CHANGES[name]}. legacy=True does as Keras."]
    assert make() == []


def test_legacy_and_defaults_tell_nothing(monkeypatch):
    monkeypatch.setattr(differences, "_told", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tl.ImageDataGenerator(horizontal_flip=True, rescale=1 / 255)
        tl.ImageDataGenerator(rotation_range=20, legacy=True)


def test_copies_on_disk_show_the_pixels(folder, tmp_path):
    batches = flow(folder, {"rescale": 1 / 255}, save_to_dir=tmp_path, save_prefix="x", shuffle=False)
    given = batches[0][0]
    assert len(list(tmp_path.glob("*.png"))) == 4
    for index in range(4):
        (path,) = tmp_path.glob(f"x_{index}_*.png")
        np.testing.assert_allclose(np.asarray(Image.open(path)) / 255, given[index], atol=1e-6)


def test_single_looks_depend_on_their_seed():
    generator = tl.ImageDataGenerator(rotation_range=40, brightness_range=(0.5, 1.5))
    image = pictures()[0]
    one = generator.random_transform(image, seed=3)
    np.testing.assert_array_equal(generator.random_transform(image, seed=3), one)
    assert not np.array_equal(generator.random_transform(image, seed=4), one)
    numbers = generator.get_random_transform(image.shape, seed=3)
    np.testing.assert_array_equal(generator.apply_transform(image, numbers), one)
    assert numbers["channel_shift_intensity"] is None
    np.testing.assert_allclose(tl.ImageDataGenerator(rescale=0.5).standardize(image.astype(float)), image / 2)
    several = tl.ImageDataGenerator(samplewise_center=True).standardize(pictures())
    np.testing.assert_allclose(several.mean(axis=(1, 2, 3)), 0, atol=1e-4)


def test_a_function_gets_the_layout_that_was_asked_for():
    def first_channel_only(image):
        assert image.shape == (3, 6, 8)
        image[1:] = 0
        return image

    generator = tl.ImageDataGenerator(preprocessing_function=first_channel_only, data_format="channels_first")
    given = generator.flow(pictures().transpose(0, 3, 1, 2), shuffle=False)[0]
    np.testing.assert_array_equal(given[:, 0], pictures()[..., 0])
    assert not given[:, 1:].any()


def test_an_argument_that_is_set_later_is_told_too(monkeypatch):
    monkeypatch.setattr(differences, "_told", set())
    generator = tl.ImageDataGenerator()
    batches = generator.flow(pictures())
    generator.rotation_range = 30
    with pytest.warns(ChangedMeaningWarning, match="rotation_range turns pictures about their centre"):
        next(batches)


def test_the_page_of_differences_is_the_table_of_the_program():
    page = Path(__file__).parents[3] / "docs" / "image_data_generator.md"
    assert page.read_text(encoding="utf-8") == differences_page(), "run  python scripts/write_pages.py"
