"""Two runs beside each other: the same head, once on the mean and once on the maximum of each feature map.

A flaw in a fabric is small: a mean over the whole picture drowns it, a maximum does not. Both recipes train into run
folders, and `thawline compare` says what that changed, class by class and image by image.

    python examples/compare_runs.py [--limit IMAGES_PER_CLASS] [--side PIXELS] [--epochs N] [--folder DIR]
"""

import argparse
import tempfile
from pathlib import Path

import yaml

from thawline.cli import app
from thawline.cli.demo import fabric_photos

POOLINGS = {"mean": "GlobalAveragePooling2D", "maximum": "GlobalMaxPooling2D"}


def write_recipe(path: Path, side: int, epochs: int, limit: int | None) -> None:
    """A recipe for the fabric photos, which both runs share."""
    recipe = {
        "data": {
            "train": str(fabric_photos()),
            "validation": 0.25,
            "exact": True,
            "image_size": [side, side],
            "seed": 7,
            "limit": limit,
        },
        "augment": {"horizontal_flip": True, "vertical_flip": True},
        "stack": [
            {"name": "base", "backbone": "efficientnet_lite0", "trainable": False},
            {
                "name": "head",
                "layers": [
                    POOLINGS["mean"],
                    {"Dense": {"units": 128, "activation": "relu"}},
                    {"Dropout": {"rate": 0.2}},
                    {"Dense": {"units": "classes", "activation": "softmax"}},
                ],
            },
        ],
        "phases": [{"train": "head", "epochs": epochs, "views": 4}],
    }
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")


def thawline(*words: object) -> None:
    """Runs a command as typed; what fails ends the example."""
    print(f"$ thawline {' '.join(map(str, words))}", flush=True)
    code = app([*map(str, words)], standalone_mode=False)
    if code:
        raise SystemExit(code)
    print(flush=True)


def main() -> None:
    """Trains two runs and compares them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=None, help="images per class, for a quick look")
    parser.add_argument("--side", type=int, default=250, help="height and width of the images")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=None, help="where the runs go; by default they are deleted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        recipe = folder / "recipe.yaml"
        write_recipe(recipe, options.side, options.epochs, options.limit)
        for name, pooling in POOLINGS.items():
            thawline("train", recipe, f"run.name={name}", f"stack.1.layers.0={pooling}", "--quiet")
        runs = [folder / "runs" / name for name in POOLINGS]
        thawline("compare", *runs, "--report", folder / "comparison.html")


if __name__ == "__main__":
    main()
