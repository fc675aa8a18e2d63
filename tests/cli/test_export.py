"""thawline export: from a run folder to an artefact, a certificate and a card."""

import json
import shutil

import pytest
import yaml

from small_project import thawline, write_recipe
from thawline.export import onnx as onnx_format
from thawline.export.artefact import Artefact


@pytest.fixture
def run(image_folder, tmp_path):
    """A finished run on images of three colours."""
    image_folder({"blue": 8, "green": 8, "red": 8}, size=(20, 16), seed=1)
    write_recipe(tmp_path, augment={"horizontal_flip": True})
    assert thawline("train", tmp_path / "recipe.yaml", "--quiet").exit_code == 0
    return tmp_path / "runs" / "small"


def test_a_run_is_exported_verified_and_described(run, tmp_path, monkeypatch):
    done = thawline("export", run, "--format", "onnx", "--json")
    assert done.exit_code == 0, done.output
    (exported,) = json.loads(done.stdout)
    assert exported["path"] == str(run / "export" / "onnx")
    assert exported["verified"]
    groups = {group["kind"]: group for group in exported["certificate"]["groups"]}
    assert groups["held out"]["images"] == 6
    artefact = Artefact.open(exported["path"])
    assert artefact.class_names == ("blue", "green", "red")
    card = (artefact.path / "README.md").read_text()
    assert "training images: 18" in card
    metrics = json.loads((run / "metrics.json").read_text())
    header = yaml.safe_load(card.split("---\n")[1])
    (named,) = header["model-index"][0]["results"][0]["metrics"]
    assert (named["type"], named["value"]) == ("accuracy", pytest.approx(metrics["accuracy"], abs=1e-3))
    assert "| training accuracy, last epoch | " in card
    assert "| expected calibration error | 0." in card
    assert "phase 1: head learned in epochs 1 to 1" in card
    assert "horizontal_flip=True" in card

    # The images may be gone; then it is verified on made ones, and says so.
    shutil.rmtree(tmp_path / "images")
    told = thawline("export", run, "--format", "onnx", "--to", tmp_path / "out")
    assert told.exit_code == 0
    assert "made images only" in told.stderr
    assert "onnx: verified in onnxruntime" in told.stdout

    # What is wrong ends with exit code 1.
    monkeypatch.setattr(onnx_format, "write", lambda servable, folder: (folder / "model.onnx").write_bytes(b""))
    wrong = thawline("export", run, "--format", "onnx", "--to", tmp_path / "wrong", "--quiet")
    assert wrong.exit_code == 1
    assert (tmp_path / "wrong" / "onnx-unverified" / "artefact.json").exists()

    unknown = thawline("export", run, "--format", "tflite", "--no-verify")
    assert unknown.exit_code == 2
    assert "got 'tflite'" in unknown.stderr
