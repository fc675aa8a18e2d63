"""A typed path, key or format is told before Keras is loaded, which takes seconds."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import thawline as package
from small_project import write_recipe
from thawline import cli

# Runs commands in a process in which Keras cannot be loaded; writes exit codes and outputs.
WITHOUT_KERAS = """
import json, sys
class NoKeras:
    def find_spec(self, name, path=None, target=None):
        if name in ("keras", "tensorflow"):
            raise AssertionError(f"{name} was loaded")
sys.meta_path.insert(0, NoKeras())
from typer.testing import CliRunner
from thawline.cli import app
told = []
for words in json.load(sys.stdin):
    done = CliRunner().invoke(app, words)
    told.append([done.exit_code, done.stderr, repr(done.exception)])
json.dump(told, sys.stdout)
"""


@pytest.fixture
def recipe(image_folder, tmp_path):
    image_folder({"blue": 2, "red": 2})
    return str(write_recipe(tmp_path))


def test_mistakes_are_told_without_keras(recipe, tmp_path):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "recipe.yaml").write_text("")
    cases = [
        (["train", "nope.yaml"], "No recipe 'nope.yaml'"),
        (["train", "."], "is a folder; expected a recipe"),
        (["train", recipe, "data.batch_sise=3"], "data.batch_sise is not known; did you mean 'batch_size'?"),
        (["train", recipe, "data.train=nowhere"], "nowhere' does not exist"),
        (["train", recipe, "data.validation=nowhere"], "nowhere' does not exist"),
        (["train", recipe, "augment.zom_range=0.1"], "Did you mean 'zoom_range'?"),
        (["train", recipe, "features.engine=tpu"], "expected 'auto', 'keras' or 'openvino'; got 'tpu'"),
        (["train", recipe, "phases.0.early_stopping=0"], "early_stopping is a number of epochs from 1 up"),
        (["train", recipe, "stack.0={name: base, backbone: MobilNet}"], "no backbone is named 'MobilNet'. Nearest:"),
        (["train", recipe, "stack.0={name: base, model: gone.keras}"], "Stage 'base': the model '"),
        (["check", recipe, "run.naem=x"], "did you mean 'name'?"),
        (["plan", recipe, "budget.max_time=soon"], "a time is a number of seconds"),
        (["find-learning-rate", "nope.yaml"], "No recipe"),
        (["export", "nope", "--format", "tflite"], "A format is one of 'saved_model'"),
        (["export", "nope", "--format", "onnx"], "No run in 'nope'"),
        (["evaluate", str(tmp_path / "unfinished")], "is not finished"),
        (["predict", "nope", "a.png"], "'nope' cannot answer"),
        (["predict", str(tmp_path / "unfinished"), "a.png"], "is not finished"),
        (["compare", "nope", "nope"], "No run in 'nope'"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_KERAS],
        input=json.dumps([words for words, _ in cases]),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    for (words, message), (code, told, error) in zip(cases, json.loads(done.stdout), strict=True):
        assert message in told, (words, told, error)
        assert code in (1, 2), words


def test_loading_keras_is_said_when_it_takes_a_second(monkeypatch, capsys):
    loaded = threading.Event()

    def load(name):
        if name == "thawline.progress":
            return cli.import_module.original(name)
        assert loaded.wait(30)
        return name

    load.original = cli.import_module
    monkeypatch.setattr(cli, "import_module", load)
    monkeypatch.setattr(cli, "_SAID_AFTER_S", 0.0)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setattr("thawline.progress.say", lambda text: (sys.stderr.write(text), loaded.set()))
    load.original = __import__("importlib").import_module
    assert cli._work("train") == "thawline.cli.train"
    assert capsys.readouterr().err == "loading Keras"
