"""thawline train, evaluate and predict: from a recipe to a run folder, and what the run folder says afterwards."""

import csv
import json
import shutil
import warnings

import keras
import numpy as np
import pytest
import yaml

import thawline as tl
from small_project import ANSWERS, CONVOLUTION, POOLING, small_recipe, thawline
from thawline.features.cache import FeatureSet
from thawline.recipe import Recipe
from thawline.training.display import EpochDisplay

# pytest.warns gives the warnings on that it does not want, as of the test: Keras 3.15's own, see pyproject.toml.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

RECIPE = small_recipe(
    base=[CONVOLUTION, "BatchNormalization", "ReLU"],
    head=[POOLING, {"Dropout": {"rate": 0.2}}, ANSWERS],
    augment={"horizontal_flip": True, "rotation_range": 20},
    phases=[{"train": "head", "epochs": 3, "learning_rate": 0.05, "views": 2}],
)


# No epoch is ever better by so much than the first one.
WORST = {"monitor": "loss", "mode": "max", "min_delta": 100}


@pytest.fixture
def project(image_folder, tmp_path):
    """A recipe beside a folder of images of three colours."""
    image_folder({"blue": 12, "green": 12, "red": 12}, size=(20, 16), seed=1)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def weights_of(run):
    """All weights of a run's stack, read by plain Keras."""
    return keras.saving.load_model(run / "stack.keras").get_weights()


def test_a_run_folder_holds_everything_and_evaluates_as_it_was_trained(project, tmp_path):
    done = thawline("train", project)
    assert done.exit_code == 0, done.output
    assert "On held-out images" in done.stdout
    assert "training images: 54 of 54 extracted in" in done.stderr  # 27 images, 2 views
    run = tmp_path / "runs" / "small"
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints",
        "data.json",
        "environment.json",
        "history.csv",
        "labels.txt",
        "metrics.json",
        "plan.json",
        "predictions.csv",
        "recipe.yaml",
        "report.html",
        "split.csv",
        "stack.keras",
    ]
    assert (run / "labels.txt").read_text() == "blue\ngreen\nred\n"
    assert json.loads((run / "plan.json").read_text())["phases"][0]["strategy"] == "precomputed"
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    metrics = json.loads((run / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert metrics["images"] == {"train": 27, "validation": 9}
    assert np.sum(metrics["confusion"]) == 9
    assert metrics["accuracy"] == pytest.approx(float(rows[-1]["val_accuracy"]))
    assert 0 <= metrics["calibration_error"] <= 1
    assert len(metrics["epoch_seconds"]) == 3 and min(metrics["epoch_seconds"]) > 0
    answers = list(csv.DictReader((run / "predictions.csv").read_text().splitlines()))
    assert np.mean([row["label"] == row["answer"] for row in answers]) == pytest.approx(metrics["accuracy"])
    assert all(row["answer"] == max(("blue", "green", "red"), key=lambda name: float(row[name])) for row in answers)
    page = (run / "report.html").read_text()
    for heading in (
        "Learning curves",
        "Worst mistakes",
        "Most uncertain",
        "What spoke for the answer",
        "thaw line lay",
    ):
        assert heading in page
    assert 'id="over-time"' in page

    again = json.loads(thawline("evaluate", run, "--json").stdout)
    assert again["images"] == 9
    assert again["loss"] == pytest.approx(float(rows[-1]["val_loss"]), abs=1e-6)
    assert again["accuracy"] == pytest.approx(metrics["accuracy"])

    with pytest.warns(UserWarning, match="27 of 36 images are trained on as well"):
        elsewhere = json.loads(thawline("evaluate", run, "--data", tmp_path / "images", "--json").stdout)
    assert elsewhere["images"] == 36


def test_a_recipe_with_every_word_of_a_phase_trains(project, tmp_path):
    """A probe on the base, the head by its own loss, then everything with factors; the files say which phase."""
    recipe = {
        **RECIPE,
        "phases": [
            {
                "train": "base",
                "epochs": 1,
                "loss_at": "base",
                "probe": ["GlobalAveragePooling2D", {"Dense": {"units": "classes", "activation": "softmax"}}],
            },
            {
                "train": "head",
                "epochs": 9,
                "loss": "mse",
                "metrics": ["mae"],
                "early_stopping": {**WORST, "patience": 1},
            },
            {"train": ["base", "head"], "epochs": 2, "learning_rate_factors": {"base": 0.1}},
        ],
    }
    project.write_text(yaml.safe_dump(recipe))
    done = thawline("train", project)
    assert done.exit_code == 0, done.output
    assert "phase 1: base and a probe, loss at base\n" in done.stderr
    run = tmp_path / "runs" / "small"
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [(row["epoch"], row["phase"]) for row in rows] == [
        ("1", "1"),
        ("2", "2"),
        ("3", "2"),
        ("4", "3"),
        ("5", "3"),
    ]
    assert [row["mae"] == "" for row in rows] == [True, False, False, True, True]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["last_epoch"].keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert [(mark["name"], mark["best_epoch"]) for mark in metrics["phases"]] == [
        ("phase 1", None),
        ("phase 2", 1),
        ("phase 3", None),
    ]


def test_predict_names_images_in_order_with_probabilities(project, tmp_path):
    thawline("train", project, "--quiet")
    run = tmp_path / "runs" / "small"
    files = [tmp_path / "images" / "red" / "003.png", tmp_path / "images" / "blue" / "001.png"]
    rows = json.loads(thawline("predict", run, *files, "--top", 3, "--json").stdout)
    assert [row["path"] for row in rows] == [str(path) for path in files]
    model = keras.saving.load_model(run / "stack.keras")
    for row, path in zip(rows, files, strict=True):
        pixels = tl.ImageFiles([path], image_size=(16, 16)).image(0)
        wanted = model.predict(pixels[None].astype("float32"), verbose=0)[0]
        assert [found["name"] for found in row["classes"]] == [["blue", "green", "red"][i] for i in np.argsort(-wanted)]
        assert [found["probability"] for found in row["classes"]] == pytest.approx(
            sorted(wanted, reverse=True), abs=1e-6
        )
    table = thawline("predict", run, *files)
    assert table.exit_code == 0
    assert "red/003.png" in table.stdout
    bad = thawline("predict", run, tmp_path / "none.png", files[0], "--format", "csv")
    assert bad.exit_code == 1
    assert [line.split(",")[-1] for line in bad.stdout.splitlines()] == ["error", "there is no such file.", ""]
    assert "1 of 2 images are bad" in bad.stderr
    (tmp_path / "empty").mkdir()
    assert thawline("predict", run, tmp_path / "empty").exit_code == 2


def test_a_second_training_extracts_nothing_and_gets_a_folder_of_its_own(project, tmp_path):
    thawline("train", project)
    before = (tmp_path / "runs" / "small" / "metrics.json").read_bytes()
    again = thawline("train", project)
    assert "training images: 0 of 54 extracted\n" in again.stderr
    assert "validation images: 0 of 9 extracted\n" in again.stderr
    assert (tmp_path / "runs" / "small" / "metrics.json").read_bytes() == before
    for one, two in zip(
        weights_of(tmp_path / "runs" / "small"), weights_of(tmp_path / "runs" / "small-2"), strict=True
    ):
        assert np.array_equal(one, two)


def test_ctrl_c_during_extraction_loses_nothing_and_the_same_command_goes_on(project, tmp_path, monkeypatch):
    write = FeatureSet.write
    calls = []

    def interrupted(self, keys, tensors):
        if calls:
            raise KeyboardInterrupt
        calls.append(len(keys))
        return write(self, keys, tensors)

    with monkeypatch.context() as patch:
        patch.setattr(FeatureSet, "write", interrupted)
        stopped = thawline("train", project)
    assert stopped.exit_code == 130
    assert "the same command goes on from here" in stopped.stderr
    done = thawline("train", project)
    assert done.exit_code == 0, done.output
    assert f"training images: {54 - calls[0]} of 54 extracted in" in done.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["small"]


def test_ctrl_c_during_training_goes_on_to_the_weights_of_an_undisturbed_run(project, tmp_path, monkeypatch):
    thawline("train", project, "run.name=whole", "--quiet")
    on_epoch_begin = EpochDisplay.on_epoch_begin

    def interrupted(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt
        on_epoch_begin(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(EpochDisplay, "on_epoch_begin", interrupted)
        stopped = thawline("train", project)
    assert stopped.exit_code == 130
    assert thawline("evaluate", tmp_path / "runs" / "small").exit_code == 2  # it is not finished
    done = thawline("train", project)
    assert "continuing after epoch 2" in done.stderr
    whole, pieces = tmp_path / "runs" / "whole", tmp_path / "runs" / "small"
    assert (whole / "history.csv").read_text() == (pieces / "history.csv").read_text()
    for one, two in zip(weights_of(whole), weights_of(pieces), strict=True):
        assert np.array_equal(one, two)
    assert not (pieces / "checkpoints" / "last.npz").exists()
    # The seconds of the epochs before the interruption are kept, too.
    assert len(json.loads((pieces / "metrics.json").read_text())["epoch_seconds"]) == 3


def test_what_goes_bad_during_the_training_is_listed_in_the_run_folder(project, tmp_path, monkeypatch):
    images = tmp_path / "images"
    (images / "red" / "text.png").write_text("no image")
    build_stack = Recipe.build_stack
    gone = []

    def losing_two(recipe, classes):
        """After the scan and the split one file of each side goes."""
        for source in sources:
            gone.append(source.paths[0])
            source.paths[0].unlink()
        return build_stack(recipe, classes)

    sources = []
    open_images = Recipe.open_images
    monkeypatch.setattr(Recipe, "open_images", lambda recipe: (sources.extend(open_images(recipe)), tuple(sources))[1])
    monkeypatch.setattr(Recipe, "build_stack", losing_two)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = thawline("train", project, "data.on_error=skip")
    assert done.exit_code == 0, done.output
    told = [str(warning.message) for warning in caught if "is left out" in str(warning.message)]
    assert len(told) == 2
    run = tmp_path / "runs" / "small"
    rows = list(csv.DictReader((run / "skipped.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == [str(images / "red" / "text.png"), *map(str, gone)]
    assert [row["reason"] for row in rows[1:]] == ["cannot be read: No such file or directory. Check the file."] * 2
    # Without an answer, an image is not measured.
    metrics = json.loads((run / "metrics.json").read_text())
    assert np.sum(metrics["confusion"]) == metrics["images"]["validation"] == 8


def test_an_unfinished_run_of_another_recipe_is_not_overwritten(project, tmp_path):
    thawline("train", project)
    (tmp_path / "runs" / "small" / "metrics.json").unlink()
    other = thawline("train", project, "data.seed=9")
    assert other.exit_code == 2
    assert "another recipe" in other.stderr
    assert "'seed: 3' is now 'seed: 9'" in other.stderr


def test_bad_input_is_one_line_and_an_exit_code(project, tmp_path):
    broken = tmp_path / "images" / "red" / "bad.png"
    broken.write_text("no image")
    for words, code, message in [
        (["train", project], 1, str(broken)),
        (["train", project, "data.train=nowhere"], 2, "does not exist"),
        (["train", project, "stack.1.layers.2.Dense.units=4"], 1, "3 classes"),
        (["train", project, "data.sed=1"], 2, "did you mean 'seed'"),
        (["evaluate", tmp_path / "images"], 2, "No run in"),
        (["predict", tmp_path / "none", broken], 2, "cannot answer"),
        (["init", tmp_path], 2, "exists already"),
    ]:
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        done = thawline(*words)
        assert (done.exit_code, message in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.output
        assert done.stdout == ""


def test_init_writes_a_recipe_that_only_lacks_images(tmp_path):
    assert thawline("init", tmp_path / "new").exit_code == 0
    done = thawline("train", tmp_path / "new" / "recipe.yaml")
    assert done.exit_code == 2
    assert str(tmp_path / "new" / "images") in done.stderr
