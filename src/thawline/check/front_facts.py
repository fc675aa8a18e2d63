"""What is known of the way from the files to the first layer that learns: what scales there, and what pixels become.

`read_front` makes a `Front` of a stack and its images; `thawline.check.fronts` judges it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.check.pretrained import Known, is_trained, recognise
from thawline.data.sources.source import ImageSource
from thawline.errors import DataError
from thawline.specs import PIXELS, format_range
from thawline.stack.graph import Graph, Node, build_model
from thawline.stack.series import StageSeries

# Layers and operations that change values by a fixed map, to name them when there are too many of them.
_SCALERS = ("Rescaling", "Normalization", "TrueDivide", "Divide", "Multiply", "Subtract", "Add")
_NORMS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization")
RESIZERS = ("Resizing", "CenterCrop", "RandomCrop")

# How many calls after the first layer that learns its BatchNorm may come.
_NEAR = 3


@dataclass(frozen=True)
class ColourMap:
    """What pixels become: values = colours @ matrix + offset.

    Attributes:
        matrix: float64 (channels in, channels out).
        offset: float64 (channels out,).
    """

    matrix: np.ndarray
    offset: np.ndarray

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value that pixels from 0 to 255 can become."""
        low = self.offset + PIXELS[1] * np.minimum(self.matrix, 0).sum(axis=0)
        high = self.offset + PIXELS[1] * np.maximum(self.matrix, 0).sum(axis=0)
        ends = np.array([low.min(), high.max()])
        # What is solved for is right to some 12 digits; without this, 0 would be a hair beside it.
        ends[np.abs(ends) < 1e-9 * self.width] = 0.0
        return float(ends[0]), float(ends[1])

    @property
    def width(self) -> float:
        """The largest difference between two values of the same channel."""
        return float(PIXELS[1] * np.abs(self.matrix).sum(axis=0).max())

    @property
    def order(self) -> str:
        """ "rgb", "bgr", or "other" where channels are mixed or are not three."""
        if self.matrix.shape != (3, 3):
            return "other"
        for order, matrix in (("rgb", self.matrix), ("bgr", self.matrix[::-1])):
            if np.abs(matrix - np.diag(np.diag(matrix))).max() <= 1e-3 * np.abs(matrix).max():
                return order
        return "other"


@dataclass(frozen=True)
class Front:
    """What is known of the way from the files to the first layer that learns.

    Attributes:
        stage: the name of that layer's stage.
        layer: its path, like "base/Conv1".
        steps: what scales on the way, in order, in words.
        colours: what pixels become; None where that is no affine map of each place, or cannot be tried.
        known: the backbone that the layer belongs to, where it is a known one.
        is_trained: whether the stage's weights are other ones than fresh ones.
        is_declared: whether the first stage declares a value_range.
        begins_with_norm: whether that layer, or the one behind it, is a normalization by the batch or the image.
        norm_ratio: how the spread that its first BatchNorm sees on the images compares with that in training; None
            where there is none, or it is fresh, or no images are given.
        image_size: height and width in pixels at the backbone's entrance; None where they are not known.
        pooled_size: height and width of the map that is pooled over; None where none is.
    """

    stage: str
    layer: str
    steps: tuple[str, ...] = ()
    colours: ColourMap | None = None
    known: Known | None = None
    is_trained: bool = False
    is_declared: bool = False
    begins_with_norm: bool = False
    norm_ratio: float | None = None
    image_size: tuple[int, int] | None = None
    pooled_size: tuple[int, int] | None = None


def read_front(
    series: StageSeries, graph: Graph, source: ImageSource, images: np.ndarray | None = None
) -> Front | None:
    """What is known of the way from the files to the first layer that learns; None where no layer has weights.

    Its first layers run once on a dozen plain colours and once on the images.

    Args:
        series: the stack.
        graph: its flattened graph, with the stages' names in paths.
        source: the images as the stack takes them, from `as_source`; only its own scaling is used.
        images: a few of them as the first stage gets them, n of them, without augmentation; None for none.
    """
    first = next((index for index, node in enumerate(graph.nodes) if has_weights(node)), None)
    if first is None:
        return None
    node = graph.nodes[first]
    stage = node.path.partition("/")[0]
    own = [one for one in graph.nodes if one.path.partition("/")[0] == stage]
    norms = [at for at in range(first, min(first + _NEAR + 1, len(graph.nodes))) if _is_norm(graph.nodes[at])]
    front = build_model(list(graph.inputs), graph.nodes[:first], node.inputs[0], name="front")
    return Front(
        stage=stage,
        layer=node.path,
        steps=tuple(_steps(series, source, graph.nodes[:first])),
        colours=_read_colours(front, source),
        known=recognise(own, _model_names(series)),
        is_trained=is_trained(one.layer for one in own),
        is_declared=series.stages[0].value_range is not None,
        begins_with_norm=bool(norms) and norms[0] <= first + 1,
        norm_ratio=_read_norm(graph, norms[0], images) if norms and images is not None else None,
        image_size=_size_at(graph, first),
        pooled_size=_pooled_size(own),
    )


def _read_colours(front: Any, source: ImageSource) -> ColourMap | None:
    """Sends plain colours through the images' own steps and the front, and reads off what each place becomes."""
    shape = tuple(front.inputs[0].shape[1:])
    steps = source.augmentation
    if len(shape) != 3 or None in shape or source.spec.shape[-1] != shape[-1]:
        return None
    if steps is not None and (steps.samplewise_center or steps.samplewise_std_normalization or steps.zca_whitening):
        # A plain colour has no deviation, and becomes 0.
        return None
    colours = _colours(shape[-1])
    pictures = [np.broadcast_to(colour, shape).astype(np.uint8) for colour in colours]
    try:
        images = source.unaugmented().standardized(pictures)
    except DataError:
        return None
    given = front(keras.ops.convert_to_tensor(images.astype(np.float32)), training=False)
    return fit_colours(colours, _middle(keras.ops.convert_to_numpy(given), shape[-1]))


def fit_colours(colours: np.ndarray, values: np.ndarray | None) -> ColourMap | None:
    """The affine map from colours (n, c) to values (n, d), float; None where there is none, or all values are equal.

    Example:
        >>> colours = np.array([[0.0], [100.0], [255.0]])
        >>> [round(bound, 6) for bound in fit_colours(colours, colours / 127.5 - 1).bounds]
        [-1.0, 1.0]
        >>> fit_colours(colours, np.sqrt(colours)) is None
        True
    """
    if values is None or not np.isfinite(values).all():
        return None
    columns = np.column_stack([colours, np.ones(len(colours))])
    solved = np.linalg.lstsq(columns, values.astype(np.float64), rcond=None)[0]
    width = np.ptp(values, axis=0).max()
    if width == 0 or np.abs(columns @ solved - values).max() > 1e-3 * width:
        return None
    return ColourMap(solved[:-1], solved[-1])


def _colours(channels: int) -> np.ndarray:
    """Black, greys and white, and each channel alone, twice: float64 (n, channels), 0 to 255."""
    greys = np.repeat([[0.0], [64.0], [128.0], [255.0]], channels, axis=1)
    return np.concatenate([greys, 255 * np.eye(channels), 100 * np.eye(channels)])


def _middle(values: np.ndarray, channels: int) -> np.ndarray | None:
    """The values of a place in the middle, (n, channels): padding changes the edges only."""
    if values.ndim == 4 and values.shape[-1] == channels:
        return np.array(values[:, values.shape[1] // 2, values.shape[2] // 2])
    if values.ndim == 4 and values.shape[1] == channels:
        return np.array(values[:, :, values.shape[2] // 2, values.shape[3] // 2])
    if values.ndim == 2 and values.shape[1] % channels == 0:
        places = values.reshape(len(values), -1, channels)
        return np.array(places[:, places.shape[1] // 2])
    return None


def _read_norm(graph: Graph, index: int, images: np.ndarray) -> float | None:
    """The spread that a trained BatchNormalization sees on images, by that of its training; the median channel."""
    norm = graph.nodes[index]
    if not isinstance(norm.layer, keras.layers.BatchNormalization) or not is_trained([norm.layer]):
        return None
    model = build_model(list(graph.inputs), graph.nodes[:index], norm.inputs[0], name="to_norm")
    values = keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(images.astype(np.float32)), training=False))
    axis = norm.layer.axis % values.ndim if isinstance(norm.layer.axis, int) else values.ndim - 1
    seen = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis]).std(axis=0)
    known = np.sqrt(keras.ops.convert_to_numpy(norm.layer.moving_variance))
    # A channel that was dead in training says nothing.
    alive = known > 1e-3 * known.max(initial=0.0)
    return float(np.median(seen[alive] / known[alive])) if alive.any() else None


def _steps(series: StageSeries, source: ImageSource, nodes: tuple[Node, ...]) -> list[str]:
    """What scales on the way, in words."""
    steps, augmentation = [], source.augmentation
    if augmentation is not None and augmentation.output_dtype != "uint8":
        if augmentation.preprocessing_function is not None:
            steps.append("preprocessing_function of the images")
        elif augmentation.rescale:
            steps.append(f"rescale={augmentation.rescale:.3g} of the images")
        if not augmentation.only_rescales:
            steps.append("standardization of the images")
    first = series.stages[0]
    if first.value_range not in (None, PIXELS):
        steps.append(f"value_range={format_range(first.value_range)} of Stage {first.name!r}")
    inside = [node.path for node in nodes if type(node.layer).__name__ in _SCALERS and "/" in node.path]
    return steps + [f"layer {path!r}" for path in inside]


def _model_names(series: StageSeries) -> list[str]:
    """The names of all models in the stack, the outer ones first."""
    names = []
    waiting = [stage.model for stage in series.stages]
    while waiting:
        model = waiting.pop(0)
        names.append(model.name)
        waiting += [layer for layer in getattr(model, "layers", ()) if hasattr(layer, "layers")]
    return names


def _size_at(graph: Graph, first: int) -> tuple[int, int] | None:
    """Height and width where the first layer that learns stands; padding just before it is its own."""
    resized = [node.outputs[0] for node in graph.nodes[:first] if type(node.layer).__name__ in RESIZERS]
    shape = (resized or list(graph.inputs))[-1].shape
    return (shape[1], shape[2]) if len(shape) == 4 and None not in shape[1:3] else None


def _pooled_size(nodes: list[Node]) -> tuple[int, int] | None:
    """Height and width of the last map of some calls."""
    maps = [node.outputs[0].shape for node in nodes if len(node.outputs[0].shape) == 4]
    if not maps or None in maps[-1][1:3]:
        return None
    return maps[-1][1], maps[-1][2]


def has_weights(node: Node) -> bool:
    """Whether a layer has weights that training changes; Normalization has what it was made with or adapted to."""
    return bool(getattr(node.layer, "weights", ())) and not isinstance(node.layer, keras.layers.Normalization)


def _is_norm(node: Node) -> bool:
    return type(node.layer).__name__ in _NORMS
