"""What is looked at before a training begins: phases, images, labels and losses fit together."""

from collections.abc import Sequence

from thawline.data.sources.source import ImageSource
from thawline.stack.series import StageSeries
from thawline.training.compiled import Compiled
from thawline.training.naming import named_as
from thawline.training.part import Part, check_answers, make_part
from thawline.training.phase import Phase


def checked_parts(
    series: StageSeries,
    compiled: Compiled,
    train: ImageSource,
    phases: Sequence[Phase],
    validation: ImageSource | None,
) -> tuple[list[Part], ImageSource | None]:
    """The parts that the phases train, and the validation images without augmentation; all of it fits together."""
    parts = [make_part(series, phase, number) for number, phase in enumerate(phases, start=1)]
    validation = None if validation is None else named_as(validation, train)
    for source in (train, validation):
        if source is not None:
            series.check_input(source.spec)
            for part in parts:
                loss = compiled.phase_options(part)["loss"]
                check_answers(part, loss, source.target_spec, len(source.class_names))
    return parts, None if validation is None else validation.unaugmented()
