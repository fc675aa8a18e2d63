"""Recipe: a training, written down."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field

from thawline.data.decode import Decoding
from thawline.data.sources.source import ImageSource
from thawline.recipe.data import DataRecipe
from thawline.recipe.images import Places, RecipeImages
from thawline.recipe.sections import (
    BudgetRecipe,
    CompileRecipe,
    FeaturesRecipe,
    PhaseRecipe,
    RunRecipe,
    StageRecipe,
)
from thawline.recipe.strict import Strict
from thawline.stack.backbone_table import find

# For types alone: these need Keras, which takes seconds and is not needed to read a recipe.
if TYPE_CHECKING:
    from thawline.facade.stack import Stack
    from thawline.stack.stage import Stage
    from thawline.training.phase import Phase

_LOSSES = {
    "categorical": "categorical_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
    "binary": "binary_crossentropy",
}


class Recipe(Strict):
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
            DataError: the folders or tables do not hold what they should.
            RecipeError: columns are named, but there is no table.
        """
        return self._images.open(is_augmented_by=self.augment)

    def places(self) -> Places:
        """The folders or tables with the images; of a folder that is split, its sides, and a note on their use."""
        return self._images.places()

    def open_folder(self, directory: str, classes: Sequence[str] = ()) -> ImageSource:
        """Labelled images with the sizes, labels and range of values of this recipe, without augmentation.

        Args:
            directory: a folder of classes, one that is split already, or a table like the recipe's.
            classes: the classes that are known, in order; empty for those that are found.

        Raises:
            DataError: there is a class that is not known, or the images are not as they should be.
        """
        return self.open_other(Path(directory), classes)[0]

    def open_other(self, place: Path, class_names: Sequence[str]) -> tuple[ImageSource, str]:
        """As `open_folder`, with a note on which images these are; empty where `place` says it all."""
        images, note = self._images.open_other(place, class_names)
        return images.augment(**self.augment).unaugmented(), note

    @property
    def _images(self) -> RecipeImages:
        return RecipeImages(self.data, self.image_size)

    @property
    def decoding(self) -> Decoding:
        """The decoding of files into pixels."""
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
                return find(stage.backbone).image_size
        return (256, 256)

    def build_stack(self, class_count: int) -> "Stack":
        """The compiled stack; weights that are not loaded are drawn from the seed.

        Raises:
            RecipeError: a layer cannot be built.
            JointError: two stages do not fit.
        """
        stack: Stack = _building().build_stack(self, class_count)
        return stack

    def build_stages(self, class_count: int) -> "list[Stage]":
        """The stages one by one, which may not fit each other; weights that are not loaded are drawn from the seed.

        Raises:
            RecipeError: a layer cannot be built.
        """
        stages: list[Stage] = _building().build_stages(self, class_count)
        return stages

    @property
    def limits(self) -> dict[str, Any]:
        """The limits of the training, by the words of `Stack.fit`."""
        return {} if self.budget is None else self.budget.limits

    @property
    def loss(self) -> str:
        """The loss; it follows from the labels unless it is given."""
        return self.compile.loss or _LOSSES[self.data.label_mode]

    def build_phases(self, class_count: int) -> "list[Phase]":
        """The phases in order; probes are built with first weights after those of the stack.

        Raises:
            RecipeError: a layer of a probe cannot be built.
        """
        phases: list[Phase] = _building().build_phases(self, class_count)
        return phases


def _building() -> Any:
    """The module that makes stages and phases, which needs Keras."""
    return import_module("thawline.recipe.building")
