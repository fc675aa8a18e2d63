"""Checks the demo's recipe on all of its photos, as a user would.

    python scripts/check_demo.py [--limit IMAGES_PER_CLASS]

The photos are clean, and so is the stack: whatever it finds is a false alarm.
"""

import argparse
import tempfile
from pathlib import Path

from thawline.cli.check import check_recipe
from thawline.cli.demo import demo_recipe


def main() -> None:
    """Writes the recipe and checks it; ends with exit code 1 when a finding is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=None, help="images per class, for a quick look")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder, "recipe.yaml")
        recipe.write_text(demo_recipe(Path(folder), 20, options.limit).to_yaml(), encoding="utf-8")
        check_recipe(recipe, [], as_json=False, quiet=False)


if __name__ == "__main__":
    main()
