"""The report of a training: from its results to the page in the run folder."""

import itertools
from collections.abc import Sequence

from thawline.cli.training import Training
from thawline.data.sources.passed_over import passed_over
from thawline.data.sources.scan import describe_skipped
from thawline.report.calibration import calibrate
from thawline.report.findings import show_found
from thawline.report.page import write_report
from thawline.report.sheets import attention_sheet, augmented_sheet, mistakes_sheet, uncertain_sheet
from thawline.report.sketch import Sketch, sketch_cut
from thawline.report.value import Report
from thawline.training.clock import Timing
from thawline.training.planning.measured import forecast_rows
from thawline.training.run_folder.run import describe_environment


def write_page(training: Training, *, repeat: str, estimates: Sequence[Timing], note: str) -> None:
    """Writes `report.html` into the run folder.

    Args:
        training: what was trained, and what it gave.
        repeat: the command that trains it again.
        estimates: what other ways would have taken.
        note: how that was estimated.
    """
    extracted, needed = training.extracted
    record, held_out, answers = training.history.record, training.validation, training.answers
    since = f" since the run went on after epoch {record.resumed_epochs}" if record.resumed_epochs else ""
    sheets = [
        mistakes_sheet(held_out, answers),
        uncertain_sheet(held_out, answers),
        attention_sheet(training.stack.model, held_out, answers),
    ]
    if training.train.augmentation is not None:
        sheets.insert(0, augmented_sheet(training.train))
    report = Report(
        title=training.run.path.name,
        facts={
            "Images": f"{len(training.train):,} for training, {len(held_out):,} held out",
            **_passed_over(training),
            "Classes": ", ".join(f"{name} ({count:,})" for name, count in training.train.class_counts.items()),
            "Stack": ", ".join(
                f"{stage.name} ({stage.model.count_params():,} weights{', frozen' if stage.is_frozen else ''})"
                for stage in training.stack.stages
            ),
            "Plan": "; ".join(map(str, record.plans)) or "continued after the last epoch",
            "Features": f"{extracted:,} of {needed:,} had to be extracted{since}",
        },
        history=training.history.history,
        epoch_s=record.epoch_s,
        phase_ends=list(itertools.accumulate(mark.epochs for mark in training.history.phases)),
        class_names=training.train.class_names,
        confusion=training.confusion,
        timings=[*training.timings, *estimates],
        forecast=forecast_rows(record),
        estimate_note=note,
        calibration=calibrate(answers, held_out.known_labels),
        sketches=_sketches(training),
        findings=show_found(training.findings),
        sheets=sheets,
        recipe=training.recipe.to_yaml(),
        repeat=repeat,
        environment=_environment(),
    )
    write_report(training.run.report_path, report)


def _passed_over(training: Training) -> dict[str, str]:
    """The files that are no images by their ending, where there are any."""
    text = describe_skipped(passed_over([training.train, training.validation]))
    return {"Not images": text} if text else {}


def _sketches(training: Training) -> list[Sketch]:
    """Where each phase was cut; of phases that an interrupted run had finished the plan is not known, only the line."""
    record, marks = training.history.record, training.history.phases
    places = [0] * (len(marks) - len(record.plans)) + [plan.place for plan in record.plans]
    return [
        sketch_cut(cut.places[place], f"{mark.name.capitalize()}: {', '.join(mark.learned)} by {mark.strategy}")
        for cut, place, mark in zip(record.cuts, places, marks, strict=True)
    ]


def _environment() -> dict[str, str]:
    """Versions and machine, as a page shows them."""
    known = describe_environment()
    packages = ", ".join(f"{name} {version}" for name, version in known["packages"].items())
    return {
        "Machine": f"{known['processor']}, {known['cores']} cores, {known['system']}",
        "Python": known["python"],
        "Packages": packages,
    }
