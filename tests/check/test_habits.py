"""Habits: facts of phases in, findings out; and the facts read from stacks, images and optimizers."""

import random

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.check import habit_facts
from thawline.check.habit_facts import (
    Norm,
    PhaseFacts,
    idle_share,
    patterns_without,
    read_chance,
    read_phases,
    read_untrained,
)
from thawline.check.habits import check_habits, judge_phase
from thawline.stack.series import StageSeries
from thawline.training.compiled import Compiled

layers = keras.layers
RANDOM = np.random.default_rng(8)
PIXELS = RANDOM.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)


def images(count=12, batch_size=4, **augment):
    source = tl.ImageArrays(PIXELS[:count], [0, 1] * (count // 2) + [0] * (count % 2), batch_size=batch_size)
    return source.augment(**augment) if augment else source


def make_base(blocks=5, *, is_trained=True, before=()):
    """A base of `blocks` convolutions, each with a BatchNormalization."""
    parts = [keras.Input((8, 8, 3)), *before]
    for number in range(blocks):
        parts.append(layers.Conv2D(2, 1, use_bias=False, name=f"block{number}_conv"))
        parts.append(layers.BatchNormalization(name=f"block{number}_bn"))
    model = keras.Sequential(parts, name="inner")
    if is_trained:
        for layer in model.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.moving_mean.assign([0.3, 0.4])
    return model


def make_series(base=None, *, trainable=False, head=None):
    head = head or [layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax", name="answer")]
    base = make_base() if base is None else base
    return StageSeries([tl.Stage(base, "base", trainable=trainable), tl.Stage(keras.Sequential(head), "head")])


def compiled(optimizer="adam"):
    return Compiled(keras.optimizers.get(optimizer), {"loss": "categorical_crossentropy"})


def codes(series, source=None, phases=(), optimizer="adam"):
    return [finding.code for finding in check_habits(series, source or images(), phases, compiled(optimizer))]


# -- judging -------------------------------------------------------------------------------------------------------

trained = PhaseFacts(1, 10, images=2000, optimizer="adam", rates=(("base/conv", 1e-4),))


@pytest.mark.parametrize(
    "facts",
    [
        PhaseFacts(),
        trained,
        # Those that nobody pretrained learn as fast as they like.
        PhaseFacts(1, 10, optimizer="adam"),
        PhaseFacts(1, 10, optimizer="sgd", rates=(("base/conv", 0.01),)),
        PhaseFacts(1, 10, optimizer="ownoptimizer", rates=(("base/conv", 1.0),)),
        PhaseFacts(1, 10, idle_share=0.2),
        PhaseFacts(1, 10, norms=(Norm("base/bn"),)),
        PhaseFacts(1, 10, images=33, batch_size=32, norms=(Norm("base/bn"),)),
        PhaseFacts(1, 10, is_augmented=True, views=4),
        PhaseFacts(1, 1, is_augmented=True, views=1),
        PhaseFacts(1, 4, is_augmented=True, views=4),
        PhaseFacts(1, 10, views=1),
    ],
)
def test_what_is_usual_is_silent(facts):
    assert judge_phase(facts) == []


@pytest.mark.parametrize(
    ("code", "severity", "facts"),
    [
        ("habit-learning-rate-high", "warning", PhaseFacts(optimizer="adam", rates=(("base/conv", 1e-3),))),
        ("habit-learning-rate-high", "warning", PhaseFacts(optimizer="sgd", rates=(("base/conv", 0.1),))),
        ("habit-schedule-ends", "warning", PhaseFacts(1, 10, idle_share=0.5)),
        ("habit-batchnorm-moves", "warning", PhaseFacts(1, 10, norms=(Norm("base/bn", is_trained=True),))),
        ("habit-batchnorm-moves", "note", PhaseFacts(1, 10, images=20_000, norms=(Norm("base/bn", is_trained=True),))),
        ("habit-batchnorm-batch", "warning", PhaseFacts(batch_size=1, norms=(Norm("head/bn"),))),
        ("habit-batchnorm-batch", "error", PhaseFacts(batch_size=1, norms=(Norm("head/bn", is_flat=True),))),
        ("habit-batchnorm-batch", "warning", PhaseFacts(images=33, norms=(Norm("head/bn", is_flat=True),))),
        ("habit-augmentation-off", "warning", PhaseFacts(random_below=("base/random_flip",))),
        ("habit-augmentation-uncached", "warning", PhaseFacts(random_above=(("flip/random_flip", 500),))),
        ("habit-one-view", "warning", PhaseFacts(1, 10, is_augmented=True, views=1)),
        ("habit-views-unused", "note", PhaseFacts(1, 3, is_augmented=True, views=4)),
        ("habit-views-unused", "note", PhaseFacts(1, 10, views=4)),
    ],
)
def test_what_spoils_a_training_is_found_and_nothing_else(code, severity, facts):
    (finding,) = judge_phase(facts)
    assert (finding.code, finding.severity) == (code, severity)
    assert finding.what.endswith(".") and finding.fix.endswith(".")


def test_a_learning_rate_that_is_too_high_is_told_with_layers_figures_and_who_finds_a_better_one():
    rates = tuple((f"base/block{number}_conv", 1e-3) for number in range(5))
    (finding,) = judge_phase(PhaseFacts(2, 5, optimizer="adam", rates=rates))
    assert str(finding) == (
        "warning  habit-learning-rate-high: Phase 2 lets 5 pretrained layers of stage 'base' learn by adam with a "
        "learning rate of 0.001 (base/block0_conv, base/block1_conv, base/block2_conv and 2 more); usual are 1e-5 to "
        "1e-4. Give the phase learning_rate=1e-5, or learning_rate_factors={'base': 0.01}; "
        "stack.find_learning_rate(train, phase=...) measures what these images bear."
    )


def test_statistics_that_move_are_told_with_what_is_left_of_them_and_how_to_keep_them():
    norms = (Norm("base/b7_bn", is_trained=True, momentum=0.9),)
    facts = PhaseFacts(1, 2, images=320, norms=norms, norm_patterns=("head", "base/b7*[!n]"))
    (finding,) = judge_phase(facts)
    # 0.9 to the power of 2 epochs of 10 steps.
    assert "batches of 32 images, 320 in all; after 20 steps 12% of the old ones are left." in finding.what
    assert finding.fix.startswith("Leave them out with train=['head', 'base/b7*[!n]'],")


# -- learning rates ------------------------------------------------------------------------------------------------


def rates_of(phase, optimizer="adam", series=None):
    (facts,) = read_phases(series or make_series(), images(), [phase], compiled(optimizer))
    return dict(facts.rates)


def test_rates_are_those_of_the_phase_its_optimizer_or_the_stack_times_the_factors():
    blocks = ["head", "base/block4*"]
    both = ("base/block4_conv", "base/block4_bn")
    assert rates_of(tl.Phase(blocks, 1)) == dict.fromkeys(both, pytest.approx(1e-3))
    assert rates_of(tl.Phase(blocks, 1, learning_rate=1e-5)) == dict.fromkeys(both, 1e-5)
    assert rates_of(tl.Phase(blocks, 1, optimizer=keras.optimizers.SGD(0.5))) == dict.fromkeys(both, 0.5)
    factors = {"base": 0.1, "base/*_bn": 0.5}
    assert rates_of(tl.Phase(blocks, 1, learning_rate=1.0, learning_rate_factors=factors)) == {
        "base/block4_conv": 0.1,
        "base/block4_bn": 0.5,
    }


def test_of_a_schedule_the_largest_rate_within_the_phase_counts():
    # Three steps per epoch: warm-up to 1 in 6 steps, which two epochs reach but for the last one.
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 6, end_learning_rate=6.0)
    found = rates_of(tl.Phase(["head", "base/block4_conv"], 2, optimizer=keras.optimizers.Adam(schedule)))
    assert found == {"base/block4_conv": pytest.approx(5.0)}


def test_a_schedule_that_is_over_early_is_found_by_its_steps():
    def found(decay_steps, epochs=10):
        schedule = keras.optimizers.schedules.CosineDecay(1e-4, decay_steps)
        return codes(make_series(), phases=[tl.Phase("head", epochs, optimizer=keras.optimizers.Adam(schedule))])

    assert found(30) == []
    assert found(15) == ["habit-schedule-ends"]
    assert idle_share(np.zeros(4)) == 0.0


def test_heads_fresh_bases_and_small_models_learn_as_fast_as_they_like():
    assert rates_of(tl.Phase("head", 1)) == {}
    assert rates_of(tl.Phase(["head", "base"], 1), series=make_series(make_base(is_trained=False))) == {}
    assert rates_of(tl.Phase(["head", "base"], 1), series=make_series(make_base(3))) == {}


def test_fresh_layers_behind_a_pretrained_model_are_no_part_of_what_it_knows():
    whole = keras.Sequential([*make_base().layers, layers.GlobalAveragePooling2D(), layers.Dense(2, name="answer")])
    whole.build((None, 8, 8, 3))
    series = StageSeries([tl.Stage(whole, "whole")])
    found = rates_of(tl.Phase("whole", 1), series=series)
    assert "whole/block0_conv" in found
    assert "whole/answer" not in found


def test_an_optimizer_that_trained_these_weights_before_goes_on_as_it_was():
    series, own = make_series(trainable=True), compiled()
    assert "habit-learning-rate-high" in [finding.code for finding in check_habits(series, images(), (), own)]
    own.build_optimizer(series.model.trainable_variables)
    own.optimizer.iterations.assign(7)
    assert "habit-learning-rate-high" not in [finding.code for finding in check_habits(series, images(), (), own)]


def test_a_rate_that_a_callback_sets_is_not_judged():
    phase = tl.Phase("base", 1, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 1e-6)])
    assert rates_of(phase) == {}


# -- layers --------------------------------------------------------------------------------------------------------


def test_batch_normalization_that_learns_is_listed_as_the_phase_names_it():
    def paths(train):
        (facts,) = read_phases(make_series(), images(), [tl.Phase(train, 1)], compiled())
        return [norm.path for norm in facts.norms], facts.norm_patterns

    assert paths(["head", "base/block4*"]) == (["base/block4_bn"], ("head", "base/block4*[!n]"))
    assert paths(["head", "base/*conv"]) == ([], ("head", "base/*conv"))
    assert paths("head") == ([], ("head",))
    assert paths("base")[1] == ("base/*[!n]",)


def test_patterns_that_cannot_leave_them_out_simply_are_not_suggested():
    # The convolution ends with the same letter.
    assert patterns_without(["base/b1*"], ["base/b1_bn"], ["base/b1_main"], ["base"]) == ()
    assert patterns_without(["base/b1_bn"], ["base/b1_bn"], ["base/b1_conv"], ["base"]) == ()


def test_the_suggested_patterns_train_the_same_without_statistics():
    series = make_series()
    (finding,) = [
        finding
        for finding in check_habits(series, images(), [tl.Phase(["head", "base/block4*"], 1, learning_rate=1e-5)])
        if finding.code == "habit-batchnorm-moves"
    ]
    assert "train=['head', 'base/block4*[!n]']" in finding.fix
    assert codes(series, phases=[tl.Phase(["head", "base/block4*[!n]"], 1, learning_rate=1e-5)]) == []


def test_batch_normalization_over_values_is_told_from_that_over_maps():
    head = [layers.GlobalAveragePooling2D(), layers.BatchNormalization(name="bn"), layers.Dense(2, "softmax")]
    series = make_series(head=head)
    (facts,) = read_phases(series, images(), [], compiled())
    assert facts.norms == (Norm("head/bn", is_flat=True, momentum=0.99),)
    assert codes(series, images(9)) == ["habit-batchnorm-batch"]
    assert codes(series, images(10)) == []


def test_batch_normalization_inside_of_an_opaque_layer_is_seen():
    class Own(keras.layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.norm = keras.layers.BatchNormalization()

        def call(self, x, training=None):
            return self.norm(x, training=training)

    series = make_series(head=[Own(name="own"), layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")])
    assert [norm.path for norm in read_phases(series, images(), [], None)[0].norms] == ["head/own"]


def test_layers_that_augment_are_found_below_the_line_and_before_what_is_frozen():
    frozen = make_series(make_base(before=[layers.RandomFlip(name="flip"), layers.RandomRotation(0.1)]))
    assert codes(frozen) == ["habit-augmentation-off"]
    model = make_base(before=[layers.RandomFlip(name="flip")])
    for layer in model.layers[1:]:
        layer.trainable = False
    before = make_series(model, trainable=True)
    (facts,) = read_phases(before, images(), [], None)
    # Five convolutions of 3 or 2 channels to 2, and four numbers per channel of each BatchNormalization.
    assert facts.random_above == (("base/flip", 6 + 4 * 4 + 5 * 8),)
    assert codes(before) == ["habit-augmentation-uncached"]
    # Before layers that learn they may stand.
    learning = make_series(make_base(is_trained=False, before=[layers.RandomFlip()]), trainable=True)
    assert codes(learning) == []


def test_random_numbers_that_are_no_augmentation_are_none():
    frozen = make_series(make_base(before=[layers.GaussianNoise(0.1), layers.Dropout(0.1)]))
    assert codes(frozen) == []


def test_a_stage_that_is_frozen_with_fresh_weights_is_found_unless_a_phase_trains_it():
    series = make_series(make_base(is_trained=False))
    assert codes(series) == ["habit-frozen-random"]
    assert codes(series, phases=[tl.Phase("head", 1)]) == ["habit-frozen-random"]
    assert codes(series, phases=[tl.Phase("base", 1), tl.Phase("head", 1)]) == []
    # One that does not run cannot spoil anything.
    assert codes(make_series(), phases=[tl.Phase("base/block0_conv", 1, loss_at="base", learning_rate=1e-5)]) == []


def test_weights_that_cannot_tell_are_not_called_fresh():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 1, use_bias=False)])
    assert read_untrained(make_series(model), []) == []


def test_a_stack_without_weights_or_without_anything_that_learns_has_no_habits():
    pool = tl.Stage(keras.Sequential([keras.Input((8, 8, 3)), layers.GlobalAveragePooling2D()]), "pool")
    assert check_habits(StageSeries([pool]), images()) == []
    frozen = make_series()
    frozen.stages[1].model.trainable = False
    assert [name for name, _ in read_untrained(frozen, [])] == ["head"]


# -- images --------------------------------------------------------------------------------------------------------


def test_functions_with_a_generator_of_their_own_are_found_and_others_are_not():
    def shaky(image):
        return image + np.random.normal(size=image.shape)

    def sometimes(image, rng):
        return image[:, ::-1] if random.random() < 0.5 else image

    def right(image, rng):
        return (image + rng.integers(0, 2, image.shape)).astype(np.uint8)

    assert read_chance(images(preprocessing_function=shaky)) == ("preprocessing_function",)
    assert read_chance(images(functions=[sometimes])) == ("functions",)
    assert read_chance(images(functions=[right], rotation_range=20, noise_range=5)) == ()
    assert read_chance(images(preprocessing_function=lambda image: image / 127.5 - 1)) == ()
    assert read_chance(images(rotation_range=20)) == ()
    assert codes(make_series(), images(preprocessing_function=shaky)) == ["habit-random-image"]


def test_looking_for_chance_leaves_the_random_state_as_it_was():
    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.random()
    random.seed(3)
    np.random.seed(3)
    read_chance(images(preprocessing_function=lambda image: image * random.random() * np.random.random()))
    assert (random.random(), np.random.random()) == expected


def test_images_that_cannot_be_read_are_left_to_others(image_folder):
    folder = image_folder(2, count=1)
    (folder / "class1" / "000.png").write_bytes(b"")
    source = tl.ImageFolder(folder, image_size=(8, 8)).augment(preprocessing_function=lambda image: image)
    assert read_chance(source) == ()


def test_nothing_of_the_stack_is_changed():
    series, own = make_series(make_base(before=[layers.RandomFlip()])), compiled()
    before = [layer.trainable for layer in series.model._flatten_layers()], series.model.get_weights()
    check_habits(series, images(), [tl.Phase(["head", "base/block4*"], 3)], own)
    assert [layer.trainable for layer in series.model._flatten_layers()] == before[0]
    for was, after in zip(before[1], series.model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, after)
    assert not own.optimizer.built


def test_layers_that_augment_are_known_by_what_keras_has():
    names = [name for name in dir(layers) if name.startswith("Random")]
    assert {"RandomFlip", "RandomRotation", "RandomZoom"} <= set(names)
    assert habit_facts._augments(layers.RandomFlip())
    assert habit_facts._augments(layers.RandAugment())
    assert not habit_facts._augments(layers.Dropout(0.5))
