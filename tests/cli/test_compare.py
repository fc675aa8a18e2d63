"""thawline compare: runs beside each other, from their folders."""

import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import thawline as tl
from thawline.cli import app
from thawline.report.predictions import write_predictions
from thawline.report.scores import class_results, confusion_matrix


def thawline(*words):
    return CliRunner().invoke(app, ["compare", *map(str, words)])


@pytest.fixture
def make_run(image_folder, tmp_path):
    """Makes a finished run's folder: its answers are class numbers for images of two classes."""
    source = tl.ImageFolder(image_folder({"cat": 3, "dog": 3}), image_size=(8, 8))

    def make(name, answers, *, images=None, folder="runs", **recipe):
        held_out = source if images is None else source.select(images)
        path = tmp_path / folder / name
        write_predictions(path / "predictions.csv", held_out, np.eye(2)[answers] * 0.8 + 0.1)
        (path / "recipe.yaml").write_text(yaml.safe_dump({"run": {"name": name}, **recipe}))
        confusion = confusion_matrix(held_out.known_labels, np.array(answers), 2)
        metrics = {
            "accuracy": float(np.trace(confusion) / confusion.sum()),
            "classes": [vars(result) for result in class_results(confusion, source.class_names)],
            "last_epoch": {"loss": 1.0},
            "seconds": {"training": 2.0},
        }
        (path / "metrics.json").write_text(json.dumps(metrics))
        return path

    return make


def test_differences_are_told_in_tables(make_run):
    one = make_run("one", [0, 0, 1, 1, 1, 1], data={"seed": 7, "batch_size": 32})
    two = make_run("two", [0, 0, 0, 1, 1, 0], data={"seed": 8, "batch_size": 32})
    done = thawline(one, two)
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "recipe one two",
        "data.seed 7 8",
        "accuracy 0.8333 0.8333",
        "cat 66.7% 100.0%",
        "dog 100.0% 66.7%",
        "training 2.0 s 2.0 s",
        "All were measured on the same 6 images.",
        "right where one is wrong 1",
        "wrong where one is right 1",
        "probability of that by chance 100.0%",
        "They disagree on 2 images.",
        "images/cat/002.png cat dog 90% cat 90%",
        "images/dog/002.png dog dog 90% cat 90%",
    ):
        assert line in lines, done.stdout
    assert not any(line.startswith(("run.name", "data.batch_size")) for line in lines)


def test_runs_on_different_images_are_compared_on_those_they_share(make_run):
    one = make_run("one", [0, 0, 1, 1], images=[0, 1, 3, 4])
    two = make_run("two", [1, 1, 0], images=[1, 4, 5])
    found = json.loads(thawline(one, two, "--json").stdout)
    assert found["images"]["held_out"] == {"one": 4, "two": 3}
    assert found["images"]["common"] == 2
    assert found["images"]["accuracy"] == {"one": 1.0, "two": 0.5}
    assert [each["answers"] for each in found["disagreements"]] == [{"one": "cat", "two": "dog"}]
    assert found["disagreements"][0]["path"].endswith("cat/001.png")
    assert "here only the 2 that all have count" in thawline(one, two).stdout


def test_the_page_is_written_where_it_is_wanted(make_run, tmp_path):
    runs = [make_run("one", [0, 0, 1, 1, 1, 1]), make_run("two", [0, 0, 0, 1, 1, 0]), make_run("three", [0] * 6)]
    page = tmp_path / "new" / "comparison.html"
    done = thawline(*runs, "--report", page)
    assert done.exit_code == 0, done.output
    assert f"Report: {page}" in done.stdout
    text = page.read_text(encoding="utf-8")
    # On cat 002 and on all dogs somebody says something else.
    assert text.count("<img") == 4
    assert "one, two, three" in text


def test_runs_of_one_name_are_called_by_their_paths(make_run):
    one, other = make_run("same", [0] * 6), make_run("same", [1] * 6, folder="others")
    assert list(json.loads(thawline(one, other, "--json").stdout)["images"]["held_out"]) == [str(one), str(other)]


def test_what_cannot_be_compared_is_one_line(make_run, tmp_path):
    one, old = make_run("one", [0] * 6), make_run("old", [0] * 6)
    (old / "predictions.csv").unlink()
    for words, message in [
        ((one,), "Two runs or more are compared; got 1"),
        ((one, tmp_path), "No run in"),
        ((one, old), "before runs kept their answers"),
    ]:
        done = thawline(*words)
        assert (done.exit_code, message in done.stderr, done.stdout) == (2, True, ""), done.output
