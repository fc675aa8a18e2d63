"""What a cut says of itself: numbers, and the lines that `print` shows."""

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, NothingToLearnError
from thawline.stack.cut import find_cut
from thawline.stack.thaw import freeze_and_thaw

layers = keras.layers


def frozen(layer):
    layer.trainable = False
    return layer


def stack():
    """Stages "base" (first, normalization, a block with one and two) and "head" (pool, drop, answer)."""
    block = keras.Sequential(
        [keras.Input((6, 6, 4)), layers.Conv2D(4, 1, name="one"), layers.Conv2D(6, 3, name="two")], name="block"
    )
    first = layers.Conv2D(4, 3, use_bias=False, name="first")
    base = keras.Sequential([keras.Input((8, 8, 3)), first, layers.BatchNormalization(name="normal"), block], name="b")
    head = keras.Sequential(
        [
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dropout(0.2, name="drop"),
            layers.Dense(2, name="answer"),
        ],
        name="h",
    )
    return tl.Stack([tl.Stage(base, "base"), tl.Stage(head, "head")])


# Weights and multiply-adds of the stack by hand.
FIRST, NORMAL, ONE, TWO, ANSWER = 9 * 3 * 4, 4 * 4, 4 * 4 + 4, 9 * 4 * 6 + 6, 6 * 2 + 2
WORK_FIRST, WORK_ONE, WORK_TWO, WORK_ANSWER = 36 * 9 * 3 * 4, 36 * 4 * 4, 16 * 9 * 4 * 6, 6 * 2


def shown(series, train=None):
    return str(series.cut(train)).splitlines()


# -- the cut for other learning layers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "name", "below"),
    [
        ("head", "head/pool", FIRST + NORMAL + ONE + TWO),
        (["head", "base/block*"], "base/normal", FIRST + NORMAL),
        (["base/block/two", "head"], "base/block/one", FIRST + NORMAL + ONE),
        ("base/block/two", "base/block/one", FIRST + NORMAL + ONE),
        ("*", "the images", 0),
    ],
)
def test_the_cut_for_named_layers_is_that_of_freezing_and_thawing(train, name, below):
    series = stack()
    cut = series.cut(train=train)
    assert (cut.name, cut.weights_below) == (name, below)
    freeze_and_thaw(series, [train] if isinstance(train, str) else train)
    mine = series.cut()
    assert str(mine) == str(cut)
    assert mine.weights_learning == sum(np.prod(weight.shape) for weight in series.model.trainable_weights)


def test_looking_at_a_cut_changes_no_layer():
    series = stack()
    series.stages[0].model.trainable = False
    parts = series.model._flatten_layers()
    before = [(part, part.trainable) for part in parts]
    variables = [(variable, variable.trainable) for variable in series.model.variables]
    series.cut(train="base/block/two")
    series.cut(train="*")
    with pytest.raises(ArgumentError):
        series.cut(train="base/three")
    assert [(part, part.trainable) for part, _ in before] == before
    assert [(variable, variable.trainable) for variable, _ in variables] == variables


def test_without_names_the_cut_is_that_of_the_layers_as_they_are():
    series = stack()
    assert series.cut().name == "the images"
    series.stages[0].model.trainable = False
    assert series.cut().name == "head/pool"
    assert series.cut() is series.cut(None)


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(ArgumentError, match=r"'hed' matches no stage and no layer\. Stages are base, head; near are"):
        stack().cut("hed")
    with pytest.raises(NothingToLearnError, match="Nothing would learn"):
        stack().cut("head/drop")


# -- numbers -----------------------------------------------------------------------------------------------------


def test_numbers_are_those_counted_by_hand():
    cut = stack().cut(train=["base/block/one", "base/normal"])
    assert cut.multiply_adds_below == WORK_FIRST
    assert cut.multiply_adds_above == WORK_ONE + WORK_TWO + WORK_ANSWER
    assert cut.multiply_adds_recomputed == 0
    assert (cut.weights_below, cut.weights_above) == (FIRST, NORMAL + ONE + TWO + ANSWER)
    # Scale and offset of the normalization learn, its two statistics do not.
    assert cut.weights_learning == 2 * 4 + ONE
    assert cut.weights_frozen_above == TWO + ANSWER
    assert cut.row_bytes == 6 * 6 * 4 * 4


def test_a_cut_prints_what_lies_where_and_why():
    work = WORK_FIRST + WORK_ONE + WORK_TWO + WORK_ANSWER
    assert shown(stack(), ["base/block/one", "base/normal"]) == [
        f"Thaw line above base/first: {100 * WORK_FIRST / work:.1f} % of {work / 1000:.1f} k multiply-adds lie below.",
        "  crossing: float32 (None, 6, 6, 4) from base/first, 576 B per image",
        "  below: 108 weights, frozen",
        "  above: 272 weights, 28 learn, 236 frozen, 8 in learning layers without being trained (statistics)",
        "  frozen, but above: base/block/two (222 weights), because base/normal before it learns",
        "  frozen, but above: head/answer (14 weights), because base/normal before it learns",
    ]


def test_several_crossing_tensors_are_shown_with_what_gives_them():
    inputs = keras.Input((8, 8, 3))
    left = frozen(layers.Conv2D(4, 3, name="left"))(inputs)
    right = frozen(layers.Conv2D(2, 3, name="right"))(left)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Conv2D(2, 3)(left)) + layers.Flatten()(right)))
    lines = str(find_cut(model)).splitlines()
    assert lines[1].startswith("  crossing: float32 (None, 6, 6, 4) from left, float32 (None, 32) from flatten")


def test_a_layer_on_both_sides_is_explained():
    inputs = keras.Input((8, 8, 3))
    shared = frozen(layers.Conv2D(3, 3, padding="same", name="shared"))
    model = keras.Model(inputs, shared(layers.Conv2D(3, 1, name="learning")(shared(inputs))))
    cut = find_cut(model)
    assert cut.on_both_sides == ("shared",)
    assert "  on both sides: shared is called below the line and above it" in str(cut).splitlines()
    assert cut.weights_below == cut.weights_frozen_above == 3 * 3 * 3 * 3 + 3


def test_frozen_layers_after_chance_are_explained_by_it():
    drop, last = layers.Dropout(0.5, name="drop"), layers.Dense(2, name="last")
    model = keras.Sequential([keras.Input((4,)), drop, frozen(layers.Dense(3, name="cold")), last])
    expected = "  frozen, but above: cold (15 weights), because drop before it draws random numbers or keeps a state"
    assert expected in str(find_cut(model)).splitlines()


def test_many_frozen_layers_above_are_counted_not_listed():
    cold = [frozen(layers.Dense(3, name=f"cold_{number}")) for number in range(8)]
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="first"), *cold])
    lines = [line for line in str(find_cut(model)).splitlines() if "cold" in line or "more" in line]
    assert len(lines) == 6
    assert lines[-1] == "  ... and 3 more like it"


@keras.saving.register_keras_serializable("tests")
class Opaque(keras.Model):
    """A subclassed model: its inside is known to its `call` only."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Dense(3)

    def call(self, inputs):
        return self.inner(inputs)


def test_an_opaque_model_is_said_to_be_opaque():
    opaque = frozen(Opaque(name="closed"))
    lines = str(find_cut(keras.Sequential([keras.Input((4,)), opaque, layers.Dense(2)]))).splitlines()
    assert lines[0] == "Thaw line above closed: about 66.7 % of 18 multiply-adds lie below."
    assert lines[-1] == (
        "  opaque: closed is a subclassed model (Opaque) and lies whole on one side; its multiply-adds are estimated"
    )


def test_candidates_are_offered_below_the_numbers():
    convolutions = [frozen(layers.Conv2D(2, 3, name="narrow")), frozen(layers.Conv2D(16, 1, name="wide"))]
    cut = find_cut(keras.Sequential([keras.Input((8, 8, 3)), *convolutions, layers.Conv2D(4, 3)]))
    again = "1.2 k multiply-adds per image run again each epoch"
    assert str(cut).splitlines()[-1] == f"  or cut above narrow: 288 B per image, {again}"
    lines = str(cut.candidates[0]).splitlines()
    assert lines[0].startswith("Cut above narrow: ")
    assert lines[3] == f"  up to the thaw line: 48 weights, frozen; {again}"


def test_a_size_that_is_not_known_is_said_to_be_unknown():
    model = keras.Sequential([keras.Input((None, None, 3)), frozen(layers.Conv2D(2, 3)), layers.Conv2D(4, 3)])
    assert "an unknown number of bytes per image" in str(find_cut(model))


# -- summary -----------------------------------------------------------------------------------------------------


def summary(series):
    lines = []
    series.summary(print_fn=lambda text: lines.extend(text.splitlines()))
    return lines


def test_summary_draws_the_line_inside_a_stage():
    series = stack()
    freeze_and_thaw(series, ["base/block/two", "head"])
    lines = summary(series)
    assert [line.split()[0] for line in lines] == ["Stack", "base", "base/block/one", "----", "base/block/two", "head"]
    assert lines[2:5] == [
        "    base/block/one is the last below",
        "  ---- thaw line: float32 (None, 6, 6, 4) cross, 576 B per image; below it everything is frozen ----",
        "    base/block/two is the first above",
    ]


def test_summary_draws_the_line_above_the_first_stage_when_nothing_is_frozen():
    assert [line.split()[0] for line in summary(stack())] == ["Stack", "----", "base", "head"]


def test_summary_draws_the_line_below_a_stage_that_is_frozen_above_a_learning_one():
    series = stack()
    freeze_and_thaw(series, ["base/first"])
    assert [line.split()[0] for line in summary(series)] == ["Stack", "----", "base", "head"]


def test_summary_counts_a_layer_that_was_thawed_inside_a_frozen_stage():
    series = stack()
    series.stages[0].model.trainable = False
    series.stages[0].model.get_layer("first").trainable = True
    assert f"{FIRST} learn" in summary(series)[2]
