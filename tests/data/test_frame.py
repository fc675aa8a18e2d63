"""ImageFrame: images named in a CSV file or a DataFrame."""

import subprocess
import sys

import numpy as np
import pandas
import pytest

from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.frame import ImageFrame
from thawline.errors import ArgumentError, DataError, FolderNotFoundError
from thawline.specs import TensorSpec

SIZE = {"image_size": (8, 8)}


class Table:
    """What ImageFrame asks of a DataFrame."""

    def __init__(self, columns):
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        return self._columns[name]


@pytest.fixture
def folder(image_folder):
    """Four images: a/000.png, a/001.png, b/000.png, b/001.png."""
    return image_folder({"a": 2, "b": 2})


NAMES = ["a/000.png", "a/001.png", "b/000.png", "b/001.png"]


@pytest.fixture
def csv_file(folder):
    """Writes a CSV file beside the images."""

    def write(text, name="table.csv"):
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def table(**columns):
    return Table({"filename": NAMES, **columns})


CSV = "filename,class,size,weight\na/000.png,rose,1.5,1\nb/001.png,tulip,2,0.5\na/001.png,rose,-3,2\n"


def test_a_csv_file_gives_files_labels_and_weights_in_its_order(folder, csv_file):
    source = ImageFrame(csv_file("\ufeff" + CSV), weight_column="weight", label_mode="sparse", **SIZE)
    assert source.paths == tuple(folder / name for name in ("a/000.png", "b/001.png", "a/001.png"))
    assert source.class_names == ("rose", "tulip")
    assert source.labels.tolist() == [0, 1, 0]
    assert source.weights.tolist() == [1, 0.5, 2]
    batch = next(source.batches(shuffle=False))
    assert batch.targets.tolist() == [0, 1, 0]
    assert batch.images.shape == (3, 8, 8, 3)


def test_a_csv_file_needs_no_pandas(csv_file):
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from thawline import ImageFrame\n"
        f"print(len(ImageFrame({str(csv_file(CSV))!r})), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "3 False\n", done.stderr


def test_a_dataframe_gives_the_same_as_a_csv_file(folder, csv_file):
    path = csv_file(CSV)
    options = {"label_columns": {"kind": "class", "size": "size"}, "weight_column": "weight"}
    modes = {"kind": "categorical", "size": "regression"}
    from_file = ImageFrame(path, **options, label_mode=modes, **SIZE)
    from_frame = ImageFrame(pandas.read_csv(path), directory=folder, **options, label_mode=modes, **SIZE)
    assert from_file.paths == from_frame.paths
    assert from_file.target_content() == from_frame.target_content()
    assert from_file.target_spec == {
        "kind": TensorSpec((None, 2), "float32", (0.0, 1.0)),
        "size": TensorSpec((None, 1), "float32"),
    }


def test_several_columns_of_numbers_are_one_target(folder):
    given = table(x=["1", "2", "3", "4"], y=[0.5, 1, 2, -1])
    source = ImageFrame(given, directory=folder, label_columns=["x", "y"], label_mode="regression", **SIZE)
    assert source.targets(np.array([3, 0])).tolist() == [[4, -1], [1, 0.5]]


def test_a_cell_may_hold_several_classes(folder):
    lists = table(tags=[["sea", "sky"], ["sky"], ("sea",), []])
    first = ImageFrame(lists, directory=folder, label_columns="tags", label_mode="multi_label", **SIZE)
    assert first.targets(np.arange(4)).tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]
    for separator in ("|", ","):
        text = table(tags=[f"sea {separator} sky", "sky", "sea", f"sky{separator}sea"])
        options = {"label_columns": "tags", "label_mode": "multi_label", "label_separator": separator}
        source = ImageFrame(text, directory=folder, **options, **SIZE)
        assert source.targets(np.arange(4)).tolist() == [[1, 1], [0, 1], [1, 0], [1, 1]]
        assert source.class_names == ("sea", "sky")


def multi_label(folder, cells, **options):
    options = {"label_columns": "tags", "label_mode": "multi_label", **options}
    source = ImageFrame(table(tags=cells), directory=folder, **options, **SIZE)
    return source.class_names, source.targets(np.arange(4)).tolist()


@pytest.mark.parametrize("both", ["['sea', 'sky']", '["sea", "sky"]', "('sea', 'sky')", ["sea", "sky"], "sea|sky"])
def test_a_list_may_be_written_as_pandas_writes_it(folder, both):
    expected = (("sea", "sky"), [[1, 1], [0, 1], [1, 0], [0, 0]])
    assert multi_label(folder, [both, "['sky']", "sea", "[]"]) == expected


@pytest.mark.parametrize("empty", ["", " ", "|", "[]", [], None, float("nan"), pandas.NA])
def test_an_empty_cell_shows_none_of_the_classes(folder, empty):
    assert multi_label(folder, ["a|b", empty, "b", empty]) == (("a", "b"), [[1, 1], [0, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            ["a,b", "b", "a", "b"],
            r"No cell of column 'tags' holds '\|', but 1 of 4 hold ',', first row 0: 'a,b'\. Where it",
        ),
        (["a", "a; b", "a;b", "b"], r"but 2 of 4 hold ';', first row 1: 'a; b'\. .*give label_separator=';'; where"),
        (["a b", "b", "a", "b"], r"but 1 of 4 hold ' ', first row 0: 'a b'"),
        (
            ["red car", "red bus", "blue car", "blue bus"],
            r"but 4 of 4 hold ' '.*part of their names, give class_names=",
        ),
        (["a/b", "b", "a", "b"], r"but 1 of 4 hold '/'"),
        (["a\nb", "b", "a", "b"], r"but 1 of 4 hold '\\n'"),
        (
            [["a"], [["b"]], ["a"], ["b"]],
            r"Row 1 has \['b'\] as a class in column 'tags'; a class is a text or a number",
        ),
        (
            ["['a' 'b']", "['a']"] * 2,
            r"Row 0 has \"\['a' 'b'\]\" in column 'tags', which is no list that can be read\.",
        ),
        (["[a, b]", "a"] * 2, r"Row 0 has '\[a, b\]' in column 'tags', which is no list that can be read\. Write the"),
        (
            [[1, 0], [0, 1]] * 2,
            r"Row 0 has \[1, 0\] in column 'tags', and all rows have lists of 0 and 1\. Give a column",
        ),
        (["[1, 0, 0]", "[0, 0, 0]"] * 2, r"and all rows have lists of 0 and 1"),
    ],
)
def test_cells_that_would_be_guessed_are_refused(folder, cells, message):
    with pytest.raises(DataError, match=message):
        multi_label(folder, cells)


def test_names_may_hold_what_often_separates(folder):
    breeds = ["golden retriever", "tabby cat", "tabby cat", "golden retriever"]
    assert multi_label(folder, breeds)[0] == ("golden retriever", "tabby cat")
    names = ["hot dog", "dog", "a,b", "a|b"]
    assert multi_label(folder, names, class_names=names) == (tuple(names), np.eye(4).tolist())


def test_another_separator_may_be_the_usual_one(folder):
    with pytest.raises(DataError, match=r"No cell of column 'tags' holds ',', but 1 of 4 hold '\|'"):
        multi_label(folder, ["a|b", "b", "a", "b"], label_separator=",")


def test_a_list_is_no_class(folder):
    for cells in (["['a', 'b']", "a", "b", "a"], [["a"], ["b"]] * 2):
        with pytest.raises(
            DataError, match=r"Row 0 has \['a'.*but label_mode='categorical' takes one class per image\."
        ):
            ImageFrame(table(tags=cells), directory=folder, label_columns="tags", **SIZE)


HOT = {"sky": ["1", "0", "0", "1"], "sea": [True, 0.0, "True", np.int64(0)]}


def test_columns_of_0_and_1_are_classes_by_their_names(folder):
    words = {"directory": folder, "label_columns": ["sky", "sea"], "label_mode": "multi_label", **SIZE}
    source = ImageFrame(table(**HOT), **words)
    assert source.class_names == ("sky", "sea")
    assert source.targets(np.arange(4)).tolist() == [[1, 1], [0, 0], [0, 1], [1, 0]]
    assert source.class_counts == {"sky": 2, "sea": 2}
    other = ImageFrame(table(**HOT), class_names=["sea", "sky"], **words)
    assert other.targets(np.arange(2)).tolist() == [[1, 1], [0, 0]]
    # A list of one column of 0 and 1 is one class; its name alone is a column of classes.
    one = ImageFrame(table(**HOT), **{**words, "label_columns": ["sky"]})
    assert (one.class_names, one.targets(np.arange(2)).tolist()) == (("sky",), [[1], [0]])
    assert ImageFrame(table(**HOT), **{**words, "label_columns": "sky"}).class_names == ("0", "1")


def test_columns_of_0_and_1_keep_the_balance_of_exact_splits(image_folder):
    root = image_folder({"a": 8})
    columns = {"filename": [f"a/{row:03}.png" for row in range(8)], "sea": [0, 1] * 4, "sky": [1] * 8}
    words = {"label_columns": ["sea", "sky"], "label_mode": "multi_label", **SIZE}
    for side in ImageFrame(Table(columns), directory=root, **words).split(0.5, exact=True):
        assert side.class_counts == {"sea": 2, "sky": 4}


def test_columns_with_one_1_in_each_row_are_one_class_each(folder):
    columns = {"a": [0, 1, 0, 0], "b": [1, 0, 1, 1]}
    words = {"directory": folder, "label_columns": ["a", "b"], **SIZE}
    for mode, expected in {"sparse": [1, 0, 1, 1], "binary": [[1], [0], [1], [1]]}.items():
        assert ImageFrame(table(**columns), label_mode=mode, **words).targets(np.arange(4)).tolist() == expected
    with pytest.raises(
        DataError, match=r"Row 2 has 2 classes in columns 'a', 'b', but label_mode='categorical' takes one"
    ):
        ImageFrame(table(**{**columns, "a": [0, 1, 1, 0]}), **words)


@pytest.mark.parametrize(
    ("cell", "arguments", "message"),
    [
        ("2", {}, r"Row 1 has '2' in column 'sky'; a column for each class holds 0 or 1\. Correct it"),
        (0.5, {}, r"Row 1 has 0\.5 in column 'sky'"),
        (float("nan"), {}, r"Row 1 has nothing in column 'sky'"),
        (pandas.NA, {}, r"Row 1 has nothing in column 'sky'"),
        ("", {}, r"Row 1 has nothing in column 'sky'"),
        ("", {"label_columns": ["sky"]}, r"Row 1 has nothing in column 'sky'"),
        ("", {"label_mode": "categorical"}, r"Row 1 has nothing in column 'sky'"),
        (
            "0",
            {"class_names": ["x", "y"]},
            r"class_names are x, y, but label_columns are sky, sea\. A column of 0 and 1 is",
        ),
        (
            "0",
            {"label_columns": ["sky", "filename"], "label_mode": "sparse"},
            r"has 2 columns, but label_mode='sparse' t",
        ),
    ],
)
def test_columns_that_are_not_of_0_and_1_are_refused(folder, cell, arguments, message):
    columns = {**HOT, "sky": ["1", cell, "0", "1"]}
    words = {"directory": folder, "label_columns": ["sky", "sea"], "label_mode": "multi_label", **SIZE}
    with pytest.raises((ArgumentError, DataError), match=message):
        ImageFrame(table(**columns), **{**words, **arguments})


def test_a_table_has_the_classes_of_the_folder_in_its_order(image_folder):
    root = image_folder({str(number): 1 for number in range(12)})
    names = [f"{number}/000.png" for number in range(12)]
    folder = ImageFolder(root, **SIZE)
    with pytest.warns(UserWarning, match="Classes are in the order of their names as text, as in folders and in Keras"):
        frame = ImageFrame(Table({"filename": names, "class": list(range(12))}), directory=root, **SIZE)
    assert frame.class_names == folder.class_names == ("0", "1", "10", "11", *"23456789")
    by_name = dict(zip(folder.paths, folder.labels, strict=True))
    assert [by_name[path] for path in frame.paths] == frame.labels.tolist()


@pytest.mark.parametrize("names", [[0, 1], np.array([0, 1]), range(2), (0.0, 1.0), ["0", "1"]])
def test_numbers_may_name_classes(folder, names):
    for cells in ([1, 0, 1, 0], [1.0, 0.0, 1.0, 0.0], ["1", "0", "1", "0"]):
        source = ImageFrame(table(kind=cells), directory=folder, label_columns="kind", class_names=names, **SIZE)
        assert (source.class_names, source.labels.tolist()) == (("0", "1"), [1, 0, 1, 0])


def test_arrays_in_cells_are_rows_of_numbers(folder):
    words = {"directory": folder, "label_columns": "v", "label_mode": "regression", **SIZE}
    single = ImageFrame(table(v=[np.array(1.5), 1.5, "1.5", b"1.5"]), **words)
    assert single.targets(np.arange(4)).tolist() == [[1.5]] * 4
    for cells in ([np.arange(3)] * 4, [[0, 1, 2]] * 4, ["[0, 1, 2]"] * 4):
        source = ImageFrame(table(v=cells), **words)
        assert source.target_spec == TensorSpec((None, 3), "float32")
        assert source.targets(np.array([2])).tolist() == [[0, 1, 2]]
    with pytest.raises(
        DataError, match=r"Row 0 has \('\[0\. 1\.\]',\) in column 'v'; label_mode='regression' needs numbers"
    ):
        ImageFrame(table(v=["[0. 1.]"] * 4), **words)


@pytest.mark.parametrize("empty", [None, float("nan"), pandas.NA, "", float("inf")])
def test_images_without_a_weight_are_named(folder, empty):
    weights = [1, 1, empty, 1]
    with pytest.raises(
        DataError, match=r"Row 2 has .*in column 'w'\. A weight is a number from 0 up; fill it in or leave"
    ):
        ImageFrame(table(**{"class": list("abab"), "w": weights}), weight_column="w", directory=folder, **SIZE)


def test_a_group_that_is_missing_is_told(folder):
    frame = table(**{"class": list("abab"), " patient": [1, 2, pandas.NA, 3]})
    with pytest.raises(DataError, match="1 of 4 images have no group, first"):
        ImageFrame(frame, directory=folder, **SIZE).split(0.5, groups="patient")


def test_names_without_ending_are_found(folder):
    with pytest.warns(UserWarning, match="4 of 4 names in column 'filename' are not written as their files are"):
        source = ImageFrame(
            Table({"filename": [name.removesuffix(".png") for name in NAMES], "class": list("abab")}),
            directory=folder,
            **SIZE,
        )
    assert source.paths == tuple(folder / name for name in NAMES)


def test_labels_are_not_needed_for_modes_without(folder):
    assert ImageFrame(table(), directory=folder, label_mode="none", **SIZE).target_spec is None
    source = ImageFrame(table(), directory=folder, label_mode="input", **SIZE)
    assert source.target_spec.shape == (None, 8, 8, 3)


def test_class_names_are_those_given(folder):
    given = table(kind=["1", "0", "1", "0"])
    options = {"directory": folder, "label_columns": "kind", **SIZE}
    assert ImageFrame(given, class_names=["1", "0"], **options).labels.tolist() == [0, 1, 0, 1]
    assert ImageFrame(given, **options).labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("columns", "arguments", "message"),
    [
        ({"clas": ["a"] * 4}, {}, r"label_columns: the table has no column 'class'\. Did you mean 'clas'\?"),
        ({}, {"path_column": "qqq"}, r"path_column: the table has no column 'qqq'\. It has filename\."),
        ({"class": ["a"] * 4}, {"weight_column": "weigt"}, r"weight_column: the table has no column 'weigt'"),
        ({"class": ["a", "", None, "b"]}, {}, r"2 of 4 images have an empty label in column 'class', first row 1"),
        ({"class": ["a", float("nan")] * 2}, {}, r"2 of 4 images have an empty label in column 'class', first row 1"),
        ({"class": ["a"] * 4}, {"label_mode": "regression"}, r"Row 0 has \('a',\) in column 'class'; label_mode='regr"),
        ({"class": ["a"] * 4}, {"label_columns": ["class", "class"]}, r"has 2 columns, but .*'categorical' takes one"),
        ({"class": ["a"] * 4}, {"label_mode": {"x": "sparse"}}, r"is a dictionary, but label_columns is none"),
        ({}, {"label_columns": {"x": "class"}, "class_names": {"y": ["a"]}}, r"class_names has the output 'y', but"),
        (
            {"class": ["a"] * 4, "w": ["x"] * 4},
            {"weight_column": "w"},
            r"Row 0 has the weight 'x', which is no number, in column 'w'\.",
        ),
        ({"class": ["a"] * 4, "w": [-1] * 4}, {"weight_column": "w"}, r"4 sample weights are negative or no finite"),
        ({"class": ["a"] * 4}, {"label_separator": ""}, r"label_separator is a text, like '\|'; got ''"),
        (
            {"class": ["a"] * 4, "p": [None, *NAMES[1:]]},
            {"path_column": "p"},
            r"1 of 4 rows have no file in column 'p', f",
        ),
    ],
)
def test_what_cannot_work_is_named(folder, columns, arguments, message):
    with pytest.raises((ArgumentError, DataError), match=message):
        ImageFrame(table(**columns), directory=folder, **arguments, **SIZE)


def test_missing_files_are_counted_and_the_first_is_named(folder, csv_file):
    path = csv_file("filename,class\na/000.png,x\na/7.png,y\nb/8.png,x\n")
    with pytest.raises(
        DataError, match=r"2 of 3 files of column 'filename' are missing, first '.*a/7\.png'\. Give the f"
    ):
        ImageFrame(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,class\n", "The table has no rows"),
        ("filename,class,class\n", r"has the column 'class' 2 times\. Rename one"),
        ("filename,class\na/000.png,a,b\n", r"line 2 has 3 cells, but the header has 2\. Put cells that hold a comma"),
        ('filename,class\n"a/000.png,a\n', "is no CSV file in UTF-8: unexpected end of data"),
        ("", r"path_column: the table has no column 'filename'\. It has no columns"),
    ],
)
def test_csv_files_that_cannot_be_read_are_refused(csv_file, text, message):
    with pytest.raises((ArgumentError, DataError), match=message):
        ImageFrame(csv_file(text))


def test_tables_that_are_none_are_refused(tmp_path):
    with pytest.raises(FolderNotFoundError, match=r"No CSV file '.*none\.csv'\. Check the path"):
        ImageFrame(tmp_path / "none.csv")
    with pytest.raises(ArgumentError, match="The table is the path of a CSV file or a DataFrame; got int"):
        ImageFrame(3)
    with pytest.raises(ArgumentError, match=r"no argument 'labels_columns'\. Did you mean 'label_columns'\?"):
        ImageFrame(tmp_path, labels_columns="x")
