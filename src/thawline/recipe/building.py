"""Stages and phases from what a recipe says of them."""

import difflib
import re
from collections.abc import Collection
from typing import Any

from thawline.backend import keras
from thawline.errors import RecipeError
from thawline.facade.stack import Stack
from thawline.recipe.recipe import Recipe
from thawline.recipe.sections import LayerEntry, PhaseRecipe, StageRecipe
from thawline.stack import backbones
from thawline.stack.stage import Stage
from thawline.training.phase import Phase

# What tells the layers for sequences, images and volumes apart.
_DIMENSIONS = re.compile("[123]d$", re.IGNORECASE)

# Layers that run code of the recipe's author.
_REFUSED_LAYERS = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")


def build_stack(recipe: Recipe, class_count: int) -> Stack:
    """The compiled stack of a recipe; see `Recipe.build_stack`."""
    stack = Stack(build_stages(recipe, class_count))
    stack.compile(optimizer=recipe.compile.optimizer, loss=recipe.loss, metrics=list(recipe.compile.metrics))
    return stack


def build_stages(recipe: Recipe, class_count: int) -> list[Stage]:
    """The stages of a recipe one by one; see `Recipe.build_stages`."""
    keras.utils.set_random_seed(recipe.data.seed)
    shape = recipe.decoding.shape
    return [build_stage(stage, None if number else shape, class_count) for number, stage in enumerate(recipe.stack)]


def build_phases(recipe: Recipe, class_count: int) -> list[Phase]:
    """The phases of a recipe in order; see `Recipe.build_phases`."""
    return [build_phase(phase, number, class_count) for number, phase in enumerate(recipe.phases, start=1)]


def build_stage(stage: StageRecipe, shape: tuple[int, int, int] | None, class_count: int) -> Stage:
    """One stage; the first one is built for the shape of the images."""
    value_range = stage.value_range
    if stage.backbone is not None:
        backbone = backbones.find(stage.backbone)
        size = None if shape is None else shape[:2]
        model = backbones.build(stage.backbone, image_size=size, weights=stage.weights, pooling=stage.pooling)
        value_range = value_range or backbone.value_range
    elif stage.model is not None:
        model = keras.saving.load_model(stage.model, compile=False, safe_mode=True)
    else:
        layers = [_build_layer(entry, f"Stage {stage.name!r}", class_count) for entry in stage.layers or []]
        model = keras.Sequential([keras.Input(shape), *layers] if shape else layers, name=f"{stage.name}_layers")
    return Stage(model, stage.name, trainable=stage.trainable, value_range=value_range)


def build_phase(phase: PhaseRecipe, number: int, class_count: int) -> Phase:
    if phase.probe is None:
        return Phase(**dict(phase))
    layers = [_build_layer(entry, f"The probe of phase {number}", class_count) for entry in phase.probe]
    return Phase(**{**dict(phase), "probe": keras.Sequential(layers, name=f"probe_{number}")})


def _build_layer(entry: LayerEntry, where: str, class_count: int) -> Any:
    """A Keras layer from its entry in a list of layers; "classes" stands for the number of classes."""
    if isinstance(entry, dict) and len(entry) != 1:
        raise RecipeError(f"{where}: a layer is one name with its options; got {entry!r}.")
    name, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
    kind = _find_layer(name, where)
    given = {key: class_count if value == "classes" else value for key, value in (options or {}).items()}
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{where}: {name}({given}) cannot be built: {str(error).splitlines()[0]}") from error


def _find_layer(name: str, where: str) -> Any:
    """The class of a layer by its name, whose case does not matter, or an error that names the nearest one."""
    kinds = {word: kind for word in dir(keras.layers) if _is_layer(word, kind := getattr(keras.layers, word))}
    same = kinds if name in kinds else {word for word in kinds if word.casefold() == name.casefold()}
    if name in kinds or len(same) == 1:
        return kinds[name if name in kinds else next(iter(same))]
    near = nearest_layer(name, kinds)
    hint = f" Did you mean {near!r}?" if near else ""
    raise RecipeError(f"{where}: {name!r} is no layer that a recipe may use.{hint}")


def _is_layer(name: str, kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, keras.layers.Layer) and name not in _REFUSED_LAYERS


def nearest_layer(name: str, known: Collection[str]) -> str | None:
    """The layer whose name is nearest; of those that differ by their dimensions only, the one for images.

    Example:
        >>> nearest_layer("GlobalAvgPool", ["GlobalAvgPool1D", "GlobalAvgPool2D", "GlobalAvgPool3D", "Dense"])
        'GlobalAvgPool2D'
    """
    words: dict[str, list[str]] = {}
    for word in known:
        words.setdefault(_DIMENSIONS.sub("", word).casefold(), []).append(word)
    near = difflib.get_close_matches(_DIMENSIONS.sub("", name).casefold(), words, 1)
    if not near:
        return None
    wanted = _DIMENSIONS.findall(name)
    return min(words[near[0]], key=lambda word: (_DIMENSIONS.findall(word) != wanted, not word.endswith("2D"), word))
