"""Three stages in series, each trained on its own, then all together.

base            EfficientNet-Lite0 with ImageNet weights, frozen at first
classifier      a head on its features; it learns the training images by heart and is too sure of itself
calibration     divides the logarithms of the classifier's answers by a temperature and adds a bias per class, so that
                an answer of 80 % is right 80 times in 100

A classifier's answers on images that it has learned by heart say nothing about how sure it may be elsewhere. The
calibration therefore learns from images of its own, by a second `fit`, and all figures are from images that no stage
has seen. The error of calibration (ECE) is the mean difference between how sure the answers are and how often they are
right, over 15 bins of confidence.

    python examples/three_stages.py [--per-class IMAGES] [--epochs N]
"""

import argparse
import tempfile

import numpy as np

import thawline as tl
from thawline.backend import keras
from thawline.cli.demo import fabric_photos

BINS = 15


@keras.saving.register_keras_serializable("three_stages")
class Calibration(keras.layers.Layer):
    """Probabilities (n, classes) -> probabilities: softmax(log(p) / temperature + bias).

    What learns is the temperature's logarithm, so that the temperature stays positive. At first it changes nothing.
    """

    def build(self, shape):
        self.log_temperature = self.add_weight(shape=(), initializer="zeros", name="log_temperature")
        self.bias = self.add_weight(shape=(shape[-1],), initializer="zeros", name="bias")

    def call(self, probabilities):
        logits = keras.ops.log(keras.ops.maximum(probabilities, 1e-7))
        return keras.ops.softmax(logits / self.temperature + self.bias)

    @property
    def temperature(self):
        """Above 1 the answers get less sure, below 1 more."""
        return keras.ops.exp(self.log_temperature)


def build_stack(class_count: int) -> tl.Stack:
    """The three stages; what learns is the phases' affair."""
    keras.utils.set_random_seed(7)
    base = tl.backbones.build("efficientnet_lite0", image_size=(150, 150))
    classifier = keras.Sequential(
        [
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(128, "relu"),
            keras.layers.Dense(class_count, "softmax"),
        ]
    )
    value_range = tl.backbones.find("efficientnet_lite0").value_range
    stack = tl.Stack(
        [
            tl.Stage(base, name="base", trainable=False, value_range=value_range),
            tl.Stage(classifier, name="classifier"),
            tl.Stage(keras.Sequential([Calibration()]), name="calibration"),
        ]
    )
    stack.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return stack


def calibration_error(answers: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error, 0 to 1, of probabilities (n, classes) for class numbers (n,)."""
    confidence, is_right = answers.max(axis=-1), answers.argmax(axis=-1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        np.sum(bins == bin_) * abs(confidence[bins == bin_].mean() - is_right[bins == bin_].mean())
        for bin_ in np.unique(bins)
    ]
    return float(sum(gaps) / len(labels))


def report(when: str, stack: tl.Stack, images: tl.ImageFolder, cache: tl.FeatureCache) -> None:
    """Prints accuracy and calibration error on images that no stage has seen."""
    answers, labels = stack.predict(images, strategy="auto", cache=cache, verbose=0), images.known_labels
    accuracy = np.mean(answers.argmax(axis=-1) == labels)
    print(
        f"{when:<24} accuracy {accuracy:6.1%}   calibration error {calibration_error(answers, labels):6.1%}", flush=True
    )


def main() -> None:
    """Trains classifier, calibration and everything, and prints the figures after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-class", type=int, default=None, help="images per class, for a quick look")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of the classifier")
    options = parser.parse_args()

    images = tl.ImageFolder(fabric_photos(), image_size=(150, 150), batch_size=32, seed=7)
    if options.per_class:
        images = images.limit(options.per_class)
    train, held_out, test = images.split(validation=0.25, test=0.25, exact=True)
    print(
        f"{len(train):,} images for the classifier, {len(held_out):,} for the calibration, {len(test):,} for figures\n"
    )
    stack = build_stack(len(images.class_names))
    with tempfile.TemporaryDirectory() as folder:
        cache = tl.FeatureCache(folder)  # an empty one: nothing is known from an earlier run
        how = {"cache": cache, "verbose": 0}
        # The loss looks at the classifier: the stage after it does not run.
        stack.fit(train, phases=[tl.Phase("classifier", options.epochs, loss_at="classifier")], **how)
        report("before calibration", stack, test, cache)
        # Only the answers of the frozen classifier cross the thaw line: three numbers per image.
        calibration = tl.Phase(
            "calibration", 100, learning_rate=0.05, early_stopping={"patience": 5, "monitor": "loss"}
        )
        stack.fit(held_out, phases=[calibration], **how)
        report("after calibration", stack, test, cache)
        layer = stack.stages[2].model.layers[-1]
        bias = ", ".join(f"{value:.2f}" for value in layer.bias.numpy())
        print(f"{'':<24} temperature {float(layer.temperature):.2f}, bias {bias}")
        # All together, slowly, and the base's last block ten times more slowly; its BatchNormalization stays frozen,
        # as new statistics would undo what the classifier has learned. The best epoch is chosen on the images that
        # the calibration has learned from.
        together = tl.Phase(
            ["base/block7*conv", "base/top_conv", "classifier", "calibration"],
            5,
            learning_rate=1e-5,
            learning_rate_factors={"base": 0.1},
            early_stopping=2,
        )
        stack.fit(train, validation_data=held_out, phases=[together], **how)
        report("after all together", stack, test, cache)


if __name__ == "__main__":
    main()
