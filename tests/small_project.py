"""A small project: a recipe for images of a few colours, and the command line as typed."""

import yaml
from typer.testing import CliRunner

from thawline.cli import app

CONVOLUTION = {"Conv2D": {"filters": 4, "kernel_size": 3}}
POOLING = "GlobalAveragePooling2D"
ANSWERS = {"Dense": {"units": "classes", "activation": "softmax"}}


def small_recipe(*, base=(CONVOLUTION, "ReLU"), head=(POOLING, ANSWERS), **sections):
    """A recipe as plain values: a frozen base under a head, trained for an epoch, with other sections as given."""
    return {
        "data": {
            "train": "images",
            "validation": 0.25,
            "exact": True,
            "image_size": [16, 16],
            "batch_size": 8,
            "seed": 3,
        },
        "stack": [
            {"name": "base", "layers": list(base), "trainable": False, "value_range": [0, 1]},
            {"name": "head", "layers": list(head)},
        ],
        "phases": [{"train": "head", "epochs": 1}],
        "run": {"folder": "runs", "name": "small"},
        **sections,
    }


def write_recipe(folder, **changes):
    """Writes a small recipe into a folder; gives its path."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(small_recipe(**changes)))
    return path


def thawline(*words):
    """Runs a command as typed; gives exit code and outputs."""
    return CliRunner().invoke(app, [str(word) for word in words])
