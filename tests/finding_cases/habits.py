"""Cases of findings about habits: facts of phases, and stages and functions that are looked at."""

from dataclasses import replace

import numpy as np

import thawline as tl
from thawline.backend import keras
from thawline.check.habit_facts import Norm, PhaseFacts
from thawline.check.habits import check_habits, judge_phase
from thawline.stack.series import StageSeries

layers = keras.layers

PHASE = PhaseFacts(1, 10, images=2000, is_augmented=True, views=4, optimizer="adam")


def changed(right, **wrong):
    """The case of a phase with one fact changed, or not."""
    return lambda is_wrong: judge_phase(replace(right, **wrong) if is_wrong else right)


def habits_of(*before, images=None):
    """What is said of a frozen base that was trained, behind some layers, and a fresh head."""
    base = keras.Sequential([keras.Input((8, 8, 3)), *before, layers.Conv2D(2, 1)])
    base.layers[-1].bias.assign([1.0, 1.0])
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")])
    source = images or tl.ImageArrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1])
    return check_habits(StageSeries([tl.Stage(base, "base", trainable=False), tl.Stage(head, "head")]), source)


def frozen_random(is_wrong):
    base = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 1)])
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")])
    series = StageSeries([tl.Stage(base, "base", trainable=not is_wrong), tl.Stage(head, "head")])
    return check_habits(series, tl.ImageArrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1]))


def random_image(is_wrong):
    own = np.random.default_rng(0)

    def noisy(image, rng):
        return (image + (own if is_wrong else rng).integers(0, 9, image.shape)).astype(np.uint8)

    source = tl.ImageArrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1])
    return habits_of(images=source.augment(functions=[noisy]))


CASES = {
    "habit-learning-rate-high": changed(replace(PHASE, rates=(("base/conv", 3e-4),)), rates=(("base/conv", 4e-4),)),
    "habit-schedule-ends": changed(replace(PHASE, idle_share=0.1), idle_share=0.5),
    "habit-frozen-random": frozen_random,
    "habit-batchnorm-moves": changed(
        replace(PHASE, norms=(Norm("base/bn"),)), norms=(Norm("base/bn", is_trained=True),)
    ),
    "habit-batchnorm-batch": changed(replace(PHASE, norms=(Norm("base/bn"),), batch_size=2), batch_size=1),
    "habit-augmentation-off": lambda is_wrong: habits_of(*[layers.RandomFlip()] * is_wrong),
    "habit-augmentation-uncached": changed(PHASE, random_above=(("flip", 100),)),
    "habit-random-image": random_image,
    "habit-one-view": changed(replace(PHASE, views=2), views=1),
    "habit-views-unused": changed(replace(PHASE, views=10), views=11),
}
