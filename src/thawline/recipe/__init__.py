"""Recipes: a YAML file <-> the public classes; only that.

A recipe is strict: an unknown key is an error that names the nearest known one. Paths are relative to the folder of the
recipe's file.
"""

from thawline.recipe.reading import load_recipe, parse_recipe
from thawline.recipe.recipe import Recipe

__all__ = ["Recipe", "load_recipe", "parse_recipe"]
