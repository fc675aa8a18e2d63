"""What the user gave is what trains: subclasses, schedules, what does not decay; errors come before anything runs."""

import re

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, JointError, NothingToLearnError
from thawline.training.optimizers import fresh_copy, remember_unbuilt, set_constant_rate

BOTH = ["head", "base/last"]


class Mine(keras.optimizers.SGD):
    """A subclass with an argument, and no get_config."""

    def __init__(self, boost, **options):
        super().__init__(**options)
        self.boost = boost

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient * self.boost, variable, learning_rate)


class Warm(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule without get_config: 0.01, 0.02, 0.03 and so on."""

    def __call__(self, step):
        return 0.01 * (keras.ops.cast(step, "float32") + 1)


def weights(stack):
    return stack.model.get_weights()


def assert_equal(mine, other):
    for one, two in zip(weights(mine), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


def keras_weights(optimizer):
    """What plain Keras makes of an optimizer."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    inputs = np.random.default_rng(0).normal(size=(32, 2))
    model.fit(inputs, np.ones((32, 1)), epochs=3, batch_size=4, verbose=0)
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def decaying():
    optimizer = keras.optimizers.AdamW(1e-2, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


MADE = {
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "what does not decay": decaying,
    "averages": lambda: keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, gradient_accumulation_steps=2),
    "subclass": lambda: Mine(2.0),
    "schedule": lambda: keras.optimizers.SGD(Warm()),
    "function as rate": lambda: keras.optimizers.SGD(lambda: 0.1),
    "scaled losses": lambda: keras.optimizers.LossScaleOptimizer(decaying()),
    "scaled losses of a subclass": lambda: keras.optimizers.LossScaleOptimizer(Mine(2.0)),
}


# -- copies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_a_copy_trains_as_the_original_does_and_has_none_of_its_state(make):
    given = make()
    remember_unbuilt(given)
    first = fresh_copy(given)
    expected = keras_weights(given)
    assert given.built
    later = fresh_copy(given)
    assert (first.built, later.built, int(later.iterations)) == (False, False, 0)
    for copied in (first, later):
        assert not {id(variable) for variable in copied.variables} & {id(variable) for variable in given.variables}
        np.testing.assert_array_equal(keras_weights(copied), expected)


def test_an_optimizer_that_others_built_is_made_from_its_configuration():
    given = decaying()
    keras_weights(given)
    assert not fresh_copy(given)._use_weight_decay(keras.Variable([0.0], name="bias"))
    with pytest.raises(ArgumentError, match="The optimizer Mine has trained before, and no copy without its state"):
        own = Mine(2.0)
        keras_weights(own)
        fresh_copy(own)


def test_a_rate_takes_the_place_of_a_schedule():
    optimizer = fresh_copy(keras.optimizers.SGD(Warm()))
    set_constant_rate(optimizer, 0.25)
    np.testing.assert_array_equal(keras_weights(optimizer), keras_weights(keras.optimizers.SGD(0.25)))


# -- in a training -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["joint", "precomputed"])
def test_biases_that_should_not_decay_do_not_decay_in_any_phase(strategy, small_images, make_stack, cache):
    stack = make_stack(optimizer=decaying())
    phases = [tl.Phase("head", 1, strategy=strategy), tl.Phase(BOTH, 1, strategy=strategy)]
    stack.fit(small_images.source(), phases=phases, cache=cache, verbose=0)
    biases = [variable for variable in stack.model.trainable_variables if variable.name == "bias"]
    kernels = [variable for variable in stack.model.trainable_variables if variable.name == "kernel"]
    assert len(biases) == len(kernels) == 2
    assert not any(map(stack.model.optimizer._use_weight_decay, biases))
    assert all(map(stack.model.optimizer._use_weight_decay, kernels))


@pytest.mark.parametrize("make", [MADE["subclass"], MADE["schedule"]], ids=["subclass", "schedule"])
def test_optimizers_of_ones_own_train_every_phase_as_a_new_one_does(make, small_images, make_stack, cache):
    head = tl.Phase("head", 1)
    stack, expected = make_stack(optimizer=make()), make_stack(optimizer=make())
    for each, later in ((stack, tl.Phase(BOTH, 1)), (expected, tl.Phase(BOTH, 1, optimizer=make()))):
        each.fit(small_images.source(), phases=[head, later], cache=cache, verbose=0)
    assert_equal(stack, expected)


def test_one_optimizer_in_two_phases_is_copied_where_other_weights_learn(small_images, make_stack, cache):
    shared = keras.optimizers.Adam(0.02)
    phases = [tl.Phase("head", 1, optimizer=shared), tl.Phase(BOTH, 1, optimizer=shared)]
    own = [tl.Phase(phase.train, 1, optimizer=keras.optimizers.Adam(0.02)) for phase in phases]
    stack, expected = make_stack(), make_stack()
    for each, spans in ((stack, phases), (expected, own)):
        each.fit(small_images.source(), phases=spans, cache=cache, verbose=0)
    assert_equal(stack, expected)


def test_one_optimizer_in_two_phases_goes_on_where_the_same_weights_learn(small_images, make_stack, cache):
    shared = keras.optimizers.Adam(0.02)
    phases = [tl.Phase("head", 1, optimizer=shared), tl.Phase("head", 1, optimizer=shared)]
    make_stack().fit(small_images.source(), phases=phases, cache=cache, verbose=0)
    assert int(shared.iterations) == 4


def test_an_optimizer_compiled_again_keeps_its_state(small_images, make_stack, cache):
    stack, optimizer = make_stack(), keras.optimizers.Adam(0.01)
    for _ in range(2):
        stack.compile(optimizer, "categorical_crossentropy")
        stack.fit(small_images.source(), cache=cache, verbose=0)
    assert int(optimizer.iterations) == 4


# -- errors come before anything is computed -----------------------------------------------------------------------


def test_an_optimizer_of_another_stack_is_refused(small_images, make_stack, cache):
    shared = keras.optimizers.Adam()
    one, two = make_stack(optimizer=shared), make_stack(optimizer=shared)
    one.fit(small_images.source(), cache=cache, verbose=0)
    with pytest.raises(
        ArgumentError, match=r"compile\(\) has an optimizer Adam that trained another model \('head_mod"
    ):
        two.fit(small_images.source(), cache=cache, verbose=0)
    with pytest.raises(ArgumentError, match="Phase 1 has an optimizer Adam that trained another model"):
        make_stack().fit(small_images.source(), phases=[tl.Phase("head", 1, optimizer=shared)], cache=cache, verbose=0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"optimizer": "addam"}, "compile(): 'addam' is no optimizer of Keras. Did you mean 'Adam'?"),
        ({"optimizer": 3}, "compile(): 3 is no optimizer: "),
        (
            {"loss": {"a": "categorical_crosentropy"}},
            "'categorical_crosentropy' is no loss of Keras. Did you mean 'categ",
        ),
        ({"metrics": ["acc", "f1"]}, "compile(): 'f1' is no metric of Keras. Did you mean 'F1Score'?"),
        (
            {"weighted_metrics": ["xyzzy"]},
            "compile(): 'xyzzy' is no metric of Keras. Look for the name in keras.metrics.",
        ),
    ],
)
def test_a_name_that_keras_does_not_know_is_refused_by_compile(given, says, make_stack):
    with pytest.raises(ArgumentError, match=re.escape(says)):
        make_stack(**{"optimizer": "adam", **given})


WRONG = {
    "loss": ({"loss": "msee"}, ArgumentError, "Phase 2: 'msee' is no loss of Keras."),
    "metric": ({"metrics": ["f1"]}, ArgumentError, "Phase 2: 'f1' is no metric of Keras."),
    "optimizer": ({"optimizer": "sdg"}, ArgumentError, "Phase 2: 'sdg' is no optimizer of Keras. Did you mean 'SGD'?"),
    "rate of a schedule": (
        {"optimizer": keras.optimizers.SGD(Warm()), "learning_rate": 0.1},
        ArgumentError,
        "Phase 2 has a learning_rate, but its optimizer has a schedule or several rates.",
    ),
    "strategy": ({"strategy": "precomputd"}, ArgumentError, "strategy is 'auto', 'joint'"),
    "nothing frozen": (
        {"train": ["base", "head"], "strategy": "precomputed"},
        NothingToLearnError,
        "strategy='precomputed' needs a frozen part to run ahead",
    ),
    "watched": ({"early_stopping": {"patience": 1, "monitor": "acc"}}, ArgumentError, "early_stopping watches 'acc'"),
}


@pytest.mark.parametrize(("phase", "error", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_later_phase_is_said_before_the_first_one(
    phase, error, says, small_images, make_stack, tmp_path
):
    stack = make_stack()
    before = weights(stack)
    flags = [layer.trainable for layer in stack.model._flatten_layers()]
    phases = [tl.Phase("head", 1), tl.Phase(**{"train": BOTH, "epochs": 1, **phase})]
    with pytest.raises(error, match=re.escape(says)):
        stack.fit(small_images.source(), phases=phases, cache=tl.FeatureCache(tmp_path / "cache"), verbose=0)
    for one, two in zip(weights(stack), before, strict=True):
        np.testing.assert_array_equal(one, two)
    assert [layer.trainable for layer in stack.model._flatten_layers()] == flags
    assert not any((tmp_path / "cache").rglob("*.mdb"))


class Wide(keras.losses.Loss):
    """A loss that knows only answers of four values."""

    def call(self, expected, answers):
        return keras.ops.mean(answers + keras.ops.ones((1, 4)))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"loss": Wide()},
            "The loss 'wide' of phase 1 cannot be computed: the answers of stage 'head' are float32 (None, 2)",
        ),
        (
            {"metrics": [Wide(name="far")]},
            "A metric of 'far' of phase 1 can",
        ),
    ],
    ids=["loss", "metric"],
)
def test_a_loss_or_metric_that_does_not_fit_is_said_before_extraction(given, says, small_images, make_stack, tmp_path):
    stack = make_stack(**given)
    with pytest.raises(JointError, match=re.escape(says)):
        stack.fit(small_images.source(), cache=tl.FeatureCache(tmp_path / "cache"), verbose=0)
    assert not any((tmp_path / "cache").rglob("*.mdb"))


def test_a_stack_that_cannot_be_saved_takes_no_checkpoint(small_images, make_stack, cache, tmp_path):
    stack = make_stack(optimizer=keras.optimizers.SGD(Warm()))
    with pytest.raises(
        ArgumentError, match="checkpoint= saves the stack after each phase, but the stack cannot be sav"
    ):
        stack.fit(small_images.source(), cache=cache, checkpoint=tmp_path / "state", verbose=0)
