"""predictions.csv comes back as it was written."""

import csv

import numpy as np
import pytest
from blake3 import blake3

import thawline as tl
from thawline.errors import RunError
from thawline.report.predictions import read_predictions, write_predictions


@pytest.fixture
def source(image_folder):
    return tl.ImageFolder(image_folder({"a, b": 1, "red": 2}), image_size=(8, 8))


def test_answers_come_back_to_the_last_bit(source, tmp_path):
    answers = np.random.default_rng(0).dirichlet([1, 1], 3).astype(np.float32)
    write_predictions(tmp_path / "new" / "predictions.csv", source, answers)
    found = read_predictions(tmp_path / "new" / "predictions.csv")
    assert found.class_names == ("a, b", "red")
    assert found.paths == tuple(map(str, source.paths))
    assert found.labels == ("a, b", "red", "red")
    assert found.answers == tuple(found.class_names[label] for label in answers.argmax(axis=1))
    assert found.digests == tuple(blake3(path.read_bytes()).hexdigest() for path in source.paths)
    np.testing.assert_array_equal(found.probabilities.astype(np.float32), answers)


def test_one_probability_is_written_for_both_classes(source, tmp_path):
    write_predictions(tmp_path / "predictions.csv", source, np.array([[0.25], [0.25], [0.75]]))
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "digest", "label", "answer", "a, b", "red"]
    assert [row[2:] for row in rows[1:]] == [
        ["a, b", "a, b", "0.75", "0.25"],
        ["red", "a, b", "0.75", "0.25"],
        ["red", "red", "0.25", "0.75"],
    ]


def test_a_run_without_answers_is_refused(tmp_path):
    with pytest.raises(RunError, match="before runs kept their answers"):
        read_predictions(tmp_path / "predictions.csv")


@pytest.mark.parametrize("text", ["image,answer\n1.png,red\n", "path,digest,label,answer,red\n1.png,00,red\n", ""])
def test_another_table_is_refused(tmp_path, text):
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(RunError, match="should have the columns path, digest, label, answer"):
        read_predictions(tmp_path / "predictions.csv")
