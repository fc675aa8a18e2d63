"""How many training steps Keras takes in one go: several, where nobody can notice and it is faster."""

from collections.abc import Sequence
from typing import Any

from thawline.backend import keras
from thawline.stack.cut import Cut
from thawline.training.planning.phase_plan import MULTIPLY_ADDS_PER_BYTE

# Around each execution Keras and Python work for 1 to 2 ms. A head of two dense layers on 1280 features learns from a
# batch of 32 in that time: with 16 steps at once it trains about twice as fast, with 32 no faster than with 16.
_STEPS_TOGETHER = 16

# Beyond so many multiply-adds per step, 20 ms on two cores, nothing is gained any more, and a progress bar or Ctrl-C
# would have to wait for 16 of them.
_LIGHT_STEP = 600_000_000

# A step goes forwards once and backwards about twice.
_PASSES = 3

_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)

# They have a hook for batches, which does nothing when they save once per epoch.
_SAVING = (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore)


def choose_steps(cut: Cut, batch_size: int, callbacks: Sequence[Any]) -> int:
    """Steps per execution that change nothing but the time: losses, metrics and weights have the same bits.

    Args:
        cut: where the model is cut; what lies above runs in each step.
        batch_size: images per step.
        callbacks: the users'; with one that looks at batches it is a step at a time.
    """
    multiply_adds = _PASSES * (cut.work_held + cut.work_above).multiply_adds + MULTIPLY_ADDS_PER_BYTE * cut.row_bytes
    if batch_size * multiply_adds > _LIGHT_STEP or any(map(looks_at_batches, callbacks)):
        return 1
    return _STEPS_TOGETHER


def looks_at_batches(callback: Any) -> bool:
    """Whether a callback is told of single batches, in training or in measuring.

    Example:
        >>> looks_at_batches(keras.callbacks.EarlyStopping()), looks_at_batches(keras.callbacks.TerminateOnNaN())
        (False, True)
        >>> looks_at_batches(keras.callbacks.ModelCheckpoint("best.keras"))
        False
    """
    if isinstance(callback, keras.callbacks.CallbackList):
        return any(map(looks_at_batches, callback.callbacks))
    if type(callback) in _SAVING and callback.save_freq == "epoch":
        return False
    # Keras marks the hooks of its base class, which do nothing.
    return not all(hasattr(getattr(callback, name), "_is_default") for name in _HOOKS)
