"""Heads: width, activation, loss, metrics and labels, from facts alone and from stacks."""

import re
from dataclasses import replace

import numpy as np
import pytest

import thawline as tl
from thawline.backend import keras
from thawline.check.head_facts import Head, read_head, read_loss, read_metrics
from thawline.check.heads import CODES, check_head, judge_head
from thawline.specs import TensorSpec
from thawline.stack.series import StageSeries

ONE_HOT = TensorSpec((None, 5), "float32", (0.0, 1.0))
NUMBERS = TensorSpec((None,), "int32")
BINARY = TensorSpec((None, 1), "float32", (0.0, 1.0))
QUANTITY = TensorSpec((None, 1), "float32")

# Heads that are right: what fires below differs in one fact.
softmax = Head(
    "head",
    TensorSpec((None, 5), "float32"),
    "one-hot",
    ONE_HOT,
    "out",
    "softmax",
    5,
    None,
    "categoricalcrossentropy",
    "c",
)
logits = replace(softmax, activation="linear", from_logits=True)
sparse = replace(softmax, labels="numbers", wanted=NUMBERS, loss="sparsecategoricalcrossentropy")
sigmoid = replace(
    softmax,
    given=TensorSpec((None, 1), "float32"),
    labels="binary",
    wanted=BINARY,
    class_count=2,
    activation="sigmoid",
    loss="binarycrossentropy",
)
several = replace(softmax, labels="several", activation="sigmoid", loss="binarycrossentropy")
quantity = replace(
    sigmoid,
    labels="quantities",
    wanted=QUANTITY,
    class_count=0,
    activation="linear",
    label_range=(-3.0, 40.0),
    loss="meansquarederror",
)
mapped = Head("head", TensorSpec((None, 8, 8, 1), "float32"), "map", TensorSpec((None, 8, 8, 1), "uint8"))
RIGHT = [softmax, logits, sparse, sigmoid, several, quantity, mapped]


def wide(head, width):
    return replace(head, given=TensorSpec((None, width), "float32"))


def codes(findings):
    return [finding.code for finding in findings]


@pytest.mark.parametrize("head", [*RIGHT, *(replace(head, loss="") for head in RIGHT)])
def test_heads_that_are_right_are_silent(head):
    assert judge_head(head) == []


def test_activations_and_losses_that_are_not_known_are_left_alone():
    assert judge_head(replace(softmax, activation=None)) == []
    assert judge_head(replace(softmax, activation="linear", loss="myown")) == []


@pytest.mark.parametrize(
    ("code", "head"),
    [
        ("head-map", replace(softmax, given=TensorSpec((None, 3, 3, 5), "float32"))),
        ("head-map-size", replace(mapped, given=TensorSpec((None, 4, 4, 1), "float32"))),
        ("head-map-size", replace(mapped, given=TensorSpec((None, 1), "float32"))),
        ("head-width", wide(softmax, 4)),
        ("head-width", wide(sparse, 6)),
        ("head-width", wide(quantity, 2)),
        ("head-one-softmax", replace(sigmoid, activation="softmax")),
        ("head-softmax-logits", replace(softmax, from_logits=True)),
        ("head-softmax-logits", replace(sigmoid, from_logits=True)),
        ("head-logits", replace(logits, from_logits=False)),
        ("head-logits", replace(softmax, activation="relu")),
        ("head-sigmoid-categorical", replace(softmax, activation="sigmoid")),
        ("head-sigmoid-categorical", replace(sparse, activation="sigmoid")),
        ("head-softmax-binary", replace(softmax, loss="binarycrossentropy")),
        ("head-softmax-several", replace(several, activation="softmax")),
        ("head-binary-one-hot", replace(softmax, activation="sigmoid", loss="binarycrossentropy")),
        ("head-loss-labels", replace(softmax, loss="sparsecategoricalcrossentropy")),
        ("head-loss-labels", replace(sparse, loss="categoricalcrossentropy")),
        ("head-loss-labels", replace(sigmoid, loss="categoricalcrossentropy")),
        ("head-loss-labels", replace(several, loss="categoricalcrossentropy")),
        ("head-loss-labels", replace(several, loss="sparsecategoricalcrossentropy")),
        ("head-loss-labels", replace(sparse, activation="sigmoid", loss="binarycrossentropy")),
        ("head-loss-labels", replace(sparse, loss="meansquarederror")),
        ("head-loss-labels", replace(quantity, loss="binarycrossentropy", from_logits=True)),
        ("head-unreachable", replace(quantity, activation="relu")),
        ("head-unreachable", replace(quantity, activation="sigmoid")),
    ],
)
def test_what_does_not_belong_together_is_found_and_nothing_else(code, head):
    (finding,) = judge_head(head)
    assert finding.code == code
    assert finding.severity == re.match(r"[a-z]+", CODES[code]).group()
    assert finding.what.endswith(".") and finding.fix.endswith(".")


def loss_of(layers, from_logits, dtype):
    keras.utils.set_random_seed(1)
    last = keras.layers.Dense(3, "softmax", dtype=dtype)
    model = keras.Sequential([keras.Input((3,)), last, *layers])
    model.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=from_logits))
    return model.evaluate(3 * np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), verbose=0)


@pytest.mark.filterwarnings("ignore:.*from_logits")
@pytest.mark.parametrize(
    ("layers", "dtype", "is_noticed"),
    [([], "float32", True), ([keras.layers.Reshape((3,))], "float32", False), ([], "mixed_bfloat16", False)],
)
def test_keras_notices_softmax_with_from_logits_only_as_the_finding_says(layers, dtype, is_noticed):
    right, wrong = (loss_of(layers, from_logits, dtype) for from_logits in (False, True))
    assert (abs(right - wrong) < 1e-6) == is_noticed


def test_softmax_with_from_logits_is_an_error_in_mixed_precision():
    (finding,) = judge_head(replace(softmax, from_logits=True, given=TensorSpec((None, 5), "float16")))
    assert (finding.code, finding.severity) == ("head-softmax-logits", "error")


def test_five_classes_with_a_single_sigmoid_are_told_so():
    (finding,) = judge_head(replace(sigmoid, labels="one-hot", wanted=ONE_HOT, class_count=5))
    assert finding.code == "head-width"
    assert str(finding) == (
        "error    head-width: Stage 'head' gives 1 value per image, but the images have 5 classes and want 5. Build "
        "the last layer with 5 units and softmax: a single answer tells two classes apart."
    )


def test_a_map_is_told_what_to_put_before_with_its_cost():
    (finding,) = judge_head(replace(softmax, given=TensorSpec((None, 3, 3, 5), "float32")))
    assert "GlobalAveragePooling2D (5 wide, no weights; 30 in the next Dense(5))" in finding.fix


# -- metrics -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "metric"),
    [
        (softmax, "binary_accuracy"),
        (softmax, "sparse_categorical_accuracy"),
        (softmax, keras.metrics.Accuracy()),
        (sparse, "categorical_accuracy"),
        (sparse, "binary_accuracy"),
        (sigmoid, "categorical_accuracy"),
        (several, "accuracy"),
        (several, "categorical_accuracy"),
        (quantity, "accuracy"),
        (replace(sigmoid, activation="linear", from_logits=True), "accuracy"),
        (replace(sigmoid, activation="linear", from_logits=True), keras.metrics.Precision()),
    ],
)
def test_metrics_that_count_something_else_are_found(head, metric):
    (finding,) = judge_head(replace(head, metrics=read_metrics(["mae", metric])))
    assert finding.code == "head-metric"
    assert len(dict(finding.evidence)["metrics"]) == 1


@pytest.mark.parametrize(
    ("head", "metric"),
    [
        (softmax, ["accuracy", "categorical_accuracy", keras.metrics.TopKCategoricalAccuracy(2), "AUC"]),
        (logits, "accuracy"),
        (sparse, ["acc", "sparse_categorical_accuracy"]),
        (sigmoid, ["accuracy", "binary_accuracy", "Precision", "Recall"]),
        (several, ["binary_accuracy", keras.metrics.F1Score()]),
        (quantity, ["mae", lambda y, p: p, None]),
        (replace(sigmoid, activation="linear", from_logits=True), keras.metrics.BinaryAccuracy(threshold=0.0)),
        (replace(sigmoid, activation="linear", loss="meansquarederror"), "accuracy"),
    ],
)
def test_metrics_that_fit_are_silent(head, metric):
    assert judge_head(replace(head, metrics=read_metrics(metric))) == []


def test_binary_accuracy_of_one_hot_labels_is_what_the_finding_says():
    # Uniform answers over five classes choose none, and yet four of five are right.
    counted = keras.metrics.BinaryAccuracy()(np.eye(5), np.full((5, 5), 0.2))
    (finding,) = judge_head(replace(softmax, metrics=read_metrics("binary_accuracy")))
    assert float(counted) == pytest.approx(4 / 5)
    assert "4 of 5 are right when an image gets no class at all" in finding.what


# -- from stacks ---------------------------------------------------------------------------------------------------


def series(*layers):
    return StageSeries([tl.Stage(keras.Sequential([keras.Input((4, 4, 3)), *layers]), "head")])


def dense(units, activation=None):
    return [keras.layers.Flatten(), keras.layers.Dense(units, activation=activation, name="answers")]


def images(labels, count=None, **options):
    return tl.ImageArrays(np.zeros((count or len(labels), 4, 4, 3), np.uint8), labels, **options)


CLASSES = images([0, 1, 2])


@pytest.mark.parametrize(
    ("layers", "layer", "activation"),
    [
        (dense(3, "softmax"), "answers", "softmax"),
        (dense(3), "answers", "linear"),
        ([*dense(3), keras.layers.Activation("softmax", name="last")], "last", "softmax"),
        ([*dense(3), keras.layers.Softmax(name="last")], "last", "softmax"),
        ([*dense(3, "sigmoid"), keras.layers.Dropout(0.1), keras.layers.Reshape((3,))], "answers", "sigmoid"),
        ([*dense(3, "softmax"), keras.layers.Rescaling(2.0, name="last")], "last", None),
        ([keras.layers.Flatten(), keras.layers.Dense(3, activation=lambda x: x, name="answers")], "answers", None),
    ],
)
def test_the_activation_of_the_answers_is_found_behind_what_only_passes_them_on(layers, layer, activation):
    head = read_head(series(*layers), CLASSES, CLASSES.target_spec)
    assert (head.layer, head.activation) == (layer, activation)


def test_an_operation_counts_as_activation_and_a_subclassed_model_is_not_known():
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.ops.softmax(keras.layers.Dense(3)(keras.layers.Flatten()(inputs))))
    operation = StageSeries([tl.Stage(model, "head")])
    assert read_head(operation, CLASSES, CLASSES.target_spec).activation == "softmax"

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(keras.ops.reshape(x, (-1, 48)))

    base = tl.Stage(keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Activation("relu")]), "base")
    assert read_head(StageSeries([base, tl.Stage(Own(), "own")]), CLASSES, CLASSES.target_spec).activation is None


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (images([0, 1, 2]), "one-hot"),
        (images([0, 1, 2], label_mode="sparse"), "numbers"),
        (images([0, 1], label_mode="binary"), "binary"),
        (images([[0], [0, 1]], label_mode="multi_label"), "several"),
        (images([0.5, 30.0], label_mode="regression"), "quantities"),
        (images([0, 1], label_mode="input"), "map"),
    ],
)
def test_the_kind_of_labels_comes_from_the_source(source, kind):
    assert read_head(series(*dense(3)), source, source.target_spec).labels == kind


def test_the_loss_and_metrics_of_compile_are_taken_unless_others_are_given():
    stack = series(*dense(3, "softmax"))
    assert check_head(stack, CLASSES) == []
    stack.model.compile(loss=keras.losses.BinaryCrossentropy(), metrics=["binary_accuracy"])
    assert codes(check_head(stack, CLASSES)) == ["head-softmax-binary", "head-metric"]
    assert check_head(stack, CLASSES, loss="categorical_crossentropy", metrics=["accuracy"]) == []


def test_a_phase_is_named():
    (finding,) = check_head(series(*dense(3)), CLASSES, loss="categorical_crossentropy", phase=2)
    assert finding.what.startswith("Phase 2: Stage 'head' gives any numbers, as its last layer 'answers' has no activ")
    assert ("phase", 2) in finding.evidence


@pytest.mark.parametrize("loss", ["crossentropy", keras.losses.CategoricalCrossentropy()])
def test_the_loss_that_keras_resolves_by_itself_is_resolved_alike(loss):
    assert check_head(series(*dense(3, "softmax")), CLASSES, loss=loss) == []


def test_a_loss_is_read_from_a_name_a_function_or_an_object():
    expected = ("binarycrossentropy", False)
    for loss in ("binary_crossentropy", keras.losses.binary_crossentropy, keras.losses.BinaryCrossentropy()):
        name, _, from_logits = read_loss(loss, "binary", 1)
        assert (name, from_logits) == expected


def test_labels_that_lack_and_losses_that_are_not_known_are_found():
    unlabeled = images([0, 1], label_mode="none")
    assert codes(check_head(series(*dense(3)), unlabeled)) == ["head-no-labels"]
    assert codes(check_head(series(*dense(3)), CLASSES, loss="crossentropi")) == ["head-loss-unknown"]


def two_outputs():
    inputs = keras.Input((4, 4, 3))
    flat = keras.layers.Flatten()(inputs)
    answers = {"kind": keras.layers.Dense(3, activation="softmax")(flat), "size": keras.layers.Dense(1)(flat)}
    return StageSeries([tl.Stage(keras.Model(inputs, answers), "head")])


def named(size="size"):
    labels = {"kind": [0, 1, 2], size: [1.0, 2.0, 3.0]}
    return images(labels, 3, label_mode={"kind": "categorical", size: "regression"})


def test_each_output_has_its_own_loss():
    losses = {"kind": "categorical_crossentropy", "size": "mse"}
    assert check_head(two_outputs(), named(), loss=losses) == []
    (finding,) = check_head(two_outputs(), named(), loss={**losses, "size": "binary_crossentropy"})
    assert finding.code == "head-logits"
    assert "output 'size'" in finding.what


def test_labels_for_an_output_that_is_not_there_are_found():
    (finding,) = check_head(two_outputs(), named("weight"), loss="mse")
    assert finding.code == "head-outputs"
