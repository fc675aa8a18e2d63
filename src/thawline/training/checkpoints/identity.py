"""What makes a training this one, in plain values, so that the state of another is not continued."""

from collections.abc import Sequence
from typing import Any

from blake3 import blake3

from thawline.data.sources.source import ImageSource
from thawline.stack.series import StageSeries
from thawline.training.class_weight import ClassWeight, describe_class_weight
from thawline.training.compiled import Compiled
from thawline.training.part import Part


def identify(
    series: StageSeries,
    compiled: Compiled,
    train: ImageSource,
    validation: ImageSource | None,
    parts: Sequence[Part],
    shuffle: bool,
    class_weight: ClassWeight | None,
) -> dict[str, Any]:
    """What makes a training this one: a checkpoint of another must not be continued."""
    return {
        "stages": [[stage.name, stage.model.count_params()] for stage in series.stages],
        "optimizer": compiled.kind.__name__,
        "phases": [part.phase.describe() for part in parts],
        "training images": describe_source(train),
        "validation images": None if validation is None else describe_source(validation),
        "shuffle": shuffle,
        "class_weight": describe_class_weight(class_weight),
    }


def describe_source(source: ImageSource) -> dict[str, Any]:
    """What makes the images of a source these: their content, targets, and how they are looked at."""
    # The digests of the images; copies that are augmented each in its own way have keys of their own.
    content = blake3(b"".join(source.view_keys()))
    content.update(source.target_content())
    return {
        "images": content.hexdigest(),
        "decoding": source.pictures.identity(),
        "augmentation": None if source.augmentation is None else source.augmentation.identity(),
        "seed": source.seed,
        "batch_size": source.batch_size,
    }
