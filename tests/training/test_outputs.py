"""Several outputs, and losses that layers add: against Keras' own fit on the same arrays, on all strategies."""

import re

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.errors import ArgumentError, DataError, JointError

STRATEGIES = ("joint", "precomputed", "streamed")
PIXELS = np.random.default_rng(5).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
KINDS = ["moss", "fern", "rose", "moss", "fern"] * 4
NUMBERS = np.array([["fern", "moss", "rose"].index(kind) for kind in KINDS], np.int32)
SIZES = np.linspace(-1, 1, 20, dtype=np.float32)
MODES = {"kind": "sparse", "size": "regression"}
LOSSES = {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"}


def outputs_as(form):
    """A head with two outputs, as a dictionary or a list."""

    def head():
        features = keras.Input((7, 7, 4))
        flat = keras.layers.Flatten()(features)
        kind, size = keras.layers.Dense(3, name="kind")(flat), keras.layers.Dense(1, name="size")(flat)
        return keras.Model(features, {"kind": kind, "size": size} if form == "dictionary" else [kind, size])

    return head


class AddsLoss(keras.layers.Layer):
    """Wants small answers."""

    def call(self, inputs):
        self.add_loss(keras.ops.mean(inputs**2))
        return inputs


def adds_loss():
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2), AddsLoss()])


def stack_of(make_head, **options):
    """A frozen base without randomness and a head."""
    keras.utils.set_random_seed(1)
    base = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, strides=2), keras.layers.ReLU()])
    base.trainable = False
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(make_head(), "head")])
    stack.compile(**{"optimizer": keras.optimizers.SGD(0.01), **options})
    return stack


def source(**options):
    given = {"labels": {"kind": KINDS, "size": SIZES}, "label_mode": MODES, "batch_size": 8, **options}
    return tl.ImageArrays(PIXELS, **given)


def assert_trains_as_keras(stack, images, expected, targets, *, strategy, cache, weights=None, **options):
    """Figures and weights of two epochs, and of `evaluate`, to 1e-5."""
    history = stack.fit(
        images, epochs=2, strategy=strategy, cache=cache, engine="keras", shuffle=False, verbose=0, **options
    )
    model = expected.model
    inputs = PIXELS.astype("float32")
    by_keras = model.fit(inputs, targets, batch_size=8, epochs=2, shuffle=False, sample_weight=weights, verbose=0)
    assert history.history.keys() == by_keras.history.keys()
    for name, values in by_keras.history.items():
        np.testing.assert_allclose(history.history[name], values, rtol=1e-5)
    for mine, other in zip(stack.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
    figures = stack.evaluate(images, strategy=strategy, cache=cache, engine="keras", return_dict=True, verbose=0)
    wanted = model.evaluate(inputs, targets, batch_size=8, return_dict=True, verbose=0)
    if not isinstance(images.weights, np.ndarray | dict):
        assert figures == pytest.approx(wanted, rel=1e-5)


# -- predict -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("form", ["dictionary", "list"])
def test_predict_gives_a_dictionary_or_a_list_as_keras_does(form, strategy, cache):
    stack = stack_of(outputs_as(form))
    answers = stack.predict(source(), strategy=strategy, cache=cache, engine="keras", verbose=0)
    expected = stack.model.predict(PIXELS.astype("float32"), verbose=0)
    assert type(answers) is type(expected)
    keras.tree.map_structure(lambda *pair: np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-5), answers, expected)


def test_predict_of_a_bad_image_is_nan_in_every_output(own_images):
    images = own_images.source(on_error="skip", label_mode="none")
    images.paths[3].write_bytes(b"no image")
    stack = stack_of(outputs_as("dictionary"))
    with pytest.warns(UserWarning, match="left out"):
        answers = stack.predict(images, verbose=0)
    for rows in answers.values():
        assert len(rows) == 40
        assert np.isnan(rows).any(axis=1).tolist() == [index == 3 for index in range(40)]


# -- training and evaluation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_figures_of_several_outputs_have_the_names_that_keras_gives_them(strategy, cache):
    metrics = {"kind": ["accuracy"], "size": ["mae"]}
    pair = [stack_of(outputs_as("dictionary"), loss=LOSSES, metrics=metrics) for _ in range(2)]
    targets = {"kind": NUMBERS, "size": SIZES[:, None]}
    assert_trains_as_keras(pair[0], source(), pair[1], targets, strategy=strategy, cache=cache)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_class_weights_of_one_output_weigh_that_output(strategy, cache):
    """By hand: the weight of each image is its class's for "kind", and 1 for "size"."""
    pair = [stack_of(outputs_as("dictionary"), loss=LOSSES) for _ in range(2)]
    by_hand = {"kind": np.array([1.0, 0.5, 3.0], np.float32)[NUMBERS], "size": np.ones(20, np.float32)}
    targets = {"kind": NUMBERS, "size": SIZES[:, None]}
    given = {"kind": {"moss": 0.5, 2: 3.0}}
    assert_trains_as_keras(
        pair[0], source(), pair[1], targets, strategy=strategy, cache=cache, weights=by_hand, class_weight=given
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_sample_weights_may_differ_between_outputs(strategy, cache):
    """And are multiplied with class weights; an output without weights counts every image once."""
    own = np.linspace(0, 2, 20, dtype=np.float32)
    by_hand = {"kind": np.array([1.0, 0.5, 1.0], np.float32)[NUMBERS], "size": own}
    pair = [stack_of(outputs_as("dictionary"), loss=LOSSES) for _ in range(2)]
    targets = {"kind": NUMBERS, "size": SIZES[:, None]}
    images = source(sample_weights={"size": own})
    assert_trains_as_keras(
        pair[0],
        images,
        pair[1],
        targets,
        strategy=strategy,
        cache=cache,
        weights=by_hand,
        class_weight={"kind": {"moss": 0.5}},
    )


def test_balanced_weighs_the_classes_of_every_output_that_has_classes(cache):
    """8 moss, 8 fern, 4 rose: 20 / (3 x 8) and 20 / (3 x 4), as scikit-learn's "balanced" has it."""
    one, two = (stack_of(outputs_as("dictionary"), loss=LOSSES) for _ in range(2))
    by_hand = {"kind": {"moss": 20 / 24, "fern": 20 / 24, "rose": 20 / 12}}
    for stack, weights in ((one, "balanced"), (two, by_hand)):
        stack.fit(source(), class_weight=weights, cache=cache, verbose=0)
    for mine, other in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"moss": 2.0},
            "The images have several outputs, 'kind', 'size': class_weight goes by output, like {'kind': {",
        ),
        ({"size": {0: 2.0}}, "class_weight has weights for the output 'size', which needs one class per image"),
        (
            {"kind": {"oak": 2.0}},
            "class_weight of the output 'kind' names the class 'oak', which the images do not have",
        ),
        ({"kind": 2.0}, "class_weight of the output 'kind' is a dictionary like {'cat': 2.0}, or 'balanced'; got 2.0."),
        ({"kind": {7: 2.0}}, "class_weight names class 7; classes are the numbers 0 to 2."),
    ],
)
def test_class_weights_of_no_output_or_class_are_refused(given, says, cache):
    with pytest.raises(ArgumentError, match=re.escape(says)):
        stack_of(outputs_as("dictionary"), loss=LOSSES).fit(source(), class_weight=given, cache=cache, verbose=0)


def test_sample_weights_of_no_output_are_refused():
    with pytest.raises(
        DataError, match="sample weights are for the output 'kin', but the labels have outputs 'kind', 'siz"
    ):
        source(sample_weights={"kin": SIZES})
    with pytest.raises(DataError, match="sample weights are for the output 'kind', but the labels have one output"):
        tl.ImageArrays(PIXELS, KINDS, sample_weights={"kind": np.ones(20)})


def test_sample_weights_by_output_follow_their_images():
    images = source(sample_weights={"size": np.arange(20)}).select([4, 2])
    assert images.weights["size"].tolist() == [4.0, 2.0]
    assert next(images.batches(0, shuffle=False)).weights["size"].tolist() == [4.0, 2.0]
    assert source(sample_weights={"size": np.arange(20)}).target_content() != source().target_content()


# -- losses that layers add ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_loss_that_a_layer_adds_needs_no_labels(strategy, cache):
    pair = [stack_of(adds_loss) for _ in range(2)]
    images = tl.ImageArrays(PIXELS, batch_size=8)
    assert_trains_as_keras(pair[0], images, pair[1], None, strategy=strategy, cache=cache)


def test_a_training_without_any_loss_is_refused_before_anything_is_computed(tmp_path):
    def head():
        return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2), keras.layers.BatchNormalization()])

    stack, cache = stack_of(head), tl.FeatureCache(tmp_path / "cache")
    before = stack.model.get_weights()
    with pytest.raises(
        ArgumentError, match=r"There is no loss in phase 1: compile\(\) has none, and no layer that learns"
    ):
        stack.fit(tl.ImageArrays(PIXELS), cache=cache, verbose=0)
    for one, two in zip(stack.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not any((tmp_path / "cache").rglob("*.mdb"))


def test_metrics_and_losses_without_labels_are_refused(cache):
    images = tl.ImageArrays(PIXELS)
    with pytest.raises(ArgumentError, match="Metrics compare answers with labels, but the images have none"):
        stack_of(adds_loss, metrics=["mae"]).fit(images, cache=cache, verbose=0)
    with pytest.raises(JointError, match="The images have no labels, but training and evaluation compare"):
        stack_of(adds_loss, loss="mse").fit(images, cache=cache, verbose=0)


# -- a stage's class that says itself how it is trained ------------------------------------------------------------


@pytest.mark.parametrize("name", ["train_step", "compute_loss", "compute_metrics", "test_step"])
def test_a_training_step_of_a_stages_class_is_refused(name, cache):
    kind = type("Mix", (keras.Model,), {name: lambda self, *arguments, **options: None})

    def head():
        features = keras.Input((7, 7, 4))
        return kind(features, keras.layers.Dense(3)(keras.layers.Flatten()(features)))

    stack = stack_of(head, loss="mse")
    with pytest.raises(ArgumentError, match=rf"The class Mix of stage 'head' has a {name}\(\) of its own, which Keras"):
        stack.fit(tl.ImageArrays(PIXELS, KINDS), cache=cache, verbose=0)


def test_a_frozen_stage_may_have_a_training_step(cache):
    """It is not trained here; what it says of its own training does not matter."""

    class Mix(keras.Model):
        def train_step(self, *arguments):
            raise AssertionError

    inputs = keras.Input((16, 16, 3))
    base = Mix(inputs, keras.layers.Conv2D(4, 3, strides=2)(inputs))
    head = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=(-1, 1)), tl.Stage(head, "head")])
    stack.compile("sgd", "categorical_crossentropy")
    stack.fit(tl.ImageArrays(PIXELS, KINDS), cache=cache, verbose=0)
