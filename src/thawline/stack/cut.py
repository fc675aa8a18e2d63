"""The thaw line: a model and its frozen layers -> prefix, crossing tensors, suffix.

The model's graph is flattened to single layers (nested models are walked through), then every layer whose answer for
an image is always the same goes below the line: frozen layers, which run in inference mode there, and layers without
weights and chance (pooling, activations) that follow them. What crosses from below to above is the cut. Prefix and
suffix are Keras models that share the layers, and with them the weights.

A cut may also lie below the thaw line, where less has to be kept: `Cut.candidates`. The frozen layers between such a
cut and the line are held: they run again with every batch, in inference mode as below the line.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from thawline.backend import keras
from thawline.errors import NothingToLearnError
from thawline.figures import format_bytes, format_count
from thawline.specs import TensorSpec
from thawline.stack.batch_axis import find_mixing
from thawline.stack.graph import Graph, Node, alone_or_all, build_model, connect, flatten, is_graph
from thawline.stack.held import HeldModel
from thawline.stack.learning import Learning
from thawline.stack.work import Work, count_work

# Lines per kind of remark when a cut is printed; a base of hundreds of layers above the line would fill pages.
_MOST_LINES = 5


@dataclass(frozen=True, eq=False)
class Obstacle:
    """Why a call lies above the line.

    Attributes:
        path: the layer that may not go below.
        reason: what it does, like "learns".
    """

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Cut:
    """Where a model is cut, and the two parts. `print` shows what lies where, and why.

    Attributes:
        graph: the flattened model.
        below: the calls below the cut, in the order of execution.
        held: the frozen calls between the cut and the thaw line; none where the cut is the thaw line itself.
        above: the calls above the thaw line.
        tensors: the KerasTensors of the graph that cross.
        learning: by `id`, the weights that learn.
        cold: by `id`, the weights above the line whose layers are frozen, however deep inside another layer.
        obstacles: by the `id` of a call above the line, what keeps it there.
        line: the cut at the thaw line; None where this is it.
    """

    graph: Graph
    below: tuple[Node, ...]
    held: tuple[Node, ...]
    above: tuple[Node, ...]
    tensors: tuple[Any, ...]
    learning: frozenset[int]
    cold: frozenset[int]
    obstacles: Mapping[int, Obstacle]
    line: "Cut | None" = None

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The KerasTensors that the images enter by, for describing the graph."""
        return self.graph.inputs

    @cached_property
    def prefix(self) -> Any:
        """Keras model from the images to the crossing tensors; run it in inference mode only."""
        return connect(list(self.inputs), self.below, alone_or_all(list(self.tensors)), "prefix")

    @cached_property
    def engines(self) -> dict[Any, Any]:
        """Engines built to run the prefix, by how it was wanted; whoever builds it keeps it here for the next call."""
        return {}

    @cached_property
    def suffix(self) -> Any:
        """Keras model from the crossing tensors to the answers; what Keras trains."""
        return self.suffix_for(0)

    def suffix_for(self, batch_size: int) -> Any:
        """The suffix, in which held layers always run over batches of this size; see `HeldModel`."""
        if self.line is None:
            return self._model_above
        tensors = alone_or_all(list(self.line.tensors))
        held = build_model(list(self.tensors), self.held, tensors, "held")
        return HeldModel(held, self.line._model_above, batch_size)

    @cached_property
    def _model_above(self) -> Any:
        return build_model(list(self.tensors), self.above, self.graph.outputs, "suffix")

    @cached_property
    def crossing(self) -> tuple[TensorSpec, ...]:
        """What crosses, one TensorSpec per tensor."""
        return tuple(TensorSpec(tuple(tensor.shape), str(tensor.dtype)) for tensor in self.tensors)

    @property
    def crossing_paths(self) -> tuple[str, ...]:
        """The layers that give what crosses, one per tensor; "the images" where these cross."""
        givers = {id(tensor): node.path for node in self.below for tensor in node.outputs}
        return tuple(givers.get(id(tensor), "the images") for tensor in self.tensors)

    @property
    def name(self) -> str:
        """The last layer below the cut that gives something that crosses."""
        paths = set(self.crossing_paths)
        return next((node.path for node in reversed(self.below) if node.path in paths), "the images")

    @property
    def has_frozen_weights(self) -> bool:
        """Whether there is anything below the cut that is worth computing once."""
        return bool(self.prefix.weights)

    @property
    def row_bytes(self) -> int:
        """Bytes of the crossing tensors for one image."""
        return sum(spec.row_bytes for spec in self.crossing)

    @property
    def pooled_row_bytes(self) -> int | None:
        """Bytes for one image if the mean over height and width crossed instead of maps; None where no maps cross.

        A map may also cross flattened.
        """
        makers = {id(tensor): node for node in self.below for tensor in node.outputs}
        pooled, has_maps = 0, False
        for tensor, spec in zip(self.tensors, self.crossing, strict=True):
            maker = makers.get(id(tensor))
            is_flattened = maker is not None and isinstance(maker.layer, keras.layers.Flatten)
            shape = maker.inputs[0].shape if maker is not None and is_flattened else tensor.shape
            if len(shape) == 4:
                has_maps = True
                spec = TensorSpec((None, shape[-1]), spec.dtype)
            pooled += spec.row_bytes
        return pooled if has_maps else None

    @cached_property
    def work_below(self) -> Work:
        """The work below the cut, for one image."""
        return count_work(self.below)

    @cached_property
    def work_held(self) -> Work:
        """The work between the cut and the thaw line, for one image."""
        return count_work(self.held)

    @cached_property
    def work_above(self) -> Work:
        """The work above the thaw line, forwards, for one image."""
        return count_work(self.above)

    @property
    def multiply_adds_below(self) -> int:
        """Multiply-adds per image below the cut."""
        return self.work_below.multiply_adds

    @property
    def multiply_adds_recomputed(self) -> int:
        """Multiply-adds per image that lie below the thaw line, but run again in every epoch; 0 at the line."""
        return self.work_held.multiply_adds

    @property
    def multiply_adds_above(self) -> int:
        """Multiply-adds per image above the thaw line, forwards."""
        return self.work_above.multiply_adds

    @property
    def weights_below(self) -> int:
        """Numbers in the weights of layers below the cut."""
        return _count(_weights(self.below))

    @property
    def weights_held(self) -> int:
        """Numbers in the weights of layers between the cut and the thaw line."""
        return _count(_weights(self.held))

    @property
    def weights_above(self) -> int:
        """Numbers in the weights of layers above the thaw line, whether they learn or not."""
        return _count(_weights(self.above))

    @property
    def weights_learning(self) -> int:
        """Numbers in the weights that learn."""
        return _count(weight for weight in _weights(self.above) if id(weight) in self.learning)

    @property
    def weights_frozen_above(self) -> int:
        """Numbers in the weights that are frozen, but lie above the line or inside a layer of which others learn."""
        inside = [weight for weight in _weights(self.partly_frozen) if id(weight) in self.cold]
        return _count({id(weight): weight for weight in [*_weights(self.frozen_above), *inside]}.values())

    @property
    def frozen_above(self) -> tuple[Node, ...]:
        """The first calls of layers with weights above the line of which none learns."""
        nodes = {id(node.layer): node for node in reversed(self.above) if _weights([node])}
        return tuple(
            node for node in reversed(nodes.values()) if not any(id(part) in self.learning for part in _weights([node]))
        )

    @property
    def partly_frozen(self) -> tuple[Node, ...]:
        """The first calls of layers, mostly subclassed models, of which some weights are frozen and others learn."""
        nodes = {id(node.layer): node for node in reversed(self.above)}
        parts = [(node, {id(weight) for weight in _weights([node])}) for node in reversed(nodes.values())]
        return tuple(node for node, ids in parts if ids & self.cold and ids & self.learning)

    @property
    def frozen_but_above(self) -> str:
        """Reason why frozen weights lie above the line, with the next move; empty where there are none."""
        for node in self.partly_frozen:
            return _partly(node, self.cold)
        for node in self.frozen_above:
            obstacle, weights = (
                self.obstacles[id(node)],
                f"{_count(_weights([node])):,} frozen weights of {node.path!r}",
            )
            if obstacle.path == node.path:
                return f"the {weights} stay above the thaw line, as it {obstacle.reason}: freeze it whole"
            return f"the {weights} come after {obstacle.path!r}, which {obstacle.reason}: freeze that, too"
        return ""

    @property
    def on_both_sides(self) -> tuple[str, ...]:
        """The layers with weights that are called below the thaw line and above it."""
        above = {id(node.layer) for node in self.above}
        shared = [node.path for node in (*self.below, *self.held) if id(node.layer) in above and _weights([node])]
        return tuple(dict.fromkeys(shared))

    @cached_property
    def candidates(self) -> "tuple[Cut, ...]":
        """Cuts below the thaw line with fewer bytes to keep, from the line towards the images.

        Each has fewer bytes per image than those before it, for more work that runs again in every epoch. There are
        none where nothing earlier is smaller, or where a size is not known.
        """
        if self.line is not None or any(size is None for node in self.below for size in _sizes(node)):
            return ()
        found: list[Cut] = []
        least = self.row_bytes
        for place in range(len(self.below) - 1, 0, -1):
            tensors = self._crossing_at(place)
            row_bytes = sum(TensorSpec(tuple(tensor.shape), str(tensor.dtype)).row_bytes for tensor in tensors)
            if row_bytes >= least:
                continue
            if not _weights(self.below[:place]):
                break
            below, held = self.below[:place], self.below[place:]
            candidate = replace(self, below=below, held=held, tensors=tensors, line=self)
            if found and candidate.multiply_adds_recomputed == found[-1].multiply_adds_recomputed:
                found.pop()
            found.append(candidate)
            least = row_bytes
        return tuple(found)

    @property
    def places(self) -> "tuple[Cut, ...]":
        """This cut and its candidates: wherever the model may be cut."""
        return (self, *self.candidates)

    def _crossing_at(self, place: int) -> tuple[Any, ...]:
        """What crosses when only the first calls below the line, `place` of them, lie below."""
        known = {id(tensor): tensor for tensor in self.inputs}
        known.update({id(tensor): tensor for node in self.below[:place] for tensor in node.outputs})
        wanted = {id(tensor) for node in self.below[place:] for tensor in node.inputs}
        wanted |= {id(tensor) for tensor in self.tensors}
        return tuple(tensor for key, tensor in known.items() if key in wanted)


def find_cut(model: Any, *, learning: Learning | None = None, stage_names: Mapping[int, str] | None = None) -> Cut:
    """Cuts a functional or sequential Keras model at its thaw line.

    Args:
        model: a built model.
        learning: which layers learn; by default as each layer's `trainable` says.
        stage_names: by the `id` of a layer, what it is called in paths instead of its own name.

    Returns:
        The cut; with nothing frozen the images themselves (scaled, where the model does) cross.

    Raises:
        NothingToLearnError: every weight of the model is frozen.

    Example:
        >>> import keras
        >>> base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="base")
        >>> base.trainable = False
        >>> head = [keras.layers.GlobalAveragePooling2D(name="pool"), keras.layers.Dense(2)]
        >>> print(find_cut(keras.Sequential([base, *head])))
        Thaw line above pool: 99.8 % of 3.9 k multiply-adds lie below.
          crossing: float32 (None, 4) from pool, 16 B per image
          below: 112 weights, frozen
          above: 10 weights, 10 learn
    """
    learning = learning or Learning()
    graph = flatten(model, stage_names)
    learned = frozenset(id(variable) for node in graph.nodes for variable in learning.variables(node.layer))
    if not learned or not (learning.named or model.trainable_variables):
        raise NothingToLearnError(
            f"Nothing would learn: all {model.count_params():,} weights of {model.name!r} are frozen. "
            "Make a stage trainable, or add one."
        )
    mixing = find_mixing(graph, [node for node in graph.nodes if not _reason_to_stay_above(node.layer, learning)])
    settled = {id(tensor) for tensor in graph.inputs}
    below: list[Node] = []
    above: list[Node] = []
    crossing: dict[int, Any] = {}
    obstacles: dict[int, Obstacle] = {}
    behind: dict[int, Obstacle] = {}
    for node in graph.nodes:
        reason = _reason_to_stay_above(node.layer, learning) or mixing.get(id(node))
        unsettled = [tensor for tensor in node.inputs if id(tensor) not in settled]
        if reason is None and not unsettled:
            below.append(node)
            settled.update(id(tensor) for tensor in node.outputs)
            continue
        above.append(node)
        crossing.update({id(tensor): tensor for tensor in node.inputs if id(tensor) in settled})
        obstacles[id(node)] = behind[id(unsettled[0])] if unsettled else Obstacle(node.path, reason or "")
        behind.update({id(tensor): obstacles[id(node)] for tensor in node.outputs})
    crossing.update({id(tensor): tensor for tensor in keras.tree.flatten(graph.outputs) if id(tensor) in settled})
    cold = frozenset(id(weight) for node in above for weight in _frozen_inside(node.layer, learning)) - learned
    return Cut(graph, tuple(below), (), tuple(above), tuple(crossing.values()), learned, cold, obstacles)


def _reason_to_stay_above(layer: Any, learning: Learning) -> str | None:
    """Why a layer may not run once per image, or None: frozen, or without weights, chance and losses, it may.

    A wrapper like TimeDistributed is asked with all that is inside it.
    """
    if not isinstance(layer, keras.layers.Layer) or not learning.learns(layer):
        return None
    if learning.variables(layer):
        return "learns"
    reasons = (_own_reason(part) for part in layer._flatten_layers() if learning.learns(part))
    return next((reason for reason in reasons if reason is not None), None)


def _own_reason(layer: Any) -> str | None:
    """Reason that keeps a layer of which nothing learns from running once per image, layers inside it left out."""
    is_known = type(layer).__module__.startswith("keras.") and not isinstance(layer, keras.layers.Lambda)
    if not is_known:
        return "is no layer of Keras' own and not frozen"
    if getattr(layer, "activity_regularizer", None) is not None:
        return "adds to the loss"
    inside = {id(variable) for part in layer._flatten_layers(include_self=False) for variable in part.variables}
    # `variables` holds the states of random generators, too, which `weights` does not.
    return "draws random numbers or keeps a state" if {id(one) for one in layer.variables} - inside else None


def _frozen_inside(layer: Any, learning: Learning) -> list[Any]:
    """The weights of layers inside a layer that do not learn."""
    parts = layer._flatten_layers() if isinstance(layer, keras.layers.Layer) else ()
    return [weight for part in parts if not learning.learns(part) for weight in part.weights]


def _sizes(node: Node) -> list[int | None]:
    return [size for tensor in (*node.inputs, *node.outputs) for size in tensor.shape[1:]]


def _weights(nodes: Iterable[Node]) -> list[Any]:
    """The weights of the layers that are called, each once; operations have none."""
    return list({id(weight): weight for node in nodes for weight in getattr(node.layer, "weights", ())}.values())


def _count(weights: Iterable[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _lines(cut: Cut) -> Iterable[str]:
    """What `print` shows of a cut."""
    work = cut.work_below + cut.work_held + cut.work_above
    share = cut.multiply_adds_below / work.multiply_adds if work.multiply_adds else 0.0
    about = "about " if work.is_estimate else ""
    where = "Thaw line" if cut.line is None else "Cut"
    yield (
        f"{where} above {cut.name}: {about}{share:.1%} of {format_count(work.multiply_adds)} multiply-adds "
        "lie below.".replace("%", " %")
    )
    each = [f"{spec} from {path}" for spec, path in zip(cut.crossing, cut.crossing_paths, strict=True)]
    yield f"  crossing: {', '.join(each)}, {_row_bytes(cut)} per image"
    yield f"  below: {cut.weights_below:,} weights, frozen"
    if cut.line is not None:
        again = f"{format_count(cut.multiply_adds_recomputed)} multiply-adds per image run again each epoch"
        yield f"  up to the thaw line: {cut.weights_held:,} weights, frozen; {again}"
    yield f"  above: {', '.join(_parts_above(cut))}"
    yield from _remarks(cut)
    for candidate in cut.candidates:
        yield (
            f"  or cut above {candidate.name}: {_row_bytes(candidate)} per image, "
            f"{format_count(candidate.multiply_adds_recomputed)} multiply-adds per image run again each epoch"
        )


def _row_bytes(cut: Cut) -> str:
    """Bytes per image, as far as sizes are known."""
    is_known = all(size is not None for spec in cut.crossing for size in spec.shape[1:])
    return format_bytes(cut.row_bytes) if is_known else "an unknown number of bytes"


def _parts_above(cut: Cut) -> Iterable[str]:
    yield f"{cut.weights_above:,} weights"
    yield f"{cut.weights_learning:,} learn"
    if cut.weights_frozen_above:
        yield f"{cut.weights_frozen_above:,} frozen"
    rest = cut.weights_above - cut.weights_learning - cut.weights_frozen_above
    if rest:
        yield f"{rest:,} in learning layers without being trained (statistics)"


def _remarks(cut: Cut) -> Iterable[str]:
    """A line each for what may surprise, and one for how many were left out."""
    frozen = [
        f"  frozen, but above: {node.path} ({_count(_weights([node])):,} weights), because "
        f"{_before(cut.obstacles[id(node)], node)}"
        for node in cut.frozen_above
    ]
    inside = [f"  frozen inside: {_partly(node, cut.cold)}" for node in cut.partly_frozen]
    both = [f"  on both sides: {path} is called below the line and above it" for path in cut.on_both_sides]
    nodes = {id(node.layer): node for node in (*cut.below, *cut.held, *cut.above) if _is_opaque(node.layer)}
    opaque = [
        f"  opaque: {node.path} is a subclassed model ({type(node.layer).__name__}) and lies whole on one side; its "
        "multiply-adds are estimated"
        for node in nodes.values()
    ]
    for lines in (frozen, inside, both, opaque):
        yield from lines[:_MOST_LINES]
        if len(lines) > _MOST_LINES:
            yield f"  ... and {len(lines) - _MOST_LINES} more like it"


def _before(obstacle: Obstacle, node: Node) -> str:
    return f"{'it' if obstacle.path == node.path else f'{obstacle.path} before it'} {obstacle.reason}"


def _partly(node: Node, cold: frozenset[int]) -> str:
    """Sentence on the frozen weights inside a layer of which others learn, and on the way below the line."""
    weights = _weights([node])
    count = _count(weight for weight in weights if id(weight) in cold)
    frozen, kind = f"{count:,} of {_count(weights):,} weights are frozen inside", type(node.layer).__name__
    if _is_opaque(node.layer):
        return f"{frozen} a subclassed model ({kind} {node.path!r}): make the base a stage of its own"
    return f"{frozen} one layer ({kind} {node.path!r}) of which others learn: make them a layer of their own"


def _is_opaque(layer: Any) -> bool:
    return isinstance(layer, keras.Model) and not is_graph(layer)
