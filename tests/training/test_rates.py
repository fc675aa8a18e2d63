"""Learning-rate factors: each weight moves as by an optimizer of its own with the scaled rate."""

import numpy as np
import pytest

from thawline.backend import keras
from thawline.training.rates import scale_learning_rates

RATE, FACTORS = 0.05, (1.0, 0.1, 3.0)
OPTIMIZERS = {
    "SGD": lambda rate: keras.optimizers.SGD(rate),
    "SGD with momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "Adam": lambda rate: keras.optimizers.Adam(rate),
    "AdamW": lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.1),
    "Nadam": lambda rate: keras.optimizers.Nadam(rate),
    "RMSprop": lambda rate: keras.optimizers.RMSprop(rate, momentum=0.5),
    "Adagrad": lambda rate: keras.optimizers.Adagrad(rate),
    "Ftrl": lambda rate: keras.optimizers.Ftrl(rate),
    "Lion": lambda rate: keras.optimizers.Lion(rate),
    "gradients gathered over two steps": lambda rate: keras.optimizers.Adam(rate, gradient_accumulation_steps=2),
    "scaled loss": lambda rate: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(rate), initial_scale=4.0),
}


def weights():
    return [keras.Variable(np.full((3,), 1.0 + index, "float32"), name=f"w{index}") for index in range(3)]


def gradients(step):
    return [np.random.default_rng([step, index]).normal(size=3).astype("float32") for index in range(3)]


def values(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_each_weight_moves_as_by_an_optimizer_with_the_scaled_rate(make):
    together, apart = weights(), weights()
    optimizer = make(RATE)
    optimizer.build(together)
    scale_learning_rates(optimizer, FACTORS)
    alone = [make(RATE * factor) for factor in FACTORS]
    for each, weight in zip(alone, apart, strict=True):
        each.build([weight])
    for step in range(4):
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients(step)], together)
        for each, gradient, weight in zip(alone, gradients(step), apart, strict=True):
            each.apply([keras.ops.convert_to_tensor(gradient)], [weight])
    for mine, expected, start in zip(values(together), values(apart), values(weights()), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-6)
        assert not np.allclose(mine, start)


def test_the_rate_may_change_meanwhile_and_factors_can_be_taken_away():
    plain, optimizer = keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0)
    mine, other = weights(), weights()
    for each, variables in ((optimizer, mine), (plain, other)):
        each.build(variables)
    ones = [keras.ops.ones((3,))] * 3
    scale_learning_rates(optimizer, FACTORS)
    optimizer.learning_rate = 0.5
    optimizer.apply(ones, mine)
    for weight, start, factor in zip(values(mine), values(weights()), FACTORS, strict=True):
        np.testing.assert_allclose(weight, start - 0.5 * factor, rtol=1e-6)
    scale_learning_rates(optimizer, (1.0, 1.0, 1.0))
    assert float(optimizer.learning_rate) == 0.5
    for weight, start in zip(mine, weights(), strict=True):
        weight.assign(start)
    plain.learning_rate = 0.5
    for each, variables in ((optimizer, mine), (plain, other)):
        each.apply(ones, variables)
    for weight, expected in zip(values(mine), values(other), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_scaled_optimizer_is_saved_as_the_plain_one():
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(weights())
    before = keras.saving.serialize_keras_object(optimizer)
    scale_learning_rates(optimizer, FACTORS)
    assert keras.saving.serialize_keras_object(optimizer) == before
