"""Cases of findings about the end of a stack: facts of heads that are right, but for one."""

from dataclasses import replace

import numpy as np

from thawline.backend import keras
from thawline.check.head_facts import Head, read_metrics
from thawline.check.heads import check_head, judge_head
from thawline.data.sources.arrays import ImageArrays
from thawline.specs import TensorSpec
from thawline.stack.series import StageSeries
from thawline.stack.stage import Stage

FIVE = TensorSpec((None, 5), "float32")
ONE = TensorSpec((None, 1), "float32")

SOFTMAX = Head(
    "head", FIVE, "one-hot", FIVE, "answers", "softmax", 5, loss="categoricalcrossentropy", loss_text="the loss"
)
SIGMOID = Head("head", ONE, "binary", ONE, "answers", "sigmoid", 2, loss="binarycrossentropy", loss_text="the loss")
SEVERAL = replace(SOFTMAX, labels="several", activation="sigmoid", loss="binarycrossentropy")
QUANTITY = replace(
    SIGMOID, labels="quantities", class_count=0, activation="linear", label_range=(-3.0, 4.0), loss="meansquarederror"
)
MAP = Head("head", TensorSpec((None, 8, 8, 1), "float32"), "map", TensorSpec((None, 8, 8, 1), "uint8", (0, 1)))


def changed(head, **wrong):
    """The case of a head with one fact changed, or not."""
    return lambda is_wrong: judge_head(replace(head, **wrong) if is_wrong else head)


def pictures(labels, **options):
    return ImageArrays(np.zeros((2, 4, 4, 3), np.uint8), labels, **options)


def flat(answers):
    """A stack that gives these answers of a flattened image."""
    inputs = keras.Input((4, 4, 3))
    return StageSeries([Stage(keras.Model(inputs, answers(keras.layers.Flatten()(inputs))), "head")])


def no_labels(is_wrong):
    stack = flat(keras.layers.Dense(2, "softmax"))
    return check_head(stack, pictures([0, 1], label_mode="none" if is_wrong else "categorical"))


def outputs(is_wrong):
    stack = flat(lambda tensor: {"size": keras.layers.Dense(1)(tensor)})
    name = "weight" if is_wrong else "size"
    return check_head(stack, pictures({name: [1.0, 2.0]}, label_mode={name: "regression"}), loss="mse")


def unknown_loss(is_wrong):
    stack = flat(keras.layers.Dense(2, "softmax"))
    return check_head(stack, pictures([0, 1]), loss="crossentropi" if is_wrong else "crossentropy")


def metric(is_wrong):
    return judge_head(replace(SOFTMAX, metrics=read_metrics("binary_accuracy" if is_wrong else "accuracy")))


CASES = {
    "head-no-labels": no_labels,
    "head-outputs": outputs,
    "head-map": changed(SOFTMAX, given=TensorSpec((None, 3, 3, 5), "float32")),
    "head-map-size": changed(MAP, given=TensorSpec((None, 4, 4, 1), "float32")),
    "head-map-values": changed(
        replace(MAP, loss="binarycrossentropy"), wanted=TensorSpec((None, 8, 8, 1), "uint8", (0, 255))
    ),
    "head-width": changed(SOFTMAX, given=TensorSpec((None, 4), "float32")),
    "head-one-softmax": changed(SIGMOID, activation="softmax"),
    "head-softmax-logits": changed(SOFTMAX, from_logits=True),
    "head-logits": changed(SOFTMAX, activation="linear"),
    "head-sigmoid-categorical": changed(SOFTMAX, activation="sigmoid"),
    "head-softmax-binary": changed(SOFTMAX, loss="binarycrossentropy"),
    "head-softmax-several": changed(SEVERAL, activation="softmax"),
    "head-binary-one-hot": changed(SEVERAL, labels="one-hot"),
    "head-loss-unknown": unknown_loss,
    "head-loss-labels": changed(SOFTMAX, loss="sparsecategoricalcrossentropy"),
    "head-unreachable": changed(QUANTITY, activation="relu"),
    "head-metric": metric,
}
