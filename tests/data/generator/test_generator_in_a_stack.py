"""What `ImageDataGenerator.flow*` give, in a Stack: the same images, views, answers, weights and order."""

import numpy as np
import pandas as pd
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.holder import as_source
from thawline.errors import ArgumentError, DataError, JointError
from thawline.specs import TensorSpec

pytestmark = pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning")

PIXELS = np.random.default_rng(2).integers(0, 256, (10, 8, 8, 3)).astype(np.uint8)
WHOLE = np.arange(10) % 3


@pytest.fixture
def folder(image_folder):
    return image_folder(2, count=5)


def flow(folder, arguments=(), **options):
    return tl.ImageDataGenerator(**dict(arguments)).flow_from_directory(
        folder, **{"target_size": (8, 8), "batch_size": 4, "seed": 3, **options}
    )


def flow_table(folder, arguments=(), **options):
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.png"))]
    table = pd.DataFrame({"filename": names, "class": [name.split("/")[0] for name in names]})
    table["several"] = [["sun"], ["sun", "sea"], ["sea"], ["sky", "sun"], ["sky"]] * 2
    table["age"], table["size"], table["count"] = np.arange(10) / 4, np.arange(10) / 8, np.arange(10) % 4
    table["weight"] = np.arange(10) / 10
    return tl.ImageDataGenerator(**dict(arguments)).flow_from_dataframe(
        table, folder, **{"target_size": (8, 8), "batch_size": 4, "seed": 3, **options}
    )


def stack_for(answers, loss, value_range=None, activation=None):
    """A stack of one dense layer; `answers` is how many values it gives, or several by name."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(inputs)
    if isinstance(answers, dict):
        outputs = {name: keras.layers.Dense(units, name=name)(flat) for name, units in answers.items()}
    else:
        outputs = keras.layers.Dense(answers, activation)(flat)
    stack = tl.Stack([tl.Stage(keras.Model(inputs, outputs), "head", value_range=value_range)])
    stack.compile(keras.optimizers.SGD(1e-3), loss)
    return stack


def trains(batches, answers, loss, activation=None, value_range=(0, 1)):
    """Whether the weights move, and every loss is a number."""
    stack = stack_for(answers, loss, value_range, activation)
    before = [weights.copy() for weights in stack.model.get_weights()]
    losses = stack.fit(batches, epochs=2, verbose=0).history["loss"]
    moved = any(not np.array_equal(*pair) for pair in zip(before, stack.model.get_weights(), strict=True))
    return moved and bool(np.isfinite(losses).all())


def check_equal(batches, epoch=0):
    """Files, answers, weights and order are those of the iterator; so are images that nothing random happens to."""
    source = batches.source
    is_random = source.augmentation is not None and source.augmentation.is_random
    if batches.filepaths:
        assert [str(path) for path in source.paths] == batches.filepaths
    assert source.class_indices == batches.class_indices or not batches.class_indices
    batches.epoch = epoch
    for place, batch in enumerate(source.batches(epoch=epoch, shuffle=batches.shuffle)):
        given = batches[place]
        images, *rest = given if isinstance(given, tuple) else (given,)
        assert batch.images.shape == images.shape
        assert is_random or np.array_equal(batch.images.astype(np.float32), images)
        if rest and not (is_random and batches.class_mode == "input"):
            expected = rest[0] if isinstance(rest[0], tuple) else (rest[0],)
            found = batch.targets.values() if isinstance(batch.targets, dict) else (batch.targets,)
            for one, other in zip(found, expected, strict=True):
                # Some have an axis of length 1 more.
                np.testing.assert_allclose(one.reshape(len(one), -1), other.reshape(len(other), -1), rtol=1e-6)
        if len(rest) == 2:
            np.testing.assert_allclose(batch.weights, rest[1], rtol=1e-6)
    return source


# -- what a Stack sees ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("flows", [flow, flow_table])
def test_a_stack_sees_the_same_files_images_and_order(folder, flows, shuffle, epoch):
    for chance in ({}, {"rotation_range": 40, "channel_shift_range": 20}):
        check_equal(flows(folder, {**chance, "validation_split": 0.2}, subset="training", shuffle=shuffle), epoch)


@pytest.mark.parametrize(
    ("class_mode", "answers", "loss", "activation"),
    [
        ("categorical", 2, "categorical_crossentropy", "softmax"),
        ("sparse", 2, "sparse_categorical_crossentropy", "softmax"),
        ("binary", 1, "binary_crossentropy", "sigmoid"),
    ],
)
@pytest.mark.parametrize("flows", [flow, flow_table])
def test_class_modes_have_equal_answers_and_train(folder, flows, class_mode, answers, loss, activation):
    batches = flows(folder, class_mode=class_mode)
    assert check_equal(batches).class_indices == {"class0": 0, "class1": 1}
    assert flows is flow_table or trains(batches, answers, loss, activation=activation)


def test_the_order_of_given_classes_stays(folder):
    for batches in (flow(folder, classes=["class1", "class0"]), flow_table(folder, classes=["class1", "class0"])):
        source = check_equal(batches)
        assert source.class_names == ("class1", "class0")
        assert [source.class_names[label] for label in source.labels] == [path.parent.name for path in source.paths]


@pytest.mark.parametrize(
    ("options", "answers", "loss"),
    [
        ({"y_col": "several"}, 3, keras.losses.BinaryCrossentropy(from_logits=True)),
        ({"y_col": "class", "weight_col": "weight"}, 2, "mse"),
        ({"y_col": "age", "class_mode": "raw"}, 1, "mse"),
        ({"y_col": ["age", "count"], "class_mode": "raw", "weight_col": "weight"}, 2, "mse"),
        ({"y_col": "count", "class_mode": "raw"}, 4, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        (
            {"y_col": ["age", "size"], "class_mode": "multi_output"},
            {"age": 1, "size": 1},
            {"age": "mse", "size": "mae"},
        ),
    ],
)
def test_tables_have_equal_answers_and_train(folder, options, answers, loss):
    batches = flow_table(folder, **options)
    check_equal(batches)
    assert trains(batches, answers, loss)


@pytest.mark.parametrize(
    ("y", "answers", "loss"),
    [
        (np.eye(3)[WHOLE], 3, keras.losses.CategoricalCrossentropy(from_logits=True)),
        (WHOLE, 3, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        (WHOLE[:, None], 3, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        (WHOLE % 2, 1, keras.losses.BinaryCrossentropy(from_logits=True)),
        (WHOLE / 7, 1, "mse"),
        (np.random.default_rng(0).random((10, 5)), 5, "mse"),
    ],
)
def test_arrays_have_equal_answers_and_train(y, answers, loss):
    batches = tl.ImageDataGenerator(rotation_range=30).flow(PIXELS, y, batch_size=4, seed=3)
    check_equal(batches)
    assert trains(batches, answers, loss)


def test_one_hot_rows_are_classes():
    source = tl.ImageDataGenerator().flow(PIXELS, np.eye(3)[WHOLE]).source
    assert source.class_counts == {"0": 4, "1": 3, "2": 3}


def test_weights_of_arrays_count(folder):
    weights = np.r_[np.zeros(9), 3]
    batches = tl.ImageDataGenerator().flow(PIXELS, WHOLE / 2, sample_weight=weights, batch_size=10)
    check_equal(batches)
    stack = stack_for(1, "mse")
    error = (stack.predict(batches, verbose=0)[9, 0] - WHOLE[9] / 2) ** 2
    np.testing.assert_allclose(stack.evaluate(batches, verbose=0), [3 * error / 10], rtol=1e-3)


@pytest.mark.parametrize("arguments", [{}, {"rescale": 1 / 255}, {"samplewise_center": True}])
def test_the_input_is_the_answer_as_the_iterator_gives_it(folder, arguments):
    arguments = {**arguments, "rotation_range": 50}
    for batches in (flow(folder, arguments, class_mode="input"), flow_table(folder, arguments, class_mode="input")):
        check_equal(batches)
    inputs = keras.Input((8, 8, 3))
    stack = tl.Stack([tl.Stage(keras.Model(inputs, keras.layers.Conv2D(3, 1)(inputs)), "same")])
    stack.compile("adam", "mse")
    assert np.isfinite(stack.fit(batches, epochs=1, verbose=0).history["loss"]).all()


def test_the_input_stays_the_answer_where_the_stack_scales(folder):
    batches = flow(folder, {"rescale": 1 / 255}, class_mode="input")
    pixels = as_source(batches, "fit", (0, 1))
    assert pixels.spec.dtype == "uint8"
    rows = np.arange(4)
    np.testing.assert_allclose(pixels.targets(rows), batches.source.targets(rows), rtol=1e-6)


def test_without_class_mode_images_have_no_answers(folder):
    for batches in (flow(folder, class_mode=None), flow_table(folder, class_mode=None)):
        assert check_equal(batches).target_spec is None
        assert stack_for(2, "mse").predict(batches, verbose=0).shape == (10, 2)


def test_subsets_are_those_of_the_iterators_and_validation_takes_no_chance(folder):
    arguments = {"validation_split": 0.4, "rotation_range": 40, "rescale": 1 / 255}
    train, val = (flow(folder, arguments, subset=subset) for subset in ("training", "validation"))
    assert set(train.source.paths).isdisjoint(val.source.paths)
    assert (len(train.source), len(val.source)) == (6, 4)
    source = check_equal(val, epoch=1)
    assert source.is_validation
    np.testing.assert_array_equal(source.image(0, view=0), source.image(0, view=5))
    stack = stack_for(2, "categorical_crossentropy", activation="softmax")
    history = stack.fit(train, validation_data=val, epochs=2, verbose=0)
    assert len(history.history["val_loss"]) == 2


def test_an_iterator_without_shuffle_trains_in_the_order_of_the_files(folder):
    def last_loss(batches, **options):
        stack = stack_for(2, "mse", value_range=(0, 1))
        return stack.fit(batches, epochs=2, verbose=0, **options).history["loss"][-1]

    still, mixed = flow(folder, shuffle=False), flow(folder)
    assert last_loss(still) == last_loss(mixed, shuffle=False) != last_loss(mixed)
    assert last_loss(still, shuffle=True) == last_loss(mixed)


# -- float steps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"rescale": 1 / 255},
        {"samplewise_center": True, "samplewise_std_normalization": True},
        {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 0.5},
        {"zca_whitening": True, "featurewise_center": True},
        {"preprocessing_function": keras.applications.mobilenet_v2.preprocess_input},
    ],
)
@pytest.mark.parametrize("scale", [1, 255])
def test_float_steps_are_the_same_in_a_stack(arguments, scale):
    generator = tl.ImageDataGenerator(**arguments)
    images = PIXELS if scale == 1 else PIXELS / 255
    generator.fit(images)
    batches = generator.flow(images, WHOLE / 2, batch_size=4, seed=3)
    if scale == 255 and "preprocessing_function" in arguments:
        with pytest.raises(ArgumentError, match=r"gets pixels from 0 to 255 in a Stack, but flow\(\) got fractions"):
            _ = batches.source
        return
    source = batches.source
    assert source.spec.dtype == "float32"
    for place, batch in enumerate(source.batches()):
        expected, _ = batches[place]
        np.testing.assert_allclose(batch.images, expected, rtol=1e-5, atol=1e-5)
    assert scale == 255 or trains(batches, 1, keras.losses.Huber(), value_range=None)


@pytest.mark.parametrize("value_range", [None, (0, 1)])
def test_rescaled_images_train_like_keras_whoever_scales(folder, value_range):
    """The script of the tutorials: rescale=1/255 and a model that wants 0 to 1."""
    stack = stack_for(2, "categorical_crossentropy", value_range, activation="softmax")
    inner = stack.stages[0].model
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.models.clone_model(inner)])
    model.set_weights(inner.get_weights())
    model.compile(keras.optimizers.SGD(1e-3), "categorical_crossentropy")
    arguments = {"rescale": 1 / 255}
    expected = model.fit(flow(folder, arguments), epochs=3, shuffle=False, verbose=0).history["loss"]
    found = stack.fit(flow(folder, arguments), epochs=3, verbose=0, strategy="joint").history["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(
        stack.predict(flow(folder, arguments, shuffle=False), verbose=0),
        model.predict(flow(folder, {"rescale": 1 / 255}, shuffle=False), verbose=0),
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    ("arguments", "value_range", "came"),
    [
        ({"rescale": 1 / 255}, (0, 255), r"to \[0, 255\] itself, .* they are in \[0, 1\] then"),
        ({"rescale": 1 / 255}, (-1, 1), r"to \[-1, 1\] itself, .* they are in \[0, 1\] then"),
        ({"samplewise_center": True}, (-1, 1), "their range is not known then"),
        ({"rescale": 1 / 255, "samplewise_center": True}, (0, 1), "their range is not known then"),
    ],
)
def test_images_that_would_be_scaled_twice_are_refused(folder, arguments, value_range, came):
    stack = stack_for(2, "mse", value_range)
    for images in (flow(folder, arguments), ImageFolder(folder, image_size=(8, 8)).augment(**arguments)):
        with pytest.raises(
            JointError, match=rf"The stack takes pixels .*{came}\. Leave rescale, .*without value_range"
        ):
            stack.fit(images, verbose=0)


def test_a_function_may_give_what_a_base_for_pixels_wants(folder):
    function = keras.applications.efficientnet.preprocess_input
    batches = flow(folder, {"preprocessing_function": function})
    assert as_source(batches, "fit", (0, 255)).spec == TensorSpec((None, 8, 8, 3), "float32", None)
    assert trains(batches, 2, keras.losses.Huber(), value_range=(0, 255))


# -- refusals ------------------------------------------------------------------------------------------------


def test_what_a_stack_cannot_take_is_refused(folder, tmp_path):
    generator = tl.ImageDataGenerator()
    refused = [
        (tl.ImageDataGenerator(data_format="channels_first").flow(PIXELS.transpose(0, 3, 1, 2)), "Leave data_format"),
        (generator.flow((PIXELS, np.zeros(10)), WHOLE), r"more inputs beside them\. Give flow\(images, answers\)"),
        (flow(folder, save_to_dir=tmp_path), r"Leave save_to_dir out; for a look at the images use \.source\.preview"),
    ]
    for batches, message in refused:
        with pytest.raises(ArgumentError, match=message):
            _ = batches.source
    refused = [
        (flow_table(folder, y_col="class", class_mode="raw"), r"Column 'class' holds 'class0'; a Stack learns numbers"),
        (generator.flow(PIXELS, np.array(["a", "b"] * 5)), "y holds 'a'; a Stack learns numbers"),
        (generator.flow(PIXELS, np.full(10, np.nan)), "10 of 10 images have a label that is no finite number"),
        (generator.flow(PIXELS, WHOLE, sample_weight=-np.ones(10)), "10 sample weights are negative"),
    ]
    for batches, message in refused:
        with pytest.raises(DataError, match=message):
            _ = batches.source


@pytest.mark.parametrize(
    ("answers", "came"), [({"age": 1, "weight": 1}, "are called 'age', 'weight'"), (2, "have no names")]
)
def test_answers_by_other_names_are_refused(folder, answers, came):
    batches = flow_table(folder, y_col=["age", "size"], class_mode="multi_output")
    stack = stack_for(answers, "mse", (0, 1))
    with pytest.raises(JointError, match=rf"for the outputs 'age', 'size', but the answers .*{came}\. Build its model"):
        stack.fit(batches, verbose=0)


def test_only_images_from_thawline_go_into_a_stack():
    with pytest.raises(ArgumentError, match=r"predict takes images from thawline, .* got ndarray"):
        stack_for(2, "mse").predict(PIXELS)
