"""thawline train: from a recipe to a run folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from thawline.cli import started
from thawline.cli.check import passed_check
from thawline.cli.images import open_images
from thawline.cli.output import percent, print_json, print_line, print_table, say
from thawline.cli.plan import make_plan
from thawline.cli.tracking import open_trackers, tell_results
from thawline.cli.training import Training
from thawline.data.check import write_skipped
from thawline.data.sources.frame import ImageFrame
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError
from thawline.facade.stack import Stack
from thawline.recipe import Recipe, load_recipe
from thawline.report.advice import unrecognised
from thawline.report.predictions import write_predictions
from thawline.report.scores import accuracy, class_results, confusion_matrix, predicted_classes
from thawline.training.clock import Clock, Timing
from thawline.training.phase import Phase
from thawline.training.planning.plan import Plan
from thawline.training.planning.planner import Measuring
from thawline.training.run_folder.run import RunFolder
from thawline.training.run_folder.run_data import Side

# Jinja2 and Matplotlib come with the extra `report`; without them a run has no page.
HAS_REPORT = all(find_spec(package) for package in ("jinja2", "matplotlib"))


def train(
    path: Path, overrides: Sequence[str], *, plan: Path | None, is_checked: bool, as_json: bool, quiet: bool
) -> None:
    """Trains what a recipe says and prints the figures on the validation images.

    With `is_checked` the recipe is checked first; findings of severity "error" are printed, and nothing is trained.
    """
    recipe = load_recipe(path, overrides)
    given = None if plan is None else Plan.load(plan)
    findings = passed_check(recipe, as_json=as_json, quiet=quiet) if is_checked else ()
    training = run_training(recipe, plan=given, quiet=quiet)
    training.findings = findings
    finish(training, repeat=f"thawline train {training.run.recipe_path}")
    if as_json:
        print_json({"run": str(training.run.path), **training.metrics()})
        return
    print_accuracy(training)
    print_files(training)


def run_training(
    recipe: Recipe, *, plan: Plan | None = None, measuring: Measuring = "worthwhile", quiet: bool
) -> Training:
    """Trains and measures; the run folder holds the plan and the state until `finish` writes the results.

    Args:
        recipe: what to train.
        plan: the plan to follow; by default the one that an interrupted run began with, or a new one.
        measuring: whether speeds are measured for a new one, see `Stack.plan`.
        quiet: True shows nothing.
    """
    clock = Clock(started())
    clock.lap("loading Keras")
    train_images, validation = open_images(recipe, quiet=quiet)
    clock.lap("reading images")
    # What is wrong with the recipe shows before there is a folder that says it was begun with this one.
    stack = recipe.build_stack(len(train_images.class_names))
    phases = recipe.build_phases(len(train_images.class_names))
    clock.lap("building the stack")
    run = RunFolder.begin(Path(recipe.run.folder), recipe.run.name, recipe.to_yaml())
    asked = _Asked(recipe, train_images, validation, stack, phases, quiet=quiet)
    try:
        return _train_in(run, asked, clock, plan=plan, measuring=measuring)
    except Exception:
        run.discard()
        raise
    except BaseException:
        run.release()
        raise


@dataclass(frozen=True)
class _Asked:
    """A recipe with what was made of it."""

    recipe: Recipe
    train: ImageSource
    validation: ImageSource
    stack: Stack
    phases: Sequence[Phase]
    quiet: bool


def _train_in(run: RunFolder, asked: _Asked, clock: Clock, *, plan: Plan | None, measuring: Measuring) -> Training:
    recipe, train_images, validation = asked.recipe, asked.train, asked.validation
    stack, phases, quiet = asked.stack, asked.phases, asked.quiet
    trackers = open_trackers(recipe, run)
    say(f"{len(train_images):,} training and {len(validation):,} validation images -> {run.path}", quiet=quiet)
    for line in run.note_start(_sides(recipe, train_images, validation), train_images.class_names):
        say(line, quiet=quiet)
    clock.lap("beginning the run")
    if plan is None and run.plan_path.exists():
        plan = Plan.load(run.plan_path)
    elif plan is None:
        plan = make_plan(recipe, stack, train_images, validation, phases, measuring=measuring, quiet=quiet)
    else:
        run.check_plan(plan)
    plan.save(run.plan_path)
    clock.lap("planning")
    try:
        history = stack.fit(
            train_images,
            validation_data=validation,
            phases=phases,
            plan=plan,
            **recipe.features.model_dump(),
            **recipe.limits,
            verbose=0 if quiet else "auto",
            checkpoint=run.checkpoints,
            tracking=[run.history, *trackers],
        )
    except ArgumentError:
        if not run.has_state:
            # A plan that was refused is not what the next call is to follow.
            run.plan_path.unlink(missing_ok=True)
        raise
    record = history.record
    extract_s = sum(done["seconds"] for done in record.extractions)
    clock.split(("extracting features", extract_s), ("training", record.train_s), rest="preparing")
    answers = stack.predict(validation, strategy="auto", verbose=0, **recipe.features.model_dump())
    # An image that went bad on the way has no answer to be measured.
    answered = [index for index in range(len(validation)) if not validation.is_left_out(index)]
    validation, answers = validation.select(answered), answers[answered]
    confusion = confusion_matrix(validation.known_labels, predicted_classes(answers), len(train_images.class_names))
    clock.lap("measuring")
    return Training(recipe, run, train_images, validation, stack, history, answers, confusion, clock, trackers=trackers)


def _sides(recipe: Recipe, train: ImageSource, validation: ImageSource) -> list[Side]:
    """Both sides, with the folders that their paths are told from, and the tables that name them."""
    places = recipe.places()
    where = {"train": (train, places.train), "validation": (validation, places.validation or places.train)}
    return [
        Side(name, images, images.directory, place) if isinstance(images, ImageFrame) else Side(name, images, place)
        for name, (images, place) in where.items()
    ]


def finish(training: Training, *, repeat: str, estimates: Sequence[Timing] = (), note: str = "") -> None:
    """Saves the stack, writes the report and the figures; after that the run is finished."""
    training.stack.save(training.run.stack_path)
    write_predictions(training.run.predictions_path, training.validation, training.answers)
    if HAS_REPORT:
        import_module("thawline.cli.page").write_page(training, repeat=repeat, estimates=estimates, note=note)
    # Now that no image is read any more.
    unreadable = dict([*training.train.unreadable, *training.validation.unreadable])
    if unreadable:
        write_skipped(training.run.skipped_path, unreadable.items())
    tell_results(training, training.trackers)
    training.clock.lap("writing the run folder")
    training.run.finish(
        metrics=training.metrics(),
        keep_phases=training.recipe.run.keep_phases,
    )


def print_accuracy(training: Training) -> None:
    """Recall and precision of each class on the validation images."""
    results = class_results(training.confusion, training.train.class_names)
    rows = [[result.name, str(result.support), percent(result.recall), percent(result.precision)] for result in results]
    rows.append(["all", str(int(training.confusion.sum())), percent(accuracy(training.confusion)), ""])
    print_table(["class", "images", "accuracy", "precision"], rows, title="On held-out images")
    unseen = unrecognised(results, training.history.history)
    cuts = training.history.record.cuts
    if unseen and cuts and cuts[-1].weights_below:
        print_line(
            f"\nNo image of {', '.join(map(repr, unseen))} was recognised: what the frozen part says does not show "
            "what sets it apart.\nLet the last blocks of the base learn too (a second phase in the recipe)."
        )


def print_files(training: Training) -> None:
    """Where everything lies."""
    print_line(f"\nRun folder: {training.run.path}")
    if HAS_REPORT:
        print_line(f"Report:     {training.run.report_path}")
    else:
        print_line("No report: it needs  pip install 'thawline[report]'")
