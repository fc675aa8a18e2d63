"""Explanations of what is wrong with a recipe, in the words of recipes: pydantic's own are about Python's types."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

# Advice on keys that people look for in a recipe.
_ELSEWHERE = {
    "data.masks": "a recipe trains on classes. For masks use tl.ImageFolder(masks=...) and Stack.fit in Python",
    "data.test": "other images are measured by  thawline evaluate RUN --data FOLDER",
}

# What keys take whose values are more than one plain thing.
_EXPECTED = {
    "image_size": "two whole numbers, like [224, 224], or one for both",
    "background": "three whole numbers from 0 to 255, like [255, 255, 255]",
    "file_range": "two numbers, like [0, 4095], or 'image'",
    "value_range": "two numbers, like [-1, 1]",
    "validation": "a share like 0.2, or a folder or a table of other images",
    "layers": "a list of layers, each a name or a name with its options, like {Dense: {units: 5}}",
    "probe": "a list of layers, each a name or a name with its options, like {Dense: {units: 5}}",
    "metrics": "a list of names, like [accuracy]",
    "tracking": "tensorboard, mlflow, or a list of both",
    "learning_rate_factors": "numbers by stage, like {base: 0.1}",
}

# What values are called, by pydantic's names of errors.
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a number",
    "string": "a text",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "keys with values",
    "model": "keys with values",
}

# Parts of a place that say which of several kinds was tried; they are no keys of a recipe.
_TRIED_BEGIN = ("function-", "tuple[", "list[", "dict[", "literal[")
_TRIED = ("int", "float", "str", "bool")

_MODEL_ERRORS = ("value_error", "assertion_error")


def explain(error: ValidationError, recipe: type[BaseModel]) -> Iterator[str]:
    """One line for each thing that pydantic found.

    Args:
        error: what it found.
        recipe: the class of whole recipes, whose sections name their keys.
    """
    told: dict[str, list[Any]] = {}
    for problem in error.errors():
        told.setdefault(_place(problem["loc"]), []).append(problem)
    for place, problems in told.items():
        yield _explain(place, problems, recipe)


def _explain(place: str, problems: Sequence[Any], recipe: type[BaseModel]) -> str:
    first = problems[0]
    if place in _ELSEWHERE:
        return f"{place} is not known; {_ELSEWHERE[place]}."
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1], recipe)
        near = difflib.get_close_matches(str(first["loc"][-1]), known, 1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
        return f"{place} is not known; {hint}"
    if first["type"] == "missing" and place.split(".")[-1] not in _EXPECTED:
        return f"{place} is missing."
    own = next((problem for problem in problems if problem["type"] in _MODEL_ERRORS), None)
    if own is not None:
        message = own["msg"].split(", ", 1)[-1].rstrip(".")
        return f"{place}: {message[0].lower()}{message[1:]}."
    return f"{place}: expected {_expected(place, problems)}; got {_shown(_given(problems))}."


def _place(location: Sequence[int | str]) -> str:
    """The place in a recipe, as overrides write it; of a value that is more than one thing the whole."""
    parts = [str(part) for part in location if part not in _TRIED and not str(part).startswith(_TRIED_BEGIN)]
    whole = next((number for number, part in enumerate(parts) if part in _EXPECTED), len(parts))
    return ".".join(parts[: whole + 1]) or "it"


def _expected(place: str, problems: Sequence[Any]) -> str:
    """The values that a place takes."""
    key = place.split(".")[-1]
    if key in _EXPECTED:
        return _EXPECTED[key]
    return " or ".join(dict.fromkeys(_kind(problem) for problem in problems))


def _kind(problem: Any) -> str:
    """The value expected by a single try."""
    if problem["type"] == "literal_error":
        return str(problem["ctx"]["expected"])
    word = problem["type"].split("_")[0]
    return _KINDS.get(word) or str(problem["msg"]).removeprefix("Input should be ").rstrip(".")


def _given(problems: Sequence[Any]) -> Any:
    """The value that came: of a value that is more than one thing, the part that is wrong."""
    return problems[0]["input"]


def _shown(value: Any) -> str:
    """A value as YAML has it, shortened."""
    words: dict[Any, str] = {None: "nothing", True: "true", False: "false"}
    shown = words[value] if value is None or isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _known_keys(location: Sequence[int | str], recipe: type[BaseModel]) -> list[str]:
    """The keys that a place in a recipe may have."""
    model = recipe
    for part in location:
        field = model.model_fields.get(str(part))
        section = None if field is None else _section(field.annotation)
        model = section or model
    return list(model.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, or a list of which it holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner: Sequence[Any] = (
        () if getattr(annotation, "__origin__", None) is Literal else getattr(annotation, "__args__", ())
    )
    return next((found for each in inner if (found := _section(each)) is not None), None)


def describe_kind(content: Any) -> str:
    """Content of a whole file that is no recipe.

    Example:
        >>> describe_kind([1]), describe_kind(None)
        ('a list', 'nothing')
    """
    kinds = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return "nothing" if content is None else kinds.get(type(content), "a value")
