"""Joints: whether images and stages fit each other, from shapes, by plain colours and by a few real images.

`check_joints` is the one to call. It takes a stack, or the stages of one that cannot be joined, and says all that does
not fit, not only the first thing:

- shape, dtype and declared value range between neighbours, with layers that would make them fit
  (`thawline.stack.adapters`);
- what pixels have become where they enter the first layer that learns, and their size (`fronts`);
- what each stage gives for a few real images (`features`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from thawline.backend import keras
from thawline.check.features import judge_features, judge_range, spread
from thawline.check.finding import Finding, Severity
from thawline.check.front_facts import read_front
from thawline.check.fronts import judge_front, judge_layers
from thawline.data.sources.holder import SourceHolder, as_source
from thawline.data.sources.left_out import BAD_IMAGE
from thawline.data.sources.source import ImageSource
from thawline.errors import JointError, ThawlineError
from thawline.specs import PIXELS, TensorSpec, dtype_mismatch, range_mismatch, shape_mismatch
from thawline.stack.adapters import first_units, list_adapters, suggest_adapters
from thawline.stack.graph import Graph, build_model, flatten
from thawline.stack.series import StageSeries
from thawline.stack.stage import Stage

CODES: dict[str, str] = {
    "joint-shape": "error: two neighbours do not fit in shape",
    "joint-dtype": "error: two neighbours do not fit in dtype",
    "joint-range": "error or warning: a stage gets other values than it declares",
    "joint-call": "error: a stage does not take what it gets",
    "joint-open-size": "error: the first stage does not know the size of its images",
    "joint-dark": "warning: no pixel of the images exceeds 1: they look scaled, and stored as pixels",
}

_IMAGES = "images"

# Findings that explain features which hardly differ; these are not told as well then.
_ROOTS = ("joint-scaled-twice", "joint-unscaled", "joint-preprocessing")
_FOLLOWS = ("features-constant", "features-dead-channels")

# Answers behind features as small as a random network's are equal to the last bit, and nothing is wrong with them.
_SMALL = 1e-3

PROBED = 16


def check_joints(
    stack: StageSeries | Sequence[Stage], source: ImageSource | SourceHolder, probe: np.ndarray | None = None
) -> list[Finding]:
    """All that does not fit between the images and the stages.

    Costs one inference on 16 images and, for EfficientNetB0 on two cores, about three seconds beside it. Weights stay
    as they are. Stages that are not built yet get built for what they are given, as by `Stack`.

    Args:
        stack: a stack, or stages that may not fit each other.
        source: the images; augmentation by chance is left out.
        probe: a few images as the stack takes them, (n, height, width, channels) without augmentation: pixels where its
            first stage declares a value_range, else as the source's spec says. None reads 16 that are spread evenly
            over the source, passing over those that cannot be read.

    Returns:
        Findings with codes of `CODES` here, in `fronts` and in `features`; empty where all fits.

    Example:
        >>> import thawline as tl
        >>> images = tl.ImageArrays(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8))
        >>> base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
        >>> head = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> [finding] = check_joints([tl.Stage(base, "base", value_range=(0, 1)), tl.Stage(head, "head")], images)
        >>> finding.code, finding.fix.split(",")[0]
        ('joint-shape', 'Between them fits GlobalAveragePooling2D (4 wide')
    """
    stages = stack.stages if isinstance(stack, StageSeries) else tuple(stack)
    images = as_source(source, "check")
    scaled, found = _scale_once(images, stages[0])
    if isinstance(stack, StageSeries):
        found += _judge_images(images.spec, stages[0])
        series: StageSeries | None = stack
    else:
        found += check_stages(stages, images.spec)
        series, error = _join_what_fits(stages)
        if error is not None and not any(finding.severity == "error" for finding in found):
            # It is none of the things that are looked for.
            found.append(_finding("joint-call", *_what_and_fix(str(error))))
    if series is None:
        return found
    graph = flatten(series.model, {id(stage.model): stage.name for stage in stages})
    found += judge_layers(graph.nodes)
    if scaled is None:
        return found
    if probe is None:
        probe = probe_images(scaled)
    if probe is not None and probe.dtype == np.uint8 and probe.max() <= 1:
        found.append(_dark(probe))
    if probe is not None and shape_mismatch(TensorSpec(probe.shape, "float32"), series.input_spec) is not None:
        # Said already: the images are not what the first stage takes.
        probe = None
    front = read_front(series, graph, scaled, probe)
    if front is not None:
        found += judge_front(front)
    if probe is not None:
        features = _probe_stages(series, graph, probe, stages[-1])
        is_explained = any(finding.code in _ROOTS for finding in found)
        found += [finding for finding in features if not (is_explained and finding.code in _FOLLOWS)]
    return found


def check_stages(stages: Sequence[Stage], images: TensorSpec) -> list[Finding]:
    """Every joint of some stages by shape, dtype and declared range, without joining them; nothing is computed.

    Behind a joint that does not fit, what the next stage was built for counts as given.

    Args:
        stages: the stages in order; one that is not built yet gets built.
        images: what the images are.
    """
    found = _judge_images(images, stages[0])
    giver, given = _IMAGES, images
    for index, stage in enumerate(stages):
        wanted = stage.input_spec or TensorSpec(given.shape, given.dtype, stage.value_range)
        if index:
            found += judge_joint(giver, given, stage.name, wanted, units=first_units(stage.model))
        is_taken = shape_mismatch(given, wanted) is None
        tensor = keras.Input(given.shape[1:] if is_taken else wanted.shape[1:], dtype=wanted.dtype)
        try:
            outputs = keras.tree.flatten(stage.model(tensor))
        except Exception as error:
            first = str(error).strip().splitlines()[0]
            what = f"Stage {stage.name!r} does not take what {giver!r} gives, {given}: {first}"
            fix = f"Build {stage.name!r} for {given.shape[1:]}, or put a layer between them."
            return [*found, _finding("joint-call", what, fix)]
        giver = stage.name
        given = TensorSpec(tuple(outputs[0].shape), str(outputs[0].dtype), stage.output_range)
    return found


def judge_joint(
    giver: str, given: TensorSpec, taker: str, wanted: TensorSpec, *, units: int | None = None
) -> list[Finding]:
    """What does not fit between two neighbours, from what one gives and the other takes.

    Args:
        giver: the first one's name.
        given: what it gives.
        taker: the second one's name.
        wanted: what it takes.
        units: the width of its first Dense layer, where it begins with one.
    """
    found = []
    gives = "the images are" if giver == _IMAGES else f"{giver!r} gives"
    pair = f"Stage {taker!r} expects {wanted}, but {gives} {given}"
    shape, dtype = shape_mismatch(given, wanted), dtype_mismatch(given, wanted)
    if shape is not None:
        adapters = suggest_adapters(given, wanted, units=units)
        fix = f"Build {taker!r} for {given.shape[1:]}, or {giver!r} for {wanted.shape[1:]}."
        code = "joint-shape"
        if any(adapter.name == "Permute" for adapter in adapters):
            code, shape = "joint-channels-first", f"{shape}: the channels are at the other end"
        sentences = f"{list_adapters(adapters)} {fix}".strip()
        found.append(_finding(code, f"{pair}: {shape}.", sentences, given=list(given.shape), wanted=list(wanted.shape)))
    if dtype is not None:
        found.append(_finding("joint-dtype", f"{pair}: {dtype}.", "Put a layer between them that casts it."))
    values = range_mismatch(given, wanted)
    if values is not None:
        same_shape = replace(given, shape=wanted.shape)
        fix = list_adapters(suggest_adapters(same_shape, wanted))
        found.append(_finding("joint-range", f"{pair}: {values}.", fix))
    return found


def probe_images(source: ImageSource, count: int = PROBED) -> np.ndarray | None:
    """Images that are spread evenly over a source, without what is random; None where none of them can be read.

    Returns:
        (up to count, height, width, channels), uint8 or float32 as the source's `spec` says.
    """
    plain = source.unaugmented()
    images = []
    for index in np.unique(np.linspace(0, len(plain) - 1, min(count, len(plain))).astype(int)):
        try:
            images.append(plain.image(int(index)))
        except BAD_IMAGE:
            continue
    return np.stack(images) if images else None


def _scale_once(source: ImageSource, first: Stage) -> tuple[ImageSource | None, list[Finding]]:
    """The images as the stack takes them, or None and why it would scale them once more."""
    try:
        return as_source(source, "check", first.value_range), []
    except JointError as error:
        return None, [_finding("joint-scaled-twice", *_what_and_fix(str(error)))]


def _join_what_fits(stages: Sequence[Stage]) -> tuple[StageSeries | None, ThawlineError | None]:
    """The stack of as many stages as fit each other, from the first on, and what kept the next one out."""
    kept = None
    for count in range(len(stages), 0, -1):
        try:
            return StageSeries(stages[:count]), kept
        except ThawlineError as error:
            kept = error
    return None, kept


def _judge_images(images: TensorSpec, first: Stage) -> list[Finding]:
    """Shape and dtype of the images for the first stage; their values are looked at in numbers."""
    wanted = first.input_spec
    if wanted is None or None in wanted.shape[1:]:
        says = "nothing of its input" if wanted is None else str(wanted.shape)
        what = f"The first stage must know the size of its images, but {first.name!r} says {says}."
        height, width = (*images.shape, None, None)[1:3]
        fix = f"Build it with keras.Input(({height}, {width}, {images.shape[-1]})), or in a Sequential that begins so."
        return [_finding("joint-open-size", what, fix)]
    wanted = replace(wanted, value_range=PIXELS if first.value_range else None)
    found = judge_joint(_IMAGES, replace(images, value_range=None), first.name, wanted)
    return [_advise_images(finding, images, wanted) for finding in found]


def _advise_images(finding: Finding, images: TensorSpec, wanted: TensorSpec) -> Finding:
    """For images there is a way without a layer: to read them as they are wanted."""
    if finding.code != "joint-shape" or len(wanted.shape) != 4 or len(images.shape) != 4:
        return finding
    advice = []
    if images.shape[1:3] != wanted.shape[1:3]:
        advice.append(f"image_size={wanted.shape[1:3]}")
    if images.shape[-1] != wanted.shape[-1] and wanted.shape[-1] in (1, 3, 4):
        mode = {1: "grayscale", 3: "rgb", 4: "rgba"}[wanted.shape[-1] or 0]
        advice.append(f"color_mode={mode!r}")
    return replace(finding, fix=f"Read the images with {' and '.join(advice)}.") if advice else finding


def _probe_stages(series: StageSeries, graph: Graph, images: np.ndarray, last: Stage) -> list[Finding]:
    """What is wrong with what each stage gives for the images, up to the first that gives nothing sensible.

    Args:
        series: the stages that fit.
        graph: its flattened graph.
        images: images as the stack takes them.
        last: the stage that gives the answers.
    """
    found: list[Finding] = []
    values: Any = _into_range(series.stages[0], images)
    differs: float | None = spread(images)
    is_large = False
    for index, stage in enumerate(series.stages):
        values = stage.model(values, training=False)
        arrays = [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(values)]
        for array in arrays:
            is_answer = stage is last
            known = differs if not is_answer or is_large else None
            found += judge_features(stage.name, array, images_spread=known, is_answer=is_answer)
        codes = {finding.code for finding in found}
        if codes & {"features-nan", "features-dead"}:
            bad = found[-1]
            layer = _first_bad(graph, stage, images, bad.code)
            found[-1] = replace(bad, fix=f"It begins at layer {layer!r}. {bad.fix}") if layer else bad
            return found
        if codes & {"features-constant", "features-huge"}:
            # What follows from it is the same for all images, too.
            differs = None
        is_large = any(np.abs(array).max(initial=0.0) > _SMALL for array in arrays)
        follower = series.stages[index + 1] if index + 1 < len(series.stages) else None
        if follower is not None and follower.value_range is not None:
            found += judge_range(follower.name, stage.name, arrays[0], follower.value_range)
    return found


def _into_range(first: Stage, images: np.ndarray) -> np.ndarray:
    """Pixels in the range that the first stage declares, as the stack scales them."""
    values = images.astype(np.float32)
    if first.value_range is None:
        return values
    low, high = first.value_range
    scaled: np.ndarray = np.float32(low) + values * np.float32((high - low) / PIXELS[1])
    return scaled


def _first_bad(graph: Graph, stage: Stage, images: np.ndarray, code: str) -> str:
    """The layer of the stage at which NaN, or zeros and nothing else, begin; "" where it cannot be told.

    Costs one more inference on two images, with what every layer gives.
    """
    inside = [at for at, node in enumerate(graph.nodes) if node.path.partition("/")[0] == stage.name]
    if len(inside) < 2:
        return ""
    nodes = graph.nodes[: inside[-1] + 1]
    model = build_model(list(graph.inputs), nodes, [node.outputs[0] for node in nodes], name="every_layer")
    given = keras.tree.flatten(model(keras.ops.convert_to_tensor(images[:2].astype(np.float32)), training=False))
    arrays = [keras.ops.convert_to_numpy(one) for one in given]
    bad: Callable[[np.ndarray], bool] = (
        (lambda array: not np.isfinite(array).all()) if code == "features-nan" else (lambda array: not array.any())
    )
    if code == "features-nan":
        first = next((at for at in inside if bad(arrays[at])), None)
    else:
        # A branch may be zero and the sum of branches not: what counts is behind the last layer that gives something.
        alive = [at for at in range(len(nodes)) if not bad(arrays[at])]
        first = (alive[-1] + 1) if alive else inside[0]
    return nodes[first].path if first is not None and first < len(nodes) else ""


def _dark(probe: np.ndarray) -> Finding:
    return _finding(
        "joint-dark",
        f"No pixel of {len(probe)} images exceeds {probe.max()}, but pixels go from 0 to 255: they look scaled to "
        "[0, 1] and stored as whole numbers.",
        "Give (values * 255).round().astype('uint8'), or store the images anew.",
        largest=int(probe.max()),
    )


def _what_and_fix(message: str) -> tuple[str, str]:
    """An error's message as what is wrong and what to do: the last sentence."""
    what, _, fix = message.rstrip(".").rpartition(". ")
    return (f"{what}.", f"{fix}.") if what else (message, "Look at the stage that it names.")


def _finding(code: str, what: str, fix: str, **evidence: Any) -> Finding:
    severity: Severity = "warning" if CODES.get(code, "error").startswith("warning") else "error"
    return Finding(code, severity, what, fix, evidence=tuple(evidence.items()))
