"""Adapters: what to put between two parts that do not fit, and what each costs.

Plain shape arithmetic; no model is built. All shapes have the batch first and, for maps, the channels last.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thawline.backend import keras
from thawline.figures import format_count
from thawline.specs import TensorSpec, range_mismatch, shape_mismatch

_POOLED_AXES = {1: "1D", 2: "2D", 3: "3D"}


@dataclass(frozen=True)
class Adapter:
    """One way to make two parts fit.

    Attributes:
        name: the layer's name as Keras has it, two of them joined by " + ".
        layers: the layers in order, as they are written in a program.
        effect: what it gives and costs, in words.
        weights: how many weights it adds, those of the next Dense layer included where its units are known.
        fits: whether the next part takes it as it is; otherwise that part has to be built for it.

    Example:
        >>> print(Adapter("Flatten", ("keras.layers.Flatten()",), "32,000 wide, no weights", 0, True))
        Flatten (32,000 wide, no weights)
    """

    name: str
    layers: tuple[str, ...]
    effect: str
    weights: int
    fits: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.effect})"


def suggest_adapters(given: TensorSpec, wanted: TensorSpec, *, units: int | None = None) -> list[Adapter]:
    """Ways to turn what one part gives into what the next one wants: those that fit as they are first, then by weights.

    Args:
        given: what the first part gives.
        wanted: what the second part takes; None in its shape fits any size.
        units: the width of the second part's first Dense layer, where it begins with one: its weights depend on the
            adapter.

    Returns:
        Adapters; empty where the two fit, or no single layer or pair of layers would do.

    Example:
        >>> given, wanted = TensorSpec((None, 5, 5, 1280), "float32"), TensorSpec((None, 1280), "float32")
        >>> for adapter in suggest_adapters(given, wanted, units=128):
        ...     print(adapter)
        GlobalAveragePooling2D (1,280 wide, no weights; 164 k in the next Dense(128))
        Flatten (32,000 wide, no weights; 4.1 M in the next Dense(128), which has to be built for it)
    """
    if shape_mismatch(given, wanted) is None:
        return [] if range_mismatch(given, wanted) is None else _rescaling(given, wanted)
    if any(size is None for size in given.shape[1:]):
        return []
    shape, goal = _sizes(given.shape[1:]), wanted.shape[1:]
    found = []
    if len(goal) == 1 and len(shape) > 1:
        found += _to_one_axis(shape, goal[0], units)
    elif len(goal) == len(shape):
        found += _same_axes(shape, goal, units)
    if _is_known(goal) and len(goal) > 1:
        found += _to_known_shape(shape, _sizes(goal))
    return sorted(found, key=lambda adapter: (not adapter.fits, adapter.weights))


def list_adapters(adapters: Sequence[Adapter]) -> str:
    """Adapters in one line, for a finding's advice; "" where there are none.

    Example:
        >>> list_adapters([Adapter("Flatten", ("keras.layers.Flatten()",), "12 wide, no weights", 0, True)])
        'Between them fits Flatten (12 wide, no weights).'
    """
    return f"Between them fits {', or '.join(map(str, adapters))}." if adapters else ""


def first_units(model: Any) -> int | None:
    """The width of the Dense layer that a model begins with, or None."""
    for layer in getattr(model, "layers", [model]):
        if hasattr(layer, "layers"):
            return first_units(layer)
        if isinstance(layer, keras.layers.Dense):
            return int(layer.units)
        if not isinstance(layer, keras.layers.InputLayer | keras.layers.Dropout | keras.layers.Activation):
            return None
    return None


def _to_one_axis(shape: tuple[int, ...], width: int | None, units: int | None) -> list[Adapter]:
    """A map, or a row of tokens, to one value per feature: pool, flatten, or pool and bring to the width."""
    found = []
    axes = _POOLED_AXES.get(len(shape) - 1)
    channels, flat = shape[-1], math.prod(shape)
    if axes is not None:
        pooling = f"GlobalAveragePooling{axes}"
        found.append(_no_weights(pooling, channels, width, units))
        if width not in (None, channels):
            weights = _dense_weights(channels, width or 0)
            found.append(
                Adapter(
                    f"{pooling} + Dense({width})",
                    (_call(pooling), _call("Dense", str(width))),
                    f"{width:,} wide, {format_count(weights)} weights",
                    weights,
                    True,
                )
            )
    found.append(_no_weights("Flatten", flat, width, units))
    return found


def _no_weights(layer: str, given: int, wanted: int | None, units: int | None) -> Adapter:
    """A layer without weights that gives one axis, and what its width costs in the Dense layer behind it."""
    fits = wanted in (None, given)
    built = "which has to be built for it"
    effect = f"{given:,} wide, no weights"
    if units is not None:
        effect += f"; {format_count(_dense_weights(given, units))} in the next Dense({units})"
        effect += "" if fits else f", {built}"
    elif not fits:
        effect += f" of its own; the next stage wants {wanted:,} and has to be built for {given:,}"
    return Adapter(layer, (_call(layer),), effect, _dense_weights(given, units) if units else 0, fits)


def _same_axes(shape: tuple[int, ...], goal: tuple[int | None, ...], units: int | None) -> list[Adapter]:
    """Axes as many as wanted, but other sizes: another order, another width, another height and width."""
    found = []
    order = _channel_order(shape, goal)
    if order is not None:
        text = ", ".join(map(str, order))
        arrival = "channels first" if order == (3, 1, 2) else "channels last"
        found.append(Adapter("Permute", (_call("Permute", f"({text})"),), f"{arrival}, no weights", 0, True))
    if shape[:-1] == goal[:-1] or (len(shape) == 3 and all(size is None for size in goal[:-1])):
        found += _other_width(shape, goal[-1])
    if len(shape) == 3 and shape[2] == goal[2] and _is_known(goal):
        height, width, _ = _sizes(goal)
        effect = f"from {shape[0]}x{shape[1]} to {height}x{width} by interpolation, no weights"
        found.append(Adapter("Resizing", (_call("Resizing", f"{height}, {width}"),), effect, 0, True))
    return found


def _other_width(shape: tuple[int, ...], width: int | None) -> list[Adapter]:
    """The last axis brought to another width by a layer that learns."""
    if width is None or width == shape[-1]:
        return []
    weights = _dense_weights(shape[-1], width)
    effect = f"from {shape[-1]:,} to {width:,} channels, {format_count(weights)} weights that learn"
    if len(shape) == 3:
        return [Adapter(f"Conv2D({width}, 1)", (_call("Conv2D", f"{width}, 1"),), effect, weights, True)]
    effect = effect.replace("channels", "values")
    return [Adapter(f"Dense({width})", (_call("Dense", str(width)),), effect, weights, True)]


def _to_known_shape(shape: tuple[int, ...], goal: tuple[int, ...]) -> list[Adapter]:
    """As many values in another arrangement, or a Dense layer that gives as many."""
    size, target = math.prod(shape), math.prod(goal)
    reshape = _call("Reshape", str(goal))
    if size == target:
        # Channels that only change their place would be torn apart.
        is_order = len(shape) == len(goal) and sorted(shape) == sorted(goal)
        return [] if is_order else [Adapter("Reshape", (reshape,), f"{size:,} values each, no weights", 0, True)]
    if len(shape) == 1:
        weights = _dense_weights(size, target)
        effect = f"{target:,} values, {format_count(weights)} weights that learn"
        return [Adapter(f"Dense({target}) + Reshape", (_call("Dense", str(target)), reshape), effect, weights, True)]
    return []


def _channel_order(shape: tuple[int, ...], goal: tuple[int | None, ...]) -> tuple[int, int, int] | None:
    """How Permute brings the channels to the other end, when that makes the shapes fit."""
    if len(shape) != 3:
        return None
    orders: tuple[tuple[int, int, int], ...] = ((3, 1, 2), (2, 3, 1))
    for order in orders:
        turned = tuple(shape[axis - 1] for axis in order)
        if all(wanted in (None, size) for size, wanted in zip(turned, goal, strict=True)) and turned != shape:
            return order
    return None


def _rescaling(given: TensorSpec, wanted: TensorSpec) -> list[Adapter]:
    """A range brought to another one; both are known, as they do not fit."""
    (low, high), (least, most) = given.value_range or (0.0, 1.0), wanted.value_range or (0.0, 1.0)
    scale = (most - least) / (high - low)
    arguments = f"{scale:.6g}, offset={least - low * scale:.6g}"
    effect = f"from [{low:g}, {high:g}] to [{least:g}, {most:g}], no weights"
    return [Adapter("Rescaling", (_call("Rescaling", arguments),), effect, 0, True)]


def _dense_weights(width: int, units: int) -> int:
    """A kernel and a bias."""
    return width * units + units


def _call(layer: str, arguments: str = "") -> str:
    return f"keras.layers.{layer}({arguments})"


def _is_known(shape: Sequence[int | None]) -> bool:
    return all(size is not None for size in shape)


def _sizes(shape: Sequence[int | None]) -> tuple[int, ...]:
    """Sizes that are known to be known."""
    return tuple(size or 0 for size in shape)
