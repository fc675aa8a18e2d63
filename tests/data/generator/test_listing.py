"""Images, answers and subsets of a generator's iterators, and what cannot be listed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import thawline as tl
from thawline.errors import ArgumentError, DataError, FolderNotFoundError, UnreadableImageError

pytestmark = pytest.mark.filterwarnings("ignore::thawline.data.generator.differences.ChangedMeaningWarning")


def pictures(count=7, shape=(6, 8, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)


@pytest.fixture
def folder(image_folder):
    return image_folder(2, count=5)


def flow(folder, arguments=(), **options):
    return tl.ImageDataGenerator(**dict(arguments)).flow_from_directory(
        folder, **{"target_size": (8, 8), "batch_size": 4, "seed": 3, **options}
    )


def answers_of(batches):
    return np.concatenate([batches[index][1] for index in range(len(batches))]).tolist()


def test_subsets_share_nothing_whatever_their_seeds_and_validation_is_never_augmented(image_folder):
    folder = image_folder({"a": 10, "b": 5})
    generator = tl.ImageDataGenerator(validation_split=0.2, rotation_range=40)
    options = {"target_size": (8, 8), "shuffle": False, "batch_size": 20}
    train = generator.flow_from_directory(folder, subset="training", seed=1, **options)
    val = generator.flow_from_directory(folder, subset="validation", **options)
    assert sorted(train.filenames + val.filenames) == sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png"))
    assert (train.n, val.n) == (12, 3)
    assert np.bincount(val.classes).tolist() == [2, 1]
    plain = np.stack([np.asarray(Image.open(path)) for path in val.filepaths])
    np.testing.assert_array_equal(val[0][0], plain)
    assert not np.array_equal(train[0][0], np.stack([np.asarray(Image.open(path)) for path in train.filepaths]))


def test_equal_images_stay_on_one_side():
    images = np.repeat(pictures(10), 3, axis=0)
    generator = tl.ImageDataGenerator(validation_split=0.3)
    train, val = (
        answers_of(generator.flow(images, np.arange(30) // 3 / 2, subset=subset, shuffle=False))
        for subset in ("training", "validation")
    )
    assert set(train).isdisjoint(val)
    assert (len(train), len(val)) == (21, 9)


@pytest.mark.parametrize(("answers", "held"), [(np.arange(20) % 2, [4, 4]), (np.arange(20), [1] * 8)])
def test_whole_numbers_are_classes_when_they_repeat(answers, held):
    val = tl.ImageDataGenerator(validation_split=0.4).flow(pictures(20), answers, subset="validation")
    assert [count for count in np.bincount(val.labels) if count] == held


def test_too_few_images_to_split_are_refused():
    with pytest.raises(DataError, match=r"1 images are too few to split: every class needs two\. Add images"):
        tl.ImageDataGenerator(validation_split=0.3).flow(pictures(1), subset="training")


def test_a_subset_without_a_split_is_refused(folder):
    with pytest.raises(ArgumentError, match=r"subset='validation' needs ImageDataGenerator\(validation_split=...\)"):
        flow(folder, subset="validation")


@pytest.mark.parametrize(
    ("class_mode", "expected"),
    [("categorical", [[1, 0], [0, 1]]), ("binary", [0, 1]), ("sparse", [0, 1])],
)
def test_answers_are_float32_in_keras_shapes(image_folder, class_mode, expected):
    batches = flow(image_folder(2, count=1), class_mode=class_mode, shuffle=False)
    _, answers = batches[0]
    assert answers.tolist() == expected
    assert answers.dtype == np.float32
    assert batches.class_indices == {"class0": 0, "class1": 1}
    assert batches.labels.tolist() == batches.classes.tolist() == [0, 1]


def test_input_and_none_give_images(folder):
    images, answers = flow(folder, class_mode="input")[0]
    np.testing.assert_array_equal(images, answers)
    assert flow(folder, class_mode=None)[0].shape == (4, 8, 8, 3)


def test_folders_that_cannot_work_are_refused(image_folder, tmp_path):
    with pytest.raises(FolderNotFoundError, match="nowhere"):
        flow(tmp_path / "nowhere")
    folder = image_folder(3)
    with pytest.raises(
        DataError, match=r"class_mode='binary' needs two classes; '.*' has 3 \(class0, class1, class2\)"
    ):
        flow(folder, class_mode="binary")
    with pytest.raises(ArgumentError, match=r"class_mode is one of 'categorical', .*None; got 'multi'"):
        flow(folder, class_mode="multi")
    with pytest.raises(DataError, match=r"classes names 'clas0'.* Did you mean 'class0'\?"):
        flow(folder, classes=["clas0", "class1"])


def table_of(folder):
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.png"))]
    table = pd.DataFrame({"filename": names, "class": [name.split("/")[0] for name in names]})
    table["value"], table["weight"] = np.arange(len(table)) / 4.0, np.arange(len(table))
    return table


def from_table(table, folder, **options):
    generator = tl.ImageDataGenerator(validation_split=options.pop("split", 0.0))
    return generator.flow_from_dataframe(table, folder, **{"target_size": (8, 8), "shuffle": False, **options})


def test_tables_give_their_rows_answers_and_weights(folder):
    table = table_of(folder)
    images, answers, weights = from_table(table, folder, weight_col="weight")[0]
    assert images.shape == (10, 8, 8, 3)
    assert answers.argmax(1).tolist() == [0] * 5 + [1] * 5
    assert weights.tolist() == list(range(10))
    raw = from_table(table, folder, class_mode="raw", y_col=["value", "weight"])[0][1]
    np.testing.assert_array_equal(raw, table[["value", "weight"]])
    several = from_table(table, folder, class_mode="multi_output", y_col=["value", "weight"])[0][1]
    assert [part.tolist() for part in several] == [table["value"].tolist(), table["weight"].tolist()]
    train, val = (from_table(table, folder, split=0.4, subset=subset) for subset in ("training", "validation"))
    assert np.bincount(train.classes).tolist() == [3, 3]
    assert set(train.filenames).isdisjoint(val.filenames)


@pytest.mark.parametrize("ending", ["gif", "webp", "jpg", "tiff"])
def test_tables_list_whatever_is_decoded_and_with_legacy_what_keras_lists(image_folder, ending):
    folder = image_folder(2, count=1, ending=f".{ending}")
    table = pd.DataFrame({"filename": [f"class{number}/000.{ending}" for number in range(2)] + ["notjpg"]})
    (folder / "notjpg").write_bytes((folder / f"class0/000.{ending}").read_bytes())
    with pytest.warns(UserWarning, match=r"1 of 3 files in column 'filename' are not there or no images"):
        assert from_table(table, folder, class_mode=None)[0].shape == (2, 8, 8, 3)
    table.loc[3] = "none.png"
    with pytest.warns(UserWarning, match="files in column 'filename'"):
        listed = tl.ImageDataGenerator(legacy=True).flow_from_dataframe(table, folder, class_mode=None).filenames
    assert listed == [*(table["filename"][:2] if ending in ("jpg", "tiff") else []), "notjpg"]


def test_tables_that_cannot_work_are_refused(folder):
    table = table_of(folder)
    with pytest.raises(ArgumentError, match=r"flow_from_dataframe\(\) has no argument 'taget_size'"):
        from_table(table, folder, taget_size=(8, 8))
    with pytest.raises(ArgumentError, match=r"no column 'klass'; it has 'filename', 'class', 'value', 'weight'"):
        from_table(table, folder, y_col="klass")
    with pytest.raises(ArgumentError, match="class_mode='multi_output' takes a list of columns as y_col; got 'value'"):
        from_table(table, folder, class_mode="multi_output", y_col="value")
    with pytest.raises(DataError, match=r"Column 'value' holds 0\.0; class_mode='sparse' takes text\. Convert it"):
        from_table(table, folder, class_mode="sparse", y_col="value")
    with pytest.raises(DataError, match=r"Column 'value' holds file names, but 0\.0 is none"):
        from_table(table, folder, x_col="value")
    with pytest.raises(DataError, match="Column 'class' holds weights, which are numbers"):
        from_table(table, folder, weight_col="class")
    with pytest.raises(DataError, match=r"class_mode='binary' needs two classes; there are 1 \(class0\)"):
        from_table(table[:3], folder, class_mode="binary")
    table.loc[3, "filename"] = "gone.png"
    with pytest.warns(UserWarning, match=r"1 of 10 files in column 'filename' are not there .*, first '.*gone\.png'"):
        assert from_table(table, folder).n == 9
    with pytest.raises(UnreadableImageError, match=r"gone\.png: cannot be read: No such file"):
        from_table(table, folder, validate_filenames=False)[0]


def test_arrays_that_cannot_work_are_refused():
    generator = tl.ImageDataGenerator()
    with pytest.raises(DataError, match=r"one array with four axes, \(n, height, width, channels\); got \(6, 8, 3\)"):
        generator.flow(pictures()[0])
    with pytest.raises(DataError, match="x has 7 images, but y has 3 rows"):
        generator.flow(pictures(), np.arange(3))
    with pytest.raises(ArgumentError, match="batch_size is a whole number from 1 up; got 0"):
        generator.flow(pictures(), batch_size=0)
    with pytest.raises(ArgumentError, match="seed is a whole number from 0 to 4294967295; got -1"):
        generator.flow(pictures(), seed=-1)
    with pytest.raises(DataError, match=r"fit\(\) takes images as one array, .* got \(6, 8, 3\)"):
        generator.fit(pictures()[0])
    with pytest.raises(ArgumentError, match="A transform has no number 'angle'; it has theta, tx,"):
        generator.apply_transform(pictures()[0], {"angle": 3})
    with pytest.raises(ArgumentError, match=r"validation_split is a share between 0 and 1, like 0\.2; got 1\.5"):
        tl.ImageDataGenerator(validation_split=1.5)


# -- what people have ----------------------------------------------------------------------------------------


def test_a_split_folder_is_no_folder_of_classes(image_folder):
    for side in ("train", "val", "test"):
        image_folder({"a": 2, "b": 2}, name=f"split/{side}")
    root = image_folder({"a": 1}, name="other").parent / "split"
    with pytest.raises(DataError, match=r"flow_from_directory\('.*train'\)"):
        flow(root)
    assert flow(root / "train").samples == 4
    assert flow(root, classes=["train", "val"]).class_indices == {"train": 0, "val": 1}


def test_images_directly_inside_need_no_class_without_answers(image_folder):
    folder = image_folder({"a": 3}) / "a"
    assert flow(folder, class_mode=None).filenames == ["000.png", "001.png", "002.png"]
    with pytest.warns(UserWarning, match=r"One class in '.*a': '\.'; every answer is the same"):
        assert flow(folder, classes=["."]).class_indices == {".": 0}


@pytest.mark.parametrize(
    "classes", [np.array(["class1", "class0"]), ("class1", "class0"), pd.Index(["class1", "class0"])]
)
def test_classes_come_in_any_kind_of_list(folder, classes):
    for batches in (
        flow(folder, classes=classes),
        from_table(table_of(folder), folder, classes=classes),
        tl.ImageDataGenerator(legacy=True).flow_from_directory(folder, classes=classes),
    ):
        assert batches.class_indices == {"class1": 0, "class0": 1}
    with pytest.raises(ArgumentError, match=r"classes is a list of names; got 'class0'\. Write \['class0'\]"):
        flow(folder, classes="class0")


def test_numbers_name_class_folders(image_folder):
    folder = image_folder({"0": 1, "1": 1})
    assert flow(folder, classes=range(2)).class_indices == {"0": 0, "1": 1}


def test_one_number_is_a_square(folder):
    assert flow(folder, target_size=5).image_shape == (5, 5, 3)
    with pytest.raises(ArgumentError, match=r"target_size is \(height, width\) in whole pixels"):
        flow(folder, target_size="8")


def test_a_share_that_is_no_number_is_refused():
    with pytest.raises(ArgumentError, match=r"validation_split is a share between 0 and 1, like 0\.2; got '0\.2'"):
        tl.ImageDataGenerator(validation_split="0.2")


def test_copies_that_cannot_be_written_are_refused_at_once(folder, tmp_path):
    with pytest.raises(ArgumentError, match=r"save_to_dir='.*nowhere' is no folder\. Make it first"):
        flow(folder, save_to_dir=tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match=r"save_format is one of .*png.*; got 'paint'"):
        flow(folder, save_to_dir=tmp_path, save_format="paint")


def test_a_table_of_files_that_are_all_elsewhere_is_refused(folder):
    with pytest.raises(DataError, match=r"10 of 10 files .* are not there or no images, first .*Give the folder"):
        from_table(table_of(folder), folder / "elsewhere")
    with pytest.raises(ArgumentError, match=r"The table is a pandas DataFrame; got str\. Use pandas\.read_csv"):
        from_table("table.csv", folder)


def test_several_columns_of_answers_need_a_mode_of_their_own(folder):
    table = table_of(folder).assign(a=1, b=0)
    with pytest.raises(ArgumentError, match=r"'categorical' takes one column as y_col; got 2\. .*class_mode='raw'"):
        from_table(table, folder, y_col=["a", "b"])
    with pytest.raises(ArgumentError, match=r"class_mode='raw' needs y_col, the column of answers, or class_mode=None"):
        from_table(table, folder, y_col=None, class_mode="raw")
    assert from_table(table, folder, y_col=["a", "b"], class_mode="raw")[0][1].tolist() == [[1, 0]] * 10
    with pytest.warns(DeprecationWarning, match="is called"):
        assert from_table(table, folder, y_col="a", class_mode="other").class_mode == "raw"


def test_arrays_in_cells_become_rows(folder):
    table = table_of(folder)
    table["box"] = [np.full(4, row, np.float32) for row in range(10)]
    boxes = from_table(table, folder, y_col="box", class_mode="raw")[0][1]
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[row] * 4 for row in range(10)]


def test_answers_of_several_outputs_have_a_row_for_each_image():
    with pytest.raises(DataError, match=r"x has 7 images, but y\['size'\] has 3 rows"):
        tl.ImageDataGenerator().flow(pictures(), {"kind": np.zeros(7), "size": np.zeros(3)})
    with pytest.raises(DataError, match=r"y cannot be one array: .* Give rows of one shape"):
        tl.ImageDataGenerator().flow(pictures(2), [[1, 2], [3]])
    with pytest.raises(DataError, match="y is one answer for each image; got 3"):
        tl.ImageDataGenerator().flow(pictures(), 3)


@pytest.mark.parametrize("mode", [None, "input", "sparse", "binary"])
@pytest.mark.parametrize("seed", [None, 3])
def test_neither_class_mode_nor_seed_changes_the_side_of_a_file(folder, mode, seed):
    sides = [
        flow(folder, {"validation_split": 0.4}, subset=subset, **options).filenames
        for options in ({"shuffle": False}, {"class_mode": mode, "seed": seed, "shuffle": False})
        for subset in ("training", "validation")
    ]
    assert sides[:2] == sides[2:]


def test_two_folders_of_one_layout_have_the_same_files_on_each_side(image_folder):
    """The left and the right picture of a pair show other pixels, and masks are often equal."""
    names = ("left", "right", "masks")
    left, right, masks = (image_folder({"a": 12, "b": 8}, name=name, seed=seed) for seed, name in enumerate(names))
    for path in masks.rglob("*.png"):
        Image.fromarray(np.full((8, 8), 255 * (path.stem < "005"), np.uint8)).save(path)

    def held(place, mode):
        return flow(place, {"validation_split": 0.4}, subset="validation", class_mode=mode, shuffle=False).filenames

    assert held(left, "categorical") == held(right, "categorical") == held(left, None) == held(masks, None)


def test_columns_may_be_called_by_numbers_as_in_tables_without_a_header(folder):
    table = table_of(folder)[["filename", "class", "weight"]]
    table.columns = range(3)
    assert from_table(table, folder, x_col=0, y_col=1, weight_col=2)[0][1].shape == (10, 2)
    raw = from_table(table, folder, x_col=0, y_col=2, class_mode="raw")
    np.testing.assert_array_equal(raw[0][1], table[2])
    for several in ([2, 2], table.columns[1:][1:]):
        assert from_table(table, folder, x_col=0, y_col=several, class_mode="raw")[0][1].shape == (10, len(several))
    with pytest.raises(ArgumentError, match="class_mode='multi_output' takes a list of columns as y_col; got 2"):
        from_table(table, folder, x_col=0, y_col=2, class_mode="multi_output")


def test_a_column_that_is_there_twice_is_refused(folder):
    table = pd.concat([table_of(folder), table_of(folder)[["class"]]], axis=1)
    with pytest.raises(ArgumentError, match=r"The table has several columns 'class'\. Rename them"):
        from_table(table, folder)


@pytest.mark.parametrize("kind", [np.array, set, frozenset, tuple])
def test_several_classes_in_a_cell_are_any_kind_of_list(folder, kind):
    table = table_of(folder).iloc[:3].assign(labels=[kind(cell) for cell in (["a"], ["b", "a"], [])])
    assert from_table(table, folder, y_col="labels")[0][1].tolist() == [[1, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("empty", [None, np.nan, pd.NA, pd.NaT])
@pytest.mark.parametrize("mode", ["categorical", "sparse"])
def test_a_row_without_a_class_is_refused_with_the_way_to_leave_it_out(folder, empty, mode):
    table = table_of(folder)
    table["class"] = [*table["class"][:3].tolist(), empty, *table["class"][4:].tolist()]
    with pytest.raises(
        DataError, match=r"Row 3 has no class in column 'class'\. .* table\.dropna\(subset=\['class'\]\)"
    ):
        from_table(table, folder, class_mode=mode)


@pytest.mark.parametrize("weights", [[1, np.nan, 1, 1, 1, 1, 1], [1, np.inf, 1, 1, 1, 1, 1], list("1234567")])
def test_weights_that_make_the_loss_nan_are_refused_before_training(weights):
    batches = tl.ImageDataGenerator().flow(pictures(), np.zeros(7), sample_weight=np.array(weights))
    with pytest.raises(DataError, match="Some weights are no finite numbers"):
        batches.rows.check_for_keras()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_list_of_images_is_refused_with_the_way_to_an_array(count):
    with pytest.raises(
        DataError, match=rf"got a list of {count}\. Images of one size become an array by np\.stack\(x\)"
    ):
        tl.ImageDataGenerator().flow(list(pictures(count)), np.arange(count))
    with pytest.raises(DataError, match="got a tuple of 3"):
        tl.ImageDataGenerator().flow((pictures(), np.arange(7), np.arange(7)))


def test_arrays_without_answers_are_split_by_place_with_and_without_a_seed():
    images, masks = pictures(20), np.zeros((20, 6, 8, 1), np.uint8)
    images[:, 0, 0, 0] = masks[:, 0, 0, 0] = np.arange(20)
    masks[5:] = 0
    generator = tl.ImageDataGenerator(validation_split=0.3)
    train, val, val_masks = (
        generator.flow(given, subset=subset, seed=seed, shuffle=False, batch_size=20)[0][:, 0, 0, 0]
        for given, subset, seed in ((images, "training", 1), (images, "validation", None), (masks, "validation", 2))
    )
    assert sorted([*train, *val]) == list(range(20))
    np.testing.assert_array_equal(np.where(val < 5, val, 0), val_masks)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.filterwarnings("ignore:One class in:UserWarning")
def test_iterators_have_the_attributes_of_keras(folder, legacy):
    generator = tl.ImageDataGenerator(legacy=legacy, validation_split=0.2, dtype="float32")
    options = {"target_size": (8, 6), "save_prefix": "x", "interpolation": "bilinear", "color_mode": "grayscale"}
    batches = generator.flow_from_directory(folder, subset="training", **options)
    assert {name: getattr(batches, name) for name in (*options, "subset", "split", "dtype", "data_format")} == {
        **options,
        "subset": "training",
        "split": (0.2, 1.0),
        "dtype": "float32",
        "data_format": "channels_last",
    }
    assert batches.image_data_generator is generator
    assert batches.directory == folder
    assert (batches.save_to_dir, batches.save_format, batches.keep_aspect_ratio) == (None, "png", False)
    assert batches.total_batches_seen == 0
    batches.next()
    assert batches.total_batches_seen == 1
    assert len(batches.index_array) == batches.n
    arrays = generator.flow(pictures(), np.arange(7))
    np.testing.assert_array_equal(arrays.x, pictures())
    assert arrays.y.tolist() == list(range(7))


@pytest.mark.parametrize("written", ["class0/000", "CLASS0/000.PNG", "class0\\000.png", " class0/000.png "])
def test_names_in_a_table_find_the_only_file_that_fits(folder, written):
    table = pd.DataFrame({"filename": [written, "class1/001.png"], "class": ["a", "b"]})
    with pytest.warns(UserWarning, match=r"1 of 2 names in column 'filename' are not written as their files are"):
        batches = from_table(table, folder)
    assert [Path(path).relative_to(folder).as_posix() for path in batches.filepaths] == [
        "class0/000.png",
        "class1/001.png",
    ]
    assert batches.filenames == list(table["filename"])


def test_an_iterator_says_what_it_goes_through(folder):
    assert repr(flow(folder)) == "ImageIterator(10 images in 2 classes, batches of 4 of 8 x 8 x 3)"
    assert repr(tl.ImageDataGenerator().flow(pictures())) == "ImageIterator(7 images, batches of 32 of 6 x 8 x 3)"
