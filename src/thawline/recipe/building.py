"""Stages and phases from what a recipe says of them."""

import difflib
from typing import Any

from thawline.backend import keras
from thawline.errors import RecipeError
from thawline.recipe.sections import LayerEntry, PhaseRecipe, StageRecipe
from thawline.stack import backbones
from thawline.stack.stage import Stage
from thawline.training.phase import Phase

# Layers that run code of the recipe's author.
_REFUSED_LAYERS = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")


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
    kind: Any = getattr(keras.layers, name, None)
    is_layer = isinstance(kind, type) and issubclass(kind, keras.layers.Layer)
    if not is_layer or name in _REFUSED_LAYERS:
        known = [word for word in dir(keras.layers) if word[0].isupper() and word not in _REFUSED_LAYERS]
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise RecipeError(f"{where}: {name!r} is no layer that a recipe may use.{hint}")
    given = {key: class_count if value == "classes" else value for key, value in (options or {}).items()}
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{where}: {name}({given}) cannot be built: {str(error).splitlines()[0]}") from error
