"""Stage: one model or layer in the stack, with a name."""

from dataclasses import dataclass
from typing import Any

from thawline.backend import keras
from thawline.errors import ArgumentError
from thawline.specs import TensorSpec, ValueRange
from thawline.stack.graph import last_layer

# The values that an activation can give, for joints where the producer's range is not declared.
ACTIVATION_RANGES: dict[str, ValueRange] = {
    "softmax": (0.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu6": (0.0, 6.0),
}


@dataclass(frozen=True, eq=False)
class Stage:
    """One model or layer of a stack.

    Attributes:
        model: any Keras model or layer; its weights are shared with the stack, never copied.
        name: how the stage is called in messages, phases and files; no "/".
        trainable: False freezes every layer of the model. True leaves each layer as it is.
        value_range: the values the model wants at its input, like (-1, 1). For the first stage the stack scales
            pixels (0 to 255) into this range; None feeds them as they are.

    Raises:
        ArgumentError: the model is no Keras layer, the name cannot be used, or the range is empty.

    Example:
        >>> import keras
        >>> stage = Stage(keras.layers.Dense(5), name="head")
    """

    model: Any
    name: str
    trainable: bool = True
    value_range: ValueRange | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise ArgumentError(f"A stage's name is a word without '/', like 'head'; got {self.name!r}.")
        if not isinstance(self.model, keras.layers.Layer):
            raise ArgumentError(
                f"Stage {self.name!r} takes a Keras model or layer; got {type(self.model).__name__}. "
                "Put several layers into keras.Sequential([...])."
            )
        if self.value_range is not None:
            object.__setattr__(self, "value_range", _value_range(self.name, self.value_range))
        if not self.trainable:
            self.model.trainable = False

    @property
    def input_spec(self) -> TensorSpec | None:
        """What the stage takes, or None for a model that was not built yet and says nothing."""
        tensors = getattr(self.model, "inputs", None) if self.model.built else None
        if not tensors:
            return None
        return TensorSpec(tuple(tensors[0].shape), str(tensors[0].dtype), self.value_range)

    @property
    def output_range(self) -> ValueRange | None:
        """The values the stage can give, where its last activation says so."""
        activation = getattr(last_layer(self.model), "activation", None)
        return ACTIVATION_RANGES.get(getattr(activation, "__name__", ""))

    @property
    def is_frozen(self) -> bool:
        """Whether no weight of the stage would learn."""
        return not self.model.trainable_variables


def _value_range(name: str, value: Any) -> ValueRange:
    try:
        low, high = (float(number) for number in value)
    except (TypeError, ValueError):
        raise ArgumentError(f"value_range of stage {name!r} is a pair like (-1, 1); got {value!r}.") from None
    if not low < high:
        raise ArgumentError(f"value_range of stage {name!r} is (low, high) with low below high; got {value!r}.")
    return low, high
