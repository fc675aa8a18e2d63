"""A recipe from a YAML file or plain values, with its paths made absolute, or with everything that is wrong in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from thawline.data.augment import Augmentation
from thawline.errors import RecipeError, ThawlineError
from thawline.recipe.data import DataRecipe
from thawline.recipe.explaining import describe_kind, explain
from thawline.recipe.recipe import Recipe
from thawline.recipe.sections import StageRecipe
from thawline.recipe.yaml_text import read_yaml


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe.

    Args:
        path: the YAML file.
        overrides: changes like "data.batch_size=16" or "phases.0.epochs=3"; values are YAML.

    Raises:
        RecipeError: the file is not there, is no YAML, or something in it is not known or has a wrong value.
    """
    path = Path(path)
    content = _read(path)
    for override in overrides:
        _apply_override(content, override)
    return parse_recipe(content, name=str(path), folder=path.parent)


def _read(path: Path) -> dict[str, Any]:
    """Content of a file that has keys.

    Raises:
        RecipeError: there is no such file, or none with keys in YAML.
    """
    if path.is_dir():
        raise RecipeError(f"{str(path)!r} is a folder; expected a recipe, which is a YAML file, like recipe.yaml.")
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"No recipe {str(path)!r}. Write one with  thawline init  and edit it.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path} is no YAML file: {error}") from error
    if content is None:
        raise RecipeError(f"{path}: the file is empty. Write a recipe with  thawline init  and edit it.")
    if not isinstance(content, dict):
        raise RecipeError(f"{path} should hold the keys data, stack and phases; it holds {describe_kind(content)}.")
    return content


def parse_recipe(content: Mapping[str, Any], *, name: str = "recipe", folder: Path = Path()) -> Recipe:
    """A recipe from plain values, with its paths made absolute from `folder`.

    Raises:
        RecipeError: something is not known or has a wrong value; every such thing is named.
    """
    try:
        recipe = Recipe.model_validate(content)
        Augmentation.from_arguments(recipe.augment)
    except ValidationError as error:
        raise RecipeError("\n".join(f"{name}: {line}" for line in explain(error, Recipe))) from None
    except ThawlineError as error:
        raise RecipeError(f"{name}: augment: {error}") from None
    data = recipe.data.model_copy(update=_absolute_places(recipe.data, folder))
    run = recipe.run.model_copy(update={"folder": _absolute(recipe.run.folder, folder)})
    stages = [stage.model_copy(update=_absolute_files(stage, folder)) for stage in recipe.stack]
    return recipe.model_copy(update={"data": data, "run": run, "stack": stages})


def _absolute(path: str, folder: Path) -> str:
    return str((folder / Path(path).expanduser()).resolve())


def _absolute_places(data: DataRecipe, folder: Path) -> dict[str, str]:
    """The paths of the images, made absolute; a share of them to hold out is no path."""
    places = {"train": data.train, "validation": data.validation, "images": data.images}
    return {key: _absolute(place, folder) for key, place in places.items() if isinstance(place, str)}


def _absolute_files(stage: StageRecipe, folder: Path) -> dict[str, str]:
    """The files that a stage is read from, made absolute."""
    files = {"model": stage.model, "weights": None if stage.weights == "imagenet" else stage.weights}
    return {key: _absolute(file, folder) for key, file in files.items() if file is not None}


def _apply_override(content: dict[str, Any], override: str) -> None:
    """Sets one value by its dotted path."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"An override is key=value, like data.batch_size=16; got {override!r}.")
    *path, last = key.split(".")
    place: Any = content
    for part in path:
        place = _step(place, part, override)
    try:
        value = read_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"The value of {override!r} is no YAML: {error}") from error
    if isinstance(place, dict):
        place[last] = value
    else:
        _step(place, last, override)
        place[int(last)] = value


def _step(place: Any, part: str, override: str) -> Any:
    """Goes one step along a dotted path; sections that are not written yet are made."""
    if isinstance(place, dict):
        return place.setdefault(part, {})
    if isinstance(place, list) and part.isdigit() and int(part) < len(place):
        return place[int(part)]
    raise RecipeError(f"The override {override!r} leads nowhere at {part!r}. Count list entries from 0.")
