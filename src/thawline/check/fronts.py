"""Fronts: what pixels have become where they enter the first layer that learns, and whether that is what it knows.

Between the files and that layer values may be scaled by the images' own steps (`rescale` and the like), by the stack
(`value_range`), and by layers of the first stages. `read_front` sends plain colours through all of them and reads off
the affine map they make together, whatever the layers are; `judge_front` compares it with what the layer expects.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from thawline.check.finding import Finding, Severity
from thawline.check.front_facts import RESIZERS, Front, has_weights
from thawline.check.pretrained import Known
from thawline.specs import PIXELS
from thawline.stack.graph import Node

CODES: dict[str, str] = {
    "joint-scaled-twice": "error: pixels are scaled more than once, so that hardly anything is left of them",
    "joint-unscaled": "error or warning: pixels enter as 0 to 255 where small numbers are expected",
    "joint-preprocessing": "error or warning: a known backbone gets other values than its weights were trained on",
    "joint-bgr": "warning: red and blue are swapped for a known backbone",
    "joint-channels-first": "error: a layer takes the first axis for channels, which come last",
    "joint-image-size": "warning or note: a known backbone gets images of quite another size than its weights know",
    "joint-resized": "note: images are brought to one size when read and to another one inside the stack",
}

# Values that all lie within so little are what is left of pixels that were divided twice: 2 / 127.5 is 0.016.
_HARDLY_ANYTHING = 0.1
# Right scaling of unknown bases ends between [0, 1] and about [-2.6, 2.6]; unscaled pixels span 255.
_LARGE = 20.0
# Black, red, green, blue and white.
_CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]) * PIXELS[1]
# Of the wanted span: [0, 1] for [-1, 1] is 0.5 off at its lower end.
_CLOSE = 0.25
_FACTOR = 10.0

# The first BatchNorm's input on photos of fabric, as a share of what EfficientNet-Lite0 saw in training: 0.43 scaled
# rightly, 56 unscaled, 0.042 and 0.0034 scaled twice in two ways.
_MUCH_MORE, _MUCH_LESS = 12.0, 0.02
_ALIKE = (0.2, 5.0)

# Of the size the weights were published for. Keras has MobileNets for 96 and for 224 pixels.
_SMALL, _LARGE_IMAGE = 0.4, 2.5


def judge_front(front: Front) -> list[Finding]:
    """What is wrong with the values and the size of the images that enter.

    Example:
        >>> from thawline.check.front_facts import ColourMap
        >>> twice = ColourMap(np.eye(3) / 255 / 255, np.zeros(3))
        >>> [finding.code for finding in judge_front(Front("base", "base/conv", colours=twice))]
        ['joint-scaled-twice']
    """
    found = _judge_known(front) if front.known is not None else _judge_unknown(front)
    return [*found, *_judge_size(front)]


def _judge_known(front: Front) -> list[Finding]:
    """Against what the backbone's weights were published for; fresh weights only bear with a wrong magnitude."""
    colours, known = front.colours, front.known
    if colours is None or known is None or colours.matrix.shape != (3, 3):
        return _judge_unknown(front)
    came = _CORNERS @ colours.matrix + colours.offset
    # What is nearest counts, where Keras prepares in more than one way.
    if not known.is_trained:
        wanted = min(known.wanted(_CORNERS), key=lambda one: abs(np.log(colours.width / _width(one))))
        factor = colours.width / _width(wanted)
        return [] if _is_within(factor) else _judge_magnitude(front, factor, _wanted_words(wanted))
    wanted = min(known.wanted(_CORNERS), key=lambda one: _distance(came, one))
    factor = colours.width / _width(wanted)
    if _distance(came, wanted) <= _CLOSE:
        # Means differ so little between channels that the order has to be looked at, too.
        orders = (colours.order, "rgb" if wanted[1, 0] > wanted[0, 0] else "bgr")
        return [_swapped(front, known, *orders)] if sorted(orders) == ["bgr", "rgb"] else []
    if _is_within(factor):
        return [_other_values(front, known, "warning", wanted)]
    if front.norm_ratio is not None and _ALIKE[0] <= front.norm_ratio <= _ALIKE[1]:
        # Weights of the user's own, trained on values as they come.
        return []
    if colours.width < _HARDLY_ANYTHING or (factor > 1 and _width(wanted) < _LARGE):
        return _judge_magnitude(front, factor, _wanted_words(wanted))
    return [_other_values(front, known, "error", wanted)]


def _judge_unknown(front: Front) -> list[Finding]:
    """By magnitude alone, and by what the first BatchNorm saw in training."""
    colours, ratio = front.colours, front.norm_ratio
    if colours is not None and colours.width < _HARDLY_ANYTHING and not front.begins_with_norm:
        return _judge_magnitude(front, 0.0, "")
    if ratio is not None:
        if ratio > _MUCH_MORE:
            return [_by_norm("joint-unscaled", front, ratio)]
        return [_by_norm("joint-scaled-twice", front, ratio)] if ratio < _MUCH_LESS else []
    is_large = colours is not None and colours.width > _LARGE
    if is_large and not (front.begins_with_norm or front.is_declared or front.is_trained):
        return _judge_magnitude(front, np.inf, "")
    return []


def _judge_magnitude(front: Front, factor: float, wanted: str) -> list[Finding]:
    """Far too small or far too large."""
    assert front.colours is not None
    low, high = front.colours.bounds
    span = f"from {low:.3g} to {high:.3g}"
    expects = f"; {wanted}" if wanted else ""
    evidence = {"low": low, "high": high, "steps": list(front.steps)}
    if factor < 1:
        by = f" ({'; '.join(front.steps)})" if front.steps else ""
        what = (
            f"Pixels enter {front.layer!r} as values {span}, which hardly differ: they are scaled more than once{by}"
            f"{expects}."
        )
        fix = "Scale them once: leave all but one of these out."
        if front.known is not None:
            fix += f" {_advice(front.known)}"
        return [_finding("joint-scaled-twice", "error", what, fix, **evidence)]
    what = f"Pixels enter {front.layer!r} as values {span}; nothing scales them{expects}."
    fix = f"Give Stage {front.stage!r} the range it wants, value_range=(0, 1) or (-1, 1)."
    if front.known is not None:
        fix = _advice(front.known)
    is_pretrained = front.known is not None and front.known.is_trained
    return [_finding("joint-unscaled", "error" if is_pretrained else "warning", what, fix, **evidence)]


def _by_norm(code: str, front: Front, ratio: float) -> Finding:
    compared = f"{ratio:.3g} times as much" if ratio > 1 else f"only {ratio:.2g} of it"
    fix = "Scale them as in its training, by value_range of its Stage."
    what = (
        f"The first BatchNormalization behind {front.layer!r} sees values that spread {compared} on these images as in "
        f"its training: pixels are {'not scaled' if ratio > 1 else 'scaled more often'} as they were then."
    )
    severity: Severity = "warning" if code == "joint-unscaled" else "error"
    return _finding(code, severity, what, fix, ratio=ratio, steps=list(front.steps))


def _other_values(front: Front, known: Known, severity: Severity, wanted: np.ndarray) -> Finding:
    assert front.colours is not None
    low, high = front.colours.bounds
    what = (
        f"Pixels enter {front.layer!r} as values from {low:.3g} to {high:.3g}, but {_wanted_words(wanted)}, which the "
        f"weights of {known.backbone.name} were published for."
    )
    fix = f"{_advice(known)} Weights of your own, trained on such values, may stay as they are."
    return _finding("joint-preprocessing", severity, what, fix, low=low, high=high, steps=list(front.steps))


def _swapped(front: Front, known: Known, came: str, wanted: str) -> Finding:
    what = (
        f"Pixels enter {front.layer!r} as {came.upper()}, but the weights of {known.backbone.name} were trained on "
        f"{wanted.upper()}: red and blue are swapped."
    )
    by = f" ({'; '.join(front.steps)})" if front.steps else ""
    fix = _advice(known) if wanted == "bgr" else f"Leave out what swaps them{by}."
    return _finding("joint-bgr", "warning", what, fix, came=came, wanted=wanted)


def _wanted_words(wanted: np.ndarray) -> str:
    return f"it knows values from {wanted.min():.3g} to {wanted.max():.3g}"


def _advice(known: Known) -> str:
    """How to give a known backbone what it wants."""
    name, wanted = known.backbone.name, known.backbone.value_range
    stage = f"give its Stage value_range=({wanted[0]:g}, {wanted[1]:g})"
    if known.backbone.front is not None:
        return f"Build it with tl.backbones.build({name!r}, ...), which prepares pixels inside, and {stage}."
    if wanted == PIXELS:
        return f"{name} prepares pixels inside: {stage}, and scale them nowhere else."
    return f"{stage[0].upper()}{stage[1:]}, and scale pixels nowhere else."


def _width(wanted: np.ndarray) -> float:
    """The largest difference between two values of the same channel."""
    return float(np.ptp(wanted, axis=0).max())


def _distance(came: np.ndarray, wanted: np.ndarray) -> float:
    """How far black and white arrive from where they should, the worst channel, as a share of the wanted width."""
    return float(np.abs(came[[0, -1]] - wanted[[0, -1]]).max()) / _width(wanted)


def _is_within(factor: float) -> bool:
    return 1 / _FACTOR <= factor <= _FACTOR


def _judge_size(front: Front) -> list[Finding]:
    """Pooling over the whole map takes any size, so that nothing else would tell."""
    if front.known is None or not front.known.is_trained or front.image_size is None:
        return []
    name, (height, width) = front.known.backbone.name, front.known.backbone.image_size
    share = min(front.image_size[0] / height, front.image_size[1] / width)
    came, own = (f"{size[0]}x{size[1]}" for size in (front.image_size, (height, width)))
    evidence = {"image_size": list(front.image_size), "published_for": [height, width]}
    if share < _SMALL:
        places = "" if front.pooled_size is None else f", and pools over {front.pooled_size[0]}x{front.pooled_size[1]}"
        what = (
            f"{name} in stage {front.stage!r} gets images of {came}{places}, but its weights know things at the size "
            f"they have in {own}."
        )
        fix = f"Read the images with image_size=({height}, {width}), or half of it, unless you trained it at this size."
        return [_finding("joint-image-size", "warning", what, fix, **evidence)]
    if share > _LARGE_IMAGE:
        what = (
            f"{name} in stage {front.stage!r} gets images of {came}, but its weights know things at the size they have "
            f"in {own}; each image costs about {share**2:.0f} times as much."
        )
        fix = f"Try image_size=({height}, {width})."
        return [_finding("joint-image-size", "note", what, fix, **evidence)]
    return []


def judge_layers(nodes: Sequence[Node]) -> list[Finding]:
    """Layers of the front that take channels where there are none, or bring images to another size.

    Args:
        nodes: the calls of the stack's flattened graph, in order.
    """
    found = []
    for node in nodes:
        found += _judge_layout(node) or _judge_resizing(node)
        # What comes behind sees features, whose axes say nothing about their order.
        if has_weights(node) or type(node.layer).__name__ in ("Permute", "Transpose", "Moveaxis", "Reshape"):
            break
    return found


def _judge_layout(node: Node) -> list[Finding]:
    shape: tuple[int | None, ...] = tuple(node.inputs[0].shape) if node.inputs else ()
    is_first = getattr(node.layer, "data_format", None) == "channels_first"
    if not is_first or len(shape) != 4 or shape[-1] not in (1, 3, 4) or shape[1] in (1, 3, 4):
        return []
    what = (
        f"Layer {node.path!r} has data_format='channels_first' and takes the {shape[1]} rows of {shape} for "
        f"channels; images have their {shape[-1]} channels last."
    )
    fix = "Build it with data_format='channels_last', or put keras.layers.Permute((3, 1, 2)) (no weights) before it."
    return [_finding("joint-channels-first", "error", what, fix, layer=node.path, shape=list(shape[1:]))]


def _judge_resizing(node: Node) -> list[Finding]:
    if type(node.layer).__name__ not in RESIZERS:
        return []
    came, given = node.inputs[0].shape[1:3], node.outputs[0].shape[1:3]
    if came == given:
        return []
    what = f"Images are read at {came[0]}x{came[1]}, and layer {node.path!r} brings them to {given[0]}x{given[1]}."
    fix = f"Read them with image_size={tuple(given)} and leave the layer out: pixels are interpolated once then."
    return [_finding("joint-resized", "note", what, fix, read=list(came), used=list(given))]


def _finding(code: str, severity: Severity, what: str, fix: str, **evidence: Any) -> Finding:
    return Finding(code, severity, what, fix, evidence=tuple(evidence.items()))
