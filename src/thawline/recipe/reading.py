"""A recipe from a YAML file or plain values, with its paths made absolute, or with everything that is wrong in it."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from thawline.data.augment import Augmentation
from thawline.errors import RecipeError, ThawlineError
from thawline.recipe.data import DataRecipe
from thawline.recipe.recipe import Recipe
from thawline.recipe.sections import (
    BudgetRecipe,
    CompileRecipe,
    FeaturesRecipe,
    PhaseRecipe,
    RunRecipe,
    StageRecipe,
)

# What people look for in a recipe, and where it is.
_ELSEWHERE = {
    "data.masks": "a recipe trains on classes. For masks use tl.ImageFolder(masks=...) and Stack.fit in Python",
    "data.test": "other images are measured by  thawline evaluate RUN --data FOLDER",
}


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe.

    Args:
        path: the YAML file.
        overrides: changes like "data.batch_size=16" or "phases.0.epochs=3"; values are YAML.

    Raises:
        RecipeError: the file is not there, is no YAML, or something in it is not known or has a wrong value.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"No recipe {str(path)!r}. Write one with  thawline init  and edit it.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path} is no YAML file: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} should hold data, stack and phases; it holds {type(content).__name__}.")
    for override in overrides:
        _apply_override(content, override)
    return parse_recipe(content, name=str(path), folder=path.parent)


def parse_recipe(content: Mapping[str, Any], *, name: str = "recipe", folder: Path = Path()) -> Recipe:
    """A recipe from plain values, with its paths made absolute from `folder`.

    Raises:
        RecipeError: something is not known or has a wrong value; every such thing is named.
    """
    try:
        recipe = Recipe.model_validate(content)
        Augmentation.from_arguments(recipe.augment)
    except ValidationError as error:
        raise RecipeError("\n".join(f"{name}: {line}" for line in _explain(error))) from None
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
        value = yaml.safe_load(text)
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


def _explain(error: ValidationError) -> Iterator[str]:
    """One line for each thing that pydantic found."""
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"] if not str(part).startswith(("function-", "tuple[")))
        if place in _ELSEWHERE:
            yield f"{place} is not known; {_ELSEWHERE[place]}."
        elif problem["type"] == "extra_forbidden":
            word = str(problem["loc"][-1])
            known = _known_keys(problem["loc"][:-1])
            near = difflib.get_close_matches(word, known, 1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
            yield f"{place} is not known; {hint}"
        elif problem["type"] == "missing":
            yield f"{place} is missing."
        else:
            message = problem["msg"].removeprefix("Value error, ").rstrip(".")
            came = "" if problem["type"] == "value_error" else f"; got {problem['input']!r}"
            yield f"{place}: {message[0].lower()}{message[1:]}{came}."


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that a place in a recipe may have."""
    sections: dict[str, type[BaseModel]] = {
        "data": DataRecipe,
        "stack": StageRecipe,
        "compile": CompileRecipe,
        "features": FeaturesRecipe,
        "phases": PhaseRecipe,
        "budget": BudgetRecipe,
        "run": RunRecipe,
    }
    return list((sections[str(location[0])] if location else Recipe).model_fields)
