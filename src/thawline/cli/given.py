"""Arguments of a command, checked before Keras is loaded: paths, the keys of a recipe, formats.

Loading Keras takes seconds, in which nobody wants to wait for a word on a typed path. Commands read the same once more
when they do their work.
"""

from collections.abc import Sequence
from pathlib import Path

from thawline.data.sources.class_folders import check_directory
from thawline.errors import ArgumentError, RunError, WeightsError
from thawline.export.artefact import FACTS
from thawline.export.reader import NEEDS
from thawline.recipe import Recipe, load_recipe
from thawline.recipe.data import is_table
from thawline.training.run_folder.finished import RECIPE, check_finished


def check_recipe_file(path: Path, overrides: Sequence[str]) -> None:
    """Checks that a recipe can be read, and that the files and folders which it names are there.

    Raises:
        RecipeError: it cannot be read.
        FolderNotFoundError, DataError: a folder or table of images is not there.
        WeightsError: a model or weights are not there.
    """
    recipe = load_recipe(path, overrides)
    places = recipe.places()
    for place in filter(None, (places.train, places.validation)):
        if not is_table(place):
            check_directory(place)
    _check_stages(recipe)


def _check_stages(recipe: Recipe) -> None:
    for stage in recipe.stack:
        for key in ("model", "weights"):
            file = getattr(stage, key)
            if file not in (None, "imagenet") and not Path(file).exists():
                raise WeightsError(f"Stage {stage.name!r}: the {key} {file!r} do not exist. Check the path.")


def check_run(path: Path) -> None:
    """Checks that a folder is that of a finished run.

    Raises:
        RunError: it is not.
    """
    check_finished(path)


def check_model(path: Path) -> None:
    """Checks that there is something which can answer: a finished run, an artefact or a saved stack.

    Raises:
        RunError: there is not.
    """
    if (path / RECIPE).exists():
        check_finished(path)
    elif not (path.suffix == ".keras" and path.is_file()) and not _holds_artefact(path):
        raise RunError(
            f"{str(path)!r} cannot answer: expected a folder that  thawline train  or  thawline export  wrote, like "
            "runs/flowers, or a stack that was saved, like flowers.keras."
        )


def _holds_artefact(path: Path) -> bool:
    return (path / FACTS).exists() or any(path.glob(f"*/{FACTS}"))


def check_formats(formats: Sequence[str]) -> None:
    """Checks the names of formats of exports.

    Raises:
        ArgumentError: one is not known.
    """
    unknown = [form for form in formats if form not in NEEDS]
    if unknown:
        raise ArgumentError(f"A format is one of {', '.join(map(repr, NEEDS))}; got {unknown[0]!r}.")


def whole_numbers(option: str, text: str | None) -> list[int]:
    """Whole numbers that are separated by commas, of an option of a command.

    Raises:
        ArgumentError: a part is none, or 0.

    Example:
        >>> whole_numbers("--views", "1, 4"), whole_numbers("--views", None)
        ([1, 4], [])
    """
    words = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words):
        raise ArgumentError(f"{option} takes whole numbers from 1 up with commas, like 1,2,4,8; got {text!r}.")
    return [int(word) for word in words]
