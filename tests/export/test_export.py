"""Artefacts are written whole, verified, marked where they are not right, and refused where they cannot be."""

import json

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.data.sources.arrays import ImageArrays
from thawline.errors import ArgumentError, ExportError, MissingDependencyError
from thawline.export import onnx as onnx_format
from thawline.export.artefact import Artefact
from thawline.export.card import model_card
from thawline.export.export import ExportOptions, export
from thawline.export.servable import make_servable
from tiny_stack import pictures, reading, tiny_stack


@pytest.fixture
def stack():
    made = tiny_stack()
    made.reading = reading()
    return made


def test_an_artefact_that_answers_otherwise_is_marked_and_an_error(stack, tmp_path, monkeypatch):
    write = onnx_format.write
    other = make_servable(tiny_stack(seed=1), reading())
    monkeypatch.setattr(onnx_format, "write", lambda servable, folder: write(other, folder))
    with pytest.raises(ExportError, match="onnx: NOT verified in onnxruntime"):
        stack.export(tmp_path, ["onnx"], verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == ["onnx-unverified"]
    artefact = Artefact.open(tmp_path)
    assert artefact.verified is False
    certificate = json.loads((artefact.path / "certificate.json").read_text())
    assert not certificate["verified"]
    assert certificate["largest_difference"] > 1e-3
    assert "does not answer as the stack does" in (artefact.path / "README.md").read_text()

    monkeypatch.setattr(onnx_format, "write", write)
    (done,) = stack.export(tmp_path, ["onnx"], verbose=0)
    assert done.artefact.verified
    assert [path.name for path in tmp_path.iterdir()] == ["onnx"]


def test_one_that_is_not_verified_leaves_no_earlier_one_that_looks_as_if_it_were(stack, tmp_path, monkeypatch):
    stack.export(tmp_path, ["onnx"], verbose=0)
    write = onnx_format.write
    told = []
    with monkeypatch.context() as changed:
        changed.setattr(onnx_format, "write", lambda servable, folder: (folder / "model.onnx").write_bytes(b"no model"))
        for _ in range(2):
            options = ExportOptions(announce=told.append)
            export(stack, tmp_path, ["onnx"], reading=reading(), options=options)
            assert sorted(path.name for path in tmp_path.iterdir()) == ["onnx-earlier", "onnx-unverified"]
    assert "what was exported before is kept as onnx-earlier\n" in told[0]
    # The earlier one is still a model that was verified.
    assert Artefact.open(tmp_path / "onnx-earlier").verified
    assert onnx_format.write is write
    stack.export(tmp_path, ["onnx"], verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == ["onnx"]


def test_an_artefact_that_does_not_run_is_marked_with_the_reason(stack, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_format, "write", lambda servable, folder: (folder / "model.onnx").write_bytes(b"no model"))
    with pytest.raises(ExportError, match=r"it does not run in onnxruntime [\d.]+: .*INVALID_PROTOBUF"):
        stack.export(tmp_path, ["onnx"], verbose=0)


def test_without_verifying_nobody_says_that_it_is_right(stack, tmp_path):
    (done,) = stack.export(tmp_path, ["keras"], verify=False, verbose=0)
    assert done.artefact.verified is None
    assert "This artefact was not verified." in (done.artefact.path / "README.md").read_text()
    assert not (done.artefact.path / "certificate.json").exists()
    expected = stack.model.predict_on_batch(pictures())
    np.testing.assert_array_equal(done.artefact.predict(pictures()), expected)


def test_an_export_takes_the_place_of_an_earlier_one_and_of_nothing_else(stack, tmp_path):
    for _ in range(2):
        stack.export(tmp_path, ["keras"], verify=False, verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == ["keras"]
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "my only thesis.txt").write_text("")
    with pytest.raises(ArgumentError, match="exists and holds no artefact"):
        stack.export(tmp_path, ["onnx"], verify=False, verbose=0)


def test_an_export_that_fails_leaves_nothing_behind(stack, tmp_path, monkeypatch):
    def fail(servable, folder):
        (folder / "half.onnx").write_bytes(b"half")
        raise ExportError("no")

    monkeypatch.setattr(onnx_format, "write", fail)
    with pytest.raises(ExportError):
        stack.export(tmp_path, ["onnx"], verbose=0)
    assert list(tmp_path.iterdir()) == []


def test_one_format_that_fails_does_not_keep_another_from_being_written(stack, tmp_path, monkeypatch):
    def fail(servable, folder):
        raise MissingDependencyError("tf2onnx is missing")

    monkeypatch.setattr(onnx_format, "write", fail)
    options = ExportOptions(verifies=False)
    refused, good = export(stack, tmp_path, ["onnx", "keras"], reading=reading(), options=options)
    assert (refused.artefact, refused.refused, refused.is_good) == (None, "tf2onnx is missing", False)
    assert good.is_good


@keras.saving.register_keras_serializable("test")
class Doubled(keras.layers.Layer):
    """A layer of a user's own."""

    def call(self, inputs):
        return inputs * 2


def test_a_keras_file_with_a_layer_of_the_users_own_is_refused(tmp_path):
    base = keras.Sequential([keras.Input((12, 10, 3)), Doubled(name="doubled"), keras.layers.Flatten()])
    stack = tl.Stack([tl.Stage(base, "base")])
    stack.reading = reading()
    with pytest.raises(ExportError, match=r"layer 'doubled', a Doubled of .* Export as saved_model, onnx"):
        stack.export(tmp_path, ["keras"], verbose=0)
    (done,) = stack.export(tmp_path, ["onnx"], verbose=0)
    assert done.artefact.verified


def test_a_saved_model_does_not_scale_16_bits_from_a_range_but_readers_do(tmp_path):
    stack = tiny_stack()
    stack.reading = reading(file_range=[0, 4095])
    with pytest.raises(ExportError, match=r"not with file_range=\(0\.0, 4095\.0\): 16 bits .* Export as keras, onnx"):
        stack.export(tmp_path, verbose=0)
    (done,) = stack.export(tmp_path, ["onnx"], verbose=0)
    assert done.artefact.verified


def test_a_saved_model_does_not_decode_alpha_but_readers_do(tmp_path):
    stack, images = tiny_stack(channels=4), ImageArrays(pictures(channels=4))
    with pytest.raises(ExportError, match="not with color_mode='rgba'"):
        stack.export(tmp_path, images=images, verbose=0)
    (done,) = stack.export(tmp_path, ["onnx"], images=images, verbose=0)
    assert done.certificate.verified
    assert done.certificate.images == len(images) + 9


def test_several_outputs_and_what_a_source_does_to_pixels_are_right_in_every_runtime(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 10, 1))
    maps = keras.layers.Conv2D(2, 3, padding="same")(inputs)
    flat = keras.layers.Flatten()(maps)
    outputs = {"map": maps, "kind": keras.layers.Dense(2, "softmax")(flat), "age": keras.layers.Dense(1)(flat)}
    stack = tl.Stack([tl.Stage(keras.Model(inputs, outputs), "three")])
    steps = {"samplewise_std_normalization": True, "featurewise_center": True}
    statistics = tl.Augmentation(**steps).fit(pictures(channels=1).astype(np.float32)).statistics
    images = ImageArrays(pictures(channels=1)).augment(rotation_range=30, statistics=statistics, **steps)
    for done in stack.export(tmp_path, ["onnx", "litert", "openvino"], images=images, verbose=0):
        assert done.certificate.difference <= 1e-5
        shapes = {name: answer.shape for name, answer in done.artefact.predict(pictures(2, channels=1)).items()}
        assert shapes == {"map": (2, 12, 10, 2), "kind": (2, 2), "age": (2, 1)}


def test_without_a_reading_one_is_asked_for(tmp_path):
    with pytest.raises(ArgumentError, match=r"Give export\(images="):
        tiny_stack().export(tmp_path, ["keras"])


def test_an_unknown_format_is_refused(stack, tmp_path):
    with pytest.raises(ArgumentError, match=r"one of 'saved_model', .*; got 'tflite'"):
        stack.export(tmp_path, ["tflite"])


def test_what_a_folder_is_not_is_said(tmp_path):
    with pytest.raises(ArgumentError, match="No artefact in"):
        Artefact.open(tmp_path)


def test_images_of_another_kind_are_refused(stack, tmp_path):
    (done,) = stack.export(tmp_path, ["keras"], verify=False, verbose=0)
    with pytest.raises(ArgumentError, match=r"takes uint8 \(n, 12, 10, 3\); got float64 \(1, 12, 10, 3\)"):
        done.artefact.predict(np.zeros((1, 12, 10, 3)))


def test_a_changed_file_is_noticed(stack, tmp_path):
    (done,) = stack.export(tmp_path, ["keras"], verify=False, verbose=0)
    (done.artefact.path / "reader.py").write_text("")
    assert done.artefact.damaged_files() == ["reader.py"]


def test_a_card_says_what_is_known_and_nothing_else(stack):
    facts = {"metrics": {"accuracy": 0.75}, "data": {"folder": "moors"}, "license": "mit", "limits": ["No fog."]}
    card = model_card("onnx", make_servable(stack, reading()), ["base: 10 weights"], facts, None)
    assert "pipeline_tag: image-classification" in card
    assert "value: 0.75" in card
    assert "license: mit" in card
    assert "- folder: moors" in card
    assert "- No fog." in card
    assert "## Calibration" not in card
    assert "## Training" not in card


def test_a_class_name_stays_in_its_cell_of_the_card(stack):
    classes = [{"name": "a|b\n<i>", "support": 2, "recall": 0.5, "precision": None}]
    card = model_card("onnx", make_servable(stack, reading()), [], {"classes": classes}, None)
    assert "| a\\|b &lt;i> | 2 | 0.5 | - |\n" in card


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ("{", "is damaged"),
        ("[]", "says nothing of an artefact"),
        ('{"version": 2}', "has version 2"),
        ('{"version": 1, "format": "onnx", "model": "../model.onnx"}', "in this folder"),
        ('{"version": 1, "format": "onnx", "model": "/model.onnx"}', "in this folder"),
        ('{"version": 1, "format": "other", "model": "model.onnx"}', "format 'other'"),
    ],
)
def test_an_artefact_that_points_elsewhere_or_is_none_is_refused(facts, told, tmp_path):
    (tmp_path / "artefact.json").write_text(facts)
    with pytest.raises(ArgumentError, match=told):
        Artefact.open(tmp_path)
