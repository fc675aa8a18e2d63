"""What the README shows, runs."""

import functools
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from thawline.recipe import parse_recipe

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    """The code blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_example_runs(image_folder, tmp_path, monkeypatch):
    classes = ("daisies", "lilies", "poppies", "roses", "tulips")
    folder = image_folder(dict.fromkeys(classes, 16), size=(20, 20), name="flowers", ending=".jpg")
    (folder / "roses" / "000.jpg").rename(tmp_path / "new.jpg")
    monkeypatch.chdir(tmp_path)
    # The published weights would have to be downloaded; without them a slim one does.
    random_base = functools.partial(keras.applications.MobileNetV2, weights=None, alpha=0.35)
    monkeypatch.setattr(keras.applications, "MobileNetV2", random_base)
    (code,) = blocks("python")
    names = {}
    exec(re.sub(r"epochs=\d+", "epochs=1", code), names)
    assert len(names["history"].epoch) == 1
    assert names["stack"].class_names == classes
    assert (tmp_path / "flowers.keras").exists()
    answers = names["stack"].predict(names["tl"].ImageFiles(["new.jpg"], image_size=(160, 160)))
    assert answers.sum() == pytest.approx(1, abs=1e-5)
    assert np.all(answers > 0)


def test_the_recipe_is_valid():
    (recipe,) = blocks("yaml")
    phases = parse_recipe(yaml.safe_load(recipe)).build_phases(5)
    assert [phase.epochs for phase in phases] == [10, 5]
    assert phases[1].patterns == ("head", "base/block_16*")
