"""Findings of a check as a page, and in the report of a training."""

import json
import re
import shutil

import pytest

from small_project import CONVOLUTION, thawline, write_recipe


@pytest.fixture
def project(image_folder, tmp_path):
    """A recipe with clean images; one on the training side is there twice, which is worth a note."""
    train = image_folder({"red": 6, "blue": 6}, size=(20, 20), seed=1, name="train")
    image_folder({"red": 4, "blue": 4}, size=(20, 20), seed=2, name="validation")
    shutil.copy(train / "red" / "000.png", train / "red" / "twice.png")
    data = {"train": "train", "validation": "validation", "image_size": [20, 20]}
    return write_recipe(tmp_path, base=[CONVOLUTION], data=data, run={"name": "flowers"})


@pytest.fixture
def broken(project, tmp_path):
    """The same with an image on both sides."""
    shutil.copy(tmp_path / "train" / "red" / "001.png", tmp_path / "validation" / "red" / "copied.png")
    return project


def test_a_check_is_written_as_a_page_with_pictures_of_the_files(broken, tmp_path):
    page = tmp_path / "check.html"
    done = thawline("check", broken, "--report", page)
    assert done.exit_code == 1
    text = page.read_text(encoding="utf-8")
    assert "split-same-image" in text and "image-twice" in text
    pairs = re.findall(r'<figure class="pair">.*?</figure>', text, flags=re.DOTALL)
    assert len(pairs) == 2 and all(pair.count("<img") == 2 for pair in pairs)
    assert "copied.png" in pairs[0] and "twice.png" in pairs[1]
    assert f"thawline check {broken}" in text
    assert "1 error" in text and "nowhere" not in text


def test_a_training_with_errors_is_not_begun(broken, tmp_path):
    done = thawline("train", broken, "--check")
    assert done.exit_code == 1
    assert "split-same-image" in done.stdout
    assert not (tmp_path / "runs").exists()
    found = json.loads(thawline("train", broken, "--check", "--json").stdout)
    assert "split-same-image" in [finding["code"] for finding in found["findings"]]


def test_findings_that_are_no_errors_are_in_the_report_of_the_training(project, tmp_path):
    done = thawline("train", project, "--check")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "runs" / "flowers" / "report.html").read_text(encoding="utf-8")
    assert "What the check found" in text and "image-twice" in text
    assert "twice.png" in re.search(r'<figure class="pair">.*?</figure>', text, flags=re.DOTALL)[0]
