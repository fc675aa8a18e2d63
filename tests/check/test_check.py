"""The whole check: one pass over images, splits, labels, joints and heads, and what it says."""

import json
import shutil

import pytest

import thawline as tl
from small_project import CONVOLUTION, thawline, write_recipe
from thawline.backend import keras
from thawline.check import check as module

layers = keras.layers


@pytest.fixture
def sides(image_folder):
    """Two folders with two colours each, all images different."""
    train = image_folder({"red": 12, "blue": 12}, size=(20, 20), seed=1, name="train")
    validation = image_folder({"red": 4, "blue": 4}, size=(20, 20), seed=1, name="validation")
    for index, path in enumerate(sorted(validation.rglob("*.png"))):
        shutil.copy(
            sorted(image_folder({"red": 8}, size=(20, 20), seed=9 + index, name=f"new{index}").rglob("*.png"))[0], path
        )
    return train, validation


def sources(sides):
    return [tl.ImageFolder(side, image_size=(20, 20), batch_size=8) for side in sides]


def make_stack(loss="categorical_crossentropy", units=2):
    base = keras.Sequential([keras.Input((20, 20, 3)), layers.Conv2D(4, 3)])
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(units, "softmax")])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])
    stack.compile("adam", loss)
    return stack


def codes(check, severity="error"):
    return {finding.code for finding in check.findings if finding.severity == severity}


def test_nothing_is_wrong_with_a_clean_project(sides):
    found = make_stack().check(*sources(sides), verbose=0)
    assert codes(found) == set()
    assert not found.has_errors
    assert found.images == 32
    assert "in 32 images and the stack" in str(found)


def test_mistakes_of_all_kinds_are_told_together_the_worst_first(sides):
    train, validation = sides
    shutil.copy(train / "red" / "000.png", validation / "red" / "copied.png")
    (train / "blue" / "001.png").write_bytes(b"no image")
    found = make_stack("binary_crossentropy").check(*sources(sides), verbose=0)
    assert codes(found) == {"split-same-image", "image-unreadable", "head-softmax-binary"}
    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    named = {path.name for finding in found.findings for path in finding.paths}
    assert {"copied.png", "001.png"} <= named


def test_joints_that_do_not_fit_are_findings_and_neighbours_wait(sides, monkeypatch):
    monkeypatch.setattr(module, "check_neighbours", None)
    train, validation = sources(sides)
    base = keras.Sequential([keras.Input((20, 20, 3)), layers.Conv2D(4, 3)])
    head = keras.Sequential([keras.Input((4,)), layers.Dense(2, "softmax")])
    stages = [tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")]
    found = module.check(
        stages, train, validation, compiled=None, features=module.FeatureOptions(), show_progress=False
    )
    assert codes(found) == {"joint-shape"}
    assert "check-untrusted" in codes(found, "note")


def test_each_phase_is_checked_with_its_own_loss(sides):
    phases = [tl.Phase("head", 1), tl.Phase("head", 1, loss="binary_crossentropy")]
    found = make_stack().check(*sources(sides), phases=phases, verbose=0)
    assert codes(found) == {"head-softmax-binary"}
    assert "Phase 2" in next(finding.what for finding in found.findings if finding.severity == "error")


def run(folder, *words):
    data = {"train": "train", "validation": "validation", "image_size": [20, 20]}
    return thawline("check", write_recipe(folder.parent, base=[CONVOLUTION], data=data), *words)


def test_the_command_ends_with_0_where_no_finding_is_an_error(sides):
    done = run(sides[0], "--quiet")
    assert done.exit_code == 0, done.output
    assert "in 32 images and the stack" in done.stdout


def test_the_command_ends_with_1_where_one_is_and_gives_json(sides):
    train, validation = sides
    shutil.copy(train / "red" / "000.png", validation / "red" / "copied.png")
    done = run(train, "--quiet", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    (error,) = [finding for finding in found["findings"] if finding["severity"] == "error"]
    assert error["code"] == "split-same-image"
    assert error["paths"][0].endswith("copied.png")
