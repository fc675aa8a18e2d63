"""A SavedModel is a program: only a user's own ones run unasked. Other files than exported never do."""

import json
import shutil
from importlib import import_module

import numpy as np
import pytest

from small_project import thawline
from thawline.errors import ArgumentError
from thawline.export.artefact import Artefact
from thawline.export.trust import own_path
from tiny_stack import pictures, reading, tiny_stack


@pytest.fixture
def stack():
    made = tiny_stack()
    made.reading = reading()
    return made


def exported(stack, folder, form):
    (done,) = stack.export(folder, [form], verify=False, verbose=0)
    return done.artefact


def be_somebody_else(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "somebody else"))


def test_ones_own_export_runs_wherever_it_is_moved_to(stack, tmp_path):
    made = exported(stack, tmp_path / "out", "saved_model")
    moved = made.path.rename(tmp_path / "moved")
    expected = stack.model.predict_on_batch(pictures())
    np.testing.assert_allclose(Artefact.open(moved).predict(pictures()), expected, atol=1e-6)


def test_a_program_of_somebody_else_runs_only_when_it_is_trusted(stack, tmp_path, image_folder, monkeypatch):
    made = exported(stack, tmp_path / "out", "saved_model")
    be_somebody_else(monkeypatch, tmp_path)
    told = (
        r"is a program: .* may read and write your files, .*Open it with --trust \(in Python trust=True\) if you trust"
    )
    with pytest.raises(ArgumentError, match=told):
        Artefact.open(made.path)
    assert Artefact.open(made.path, trust=True).predict(pictures()).shape == (5, 3)
    image = next(image_folder(1, count=1).rglob("*.png"))
    refused = thawline("predict", made.path, image)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "is a program" in refused.stderr
    assert thawline("predict", made.path, image, "--trust").exit_code == 0


def test_what_is_no_program_runs_for_anybody(stack, tmp_path, monkeypatch):
    made = exported(stack, tmp_path / "out", "keras")
    be_somebody_else(monkeypatch, tmp_path)
    assert Artefact.open(made.path).predict(pictures()).shape == (5, 3)


def test_a_strangers_saved_model_reads_and_writes_no_file(stack, tmp_path, image_folder):
    made = exported(stack, tmp_path / "out", "saved_model")
    tensorflow = import_module("tensorflow")
    (tmp_path / "key").write_text("a private key")
    module = tensorflow.Module()

    @tensorflow.function(input_signature=[tensorflow.TensorSpec((None, 12, 10, 3), tensorflow.uint8)])
    def pixels(images):
        stolen = tensorflow.io.read_file(str(tmp_path / "key"))
        with tensorflow.control_dependencies([tensorflow.io.write_file(str(tmp_path / "OWNED"), stolen)]):
            return {"answers": tensorflow.ones((tensorflow.shape(images)[0], 3)) / 3}

    model = made.path / "model" / "1"
    shutil.rmtree(model)
    tensorflow.saved_model.save(module, str(model), signatures={"pixels": pixels.get_concrete_function()})
    image = next(image_folder(1, count=1).rglob("*.png"))
    assert thawline("predict", made.path, image).exit_code == 2
    # With made-up digests, too.
    facts = json.loads((made.path / "artefact.json").read_text())
    import_module("thawline.export.artefact").write_facts(made.path, {**facts, "verified": True})
    assert "is a program" in thawline("predict", made.path, image).stderr
    assert not (tmp_path / "OWNED").exists()


@pytest.mark.parametrize("form", ["saved_model", "keras", "onnx", "openvino", "litert"])
def test_a_model_that_is_not_what_was_exported_is_refused_in_every_format(stack, tmp_path, form):
    made = exported(stack, tmp_path / "out", form)
    assert Artefact.open(made.path).damaged_files() == []
    name = max(
        (name for name in made.facts["files"] if name.startswith("model")), key=lambda n: (made.path / n).stat().st_size
    )
    data = bytearray((made.path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (made.path / name).write_bytes(data)
    for trust in (False, True):
        with pytest.raises(ArgumentError, match=rf"is not what was exported: {name} differs from what artefact\.json"):
            Artefact.open(made.path, trust=trust)
    (made.path / name).unlink()
    with pytest.raises(ArgumentError, match=rf"{name} differs .* Export it again, or copy it again"):
        Artefact.open(made.path)


@pytest.mark.parametrize(
    ("form", "name"),
    [("saved_model", "model/1/saved_model.cpb"), ("saved_model", "model/1/assets/new"), ("openvino", "model.new")],
)
def test_files_beside_those_of_the_model_are_refused(stack, tmp_path, form, name):
    made = exported(stack, tmp_path / "out", form)
    (made.path / name).parent.mkdir(exist_ok=True)
    (made.path / name).write_bytes(b"more")
    with pytest.raises(ArgumentError, match=rf"is not what was exported: {name} differs"):
        Artefact.open(made.path)


def test_a_model_of_which_nothing_is_said_is_refused(stack, tmp_path):
    made = exported(stack, tmp_path / "out", "keras")
    facts = made.path / "artefact.json"
    facts.write_text(json.dumps({**made.facts, "files": {}}))
    with pytest.raises(ArgumentError, match=r"model\.keras differs"):
        Artefact.open(made.path)
    (made.path / "model.keras").unlink()
    with pytest.raises(ArgumentError, match=r"model\.keras differs"):
        Artefact.open(made.path)


def test_the_card_may_be_written_into(stack, tmp_path):
    made = exported(stack, tmp_path / "out", "keras")
    (made.path / "README.md").write_text("Mine.")
    assert Artefact.open(made.path).damaged_files() == ["README.md"]


def test_where_exports_cannot_be_noted_it_is_said(stack, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.warns(
        UserWarning, match=r"cannot be noted as your own: .*predict will ask for --trust, Artefact\.open"
    ):
        made = exported(stack, tmp_path / "out", "saved_model")
    with pytest.raises(ArgumentError, match="is a program"):
        Artefact.open(made.path)


def test_only_programs_are_noted(stack, tmp_path, monkeypatch):
    be_somebody_else(monkeypatch, tmp_path)
    exported(stack, tmp_path / "out", "keras")
    assert not own_path().exists()
    made = exported(stack, tmp_path / "out", "saved_model")
    (note,) = own_path().iterdir()
    assert note.read_text() == f"{made.path}\n"
