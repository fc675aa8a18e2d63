"""Tables as people have them: what Excel and pandas write."""

import numpy as np
import pandas
import pytest

from thawline.data.sources.frame import ImageFrame
from thawline.data.sources.table import read_table
from thawline.errors import ArgumentError, DataError, FolderNotFoundError

ROWS = {"filename": ["0.png", "1.png"], "class": ["a", "b"]}


@pytest.fixture
def read(tmp_path):
    """The columns of a CSV file with this text."""

    def read(text, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode(encoding))
        return read_table(path, "filename")

    return read


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_stands_between_cells_is_found_by_the_header(read, separator, end):
    lines = [["filename", "class"], ["0.png", "a"], ["1.png", "b"]]
    assert read("".join(separator.join(line) + end for line in lines)).columns == ROWS


def test_the_header_decides_not_the_commonest_character(read):
    text = "class;filename;note\na;0.png;x, y, z, and more\nb;1.png;u, v, w\n"
    assert read(text).columns["note"] == ["x, y, z, and more", "u, v, w"]
    assert read('filename,note\n0.png,"a;b;c;d"\n').columns["note"] == ["a;b;c;d"]
    assert read("filename\n0.png\n").columns == {"filename": ["0.png"]}


def test_blanks_behind_commas_are_no_part_of_names_and_cells(read):
    assert read("filename, class\n0.png, a\n1.png, b\n").columns == ROWS
    assert read('filename, class\n0.png, "a, b"\n').columns["class"] == ["a, b"]
    # Where the header has none, a blank is kept.
    assert read("filename,class\n0.png, a\n").columns["class"] == [" a"]


def test_excels_ways_are_read(read):
    assert read("sep=;\r\nfilename;class\r\n0.png;a\r\n1.png;b\r\n").columns == ROWS
    assert read("\ufefffilename;class\n0.png;a\n1.png;b\n").columns == ROWS
    assert read("filename;class;;\n0.png;a;;\n1.png;b;;\n;;;\n").columns == ROWS
    assert read("filename\tclass\n0.png\ta\n1.png\tb\n", encoding="utf-16").columns == ROWS
    assert read('"filename";"class"\n"0.png";"a;b"\n').columns["class"] == ["a;b"]


def test_commas_in_numbers_are_points_where_semicolons_stand_between_cells(read):
    table = read("filename;size;whole\n0.png;1,5;2\n1.png;-,25;3\n")
    assert table.numbers("size", "label_columns") == ["1.5", "-.25"]
    assert table.numbers("whole", "label_columns") == ["2", "3"]
    assert read("filename;size\n0.png;1.5\n").numbers("size", "label_columns") == ["1.5"]
    assert read('filename,size\n0.png,"1,5"\n').numbers("size", "label_columns") == ["1,5"]
    with pytest.raises(
        DataError, match=r"'size' has numbers with commas and with points, first '1,5' in row 0 and '1\."
    ):
        read("filename;size\n0.png;1,5\n1.png;1.500\n").numbers("size", "label_columns")


def test_targets_and_weights_may_have_decimal_commas(tmp_path, image_folder):
    folder = image_folder({"a": 2})
    (folder / "t.csv").write_text("filename;size;w\na/000.png;1,5;0,5\na/001.png;2,25;1\n")
    words = {"label_columns": "size", "weight_column": "w", "label_mode": "regression", "image_size": 8}
    source = ImageFrame(folder / "t.csv", **words)
    assert source.targets(np.arange(2)).tolist() == [[1.5], [2.25]]
    assert source.weights.tolist() == [0.5, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "filename;class\n0.png;a\n\n1.png\n",
            r"line 4 has 1 cells, but the header has 2\. Put cells that hold a semic",
        ),
        ("sep=;\nfilename;class\n0.png;a;c\n", "line 3 has 3 cells, but the header has 2"),
        ("filename\tclass\n0.png\n", "Put cells that hold a tab in quotes"),
        ("filename, filename \n", r"has the column 'filename' 2 times\. Rename one"),
        ("filename,class\n0.png,a\0\n", "holds NUL characters"),
    ],
)
def test_files_that_cannot_be_read_are_refused(read, text, message):
    with pytest.raises(DataError, match=message):
        read(text)


def test_text_of_other_encodings_is_refused_in_words(read):
    with pytest.raises(
        DataError, match=r"no CSV file in UTF-8: line 3 has the byte 0xe4, .*in Excel: CSV UTF-8.*cp1252"
    ):
        read("filename,class\n0.png,a\n1.png,ä\n", encoding="cp1252")


@pytest.mark.parametrize(
    ("start", "kind"), [(b"PK\x03\x04", "an Excel workbook or"), (b"PAR1", "a Parquet file"), (b"\x1f\x8b", "packed")]
)
def test_what_is_no_text_is_named(tmp_path, start, kind):
    path = tmp_path / "table.xlsx"
    path.write_bytes(start + b"\xff" * 9)
    with pytest.raises(DataError, match=rf"is no CSV file but {kind}.*Save it as CSV, or read it with pandas"):
        read_table(path, "filename")
    with pytest.raises(FolderNotFoundError, match="No CSV file"):
        read_table(tmp_path / "none.csv", "filename")


def test_columns_of_a_dataframe_are_found_by_name_whatever_it_is():
    table = read_table(pandas.DataFrame({0: ["0.png"], " class": ["a"]}), 0)
    assert table.column(0, "path_column") == ["0.png"]
    assert table.column("class", "label_columns") == ["a"]


def test_an_index_and_columns_of_one_name_are_told():
    frame = pandas.DataFrame(ROWS)
    with pytest.raises(
        ArgumentError, match=r"no column 'filename'\. It is the index of the table: give table\.reset_ind"
    ):
        read_table(frame.set_index("filename"), "filename").column("filename", "path_column")
    with pytest.raises(DataError, match="The table has the column 'class' 2 times"):
        read_table(pandas.concat([frame, frame["class"]], axis=1), "filename")
