"""ImageFrame: images named in a CSV file or a DataFrame."""

import subprocess
import sys

import numpy as np
import pytest

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
    pandas = pytest.importorskip("pandas")
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
    with pytest.raises(TypeError, match="unexpected keyword argument 'labels_columns'"):
        ImageFrame(tmp_path, labels_columns="x")
