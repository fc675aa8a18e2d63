"""The sections of a recipe beside its images: stages, compile, phases, features, budget and run."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from thawline.features.names import EngineName, Precision, StorageName
from thawline.figures import parse_bytes, parse_seconds
from thawline.recipe.strict import Strict
from thawline.stack.backbone_table import find
from thawline.training.phase_words import check_words
from thawline.training.planning.budget import Budget

# A layer as a recipe names it: "Flatten", or {"Dense": {"units": "classes"}}.
LayerEntry = dict[str, dict[str, Any] | None] | str


class StageRecipe(Strict):
    """One stage: a backbone by name, a list of layers, or a saved Keras model."""

    name: str
    backbone: str | None = None
    weights: str | None = "imagenet"
    pooling: Literal["avg", "max"] | None = None
    layers: list[LayerEntry] | None = None
    model: str | None = None
    trainable: bool = True
    value_range: tuple[float, float] | None = None

    @field_validator("backbone")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None:
            find(name)
        return name

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


class CompileRecipe(Strict):
    """Loss and metrics; the loss follows from the labels unless it is given."""

    optimizer: str = "adam"
    loss: str | None = None
    metrics: list[str] = Field(default_factory=lambda: ["accuracy"])


class PhaseRecipe(Strict):
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
        # Refusals of a phase are told with their place in the recipe.
        check_words(self.epochs, self.learning_rate, self.early_stopping, self.learning_rate_factors)
        return self


class FeaturesRecipe(Strict):
    """Computing and keeping features; the words of `Stack.fit`."""

    engine: EngineName = "auto"
    precision: Precision = "float32"
    storage: StorageName = "float32"


class BudgetRecipe(Strict):
    """Limits of the training: sizes like 10GB or a number of bytes, times like 30min or a number of seconds."""

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


class RunRecipe(Strict):
    """The run folder's place and name, whether its phases stay, and the trackers that are told of it."""

    folder: str = "runs"
    name: str = "run"
    keep_phases: bool = True
    tracking: list[Literal["tensorboard", "mlflow"]] = Field(default_factory=list)

    @field_validator("tracking", mode="before")
    @classmethod
    def _is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


def _amount(name: str, value: float | str | None) -> float | None:
    """Bytes or seconds from how people write them."""
    if not isinstance(value, str):
        return value
    return parse_seconds(value) if name == "max_time" else parse_bytes(value)
