"""Recipes: a YAML file <-> the public classes; only that.

A recipe is strict: an unknown key is an error that names the nearest known one. Paths are relative to the folder of the
recipe's file.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from thawline.backend import keras
from thawline.data.augment import Augmentation
from thawline.data.decode import ColorMode, Decoding, Interpolation, Resize
from thawline.data.labels import LabelMode
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.source import ImageSource
from thawline.errors import RecipeError, ThawlineError
from thawline.facade.stack import Stack
from thawline.features.options import EngineName, Precision, StorageName
from thawline.figures import parse_bytes, parse_seconds
from thawline.stack import backbones
from thawline.stack.stage import Stage
from thawline.training.phase import Phase
from thawline.training.planning.budget import Budget

_LOSSES = {
    "categorical": "categorical_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
    "binary": "binary_crossentropy",
}

# Layers that run code of the recipe's author.
_REFUSED_LAYERS = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")


# A layer as a recipe names it: "Flatten", or {"Dense": {"units": "classes"}}.
LayerEntry = dict[str, dict[str, Any] | None] | str


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in write(self).items() if self._is_written(key, value)}

    def _is_written(self, key: str, value: Any) -> bool:
        """Whether a value is written out: what is not there, and would not be by default, is left out."""
        return value is not None or type(self).model_fields[key].default is not None


class DataRecipe(_Strict):
    """Which images, and what becomes of their pixels."""

    train: str
    validation: float | str = 0.2
    image_size: tuple[int, int] | None = None
    batch_size: int = 32
    seed: int = 0
    color_mode: ColorMode = "rgb"
    interpolation: Interpolation = "area"
    resize: Resize = "stretch"
    background: tuple[int, int, int] = (255, 255, 255)
    fast_jpeg: bool = False
    file_range: tuple[float, float] | Literal["image"] | None = None
    on_error: Literal["raise", "skip"] = "raise"
    label_mode: Literal["categorical", "sparse", "binary"] = "categorical"
    limit: int | None = None
    groups: str | None = None
    exact: bool = False


class StageRecipe(_Strict):
    """One stage: a backbone by name, a list of layers, or a saved Keras model."""

    name: str
    backbone: str | None = None
    weights: str | None = "imagenet"
    pooling: Literal["avg", "max"] | None = None
    layers: list[LayerEntry] | None = None
    model: str | None = None
    trainable: bool = True
    value_range: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _has_one_kind(self) -> Self:
        given = [kind for kind in ("backbone", "layers", "model") if getattr(self, kind) is not None]
        if len(given) != 1:
            came = " and ".join(given) or "none"
            raise ValueError(f"stage {self.name!r} has one of backbone, layers or model; got {came}")
        if self.backbone is None and self.model_fields_set & {"weights", "pooling"}:
            raise ValueError(f"stage {self.name!r} has weights or pooling, which belong to a backbone")
        return self

    def _is_written(self, key: str, value: Any) -> bool:
        return self.backbone is not None if key == "weights" else super()._is_written(key, value)


class CompileRecipe(_Strict):
    """Loss and metrics; the loss follows from the labels unless it is given."""

    optimizer: str = "adam"
    loss: str | None = None
    metrics: list[str] = ["accuracy"]


class PhaseRecipe(_Strict):
    """A span of epochs with one set of learning layers; the words of `Phase`, with a probe as a list of layers."""

    train: str | list[str] | None = None
    epochs: int
    optimizer: str | None = None
    learning_rate: float | None = None
    loss: str | None = None
    loss_at: str | None = None
    probe: list[LayerEntry] | None = None
    metrics: list[str] | None = None
    early_stopping: Any = None
    learning_rate_factors: dict[str, float] | None = None
    strategy: Literal["auto", "joint", "precomputed", "streamed"] = "auto"
    views: int | None = None

    @model_validator(mode="after")
    def _is_a_phase(self) -> Self:
        # Whatever a phase refuses is told with the recipe's place.
        Phase(**{**dict(self), "probe": None})
        return self


class FeaturesRecipe(_Strict):
    """How features are computed and kept; the words of `Stack.fit`."""

    engine: EngineName = "auto"
    precision: Precision = "float32"
    storage: StorageName = "float32"


class BudgetRecipe(_Strict):
    """What the training may take: sizes like 10GB or a number of bytes, times like 30min or a number of seconds."""

    max_disk: float | str | None = None
    max_ram: float | str | None = None
    max_time: float | str | None = None

    @model_validator(mode="after")
    def _is_a_budget(self) -> Self:
        Budget(**self.limits)
        return self

    @property
    def limits(self) -> dict[str, Any]:
        """Bytes and seconds, by the words of `Stack.fit`."""
        return {name: _amount(name, getattr(self, name)) for name in ("max_disk", "max_ram", "max_time")}


class RunRecipe(_Strict):
    """Where the run folder lies, how it is called, whether its phases stay, and who else is told of it."""

    folder: str = "runs"
    name: str = "run"
    keep_phases: bool = True
    tracking: list[Literal["tensorboard", "mlflow"]] = []

    @field_validator("tracking", mode="before")
    @classmethod
    def _is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class Recipe(_Strict):
    """A training, written down.

    Example:
        >>> recipe = Recipe.model_validate({
        ...     "data": {"train": "flowers"},
        ...     "stack": [{"name": "head", "layers": ["Flatten", {"Dense": {"units": "classes"}}]}],
        ...     "phases": [{"train": "head", "epochs": 3}],
        ... })
        >>> recipe.data.batch_size
        32
    """

    data: DataRecipe
    augment: dict[str, Any] = Field(default_factory=dict)
    stack: list[StageRecipe]
    compile: CompileRecipe = CompileRecipe()
    features: FeaturesRecipe = FeaturesRecipe()
    phases: list[PhaseRecipe]
    budget: BudgetRecipe | None = None
    run: RunRecipe = RunRecipe()

    def to_yaml(self) -> str:
        """The recipe as YAML, every value written out."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=110)
        return text

    def open_images(self) -> tuple[ImageSource, ImageSource]:
        """Training images, augmented, and validation images, with values of the same range.

        Raises:
            DataError: the folders do not hold what they should.
        """
        images = self._open_folder(self.data.train)
        if self.data.limit is not None:
            images = images.limit(self.data.limit)
        if isinstance(self.data.validation, float):
            train, validation = images.split(self.data.validation, groups=self.data.groups, exact=self.data.exact)
        else:
            train, validation = images, self._open_folder(self.data.validation, classes=images.class_names)
        train = train.augment(**self.augment)
        return train, validation.scaled_as(train)

    def open_folder(self, directory: str, classes: Sequence[str] | None = None) -> ImageFolder:
        """A folder of images with the sizes, labels and range of values of this recipe, without augmentation."""
        return self._open_folder(directory, classes).augment(**self.augment).unaugmented()

    def _open_folder(self, directory: str, classes: Sequence[str] | None = None) -> ImageFolder:
        label_mode: LabelMode = self.data.label_mode
        return ImageFolder(
            directory,
            seed=self.data.seed,
            on_error=self.data.on_error,
            label_mode=label_mode,
            classes=classes,
            image_size=self.image_size,
            batch_size=self.data.batch_size,
            color_mode=self.data.color_mode,
            interpolation=self.data.interpolation,
            resize=self.data.resize,
            background=self.data.background,
            fast_jpeg=self.data.fast_jpeg,
            file_range=self.data.file_range,
        )

    @property
    def decoding(self) -> Decoding:
        """How files become pixels."""
        data = self.data
        return Decoding(
            self.image_size,
            data.color_mode,
            data.interpolation,
            resize=data.resize,
            background=data.background,
            fast_jpeg=data.fast_jpeg,
            file_range=data.file_range,
        )

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width: as written, or what the backbone was trained with."""
        if self.data.image_size is not None:
            return self.data.image_size
        for stage in self.stack:
            if stage.backbone is not None:
                return backbones.find(stage.backbone).image_size
        return (256, 256)

    def build_stack(self, class_count: int) -> Stack:
        """The compiled stack; weights that are not loaded are drawn from the seed.

        Raises:
            RecipeError: a layer cannot be built.
            JointError: two stages do not fit.
        """
        stack = Stack(self.build_stages(class_count))
        stack.compile(optimizer=self.compile.optimizer, loss=self.loss, metrics=list(self.compile.metrics))
        return stack

    def build_stages(self, class_count: int) -> list[Stage]:
        """The stages one by one, which may not fit each other; weights that are not loaded are drawn from the seed.

        Raises:
            RecipeError: a layer cannot be built.
        """
        keras.utils.set_random_seed(self.data.seed)
        image_shape = self.decoding.shape
        return [
            _build_stage(stage, None if number else image_shape, class_count) for number, stage in enumerate(self.stack)
        ]

    @property
    def limits(self) -> dict[str, Any]:
        """What the training may take, by the words of `Stack.fit`."""
        return {} if self.budget is None else self.budget.limits

    @property
    def loss(self) -> str:
        """The loss; it follows from the labels unless it is given."""
        return self.compile.loss or _LOSSES[self.data.label_mode]

    def build_phases(self, class_count: int) -> list[Phase]:
        """The phases in order; probes are built with first weights after those of the stack.

        Raises:
            RecipeError: a layer of a probe cannot be built.
        """
        return [_build_phase(phase, number, class_count) for number, phase in enumerate(self.phases, start=1)]


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
    data = recipe.data.model_copy(
        update={
            "train": _absolute(recipe.data.train, folder),
            "validation": recipe.data.validation
            if isinstance(recipe.data.validation, float)
            else _absolute(recipe.data.validation, folder),
        }
    )
    run = recipe.run.model_copy(update={"folder": _absolute(recipe.run.folder, folder)})
    stages = [stage.model_copy(update=_absolute_files(stage, folder)) for stage in recipe.stack]
    return recipe.model_copy(update={"data": data, "run": run, "stack": stages})


def _amount(name: str, value: float | str | None) -> float | None:
    """Bytes or seconds from how people write them."""
    if not isinstance(value, str):
        return value
    return parse_seconds(value) if name == "max_time" else parse_bytes(value)


def _absolute(path: str, folder: Path) -> str:
    return str((folder / Path(path).expanduser()).resolve())


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
    """One step along a dotted path; sections that are not written yet are made."""
    if isinstance(place, dict):
        return place.setdefault(part, {})
    if isinstance(place, list) and part.isdigit() and int(part) < len(place):
        return place[int(part)]
    raise RecipeError(f"The override {override!r} leads nowhere at {part!r}. Count list entries from 0.")


def _explain(error: ValidationError) -> Iterator[str]:
    """One line for each thing that pydantic found."""
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"] if not str(part).startswith(("function-", "tuple[")))
        if problem["type"] == "extra_forbidden":
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


def _build_stage(stage: StageRecipe, shape: tuple[int, int, int] | None, class_count: int) -> Stage:
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


def _build_phase(phase: PhaseRecipe, number: int, class_count: int) -> Phase:
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
