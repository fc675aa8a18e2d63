"""Habits: what people do out of habit, and what spoils a training in silence.

`check_habits` collects the facts of each phase; `judge_phase` says what is wrong with one. Nothing is trained for it.

The learning rates that a pretrained base bears are those of common practice: Keras' guide to transfer learning and
fine-tuning takes 1e-5 with Adam. `Stack.find_learning_rate` measures it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from thawline.check.finding import Finding, Severity
from thawline.check.habit_facts import PhaseFacts, read_chance, read_phases, read_untrained
from thawline.check.naming import fits
from thawline.data.sources.source import ImageSource
from thawline.figures import counted, format_count
from thawline.stack.series import StageSeries
from thawline.training.compiled import Compiled
from thawline.training.phase import Phase

CODES: dict[str, str] = {
    "habit-learning-rate-high": "warning: layers of a pretrained base learn so fast that they lose what they know",
    "habit-schedule-ends": "warning: a learning rate's schedule is over long before the phase is",
    "habit-frozen-random": "warning: a stage is frozen, but was never trained",
    "habit-batchnorm-moves": "warning or note: BatchNormalization of a pretrained base learns, and its statistics move",
    "habit-batchnorm-batch": "error or warning: BatchNormalization learns from batches of a single image",
    "habit-augmentation-off": "warning: layers that augment are frozen, and do nothing",
    "habit-augmentation-uncached": "warning: layers that augment keep a frozen stage from being computed once",
    "habit-random-image": "warning: a function of the images draws random numbers that no seed and no view decides",
    "habit-one-view": "warning: images are augmented, but every epoch shows the same view of each",
    "habit-views-unused": "note: more views are asked for than there are to show",
}

# The largest learning rates that a pretrained base bears, and what is usual, by the kind of optimizer. Adam and its kin
# step by about the rate itself, whatever the gradient; others' steps have no such measure, and are not judged.
_ADAM = (3e-4, "1e-5 to 1e-4")
_BEARS = {
    **dict.fromkeys(("adam", "adamw", "adamax", "nadam", "rmsprop"), _ADAM),
    "lion": (1e-4, "3e-6 to 3e-5"),
    "sgd": (3e-2, "1e-4 to 1e-2"),
}

# From here on there are enough images, in batches large enough, for new statistics to be as good as the old ones.
_MANY_IMAGES, _LARGE_BATCH = 10_000, 16

# A schedule may end a little before the phase: whoever counts steps rounds down.
_IDLE_SHARE = 0.2

_NAMED = 3


def check_habits(
    series: StageSeries, source: ImageSource, phases: Sequence[Phase] = (), compiled: Compiled | None = None
) -> list[Finding]:
    """What would go wrong by habit, in the images, the stack and each phase.

    Costs milliseconds, and for images with functions of the user's own some more looks at one of them.

    Args:
        series: the stack.
        source: the training images.
        phases: as in `fit`; without them the stack is judged as it is frozen now.
        compiled: what `compile` was given; without it nothing is said of learning rates that no phase has.

    Returns:
        Findings with codes of `CODES`; empty where nothing is wrong.

    Example:
        >>> import keras, numpy as np
        >>> import thawline as tl
        >>> base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
        >>> head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, "softmax")])
        >>> series = StageSeries([tl.Stage(base, "base", trainable=False), tl.Stage(head, "head")])
        >>> images = tl.ImageArrays(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1])
        >>> print(check_habits(series, images)[0].what)
        Stage 'base' is frozen, but its 108 weights are fresh random numbers: their features say little.
    """
    found = [judge_untrained(name, count, has_phases=bool(phases)) for name, count in read_untrained(series, phases)]
    found += [judge_chance(argument) for argument in read_chance(source)]
    for facts in read_phases(series, source, phases, compiled):
        found += judge_phase(facts)
    return found


def judge_phase(facts: PhaseFacts) -> list[Finding]:
    """What is wrong with one phase, from its facts.

    Example:
        >>> [finding.code for finding in judge_phase(PhaseFacts(epochs=9, is_augmented=True, views=1))]
        ['habit-one-view']
    """
    found = [rule(facts) for rule in _RULES]
    return [finding for finding in found if finding is not None]


def judge_untrained(stage: str, weights: int, *, has_phases: bool = False) -> Finding:
    """A stage that is frozen with fresh weights, so many of them."""
    when = " in every phase" if has_phases else ""
    return _finding(
        "habit-frozen-random",
        f"Stage {stage!r} is frozen{when}, but its {format_count(weights)} weights are fresh random numbers: their "
        "features say little.",
        "Load weights into it (weights='imagenet', or a file), or let it learn; weights that were set by hand may stay "
        "as they are.",
        stage=stage,
        weights=weights,
    )


def judge_chance(argument: str) -> Finding:
    """A function of the user's that draws from a generator of its own; `argument` is where it was given."""
    whom = "of training and of validation" if argument == "preprocessing_function" else "of training"
    return _finding(
        "habit-random-image",
        f"{argument} makes the same view of the same image different each time: it draws from a generator of its own. "
        f"Images {whom} cannot be had again, and features that are kept have whatever was drawn first.",
        "Give it to augment(functions=[...]) as (image, rng) -> image, and draw from that rng only.",
        argument=argument,
    )


def _finding(code: str, what: str, fix: str, severity: Severity | None = None, **evidence: Any) -> Finding:
    first: Severity = CODES[code].partition(":")[0].partition(" or ")[0]  # type: ignore[assignment]
    return Finding(code, severity or first, what, fix, evidence=tuple(evidence.items()))


def _who(facts: PhaseFacts) -> str:
    """Who does it, as the beginning of a sentence."""
    return f"Phase {facts.number}" if facts.number else "The stack"


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
    return f"{', '.join(paths[:_NAMED])}{more}"


# -- rules ---------------------------------------------------------------------------------------------------------


def _learning_rate_high(facts: PhaseFacts) -> Finding | None:
    if facts.optimizer not in _BEARS:
        return None
    most, usual = _BEARS[facts.optimizer]
    fast = [(path, rate) for path, rate in facts.rates if rate > most]
    if not fast:
        return None
    stages = list(dict.fromkeys(path.partition("/")[0] for path, _ in fast))
    of_stage = " and ".join(map(repr, stages))
    return _finding(
        "habit-learning-rate-high",
        f"{_who(facts)} lets {counted(len(fast), 'pretrained layer')} of stage {of_stage} learn by {facts.optimizer} "
        f"with a learning rate of {max(rate for _, rate in fast):.2g} ({_listed([path for path, _ in fast])}); usual "
        f"are {usual}.",
        f"Give the phase learning_rate={usual.partition(' ')[0]}, or learning_rate_factors={{{stages[0]!r}: 0.01}}; "
        "stack.find_learning_rate(train, phase=...) measures what these images bear.",
        rate=max(rate for _, rate in fast),
        optimizer=facts.optimizer,
        layers=[path for path, _ in fast],
    )


def _schedule_ends(facts: PhaseFacts) -> Finding | None:
    if facts.idle_share <= _IDLE_SHARE or not facts.steps:
        return None
    return _finding(
        "habit-schedule-ends",
        f"{_who(facts)} takes {counted(facts.steps, 'step')} ({counted(facts.epochs, 'epoch')} of "
        f"{facts.steps // facts.epochs:,}), but in the last {facts.idle_share:.0%} of them its schedule leaves nothing "
        "of the learning rate.",
        f"Make the schedule for {facts.steps:,} steps: an epoch has every image once, the last short batch included.",
        steps=facts.steps,
        idle_share=facts.idle_share,
    )


def _norm_moves(facts: PhaseFacts) -> Finding | None:
    norms = [norm for norm in facts.norms if norm.is_trained]
    if not norms:
        return None
    few = facts.images < _MANY_IMAGES or facts.batch_size < _LARGE_BATCH
    kept = ""
    if facts.steps:
        share = max(norm.momentum for norm in norms) ** facts.steps
        kept = f"; after {counted(facts.steps, 'step')} {share:.0%} of the old ones are left"
    paths = [norm.path for norm in norms]
    narrow = ", ".join(map(repr, facts.norm_patterns))
    return _finding(
        "habit-batchnorm-moves",
        f"{_who(facts)} lets {counted(len(norms), 'pretrained BatchNormalization layer')} learn ({_listed(paths)}): "
        f"their statistics follow batches of {counted(facts.batch_size, 'image')}, {facts.images:,} in all{kept}.",
        (
            f"Leave them out with train=[{narrow}]"
            if narrow
            else "Leave them out: name convolutions in train, one by one"
        )
        + ", unless the images are of quite another kind than those that it knows.",
        "warning" if few else "note",
        layers=paths,
        batch_size=facts.batch_size,
        images=facts.images,
    )


def _norm_batch(facts: PhaseFacts) -> Finding | None:
    if not facts.norms:
        return None
    flat = [norm.path for norm in facts.norms if norm.is_flat]
    if facts.batch_size == 1:
        paths = flat or [norm.path for norm in facts.norms]
        effect = (
            "whose answer is then the same for every image" if flat else "which then knows each image by itself only"
        )
        return _finding(
            "habit-batchnorm-batch",
            f"{_who(facts)} trains {counted(len(paths), 'BatchNormalization layer')} ({_listed(paths)}) with batches "
            f"of 1 image, {effect}.",
            "Take a batch_size of 16 or more, LayerNormalization in its place, or freeze it.",
            "error" if flat else "warning",
            layers=paths,
        )
    if flat and facts.images % facts.batch_size == 1:
        return _finding(
            "habit-batchnorm-batch",
            f"{_who(facts)} trains {counted(len(flat), 'BatchNormalization layer')} ({_listed(flat)}), and the last "
            f"batch of each epoch has 1 image ({facts.images:,} in batches of {facts.batch_size}), for which its "
            "answer is the same whatever it shows.",
            f"Take another batch_size, like {_even_batch(facts)}.",
            "warning",
            layers=flat,
        )
    return None


def _even_batch(facts: PhaseFacts) -> int:
    """The next larger batch size with which no image is left alone."""
    return next(size for size in range(facts.batch_size + 1, facts.images + 2) if facts.images % size != 1)


def _augmentation_off(facts: PhaseFacts) -> Finding | None:
    if not facts.random_below:
        return None
    count = len(facts.random_below)
    return _finding(
        "habit-augmentation-off",
        f"{counted(count, 'layer')} that {fits(count, 'augments', 'augment')} ({_listed(facts.random_below)}) "
        f"{fits(count, 'lies', 'lie')} below the thaw line, where everything runs in inference mode: "
        f"{fits(count, 'it does', 'they do')} nothing.",
        "Leave them out of the stage, and augment the images: train.augment(horizontal_flip=True, ...).",
        layers=list(facts.random_below),
    )


def _augmentation_uncached(facts: PhaseFacts) -> Finding | None:
    if not facts.random_above:
        return None
    paths = [path for path, _ in facts.random_above]
    weights = sum(count for _, count in facts.random_above)
    return _finding(
        "habit-augmentation-uncached",
        f"{counted(len(paths), 'layer')} that {fits(len(paths), 'augments', 'augment')} ({_listed(paths)}) "
        f"{fits(len(paths), 'comes', 'come')} before {format_count(weights)} frozen weights, which therefore run "
        "with every image in every epoch; nothing of them can be kept.",
        "Leave them out of the stage, and augment the images: train.augment(horizontal_flip=True, ...) draws views "
        "whose features are kept.",
        layers=paths,
        weights=weights,
    )


def _one_view(facts: PhaseFacts) -> Finding | None:
    if not facts.is_augmented or facts.views != 1 or facts.epochs < 2:
        return None
    return _finding(
        "habit-one-view",
        f"{_who(facts)} has views=1: all {facts.epochs} epochs show the same augmented view of each image, as if the "
        "images themselves were so.",
        "Take views=4, which costs four extractions however many epochs follow, or leave the augmentation out.",
        views=1,
        epochs=facts.epochs,
    )


def _views_unused(facts: PhaseFacts) -> Finding | None:
    if facts.views is None or not facts.epochs:
        return None
    if not facts.is_augmented and facts.views > 1:
        what = (
            f"{_who(facts)} has views={facts.views}, but the images are not augmented: all views are equal, and 1 is "
            "used."
        )
        fix = "Leave views out, or augment the images."
    elif facts.views > facts.epochs:
        what = (
            f"{_who(facts)} has views={facts.views}, but {counted(facts.epochs, 'epoch')}, each of which shows one: "
            f"{facts.epochs} are used."
        )
        fix = f"Nothing is computed in vain; leave views out, or write views={facts.epochs}."
    else:
        return None
    return _finding("habit-views-unused", what, fix, views=facts.views, epochs=facts.epochs)


_RULES: tuple[Callable[[PhaseFacts], Finding | None], ...] = (
    _learning_rate_high,
    _schedule_ends,
    _norm_moves,
    _norm_batch,
    _augmentation_off,
    _augmentation_uncached,
    _one_view,
    _views_unused,
)
