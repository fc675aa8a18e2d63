"""A trained head on EfficientNet-Lite0, in every format: as near as promised on 200 held-out photos, and usable."""

import io
import json
import runpy
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from thawline.cli.demo import fabric_photos
from thawline.data.sources.files import ImageFiles
from thawline.export.artefact import Artefact
from thawline.export.export import FORMATS

pytest.importorskip("conformal_clip_data")
SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "exports.py"
CLASSES = ("global", "local", "nominal")


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Where the benchmark put its artefacts, at a size that a test can wait for."""
    folder = tmp_path_factory.mktemp("exports")
    images = ["--limit", "100", "--validation", "0.667", "--size", "96", "--epochs", "3"]
    options = [*images, "--to", str(folder), "--json", str(folder / "all.json")]
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(sys, "argv", [str(SCRIPT), *options])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 0
    return folder


@pytest.fixture(scope="module")
def photos():
    return sorted(fabric_photos().rglob("*.jpg"))[::400]


@pytest.fixture(scope="module")
def pixels(photos):
    images = ImageFiles(photos, image_size=(96, 96))
    return np.stack([images.picture(place, 0)[0] for place in range(len(images))])


@pytest.fixture(scope="module")
def answers(exports, pixels):
    """What Keras says."""
    return Artefact.open(exports / "keras").predict(pixels)


def figures(exports, form):
    return next(each for each in json.loads((exports / "all.json").read_text()) if each["format"] == form)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_names_the_same_classes_on_200_held_out_photos(exports, form):
    found = figures(exports, form)["certificate"]
    held_out = next(group for group in found["groups"] if group["kind"] == "held out")
    assert found["verified"]
    assert held_out["images"] >= 200
    assert held_out["top1_agreement"] == found["top1_agreement"] == 1
    assert found["largest_difference"] <= 1e-4
    assert [group["largest_pixel_difference"] for group in found["groups"]] == [0] * len(found["groups"])
    assert {"grey", "alpha", "CMYK", "turned by EXIF", "odd size"} < {group["kind"] for group in found["groups"]}


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "keras"])
def test_an_artefact_answers_here_as_keras_does(exports, form, pixels, photos, answers, capfd):
    artefact = Artefact.open(exports / form)
    np.testing.assert_allclose(artefact.predict(pixels), answers, atol=1e-4)
    np.testing.assert_allclose(artefact.predict(pixels[:1]), answers[:1], atol=1e-4)
    images = ImageFiles(photos, **artefact.image_files_arguments)
    np.testing.assert_array_equal(images.picture(0, 0)[0], pixels[0])
    assert artefact.class_names == CLASSES
    assert artefact.verified
    assert artefact.damaged_files() == []
    assert capfd.readouterr() == ("", "")


def test_a_saved_model_takes_files_of_any_size(exports, photos, answers):
    tensorflow = import_module("tensorflow")
    model = tensorflow.saved_model.load(str(exports / "saved_model" / "model" / "1"))
    small = io.BytesIO()
    Image.open(photos[0]).resize((50, 31)).save(small, "PNG")
    contents = [photos[0].read_bytes(), small.getvalue(), photos[1].read_bytes()]
    given = model.signatures["serving_default"](image_bytes=tensorflow.constant(contents))["probabilities"]
    np.testing.assert_allclose(given[::2], answers[:2], atol=1e-5)
    names = model.signatures["class_names"]()["class_names"].numpy()
    assert tuple(name.decode() for name in names) == CLASSES
    assert (exports / "saved_model/model/1/assets/class_names.txt").read_text().split() == list(CLASSES)


def test_class_names_and_reading_are_inside_the_files(exports):
    onnx = import_module("onnx")
    properties = {each.key: each.value for each in onnx.load(exports / "onnx" / "model.onnx").metadata_props}
    assert json.loads(properties["class_names"]) == list(CLASSES)
    with zipfile.ZipFile(exports / "litert" / "model.tflite") as archive:
        assert archive.read("labels.txt").decode().split() == list(CLASSES)
        assert json.loads(archive.read("reading.json")) == json.loads(properties["reading"])
    with zipfile.ZipFile(exports / "keras" / "model.keras") as archive:
        assert json.loads(archive.read("thawline-artefact.json"))["class_names"] == list(CLASSES)
    assert "global" in (exports / "openvino" / "model.xml").read_text()


def test_a_reader_answers_on_the_command_line(exports, photos, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    command = [sys.executable, "reader.py", "--top", "2", str(photos[0]), str(tmp_path / "bad.jpg")]
    done = subprocess.run(command, cwd=exports / "onnx", capture_output=True, text=True, check=False)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [str(photos[0])] * 2
    assert float(rows[0][2]) >= float(rows[1][2])
    assert {row[1] for row in rows} < set(CLASSES)
    assert "bad.jpg: expected an image" in done.stderr
    assert done.returncode == 1


def test_a_card_says_what_was_verified(exports):
    _, header, text = (exports / "litert" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(header) == {"library_name": "tflite", "tags": ["thawline", "litert"]}
    assert "Classes: global, local, nominal." in text
    assert "verified in ai-edge-litert" in text
    assert "How well it does is not known to this card." in text


def test_no_telemetry_was_loaded(exports):
    assert "openvino_telemetry" not in sys.modules
