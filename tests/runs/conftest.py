"""A small project: a recipe beside a folder of images, and the command that trains it."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from small_project import ANSWERS, POOLING, small_recipe, thawline

RECIPE = small_recipe(
    head=[POOLING, {"Dropout": {"rate": 0.2}}, ANSWERS],
    augment={"horizontal_flip": True, "rotation_range": 20},
    features={"engine": "keras"},
    phases=[{"train": "head", "epochs": 2, "learning_rate": 0.05, "views": 2}],
)


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
        return thawline(*words)

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
