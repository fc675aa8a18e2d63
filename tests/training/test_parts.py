"""loss_at and probe: a stage on its own, on every strategy, and a post-processing stage on the answers before it."""

import re

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, JointError, NothingToLearnError

layers = keras.layers
STRATEGIES = ["joint", "precomputed", "streamed"]


@keras.saving.register_keras_serializable("tests")
class Temperature(layers.Layer):
    """Divides logarithms of probabilities by a temperature that learns."""

    def build(self, shape):
        self.log_temperature = self.add_weight(shape=(), initializer="zeros", name="log_temperature")

    def call(self, probabilities):
        return keras.ops.softmax(keras.ops.log(probabilities + 1e-7) / keras.ops.exp(self.log_temperature))


def stages(class_count=2):
    """A frozen base, a classifier and a stage that corrects its answers."""
    keras.utils.set_random_seed(3)
    base = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(4, 3, strides=2), layers.ReLU()], name="base_model"
    )
    classifier = keras.Sequential(
        [layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(class_count, "softmax")], name="dense_model"
    )
    return [
        tl.Stage(base, "base", trainable=False, value_range=(-1, 1)),
        tl.Stage(classifier, "classifier"),
        tl.Stage(keras.Sequential([Temperature()], name="temperature_model"), "calibration"),
    ]


def compiled(parts, **options):
    stack = tl.Stack(parts)
    how = {"optimizer": keras.optimizers.Adam(0.05), "loss": "categorical_crossentropy", "metrics": ["accuracy"]}
    stack.compile(**{**how, **options})
    return stack


def numbers(part):
    return [np.array(keras.ops.convert_to_numpy(weight)) for weight in part.weights]


def assert_same_numbers(mine, other):
    for weight, expected in zip(mine, other, strict=True):
        np.testing.assert_array_equal(weight, expected)


def probe():
    return keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")], name="probe_model")


# -- a stage on its own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_with_loss_at_a_phase_trains_the_stages_up_to_it_as_a_stack_of_their_own(strategy, small_images, cache):
    """Losses, metrics, validation figures and weights bit for bit; the stage after it does not move."""
    source = small_images.source()
    how = {"validation_data": source, "cache": cache, "verbose": 0}
    expected, whole = compiled(stages()[:2]), compiled(stages())
    wanted = expected.fit(source, epochs=3, strategy=strategy, **how)
    after = numbers(whole.stages[2].model)
    history = whole.fit(source, phases=[tl.Phase("classifier", 3, loss_at="classifier", strategy=strategy)], **how)
    assert history.history == wanted.history
    assert_same_numbers(numbers(whole.stages[1].model), numbers(expected.stages[1].model))
    assert_same_numbers(numbers(whole.stages[2].model), after)
    # The stack itself is whole as before.
    answers = whole.predict(source, cache=cache, verbose=0)
    by_hand = -np.mean(np.log(answers[np.arange(40), small_images.labels]))
    assert whole.evaluate(source, cache=cache, verbose=0)[0] == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_comes_after_the_loss_is_not_run(strategy, small_images, cache):
    calls = []

    class Counting(layers.Layer):
        def call(self, inputs):
            calls.append(inputs)
            return inputs * 1.0

    stack = compiled([*stages()[:2], tl.Stage(Counting(), "counting")], run_eagerly=True)
    calls.clear()
    source = small_images.source()
    how = {"validation_data": source, "cache": cache, "verbose": 0}
    stack.fit(source, phases=[tl.Phase(None, 1, loss_at="classifier", strategy=strategy)], **how)
    assert calls == []
    stack.fit(source, phases=[tl.Phase(None, 1, strategy=strategy)], **how)
    assert calls


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_three_stages_each_with_its_own_phase_and_then_all_together(strategy, small_images, tmp_path):
    """All strategies give the same bits; calibration learns from the answers of the frozen classifier."""
    source = small_images.source()

    def train(name):
        stack = compiled(stages())
        history = stack.fit(
            source,
            validation_data=source,
            phases=[
                tl.Phase("classifier", 2, loss_at="classifier", strategy=name),
                tl.Phase("calibration", 2, strategy=name),
                tl.Phase(["classifier", "calibration"], 1, learning_rate=1e-3, strategy=name),
            ],
            cache=tl.FeatureCache(tmp_path / name),
            verbose=0,
        )
        return stack, history

    stack, history = train(strategy)
    expected, wanted = train("precomputed")
    assert history.history == wanted.history
    assert_same_numbers(numbers(stack.model), numbers(expected.model))
    assert numbers(stack.stages[2].model)[0] != 0
    assert [mark.learned for mark in history.phases] == [
        ("classifier",),
        ("calibration",),
        ("classifier", "calibration"),
    ]


def test_only_the_answers_of_the_classifier_are_kept_for_calibration(small_images, cache):
    """Two numbers per image cross the line."""
    stack = compiled(stages())
    history = stack.fit(small_images.source(), phases=[tl.Phase("calibration", 1)], cache=cache, verbose=0)
    assert history.record.plans[0].row_bytes == 2 * 4


def test_features_below_a_part_are_those_below_the_whole_stack(small_images, cache):
    stack = compiled(stages())
    phases = [tl.Phase("classifier", 1, loss_at="classifier"), tl.Phase(["classifier", "calibration"], 1)]
    history = stack.fit(small_images.source(), phases=phases, cache=cache, verbose=0)
    assert [done["extracted"] for done in history.record.extractions] == [40, 0]


# -- a probe ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("loss_at", ["base", None])
def test_a_probe_learns_along_and_is_dropped(loss_at, strategy, small_images, cache):
    """As a stack of the base and the probe; the stack's own stages after it do not move."""
    source = small_images.source()
    how = {"validation_data": source, "cache": cache, "verbose": 0}

    def base():
        keras.utils.set_random_seed(5)
        two = [layers.Conv2D(4, 3, strides=2, name="one"), layers.Conv2D(4, 3, padding="same", name="two")]
        return tl.Stage(keras.Sequential([keras.Input((16, 16, 3)), *two], name="base_model"), "base")

    rest = stages()[1:]
    stack = compiled([base(), *rest])
    own, other = probe(), probe()
    expected = compiled([base(), tl.Stage(other, "probe")])
    own.build((None, 7, 7, 4))
    own.set_weights(other.get_weights())
    started, saved = numbers(own), [numbers(stage.model) for stage in rest]
    wanted = expected.fit(source, phases=[tl.Phase(["base/two", "probe"], 2, strategy=strategy)], **how)
    history = stack.fit(source, phases=[tl.Phase("base/two", 2, loss_at=loss_at, probe=own, strategy=strategy)], **how)
    assert history.history == wanted.history
    assert_same_numbers(numbers(stack.stages[0].model), numbers(expected.stages[0].model))
    assert_same_numbers(numbers(own), numbers(other))
    assert not np.array_equal(numbers(own)[0], started[0])
    for stage, before in zip(rest, saved, strict=True):
        assert_same_numbers(numbers(stage.model), before)
    assert [stage.name for stage in stack.stages] == ["base", "classifier", "calibration"]


def test_after_a_probe_the_stack_saves_and_trains_as_ever(small_images, cache, tmp_path):
    source = small_images.source()
    stack = compiled(stages())
    stack.fit(source, phases=[tl.Phase("base", 1, probe=probe())], cache=cache, verbose=0)
    assert int(stack.model.optimizer.iterations) == 0  # the phase's optimizer went with the probe
    stack.save(tmp_path / "stack.keras")
    again = tl.load(tmp_path / "stack.keras")
    assert_same_numbers(numbers(again.model), numbers(stack.model))
    assert again.evaluate(source, cache=cache, verbose=0) == stack.evaluate(source, cache=cache, verbose=0)
    for each in (stack, again):
        each.fit(source, phases=[tl.Phase("classifier", 1)], cache=cache, verbose=0)
    assert_same_numbers(numbers(again.stages[2].model), numbers(stack.stages[2].model))


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "error", "says"),
    [
        (
            {"train": "classifier", "loss_at": "clasifier"},
            ArgumentError,
            "Phase 1 has loss_at='clasifier', which is no stage. Stages are base, classifier, calibration.",
        ),
        (
            {"train": ["classifier", "calibration"], "loss_at": "classifier"},
            ArgumentError,
            "Phase 1 has loss_at='classifier', but stage 'calibration', which should learn, comes after it and would "
            "not run. Use loss_at='calibration', or take it out of train.",
        ),
        (
            {"train": "base", "loss_at": "base"},
            JointError,
            "Stage 'base' gives float32 (None, 7, 7, 4), a map, but one answer per image is expected: 2 values.",
        ),
        (
            {"train": "classifier", "probe": layers.Dense(2, "softmax")},
            ArgumentError,
            "Phase 1 has a probe, but stage 'classifier' gives answers that fit the labels. Take the probe out",
        ),
        (
            {"train": "calibration", "probe": layers.Dense(2, "softmax")},
            ArgumentError,
            "Phase 1 has a probe, but stage 'calibration' gives answers that fit the labels.",
        ),
        (
            {"train": "base", "probe": layers.Dense(3, "softmax")},
            JointError,
            "Stage 'probe' gives float32 (None, 7, 7, 3) in [0, 1], a map, but one answer per image is expected",
        ),
        (
            {"train": "base", "probe": keras.Sequential([layers.Flatten(), layers.Dense(3)])},
            JointError,
            "Stage 'probe' gives 3 values per image, but the images have 2 classes and want 2.",
        ),
        (
            {"train": "base", "probe": keras.Sequential([layers.Flatten(), layers.Dense(2)])},
            JointError,
            "Stage 'probe' gives any numbers, as its last layer 'dense",
        ),
        (
            {
                "train": None,
                "loss_at": "base",
                "probe": keras.Sequential([layers.Flatten(), layers.Dense(2, "softmax")]),
            },
            NothingToLearnError,
            "Phase 1 would learn nothing that stays: every weight below the probe is frozen. Name a stage or a layer",
        ),
        (
            {"train": "classifier", "loss_at": "classifier", "loss": "sparse_categorical_crossentropy"},
            JointError,
            "sparse_categorical_crossentropy in phase 1 compares with class numbers, but the labels are float32",
        ),
        (
            {"train": "classifier", "loss": "crossentropie"},
            ArgumentError,
            "Phase 1: 'crossentropie' is no loss of Keras.",
        ),
    ],
    ids=lambda value: "" if not isinstance(value, dict) else str(sorted(value.items(), key=str))[:60],
)
def test_a_part_that_cannot_work_is_named_before_anything_runs(phase, error, says, small_images, cache):
    stack = compiled(stages())
    with pytest.raises(error, match=re.escape(says)):
        stack.fit(small_images.source(), phases=[tl.Phase(epochs=1, **phase)], cache=cache, verbose=0)


@pytest.mark.parametrize(
    ("label_mode", "units", "loss", "says"),
    [
        (
            "categorical",
            2,
            "categorical_crossentropy",
            "in phase 1 compares probabilities. End it with activation='softmax', or use "
            "keras.losses.CategoricalCrossentropy(from_logits=True).",
        ),
        (
            "sparse",
            2,
            keras.losses.SparseCategoricalCrossentropy(),
            "SparseCategoricalCrossentropy in phase 1 compares probabilities.",
        ),
        ("binary", 1, "binary_crossentropy", "in phase 1 compares probabilities. End it with activation='sigmoid'"),
        (
            "sparse",
            2,
            keras.losses.CategoricalCrossentropy(from_logits=True),
            "CategoricalCrossentropy in phase 1 compares with one value per class, but the labels are int32 (None,)",
        ),
    ],
)
def test_a_loss_that_does_not_fit_the_answers_or_the_labels_is_named(label_mode, units, loss, says, small_images):
    head = keras.Sequential([layers.Flatten(), layers.Dense(units)])
    stack = compiled([stages()[0], tl.Stage(head, "head")], loss=loss, metrics=None)
    with pytest.raises(JointError, match=re.escape(says)):
        stack.fit(small_images.source(label_mode=label_mode), verbose=0)


def test_logits_are_fine_with_a_loss_that_takes_them(small_images, cache):
    head = keras.Sequential([layers.Flatten(), layers.Dense(2)])
    stack = compiled([stages()[0], tl.Stage(head, "head")], loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    history = stack.fit(small_images.source(), cache=cache, verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_a_probe_may_stand_on_the_last_stage_when_that_gives_no_answer(small_images, cache):
    """A stack that is a base only: it learns to see, by a probe."""
    stack = compiled(stages()[:1])
    before = numbers(stack.model)
    with pytest.raises(JointError, match="a map, but one answer per image"):
        stack.fit(small_images.source(), phases=[tl.Phase("base", 1)], cache=cache, verbose=0)
    stack.fit(small_images.source(), phases=[tl.Phase("base", 1, probe=probe())], cache=cache, verbose=0)
    assert not np.array_equal(numbers(stack.model)[0], before[0])
