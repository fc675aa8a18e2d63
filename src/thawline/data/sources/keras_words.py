"""Words of Keras' loaders of images: taken where they mean the same here, else answered with what stands for them.

They are those of `keras.utils.image_dataset_from_directory` and of the `flow` methods of `ImageDataGenerator`.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from thawline.data.augment import Augmentation
from thawline.errors import ArgumentError

# What a word changes among the arguments of a source.
Changes = dict[str, Any]

_LABEL_MODES = {"int": "sparse", None: "none"}

_SPLIT = (
    "Split the source: train, val = {kind}(...).split(validation={share}). Sides go by content: copies stay together."
)
# Words that mean something else here, or nothing.
_INSTEAD = {
    "validation_split": _SPLIT,
    "subset": _SPLIT,
    "keep_aspect_ratio": "Give resize='crop', or 'pad'.",
    "dtype": "Batches are uint8 pixels from 0 to 255, or float32 after augment(rescale=...).",
    "preprocessing_function": "Give it to the source: {kind}(...).augment(preprocessing_function=...).",
}

# Other names of arguments; a source has at most one of those that stand for a word.
_CALLED = {
    "target_size": ("image_size",),
    "class_mode": ("label_mode",),
    "classes": ("class_names",),
    "x_col": ("path_column",),
    "y_col": ("label_columns",),
    "weight_col": ("weight_column",),
    "sample_weight": ("sample_weights", "weight_column"),
    "dataframe": ("table",),
}


def as_label_mode(mode: Any) -> Any:
    """A label mode in thawline's words: Keras' "int" is "sparse", and None is "none".

    Args:
        mode: a word, or a dictionary of words by output.

    Example:
        >>> as_label_mode("int"), as_label_mode(None), as_label_mode({"kind": "int"}), as_label_mode("binary")
        ('sparse', 'none', {'kind': 'sparse'}, 'binary')
    """
    if isinstance(mode, Mapping):
        return {output: as_label_mode(word) for output, word in mode.items()}
    return _LABEL_MODES.get(mode, mode) if mode is None or isinstance(mode, str) else mode


def take_words(kind: type, given: Mapping[str, Any], arguments: Mapping[str, Any]) -> Changes:
    """The arguments of a source with what Keras' words change in them.

    Args:
        kind: the class of the source.
        given: arguments that it does not know, by name.
        arguments: those of its arguments that a word may set, with their values.

    Returns:
        `arguments` as changed.

    Raises:
        ArgumentError: a word has no meaning here, with what to do in its place; or it contradicts an argument.

    Example:
        >>> class Pictures:
        ...     def __init__(self, resize="stretch", **others): ...
        >>> take_words(Pictures, {"crop_to_aspect_ratio": True}, {"resize": "stretch"})
        {'resize': 'crop'}
        >>> take_words(Pictures, {"resise": "crop"}, {"resize": "stretch"})
        Traceback (most recent call last):
        thawline.errors.ArgumentError: Pictures() has no argument 'resise'. Did you mean 'resize'?
    """
    changed = dict(arguments)
    set_by: dict[str, str] = {}
    defaults = inspect.signature(kind).parameters
    for word, value in given.items():
        if word not in _TAKEN:
            _refuse(kind, word, value)
        for name, new in _TAKEN[word](kind, value).items():
            if name not in arguments:
                _refuse(kind, word, value)
            old = changed.get(name)
            is_free = name not in set_by and (name not in defaults or old == defaults[name].default)
            if not is_free and old != new:
                other = set_by.get(name, name)
                raise ArgumentError(f"{word}={value!r} and {other}= say different things. Give one of them.")
            changed[name], set_by[name] = new, word
    return changed


def _refuse(kind: type, word: str, value: Any) -> NoReturn:
    call = f"{kind.__name__}()"
    known = [name for name in inspect.signature(kind).parameters if name != "others"]
    if word in _INSTEAD:
        share = value if isinstance(value, float) else 0.2
        raise ArgumentError(f"{call} has no {word}. {_INSTEAD[word].format(kind=kind.__name__, share=share)}")
    called = [name for name in _CALLED.get(word, ()) if name in known]
    if called:
        raise ArgumentError(f"{call} has no {word}. It is called {called[0]} here.")
    if word in Augmentation.__dataclass_fields__:
        raise ArgumentError(
            f"{call} has no {word}. Augment the source: {kind.__name__}(...).augment({word}={value!r})."
        )
    near = difflib.get_close_matches(word, [*known, *(set(_TAKEN) - {word})], 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"It takes {', '.join(known)}."
    raise ArgumentError(f"{call} has no argument {word!r}. {hint}")


def _labels(kind: type, value: Any) -> Changes:
    has_labels = "label_mode" in inspect.signature(kind).parameters
    if value is None:
        return {"label_mode": "none"} if has_labels else {}
    if has_labels and isinstance(value, str) and value == "inferred":
        return {}
    raise ArgumentError(
        f"{kind.__name__}() takes no labels of single files. Give a table of files and labels: "
        "ImageFrame(pandas.DataFrame({'filename': paths, 'class': labels}))."
    )


def _label_mode(kind: type, value: Any) -> Changes:
    if as_label_mode(value) != "none":
        raise ArgumentError(
            f"{kind.__name__}() has no labels; got label_mode={value!r}. Use ImageFolder or ImageFrame."
        )
    return {}


def _resized(way: str) -> Callable[[type, Any], Changes]:
    return lambda _, value: {"resize": way} if value else {}


def _data_format(kind: type, value: Any) -> Changes:
    if value not in (None, "channels_last"):
        raise ArgumentError(f"{kind.__name__}() gives the channels last; got data_format={value!r}. Leave it out.")
    return {}


# Words that are taken, each with what it changes.
_TAKEN: dict[str, Callable[[type, Any], Changes]] = {
    "class_names": lambda _, value: {} if value is None else {"classes": value},
    "labels": _labels,
    "label_mode": _label_mode,
    "crop_to_aspect_ratio": _resized("crop"),
    "pad_to_aspect_ratio": _resized("pad"),
    "data_format": _data_format,
    "shuffle": lambda _, value: {"shuffle": bool(value)},
    # Nothing is printed here, which is all that the word decides.
    "verbose": lambda *_: {},
}
