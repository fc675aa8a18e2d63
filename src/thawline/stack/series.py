"""StageSeries: stages in series, joined to one Keras model.

Joints are checked when the series is built. Pixels come in as 0 to 255; where the first stage wants another range,
the series scales them, so that the saved model takes pixels, too.
"""

import math
import os
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from thawline.backend import keras
from thawline.errors import ArgumentError, JointError, ThawlineError
from thawline.figures import format_bytes
from thawline.files import replacing
from thawline.specs import PIXELS, TensorSpec, dtype_mismatch, format_range, range_mismatch, shape_mismatch
from thawline.stack.adapters import first_units, list_adapters, suggest_adapters
from thawline.stack.cut import Cut, find_cut
from thawline.stack.learning import Learning, name_learning
from thawline.stack.saved_file import INPUT_NAME, MODEL_NAME, SCALING_NAME, describe_stage, write_entry
from thawline.stack.stage import Stage


class StageSeries:
    """Stages in series: what is trained, without how.

    Attributes:
        stages: the stages in order.
        model: the joined `keras.Model`, which shares the stages' weights. It takes pixels from 0 to 255. Its layers are
            the stages' models; one whose name another has already is called as its stage.
        class_names: what the outputs stand for, once the stack was trained on named classes.
        output_class_names: the same for each of several outputs, by the output's name.
        reading: how images were read for the training, as plain values; None before it.

    Raises:
        ArgumentError: no stages, a stage name or a model twice, or a first stage whose input size is not known.
        JointError: two neighbours do not fit in shape, dtype or value range.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        self.class_names: tuple[str, ...] = ()
        self.output_class_names: dict[str, tuple[str, ...]] = {}
        self.reading: dict[str, Any] | None = None
        _check_stages(self.stages)
        _name_models(self.stages)
        self.model = _join(self.stages)
        self.model.save = self._save_model
        self._cuts: dict[tuple[bool, ...], Cut] = {}

    @property
    def is_frozen(self) -> bool:
        """Whether nothing would learn."""
        return not self.model.trainable_variables

    @property
    def input_spec(self) -> TensorSpec:
        """What the stack takes: pixels from 0 to 255 where it scales them itself, else any values."""
        scaled = self.stages[0].value_range is not None
        return TensorSpec(tuple(self.model.inputs[0].shape), "float32", PIXELS if scaled else None)

    @property
    def output_spec(self) -> TensorSpec:
        """What the stack gives."""
        tensor = self.model.outputs[0]
        return TensorSpec(tuple(tensor.shape), str(tensor.dtype), self.stages[-1].output_range)

    def cut(self, train: str | Sequence[str] | None = None) -> Cut:
        """The thaw line, to print or to take numbers from; no layer changes.

        Args:
            train: what would learn, as in `Phase`: names of stages, or patterns of layers like "base/block_16*". None
                takes the layers as they are frozen now.

        Returns:
            A `Cut`, found once for each set of learning layers.

        Raises:
            ArgumentError: a pattern matches neither a stage nor a layer.
            NothingToLearnError: nothing would learn.

        Example:
            >>> import keras
            >>> base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="base")
            >>> head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
            >>> series = StageSeries([Stage(base, "base"), Stage(head, "head")])
            >>> series.cut(train="head").weights_below
            112
        """
        patterns = (train,) if isinstance(train, str) else tuple(train or ())
        learning = name_learning(self.stages, patterns) if patterns else Learning()
        learns = tuple(learning.learns(layer) for layer in self.model._flatten_layers())
        if learns not in self._cuts:
            names = {id(stage.model): stage.name for stage in self.stages}
            self._cuts[learns] = find_cut(self.model, learning=learning, stage_names=names)
        return self._cuts[learns]

    def check_input(self, given: TensorSpec) -> None:
        """Raises JointError when images of this kind cannot go into the first stage."""
        wanted = self.input_spec
        problem = shape_mismatch(given, wanted) or dtype_mismatch(given, wanted) or range_mismatch(given, wanted)
        if problem is None:
            return
        height, width, channels = (given.shape + (None,) * 4)[1:4]
        size = f"({height}, {width}, {channels})"
        if channels != wanted.shape[-1]:
            color_mode = "rgb" if wanted.shape[-1] == 3 else "grayscale"
            advice = f"Read the images with color_mode={color_mode!r}, or build the stage for {size}."
        elif (height, width) != wanted.shape[1:3]:
            advice = f"Give the images image_size={wanted.shape[1:3]}, or build the stage for {size}."
        else:
            advice = f"Give {wanted}: with a value_range the stack scales pixels itself."
        raise JointError(
            f"Stage {self.stages[0].name!r} expects {wanted}, but the images are {given}: {problem}. {advice}"
        )

    def check_targets(self, wanted: TensorSpec | dict[str, TensorSpec] | None, class_count: int) -> None:
        """Raises JointError when the last stage's answers and the labels cannot belong together.

        Of several outputs only the names are compared.
        """
        if wanted is None:
            raise JointError("The images have no labels, but training and evaluation compare answers with labels.")
        if isinstance(wanted, dict):
            self._check_output_names(wanted)
            return
        given, name = self.output_spec, self.stages[-1].name
        if len(wanted.shape) > 2:
            self._check_maps(given, wanted)
            return
        if len(given.shape) > 2 and len(self.model.outputs) == 1:
            raise JointError(
                f"Stage {name!r} gives {given}, a map, but one answer per image is expected: "
                f"{class_count or wanted.shape[-1]} values. "
                "Put GlobalAveragePooling2D() or Flatten() into the stage."
            )
        if len(wanted.shape) == 1 and not class_count:
            # Whole numbers without names may be classes or quantities: the loss knows.
            return
        # Class numbers say how wide the answer must be only together with the class count.
        width = wanted.shape[-1] if len(wanted.shape) == 2 else class_count
        units = given.shape[-1]
        if units is not None and units != width:
            have = f"the images have {class_count} classes and want" if class_count else "the labels have"
            lacks = width == class_count < units
            advice = "; where the images lack classes, name all of them in classes= or class_names=" if lacks else ""
            raise JointError(
                f"Stage {name!r} gives {units} values per image, but {have} {width}. "
                f"Build the last layer with {width} units{advice}."
            )

    def _check_output_names(self, wanted: dict[str, TensorSpec]) -> None:
        """Outputs by name need answers by these names."""
        given = self.model.output
        if isinstance(given, dict) and set(wanted) <= set(given):
            return
        came = f"are called {', '.join(map(repr, given))}" if isinstance(given, dict) else "have no names"
        example = ", ".join(f"{name!r}: ..." for name in wanted)
        raise JointError(
            f"The labels are for the outputs {', '.join(map(repr, wanted))}, but the answers of stage "
            f"{self.stages[-1].name!r} {came}. Build its model with a dictionary, keras.Model(inputs, {{{example}}})."
        )

    def _check_maps(self, given: TensorSpec, wanted: TensorSpec) -> None:
        """Maps as targets need answers of the same height and width; their channels are the loss's affair."""
        if len(given.shape) != 4 or any(
            came not in (None, size) for came, size in zip(given.shape[1:3], wanted.shape[1:3], strict=True)
        ):
            raise JointError(
                f"Stage {self.stages[-1].name!r} gives {given}, but the targets are images: {wanted}. "
                "Build the last layer for their height and width."
            )

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints the stages with shapes and weights, and the thaw line among them."""
        print_fn("\n".join(_summary_lines(self)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Saves stages, weights, optimizer and class names as one `.keras` file, whole or not at all.

        Plain Keras reads the file as well: `keras.saving.load_model` gives the joined model. What Keras saves of
        `stack.model`, `ModelCheckpoint`'s files among it, has the same in it.
        """
        target = Path(path)
        if target.suffix != ".keras":
            raise ArgumentError(f"A stack is saved as a .keras file; got {str(path)!r}.")
        with replacing(target) as temporary:
            self.model.save(temporary)

    def _save_model(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **options: Any) -> None:
        """Does as `keras.Model.save`, and notes beside the model what the stack knows."""
        # The user may have given names since the stack was built.
        _name_models(self.stages)
        keras.Model.save(self.model, filepath, overwrite=overwrite, zipped=zipped, **options)
        if str(filepath).endswith(".keras") and zipfile.is_zipfile(filepath):
            write_entry(filepath, self._notes())

    def _notes(self) -> dict[str, Any]:
        """Notes for a file of the stack beside the model, as plain values."""
        return {
            "class_names": list(self.class_names),
            "output_class_names": {name: list(names) for name, names in self.output_class_names.items()},
            "reading": self.reading,
            "stages": [describe_stage(stage) for stage in self.stages],
        }


def _check_stages(stages: tuple[Stage, ...]) -> None:
    if not stages:
        raise ArgumentError("A stack needs at least one stage.")
    for stage in stages:
        if not isinstance(stage, Stage):
            raise ArgumentError(
                f"A stack is made of stages; got {type(stage).__name__}. Write tl.Stage(model, name='base')."
            )
    names = [stage.name for stage in stages]
    for stage in stages:
        if names.count(stage.name) > 1:
            raise ArgumentError(f"Two stages are called {stage.name!r}; give each its own name=.")
        others = [other.name for other in stages if other.model is stage.model and other is not stage]
        if others:
            raise ArgumentError(
                f"Stages {stage.name!r} and {others[0]!r} are the same model. A stack runs a model once; to run it "
                "twice put both calls into one keras.Model."
            )


def _name_models(stages: tuple[Stage, ...]) -> None:
    """Gives a model whose name another layer of the stack has the name of its stage.

    The names of models from files are not the user's choice; side by side they need names of their own, as a saved
    Keras model refers to its layers by name.
    """
    taken = {INPUT_NAME, SCALING_NAME}
    for stage in stages:
        if stage.model.name in taken:
            others = taken | {other.model.name for other in stages}
            names = (stage.name, *(f"{stage.name}_{number}" for number in range(1, len(stages) + 3)))
            stage.model.name = next(name for name in names if name not in others)
        taken.add(stage.model.name)


def _join(stages: tuple[Stage, ...]) -> Any:
    """The joined model, or a JointError that names the two that do not fit."""
    first = stages[0]
    spec = first.input_spec
    if spec is None or any(size is None for size in spec.shape[1:]):
        shape = "nothing of its input" if spec is None else str(spec.shape)
        raise ArgumentError(
            f"The first stage must know the size of its images, but {first.name!r} says {shape}. "
            "Build it with input_shape=(height, width, channels) or keras.Input."
        )
    inputs = keras.Input(spec.shape[1:], name=INPUT_NAME)
    tensor = inputs
    if first.value_range not in (None, PIXELS):
        tensor = _scaling(first.value_range)(tensor)
    given, giver = TensorSpec(spec.shape, "float32", first.value_range), "images"
    for stage in stages:
        _check_joint(giver, given, stage)
        try:
            tensor = stage.model(tensor)
        except ThawlineError:
            raise
        except Exception as error:
            raise JointError(
                f"Stage {stage.name!r} does not take what {giver!r} gives, {given}: {str(error).splitlines()[0]}"
            ) from error
        outputs = keras.tree.flatten(tensor)
        given = TensorSpec(tuple(outputs[0].shape), str(outputs[0].dtype), stage.output_range)
        giver = stage.name
    return keras.Model(inputs, tensor, name=MODEL_NAME)


def _scaling(value_range: tuple[float, float]) -> Any:
    """A layer that maps pixels, 0 to 255, onto the range."""
    low, high = value_range
    return keras.layers.Rescaling((high - low) / (PIXELS[1] - PIXELS[0]), low, name=SCALING_NAME)


def _check_joint(giver: str, given: TensorSpec, stage: Stage) -> None:
    wanted = stage.input_spec or TensorSpec(given.shape, given.dtype, stage.value_range)
    shape_problem = shape_mismatch(given, wanted)
    problem = shape_problem or dtype_mismatch(given, wanted) or range_mismatch(given, wanted)
    if problem is None:
        return
    message = f"Stage {stage.name!r} expects {wanted}, but {giver!r} gives {given}: {problem}."
    raise JointError(f"{message} {_advice(giver, given, stage, wanted, bool(shape_problem))}")


def _advice(giver: str, given: TensorSpec, stage: Stage, wanted: TensorSpec, is_shape: bool) -> str:
    """Layers that would make two neighbours fit, with what each costs, and what else may be done."""
    adapters = list_adapters(suggest_adapters(given, wanted, units=first_units(stage.model)))
    if is_shape:
        build = f"Build {stage.name!r} for {given.shape[1:]}, or {giver!r} for {wanted.shape[1:]}."
        return f"{adapters} {build}".strip()
    return adapters or f"Put a layer between them that gives {wanted}, or build {stage.name!r} for {given}."


def _summary_lines(series: StageSeries) -> Iterable[str]:
    """One line per stage, and the thaw line: between two of them, or inside one, where names of layers say where."""
    yield f"Stack of {len(series.stages)} stages, takes {series.input_spec}"
    if series.is_frozen:
        yield from map(_stage_line, series.stages)
        yield "  ---- everything is frozen: nothing would learn ----"
        return
    cut = series.cut()
    crossing = ", ".join(map(str, cut.crossing))
    line = (
        f"  ---- thaw line: {crossing} cross, {format_bytes(cut.row_bytes)} per image; "
        "below it everything is frozen ----"
    )
    # A stage of which only layers without weights lie below, like a head's pooling, is drawn above the line.
    below = {node.path.partition("/")[0] for node in cut.below if getattr(node.layer, "weights", ())}
    above = [node.path for node in cut.above]
    first = above[0].partition("/")[0]
    for stage in series.stages:
        if stage.name == first and first not in below:
            yield line
        yield _stage_line(stage)
        if stage.name == first and first in below:
            yield f"    {cut.name} is the last below"
            yield line
            yield f"    {above[0]} is the first above"


def _stage_line(stage: Stage) -> str:
    weights = stage.model.count_params()
    # A layer thawed inside a frozen model learns in the stack, although the model's `trainable_variables` leave it out.
    learning = sum(math.prod(variable.shape) for variable in stage.model.weights if variable.trainable)
    wants = "" if stage.value_range is None else f", wants {format_range(stage.value_range)}"
    gives = getattr(stage.model, "output_shape", "?")
    return f"  {stage.name:<16} gives {gives!s:<24} {weights:>12,} weights, {learning:,} learn{wants}"
