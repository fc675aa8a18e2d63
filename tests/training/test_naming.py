"""A stack knows its classes by name: fit, evaluate, predict and a loaded stack, whatever order images have them in."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, DataError, JointError

CLASSES = 12

# pytest.warns gives the warnings on that it does not want, as of the test: Keras 3.15's own, see pyproject.toml.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def flat(folder, names, shade=lambda name: int(name) * 20, *, count=1):
    """A folder of one-coloured images, each class with a shade of its own."""
    for name in names:
        for number in range(count):
            (folder / name).mkdir(parents=True, exist_ok=True)
            pixels = np.full((8, 8, 3), shade(name), np.uint8)
            pixels[0, 0, 0] += number
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def knowing_stack(names, shade=lambda name: int(name) * 20):
    """A stack that tells these shades apart, in this order: the nearest wins, as -(x - s)^2 = 2sx - s^2 - x^2."""
    shades = np.array([shade(name) for name in names], np.float32)
    dense = keras.layers.Dense(len(names))
    scaled = keras.layers.Rescaling(0.05)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D(), dense, scaled])
    dense.set_weights([np.repeat(2 * shades[None] / 3, 3, axis=0), -(shades**2)])
    stack = tl.Stack([tl.Stage(model, "only"), tl.Stage(keras.Sequential([keras.layers.Softmax()]), "answer")])
    stack.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    stack.class_names = tuple(names)
    return stack


@pytest.fixture
def numbered(tmp_path):
    """Twelve classes called 0 to 11, as a folder and as a table of the same files in the order of their values."""
    folder = flat(tmp_path / "n", map(str, range(CLASSES)))
    lines = [f"n/{number}/0.png,{number}" for number in range(CLASSES)]
    (tmp_path / "n.csv").write_text("\n".join(["filename,class", *lines]))
    names = [str(number) for number in range(CLASSES)]
    return tl.ImageFolder(folder, image_size=(8, 8)), tl.ImageFrame(
        tmp_path / "n.csv", image_size=(8, 8), class_names=names
    )


def accuracy(stack, images):
    return stack.evaluate(images, return_dict=True, verbose=0)["accuracy"]


def test_a_folder_and_a_table_in_another_order_are_measured_alike(numbered, tmp_path):
    folder, table = numbered
    assert folder.class_names[:4] == ("0", "1", "10", "11")
    assert table.class_names[:4] == ("0", "1", "2", "3")
    for names in (folder.class_names, table.class_names):
        stack = knowing_stack(names)
        stack.save(tmp_path / "stack.keras")
        for each in (stack, tl.load(tmp_path / "stack.keras")):
            assert accuracy(each, folder) == accuracy(each, table) == 1.0


def test_generators_are_measured_by_name_too(numbered):
    folder, table = numbered
    options = {"target_size": (8, 8), "classes": list(reversed(folder.class_names)), "shuffle": False}
    iterator = tl.ImageDataGenerator().flow_from_directory(folder.directory, **options)
    assert accuracy(knowing_stack(table.class_names), iterator) == 1.0


def test_a_set_that_lacks_a_class_is_measured_on_those_it_has(tmp_path):
    stack = knowing_stack(["1", "5", "9"])
    images = tl.ImageFolder(flat(tmp_path / "t", ["1", "9"]), image_size=(8, 8))
    with pytest.warns(UserWarning, match=r"lack 1 of 3 classes \('5'\)"):
        assert accuracy(stack, images) == 1.0


def test_a_class_that_the_stack_does_not_know_is_refused_with_both_lists(tmp_path):
    stack = knowing_stack(["1", "5", "9"])
    images = tl.ImageFolder(flat(tmp_path / "t", ["1", "5", "8"]), image_size=(8, 8))
    with pytest.raises(DataError, match=r"not known: 8 \(1\)\. The images have 1, 5, 8 \(3\); known are 1, 5, 9 \(3\)"):
        stack.evaluate(images, verbose=0)
    assert stack.predict(images, verbose=0).argmax(axis=1).tolist() == [0, 1, 2]


def test_numbers_without_names_are_measured_by_number(tmp_path):
    stack = knowing_stack(["a", "b", "c"], shade=lambda name: 50 * "abc".index(name))
    pixels = np.stack([np.full((8, 8, 3), shade, np.uint8) for shade in (0, 50, 0)])
    assert accuracy(stack, tl.ImageArrays(pixels, [0, 1, 0])) == 1.0


def test_a_stack_without_names_says_that_images_may_lack_classes(tmp_path):
    stack = knowing_stack(["1", "5", "9"])
    stack.class_names = ()
    images = tl.ImageFolder(flat(tmp_path / "t", ["1", "9"]), image_size=(8, 8))
    with pytest.raises(JointError, match="2 units; where the images lack classes, name all of them in classes="):
        stack.evaluate(images, verbose=0)


def test_validation_images_are_found_by_name(tmp_path):
    names = ["1", "5", "9"]
    stack = knowing_stack(names)
    stack.class_names = ()
    train = tl.ImageFolder(flat(tmp_path / "train", names, count=2), image_size=(8, 8))
    folder = flat(tmp_path / "val", names, shade=lambda name: int(name) * 20 + 3)
    other = tl.ImageFolder(folder, image_size=(8, 8), classes=["9", "5", "1"])
    stack.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy", metrics=["accuracy"])
    history = stack.fit(train, validation_data=other, epochs=1, verbose=0).history
    assert history["val_accuracy"] == [1.0]
    assert stack.class_names == tuple(names)


def test_validation_images_of_a_class_that_is_not_trained_on_are_refused(tmp_path):
    stack = knowing_stack(["1", "5"])
    train = tl.ImageFolder(flat(tmp_path / "train", ["1", "5"]), image_size=(8, 8))
    other = tl.ImageFolder(flat(tmp_path / "val", ["1", "7"]), image_size=(8, 8))
    stack.class_names = ()
    with pytest.raises(DataError, match=r"not known: 7 \(1\)"):
        stack.fit(train, validation_data=other, verbose=0)


def test_a_loaded_stack_goes_on_with_its_own_order(tmp_path):
    stack = knowing_stack(["9", "5", "1"])
    stack.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy", metrics=["accuracy"])
    stack.save(tmp_path / "stack.keras")
    train = tl.ImageFolder(flat(tmp_path / "train", ["1", "5", "9"]), image_size=(8, 8))
    loaded = tl.load(tmp_path / "stack.keras")
    assert loaded.fit(train, epochs=1, verbose=0).history["accuracy"] == [1.0]
    assert loaded.class_names == ("9", "5", "1")


def test_other_classes_need_a_new_head_or_an_order_that_is_forgotten(tmp_path):
    stack = knowing_stack(["1", "5"])
    train = tl.ImageFolder(flat(tmp_path / "train", ["2", "6"]), image_size=(8, 8))
    with pytest.raises(DataError, match="train a new stack on these classes"):
        stack.fit(train, verbose=0)
    stack.class_names = ()
    stack.fit(train, verbose=0)
    assert stack.class_names == ("2", "6")


def test_outputs_keep_the_names_of_their_classes(tmp_path):
    features = keras.Input((8, 8, 3))
    flat_features = keras.layers.GlobalAveragePooling2D()(features)
    kind = keras.layers.Dense(2, "softmax")
    model = keras.Model(features, {"kind": kind(flat_features), "size": keras.layers.Dense(1)(flat_features)})
    kind.set_weights([np.array([[-1.0, 1.0]] * 3), np.array([150.0, -150.0])])
    stack = tl.Stack([tl.Stage(model, "only")])
    losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    stack.compile(keras.optimizers.SGD(0.0), losses, metrics={"kind": "accuracy"})
    pixels = np.stack([np.full((8, 8, 3), shade, np.uint8) for shade in (0, 200)])
    modes = {"kind": "sparse", "size": "regression"}
    labels = {"kind": ["dark", "light"], "size": [0.0, 1.0]}
    images = tl.ImageArrays(pixels, labels, label_mode=modes)
    stack.fit(images, verbose=0)
    assert stack.class_names == ()
    stack.save(tmp_path / "stack.keras")
    loaded = tl.load(tmp_path / "stack.keras")
    assert loaded.output_class_names == {"kind": ("dark", "light")}
    other = tl.ImageArrays(pixels, labels, label_mode=modes, class_names={"kind": ["light", "dark"]})
    measured = loaded.evaluate(other, return_dict=True, verbose=0)
    assert measured["kind_accuracy"] == 1.0
    bad = tl.ImageArrays(pixels, {**labels, "kind": ["dark", "grey"]}, label_mode=modes)
    with pytest.raises(DataError, match=r"not known: grey \(1\)"):
        loaded.evaluate(bad, verbose=0)


def test_a_file_that_knows_nothing_of_outputs_opens(tmp_path):
    knowing_stack(["1", "5"]).save(tmp_path / "stack.keras")
    with zipfile.ZipFile(tmp_path / "stack.keras") as new, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name == "thawline.json":
                entry = json.loads(content)
                del entry["output_class_names"]
                content = json.dumps(entry)
            old.writestr(name, content)
    loaded = tl.load(tmp_path / "old.keras")
    assert (loaded.class_names, loaded.output_class_names) == (("1", "5"), {})


def test_masks_have_no_class_names_to_keep(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1, activation="softmax")])
    stack = tl.Stack([tl.Stage(model, "only", value_range=(0, 1))])
    stack.compile("sgd", "sparse_categorical_crossentropy")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    masks = pixels[..., 0] > 127
    stack.fit(tl.ImageArrays(pixels, ["a", "b", "a", "b"], masks=masks), verbose=0)
    assert stack.class_names == ()
    stack.evaluate(tl.ImageArrays(pixels, ["x", "y", "z", "z"], masks=masks), verbose=0)


def test_an_autoencoder_takes_folders_of_any_classes(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)])
    stack = tl.Stack([tl.Stage(model, "only", value_range=(0, 1))])
    stack.compile("sgd", "mse")
    train = tl.ImageFolder(flat(tmp_path / "train", ["1", "5"]), image_size=(8, 8), label_mode="input")
    other = tl.ImageFolder(flat(tmp_path / "val", ["2", "7", "9"]), image_size=(8, 8), label_mode="input")
    stack.fit(train, validation_data=other, verbose=0)
    assert stack.class_names == ()
    stack.evaluate(other, verbose=0)


# -- class weights --------------------------------------------------------------------------------------------------


def fitted(tmp_path, names, **options):
    """The loss of an epoch by a stack that does not learn, on images of the classes 1 and 5 in a folder."""
    stack = knowing_stack(names, shade=lambda name: int(name) * 2)
    stack.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    folder = tmp_path / "train"
    if not folder.exists():
        flat(folder, ["1", "5"], shade=lambda name: 6)
    train = tl.ImageFolder(folder, image_size=(8, 8))
    return stack.fit(train, epochs=1, verbose=0, **options).history["loss"][0]


def test_class_weights_go_by_name_or_number_of_the_given_images(tmp_path):
    plain = fitted(tmp_path, ["1", "5"])
    by_name = fitted(tmp_path, ["1", "5"], class_weight={"5": 4.0})
    assert by_name != pytest.approx(plain)
    assert fitted(tmp_path, ["1", "5"], class_weight={1: 4.0}) == by_name
    assert fitted(tmp_path, ["1", "5"], class_weight={np.int64(1): 4.0}) == by_name
    # The stack's order is another one; the numbers are those of the images.
    assert fitted(tmp_path, ["5", "1"], class_weight={1: 4.0}) == pytest.approx(by_name)
    assert fitted(tmp_path, ["5", "1"], class_weight={"5": 4.0}) == pytest.approx(by_name)


def test_balanced_class_weights_are_those_of_the_images(tmp_path):
    flat(tmp_path / "train", ["1"], shade=lambda name: 6, count=3)
    flat(tmp_path / "train", ["5"], shade=lambda name: 6)
    train = tl.ImageFolder(tmp_path / "train", image_size=(8, 8))
    balanced = fitted(tmp_path, ["1", "5"], class_weight="balanced")
    assert balanced == fitted(tmp_path, ["1", "5"], class_weight=train.class_weights())
    assert balanced != pytest.approx(fitted(tmp_path, ["1", "5"]))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"7": 2.0}, r"class_weight names the class '7', which the images do not have; they have 1, 5 \(2\)"),
        ({"5": 2.0, 1: 2.0}, "class_weight has the class 1 by its name and by its number"),
        ({0.5: 2.0}, "goes by names of classes or whole numbers; got 0.5"),
        ("even", "or 'balanced'; got 'even'"),
        ({7: 2.0}, "class_weight names class 7; classes are the numbers 0 to 1"),
    ],
)
def test_class_weights_of_what_is_not_there_are_refused(tmp_path, weights, message):
    with pytest.raises(ArgumentError, match=message):
        fitted(tmp_path, ["1", "5"], class_weight=weights)


# -- images that are trained on -------------------------------------------------------------------------------------


def test_validation_images_that_are_trained_on_are_warned_of(tmp_path):
    stack = knowing_stack(["1", "5"])
    folder = flat(tmp_path / "train", ["1", "5"], count=5)
    train = tl.ImageFolder(folder, image_size=(8, 8))
    again = tl.ImageFolder(folder, image_size=(8, 8))
    for same in (train, again, train.cache_pixels("ram")):
        with pytest.warns(UserWarning, match=r"10 of 10 validation images are trained on as well, first .*0\.png"):
            stack.fit(train, validation_data=same, verbose=0)
    with pytest.warns(UserWarning, match="1 of 1 validation images is trained on as well"):
        stack.fit(train, validation_data=train.select([3]), verbose=0)


def test_copies_are_found_where_their_digests_are_known(tmp_path):
    stack = knowing_stack(["1", "5"])
    train = tl.ImageFolder(flat(tmp_path / "train", ["1", "5"], count=2), image_size=(8, 8))
    copies = tl.ImageFolder(flat(tmp_path / "copies", ["1", "5"], count=3), image_size=(8, 8))
    train.content_digests()
    copies.content_digests()
    with pytest.warns(UserWarning, match="4 of 6 validation images are trained on as well"):
        stack.fit(train, validation_data=copies, verbose=0)


@pytest.mark.filterwarnings("error:.* trained on as well")
def test_sides_of_a_split_are_not_warned_of_and_no_file_is_read_for_it(tmp_path, files_read):
    stack = knowing_stack(["1", "5"])
    train = tl.ImageFolder(flat(tmp_path / "train", ["1", "5"], count=4), image_size=(8, 8))
    other = tl.ImageFolder(flat(tmp_path / "v", ["1", "5"], shade=lambda name: 3), image_size=(8, 8))
    stack.fit(train, validation_data=other, strategy="joint", verbose=0)
    assert len(files_read) == len(set(files_read)) == 10
    stack.fit(train.split(0.5, exact=True)[0], validation_data=train.split(0.5, exact=True)[1], verbose=0)


class StopError(Exception):
    """Ends a training half way."""


def stop_in(epoch):
    def stop(number, logs):
        if number == epoch:
            raise StopError

    return keras.callbacks.LambdaCallback(on_epoch_begin=stop)


@pytest.mark.parametrize(("epoch", "names"), [(0, ()), (1, ("2", "3", "4"))])
def test_a_training_that_ends_half_way_knows_what_it_learned(epoch, names, tmp_path):
    """Its weights are those of an epoch on these classes; without one it may go on with others."""
    images = tl.ImageFolder(flat(tmp_path / "images", ("2", "3", "4")), image_size=(8, 8))
    stack = knowing_stack(("2", "3", "4"))
    stack.class_names = ()
    with pytest.raises(StopError):
        stack.fit(images, epochs=2, callbacks=[stop_in(epoch)], verbose=0)
    assert stack.class_names == names
    assert (stack.reading is not None) == bool(names)
