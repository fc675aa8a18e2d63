"""Heads: whether the last layer, its activation, the loss, the metrics and the labels belong together.

`check_head` collects the facts from a stack and its images, one `Head` for each output; `judge_head` says what is wrong
with one. Each rule is a plain function from facts to a finding or None.

What Keras does with a pair that does not belong together was tried with Keras 3.15 on TensorFlow: a cross entropy
whose answers come straight from a softmax or a sigmoid goes back to the logits and applies what it expects itself. So
training goes on as if the other activation were there, and only the answers are not what was trained. In mixed
precision, or with a layer behind the activation, it does not, and softmax is applied twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from thawline.check.finding import Finding, Severity
from thawline.check.head_facts import Head, Metric, read_head, read_loss, read_metrics
from thawline.data.sources.source import ImageSource
from thawline.specs import TensorSpec
from thawline.stack.adapters import list_adapters, suggest_adapters
from thawline.stack.mask_classes import mask_mismatch
from thawline.stack.series import StageSeries
from thawline.stack.stage import ACTIVATION_RANGES

CODES: dict[str, str] = {
    "head-no-labels": "error: the images have no labels, but training compares answers with labels",
    "head-outputs": "error: labels are for outputs that the last stage does not name",
    "head-map": "error: the last stage gives a map, but one answer per image is wanted",
    "head-map-size": "error: the targets are images, and the answers have another height and width",
    "head-map-values": "error: the class numbers in the masks, the answers' channels and the loss do not fit",
    "head-width": "error: the last layer's units are not what the labels want",
    "head-one-softmax": "error: softmax over a single unit, which is always 1",
    "head-softmax-logits": "warning or error: answers are probabilities already, but the loss has from_logits=True",
    "head-logits": "error: answers are no probabilities, but the loss compares probabilities",
    "head-sigmoid-categorical": "error: one sigmoid per class with a loss for exactly one class per image",
    "head-softmax-binary": "error: softmax over several classes with a loss that looks at each class by itself",
    "head-softmax-several": "error: softmax for images that show several classes",
    "head-binary-one-hot": "note: each class by itself is trained, although every image has exactly one",
    "head-loss-unknown": "error: Keras knows no loss of that name",
    "head-loss-labels": "error: the loss wants other labels than the images have",
    "head-unreachable": "error: labels lie outside of what the last activation can give",
    "head-metric": "warning: a metric that counts something else than it says with these answers and labels",
}

_CATEGORICAL = {"categoricalcrossentropy", "categoricalfocalcrossentropy"}
_SPARSE = {"sparsecategoricalcrossentropy"}
_BINARY = {"binarycrossentropy", "binaryfocalcrossentropy"}
_CROSS_ENTROPIES = _CATEGORICAL | _SPARSE | _BINARY
_DISTANCES = {
    "meansquarederror",
    "meanabsoluteerror",
    "meanabsolutepercentageerror",
    "meansquaredlogarithmicerror",
    "huber",
    "logcosh",
}

# The values an activation can give; others that are known give any.
_RANGES = {
    **ACTIVATION_RANGES,
    "relu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
    "exponential": (0.0, np.inf),
}
# What to use where answers have no activation.
_FROM_LOGITS = {
    "binaryaccuracy": "keras.metrics.BinaryAccuracy(threshold=0.0)",
    "precision": "keras.metrics.Precision(thresholds=0.0)",
    "recall": "keras.metrics.Recall(thresholds=0.0)",
}
_PROBABILITIES = ("softmax", "sigmoid", "hard_sigmoid")


def check_head(
    series: StageSeries, source: ImageSource, *, loss: Any = None, metrics: Any = None, phase: int | None = None
) -> list[Finding]:
    """What does not belong together at the end of a stack: width, activation, loss, metrics and labels.

    Costs milliseconds: nothing is computed and no image is read. For a phase with a loss, metrics, loss_at or probe of
    its own give the part's series with that loss and these metrics.

    Args:
        series: the stack, or the part of it that a phase trains.
        source: images with labels.
        loss: as `compile` takes it; None for the one that `series.model` was compiled with, if it was.
        metrics: as `compile` takes them; None likewise.
        phase: the phase's number, to name it in messages.

    Returns:
        Findings with codes of `CODES`, in the order of the outputs; empty where all belongs together.

    Example:
        >>> import keras
        >>> import thawline as tl
        >>> images = tl.ImageArrays(np.zeros((2, 4, 4, 3), np.uint8), [0, 1])
        >>> head = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
        >>> findings = check_head(StageSeries([tl.Stage(head, "head")]), images, loss="categorical_crossentropy")
        >>> [finding.code for finding in findings]
        ['head-width', 'head-logits']
    """
    model = series.model
    if loss is None and model.compiled:
        loss = model.loss
        metrics = model.get_compile_config().get("metrics") if metrics is None else metrics
    wanted = source.target_spec
    if wanted is None:
        what = "The images have no labels, but training and evaluation compare answers with labels."
        return [_finding("head-no-labels", what, "Use an ImageFolder with one folder per class, or give labels.")]
    if isinstance(wanted, TensorSpec):
        return _at_phase(_check_output(read_head(series, source, wanted), loss, metrics), phase)
    try:
        series.check_targets(wanted, 0)
    except ValueError as error:
        what, _, fix = str(error).partition(". ")
        return [_finding("head-outputs", f"{what}.", fix)]
    found = []
    for name, spec in wanted.items():
        head = read_head(series, source, spec, output=name)
        found += _check_output(head, _for_output(loss, name), _for_output(metrics, name))
    return _at_phase(found, phase)


def judge_head(head: Head) -> list[Finding]:
    """What is wrong with one output, from its facts.

    Example:
        >>> spec = TensorSpec((None, 1), "float32")
        >>> head = Head("head", spec, "binary", spec, activation="softmax", class_count=2)
        >>> [finding.code for finding in judge_head(head)]
        ['head-one-softmax']
    """
    if head.labels == "map":
        finding = _map_size(head) or _map_values(head)
        return [] if finding is None else [finding]
    if len(head.given.shape) > 2 and head.labels != "unknown":
        return [_map(head)]
    found = [rule(head) for rule in _RULES]
    return [finding for finding in found if finding is not None]


def _check_output(head: Head, loss: Any, metrics: Any) -> list[Finding]:
    """The findings of one output, once its loss and metrics are known."""
    if loss is not None:
        try:
            name, text, from_logits = read_loss(loss, head.labels, head.width)
        except ValueError:
            what = f"{loss!r} is no loss of Keras."
            return [_finding("head-loss-unknown", what, "Look for the name in keras.losses."), *judge_head(head)]
        ignored = getattr(loss, "ignore_class", None)
        head = replace(head, loss=name, loss_text=text, from_logits=from_logits, ignore_class=ignored)
    return judge_head(replace(head, metrics=read_metrics(metrics)))


def _for_output(given: Any, name: str) -> Any:
    """A loss or metrics of one output by its name; what is not a dictionary is for all of them."""
    return given.get(name) if isinstance(given, Mapping) else given


def _at_phase(found: list[Finding], phase: int | None) -> list[Finding]:
    """The findings with the number of their phase."""
    if phase is None:
        return found
    return [
        replace(finding, what=f"Phase {phase}: {finding.what}", evidence=(*finding.evidence, ("phase", phase)))
        for finding in found
    ]


# -- rules ---------------------------------------------------------------------------------------------------------


def _finding(code: str, what: str, fix: str, **evidence: Any) -> Finding:
    severity: Severity = CODES[code].partition(":")[0].partition(" or ")[0]  # type: ignore[assignment]
    return Finding(code, severity, what, fix, evidence=tuple(evidence.items()))


def _map(head: Head) -> Finding:
    # What the layer behind the adapter gives does not matter here, only that one axis is left.
    adapters = suggest_adapters(head.given, TensorSpec((None, None), "float32"), units=head.width or None)
    return _finding(
        "head-map",
        f"{head.who} gives {head.given}, a map, but one answer per image is expected: "
        f"{_expected_width(head) or head.wanted.shape[-1]} values.",
        f"Put a layer before its last one that leaves one axis. {list_adapters(adapters)}".rstrip(),
        given=list(head.given.shape[1:]),
    )


def _map_size(head: Head) -> Finding | None:
    sizes = zip(head.given.shape[1:3], head.wanted.shape[1:3], strict=False)
    if len(head.given.shape) == 4 and all(came in (None, size) for came, size in sizes):
        return None
    return _finding(
        "head-map-size",
        f"{head.who} gives {head.given}, but the targets are images: {head.wanted}.",
        "Build the last layer for their height and width.",
        given=list(head.given.shape[1:]),
        wanted=list(head.wanted.shape[1:]),
    )


def _map_values(head: Head) -> Finding | None:
    mismatch = mask_mismatch(head.loss, head.given, head.wanted, head.ignore_class)
    if mismatch is None:
        return None
    return _finding("head-map-values", *mismatch, given=list(head.given.shape[1:]), loss=head.loss)


def _expected_width(head: Head) -> int:
    """How many values per image the labels want; 0 where they do not say."""
    if head.labels == "numbers":
        return head.class_count
    return (head.wanted.shape[-1] or 0) if len(head.wanted.shape) == 2 else 0


def _wrong_width(head: Head) -> Finding | None:
    width = _expected_width(head)
    if not width or not head.width or head.width == width:
        return None
    have = f"the images have {head.class_count} classes and want" if head.class_count else "the labels have"
    fix = f"Build the last layer with {_counted(width, 'unit')}"
    if head.labels == "binary" and head.width == 2:
        fix += ", or read the images with label_mode='categorical'"
    elif head.class_count == 2 and head.width == 1:
        fix += ", or read the images with label_mode='binary'"
    elif head.class_count > 2 and head.width == 1:
        fix += " and softmax: a single answer tells two classes apart"
    what = f"{head.who} gives {_counted(head.width, 'value')} per image, but {have} {width}."
    return _finding("head-width", what, f"{fix}.", given=head.width, wanted=width)


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _one_softmax(head: Head) -> Finding | None:
    if head.activation != "softmax" or head.width != 1:
        return None
    return _finding(
        "head-one-softmax",
        f"{head.who} ends with softmax over a single unit, which is 1 whatever the image shows.",
        "Use activation='sigmoid' for a yes or no, or one unit for each class.",
    )


def _softmax_logits(head: Head) -> Finding | None:
    if head.loss not in _CROSS_ENTROPIES or not head.from_logits or head.activation not in _PROBABILITIES:
        return None
    found = _finding(
        "head-softmax-logits",
        f"{head.who} ends with {head.activation}, so that its answers are probabilities, but {head.loss_text} has "
        "from_logits=True: Keras on TensorFlow notices in float32, where no layer is behind, and otherwise applies the "
        "activation twice.",
        "Take from_logits=True out of the loss, or the activation out of the last layer.",
    )
    return found if head.given.dtype == "float32" else replace(found, severity="error")


def _logits(head: Head) -> Finding | None:
    if head.loss not in _CROSS_ENTROPIES or head.from_logits or head.activation in (None, *_PROBABILITIES):
        return None
    gives = "no activation" if head.activation == "linear" else f"activation {head.activation!r}"
    return _finding(
        "head-logits",
        f"{head.who} gives any numbers, as its last layer {head.layer!r} has {gives}, but {head.loss_text} compares "
        "probabilities.",
        f"End it with activation={_fitting_activation(head)!r}, or without activation and with from_logits=True in "
        "the loss.",
        activation=head.activation,
    )


def _fitting_activation(head: Head) -> str:
    return "sigmoid" if head.loss in _BINARY else "softmax"


def _sigmoid_categorical(head: Head) -> Finding | None:
    if head.activation not in ("sigmoid", "hard_sigmoid") or head.width < 2 or head.labels == "several":
        return None
    if head.loss not in _CATEGORICAL | _SPARSE:
        return None
    return _finding(
        "head-sigmoid-categorical",
        f"{head.who} ends with {head.activation} over {head.width} classes, but {head.loss_text} is for exactly one "
        "class per image: it trains them as a softmax, and the answers do not add up to 1.",
        "Use activation='softmax', or, where images show several classes, label_mode='multi_label' and "
        "'binary_crossentropy'.",
    )


def _softmax_binary(head: Head) -> Finding | None:
    if head.activation != "softmax" or head.loss not in _BINARY or head.width < 2 or head.labels == "several":
        return None
    return _finding(
        "head-softmax-binary",
        f"{head.who} ends with softmax over {head.width} classes, but {head.loss_text} looks at each class by itself: "
        "it trains them as sigmoids, and the answers are not what was trained.",
        f"Use {'sparse_' if head.labels == 'numbers' else ''}categorical_crossentropy.",
    )


def _softmax_several(head: Head) -> Finding | None:
    if head.activation != "softmax" or head.labels != "several":
        return None
    return _finding(
        "head-softmax-several",
        f"{head.who} ends with softmax, whose answers add up to 1, but an image may show several of the "
        f"{head.class_count or head.width} classes.",
        "Use activation='sigmoid' and 'binary_crossentropy'.",
    )


def _binary_one_hot(head: Head) -> Finding | None:
    if head.loss not in _BINARY or head.labels != "one-hot" or head.width < 2 or head.activation == "softmax":
        return None
    return _finding(
        "head-binary-one-hot",
        f"{head.who} is trained with {head.loss_text} on {head.width} classes, each by itself, although every image "
        "has exactly one.",
        "Use softmax and 'categorical_crossentropy', unless that is what you want.",
    )


def _loss_labels(head: Head) -> Finding | None:
    """A loss for another kind of labels; where the width is wrong, too, that is said elsewhere."""
    numbers = "'sparse_categorical_crossentropy', or read the images with label_mode='categorical'"
    kinds = {
        "one-hot": "one value per class",
        "several": "any number of classes per image",
        "numbers": "class numbers",
        "binary": "a single 0 or 1",
        "quantities": "quantities",
    }
    problem = fix = None
    if head.loss in _SPARSE and head.labels in ("one-hot", "several"):
        problem = "compares with class numbers"
        loss = "categorical" if head.labels == "one-hot" else "binary"
        fix = f"Use '{loss}_crossentropy'"
        fix += ", or read the images with label_mode='sparse'" if head.labels == "one-hot" else " with sigmoid"
    elif head.loss in _CATEGORICAL and head.labels == "numbers":
        problem, fix = "compares with one value per class", f"Use {numbers}"
    elif head.loss in _CATEGORICAL and head.labels == "several":
        problem, fix = "is for exactly one class per image", "Use 'binary_crossentropy' with sigmoid"
    elif head.loss in _CATEGORICAL | _SPARSE and head.labels == "binary" and head.width == 1:
        problem = "is for several classes, and with a single answer is always 0"
        fix = "Use 'binary_crossentropy' with sigmoid"
    elif head.loss in _BINARY and head.labels == "numbers" and (head.class_count > 2 or head.width > 1):
        problem, fix = "compares with 0 and 1", f"Use softmax and {numbers}"
    elif head.loss in _CROSS_ENTROPIES - _SPARSE and _is_outside(head, (0.0, 1.0)):
        problem, fix = "compares probabilities", "Use 'mse' or 'mae' without activation"
    elif head.loss in _DISTANCES and head.labels == "numbers" and head.width > 1:
        problem, fix = f"would compare each of {head.width} answers with the class number itself", f"Use {numbers}"
    if problem is None:
        return None
    values = "" if head.label_range is None else f" from {head.label_range[0]:g} to {head.label_range[1]:g}"
    what = f"{head.loss_text} {problem}, but the labels are {head.wanted}: {kinds[head.labels]}{values}."
    return _finding("head-loss-labels", what, f"{fix}.", loss=head.loss_text, labels=head.labels)


def _is_outside(head: Head, bounds: tuple[float, float]) -> bool:
    """Whether labels that are quantities leave these bounds."""
    if head.labels != "quantities" or head.label_range is None:
        return False
    return head.label_range[0] < bounds[0] or head.label_range[1] > bounds[1]


def _unreachable(head: Head) -> Finding | None:
    bounds = _RANGES.get(head.activation or "")
    if bounds is None or head.label_range is None or not _is_outside(head, bounds):
        return None
    reach = f"at least {bounds[0]:g}" if np.isinf(bounds[1]) else f"{bounds[0]:g} to {bounds[1]:g}"
    low, high = head.label_range
    return _finding(
        "head-unreachable",
        f"{head.who} ends with {head.activation} and can give {reach}, but the labels go from {low:g} to {high:g}.",
        "Leave the activation of the last layer out, or scale the labels.",
        labels=[low, high],
    )


def _wrong_metrics(head: Head) -> Finding | None:
    reasons = [(metric.text, _metric_problem(head, metric)) for metric in head.metrics]
    wrong = [(text, *problem) for text, problem in reasons if problem is not None]
    if not wrong:
        return None
    what = "; ".join(f"metric {text} {problem}" for text, problem, _ in wrong)
    fixes = list(dict.fromkeys(fix for _, _, fix in wrong))
    return _finding(
        "head-metric",
        f"{what[0].upper()}{what[1:]}.",
        f"Use {', and '.join(fixes)}.",
        metrics=[row[0] for row in wrong],
    )


def _metric_problem(head: Head, metric: Metric) -> tuple[str, str] | None:
    """What is wrong with a metric and what to use, or None."""
    name = metric.name
    if name == "auto":
        # As Keras resolves "accuracy".
        by_labels = "sparsecategoricalaccuracy" if head.labels == "numbers" else "categoricalaccuracy"
        name = "binaryaccuracy" if head.width == 1 else by_labels
    if name.endswith("accuracy") and head.labels == "quantities" and head.wanted.dtype.startswith("float"):
        return "counts answers that are right, but the labels are quantities", "'mae'"
    if name == "accuracy":
        return "counts answers that equal their label to the last digit, which probabilities never do", "'accuracy'"
    several = head.labels in ("one-hot", "numbers") and head.width > 1
    if name == "binaryaccuracy" and several:
        return (
            f"looks at each of {head.width} classes by itself, so that {head.width - 1} of {head.width} are right when "
            "an image gets no class at all",
            "'accuracy'",
        )
    if name in ("categoricalaccuracy", "sparsecategoricalaccuracy"):
        if head.width == 1:
            return "looks for the largest of a single answer, which is always right", "'binary_accuracy'"
        if head.labels == "several":
            return "looks for one class only, but an image may show several", "'binary_accuracy'"
        if (name == "sparsecategoricalaccuracy", head.labels) in ((True, "one-hot"), (False, "numbers")):
            return f"does not go with labels that are {head.wanted}", "'accuracy'"
    is_logit = head.loss in _BINARY and head.activation == "linear"
    if name in _FROM_LOGITS and is_logit and metric.threshold == 0.5:
        return "takes answers from 0.5 on for a yes, but without activation it is those from 0 on", _FROM_LOGITS[name]
    return None


_RULES: tuple[Callable[[Head], Finding | None], ...] = (
    _wrong_width,
    _one_softmax,
    _softmax_logits,
    _logits,
    _sigmoid_categorical,
    _softmax_binary,
    _softmax_several,
    _binary_one_hot,
    _loss_labels,
    _unreachable,
    _wrong_metrics,
)
