"""The random numbers that everybody in a process draws from: Keras' own, NumPy's and Python's."""

import random
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.training.checkpoints.plain_values import Arrays, pack, unpack

_NAME = "random"


def random_state() -> tuple[Any, Arrays]:
    """Where they are now, as plain values and arrays."""
    arrays: Arrays = {}
    state = [random.getstate(), np.random.get_state(), keras.ops.convert_to_numpy(_keras_seeds())]
    return pack(state, arrays, _NAME), arrays


def put_random_state(packed: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Lets them go on from where they were."""
    python, numpy, seeds = unpack(packed, arrays)
    random.setstate(python)
    np.random.set_state(numpy)
    _keras_seeds().assign(seeds)


def _keras_seeds() -> Any:
    """The variable that layers without a seed of their own draw from; Keras does not export it."""
    return import_module("keras.src.random.seed_generator").global_seed_generator().state
