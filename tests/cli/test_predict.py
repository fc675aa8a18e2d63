"""thawline predict: rows as a table, CSV, JSON lines or JSON."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from thawline.cli.predict import FORMS, describe_prediction
from thawline.errors import ArgumentError
from thawline.export.predict import Prediction

ROWS = [
    describe_prediction(Prediction(Path("a, b.jpg"), np.array([0.125, 0.625, 0.25])), ["cat", "dog", "owl"], 2),
    describe_prediction(Prediction(Path("bad.jpg"), None, "the file is empty."), ["cat", "dog", "owl"], 2),
]


def printed(form, top=2, rows=ROWS):
    return "".join(FORMS[form](iter(rows), top))


def test_a_single_probability_is_that_of_the_second_of_two_classes():
    row = describe_prediction(Prediction(Path("a.jpg"), np.array([0.25])), ["no", "yes"], 2)
    assert row["classes"] == [{"name": "no", "probability": 0.75}, {"name": "yes", "probability": 0.25}]


def test_what_is_no_list_of_classes_is_given_as_it_is():
    row = describe_prediction(Prediction(Path("a.jpg"), np.array([[1.0, 2.0]])), ["no", "yes"], 1)
    assert row == {"path": "a.jpg", "answer": [[1.0, 2.0]]}
    assert json.loads(printed("jsonl", rows=[row])) == row
    assert "[[1.0, 2.0]]" in printed("table", rows=[row])
    with pytest.raises(ArgumentError, match="Use jsonl"):
        printed("csv", rows=[row])


def test_csv_is_read_back_by_any_reader():
    rows = list(csv.DictReader(io.StringIO(printed("csv"))))
    assert rows[0] == {
        "path": "a, b.jpg",
        "class_1": "dog",
        "probability_1": "0.625",
        "class_2": "owl",
        "probability_2": "0.25",
        "error": "",
    }
    assert (rows[1]["path"], rows[1]["class_1"], rows[1]["error"]) == ("bad.jpg", "", "the file is empty.")
    assert printed("csv", top=1, rows=[]) == "path,class,probability,error\n"


def test_json_is_one_document_and_json_lines_are_many():
    assert json.loads(printed("json")) == ROWS
    assert json.loads(printed("json", rows=[])) == []
    assert [json.loads(line) for line in printed("jsonl").splitlines()] == ROWS


def test_a_table_has_one_line_per_image():
    lines = printed("table").splitlines()
    assert [line.split("   ")[0] for line in lines] == ["a, b.jpg", "bad.jpg"]
    assert lines[0].endswith("dog 62.5%, owl 25.0%")
    assert lines[1].endswith("error: the file is empty.")


def test_rows_are_written_as_they_come():
    def endless():
        while True:
            yield ROWS[0]

    for form in FORMS:
        stream = FORMS[form](endless(), 2)
        assert "dog" in next(stream) + next(stream)
