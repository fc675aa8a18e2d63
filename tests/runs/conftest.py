"""A small project: a recipe beside a folder of images, and the command that trains it."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from thawline.cli import app

RECIPE = {
    "data": {"train": "images", "validation": 0.25, "exact": True, "image_size": [16, 16], "batch_size": 8, "seed": 3},
    "augment": {"horizontal_flip": True, "rotation_range": 20},
    "stack": [
        {
            "name": "base",
            "layers": [{"Conv2D": {"filters": 4, "kernel_size": 3}}, "ReLU"],
            "trainable": False,
            "value_range": [0, 1],
        },
        {
            "name": "head",
            "layers": [
                "GlobalAveragePooling2D",
                {"Dropout": {"rate": 0.2}},
                {"Dense": {"units": "classes", "activation": "softmax"}},
            ],
        },
    ],
    "features": {"engine": "keras"},
    "phases": [{"train": "head", "epochs": 2, "learning_rate": 0.05, "views": 2}],
    "run": {"folder": "runs", "name": "small"},
}


@dataclass(frozen=True)
class Project:
    """A folder with a recipe."""

    folder: Path

    @property
    def recipe(self):
        return self.folder / "recipe.yaml"

    def run(self, name="small"):
        """The folder of a run."""
        return self.folder / "runs" / name

    def thawline(self, *words):
        """Runs a command as typed; gives exit code and outputs."""
        return CliRunner().invoke(app, [str(word) for word in words])

    def train(self, *words):
        """Trains, which must work; gives the outputs."""
        done = self.thawline("train", self.recipe, *words)
        assert done.exit_code == 0, done.output
        return done

    def write(self, **sections: Any):
        """Writes the recipe with other sections than usual."""
        content = copy.deepcopy(RECIPE)
        for name, section in sections.items():
            content[name] = {**content[name], **section} if isinstance(section, dict) else section
        self.recipe.write_text(yaml.safe_dump(content))


@pytest.fixture
def project(image_folder, tmp_path):
    image_folder({"blue": 12, "green": 12, "red": 12}, size=(20, 16), seed=1)
    made = Project(tmp_path)
    made.write()
    return made
