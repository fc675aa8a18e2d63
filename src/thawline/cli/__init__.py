"""The command line: words and options here, the work in one file per group of commands.

The files that do the work import Keras; they are imported when a command runs, so that `--help` answers at once.
"""

import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from thawline import __version__
from thawline.errors import ThawlineError
from thawline.files import NAMES
from thawline.printable import ENCODING_ERRORS

app = typer.Typer(
    name="thawline",
    help="Train models stacked in series on folders of images: frozen parts run once, augmentation included.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

cache_app = typer.Typer(name="cache", help="Look after the features that are kept.", no_args_is_help=True)
app.add_typer(cache_app)

# When the process began its work; taken by the first command that asks.
_started = [time.perf_counter()]

# What takes longer is said to be under way.
_SAID_AFTER_S = 1.0

# What shells expect from a program that Ctrl-C ended.
_INTERRUPTED = 130


class Shown(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    LIVE = "live"
    LINES = "lines"
    JSON = "json"
    QUIET = "quiet"


RecipePath = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes to the recipe, like data.batch_size=16.", show_default=False)
]
RunPath = Annotated[Path, typer.Argument(help="A finished run's folder, like runs/flowers.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
CachePath = Annotated[
    Path | None,
    typer.Option(
        "--path", help="The cache's folder.", show_default="THAWLINE_CACHE, or one in the user's cache folder"
    ),
]
PredictionForm = Literal["table", "csv", "jsonl", "json"]
EngineWord = Literal["auto", "keras", "openvino"]
PrecisionWord = Literal["float32", "bfloat16"]
PagePath = Annotated[
    Path | None, typer.Option("--report", help="Also write it as a page, one HTML file.", show_default="none")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Progress = Annotated[
    Shown,
    typer.Option(
        help="How progress is shown on stderr: live view, plain lines, JSON lines, or not at all.",
        show_default="live on a terminal, else lines",
    ),
]


def started() -> float:
    """When the process began its work, so that the time for loading Keras is accounted for.

    That time belongs to one command: another one in the same process begins when it asks.
    """
    return _started.pop() if _started else time.perf_counter()


def _telling_errors(work: Callable[..., None]) -> Callable[..., None]:
    """A command that shows progress as it is asked to, and turns our errors into one line and an exit code."""

    @functools.wraps(work)
    def run(*arguments: Any, **options: Any) -> None:
        progress: Any = import_module("thawline.progress")
        mode = options.get("progress", Shown.AUTO)
        if mode == Shown.QUIET and "quiet" in options:
            options["quiet"] = True
        with progress.showing(Shown.QUIET.value if options.get("quiet") else mode.value):
            try:
                work(*arguments, **options)
                sys.stdout.flush()
            except ThawlineError as error:
                _tell_end(progress, "error", str(error))
                raise typer.Exit(error.exit_code) from None
            except BrokenPipeError:
                # Whoever read the results, like `head`, has seen enough; Python would complain when it ends.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(1) from None
            except OSError as error:
                _tell_end(progress, "error", _describe_file_error(error))
                raise typer.Exit(1) from None
            except KeyboardInterrupt:
                _tell_end(
                    progress,
                    "interrupted",
                    "nothing that was computed is lost, the same command goes on from here.",
                )
                raise typer.Exit(_INTERRUPTED) from None

    return run


def _tell_end(progress: Any, event: str, text: str) -> None:
    """Says why a command ends before its time."""
    if progress.current_mode() == "json":
        progress.emit(event, text=text)
    else:
        typer.echo(progress.for_stderr(f"{event}: {text}"), err=True)


def _describe_file_error(error: OSError) -> str:
    """What the operating system did not let us do, with the next move."""
    where = f"{error.filename!r}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error}. Check the path, its rights and the room on its disk, then try again."


def _command(work: Callable[..., None]) -> Callable[..., None]:
    return app.command()(_telling_errors(work))


def _cache_command(work: Callable[..., None]) -> Callable[..., None]:
    return cache_app.command(work.__name__.removeprefix("cache_"))(_telling_errors(work))


def _work(module: str) -> Any:
    """The module that does a command's work; that Keras is loaded for it is said when it takes a second."""
    if "keras" in sys.modules:
        return import_module(f"thawline.cli.{module}")
    progress: Any = import_module("thawline.progress")
    telling = threading.Timer(_SAID_AFTER_S, progress.say, ["loading Keras"])
    telling.daemon = True
    telling.start()
    try:
        return import_module(f"thawline.cli.{module}")
    finally:
        telling.cancel()


def _given() -> Any:
    """The checks of what a command was given, which need no Keras."""
    return import_module("thawline.cli.given")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"thawline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


@_command
def demo(
    folder: Annotated[Path, typer.Option(help="Where the run folder goes.")] = Path("runs"),
    epochs: Annotated[int, typer.Option(min=1, help="Epochs to train the head.")] = 20,
    limit: Annotated[
        int | None, typer.Option(min=5, help="Images per class, for a quick look.", show_default="all")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Progress = Shown.AUTO,
) -> None:
    """Train on real images shipped by a package, and write a report."""
    _work("demo").demo(folder, epochs=epochs, limit=limit, as_json=as_json, quiet=quiet)


@_command
def init(
    directory: Annotated[Path, typer.Argument(help="Where to write recipe.yaml.")] = Path(),
) -> None:
    """Write a commented recipe.yaml."""
    _work("init").init(directory)


@_command
def check(
    recipe: RecipePath,
    overrides: Overrides = None,
    report: PagePath = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Look for mistakes in the images and the stack; exit code 1 when something is wrong."""
    _given().check_recipe_file(recipe, overrides or [])
    _work("check").check_recipe(recipe, overrides or [], report=report, as_json=as_json, quiet=quiet)


@_command
def find_learning_rate(
    recipe: RecipePath,
    overrides: Overrides = None,
    phase: Annotated[int, typer.Option(min=1, help="Which phase; those before it are trained first.")] = 1,
    steps: Annotated[int, typer.Option(min=20, help="How many learning rates to try.")] = 100,
    plot: Annotated[
        Path | None, typer.Option(help="Draw losses over learning rates, as .svg or .png.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Try rising learning rates for a few steps, and say which one a phase bears."""
    _given().check_recipe_file(recipe, overrides or [])
    options = {"phase": phase, "steps": steps, "plot": plot, "as_json": as_json, "quiet": quiet}
    _work("learning_rate").find_learning_rate(recipe, overrides or [], **options)


@_command
def plan(
    recipe: RecipePath,
    overrides: Overrides = None,
    views: Annotated[
        str | None, typer.Option(help="Also say what so many views would take, like 1,2,4,8.", show_default=False)
    ] = None,
    epochs: Annotated[
        str | None, typer.Option(help="Also say what so many epochs would take, like 5,20,100.", show_default=False)
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the plan, for  thawline train --plan FILE.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say what a training would take by each strategy, and which one it would be; nothing is trained."""
    given = _given()
    asked = {"views": given.whole_numbers("--views", views), "epochs": given.whole_numbers("--epochs", epochs)}
    given.check_recipe_file(recipe, overrides or [])
    options = {**asked, "save": save, "as_json": as_json, "quiet": quiet}
    _work("plan").plan_recipe(recipe, overrides or [], **options)


@_command
def train(
    recipe: RecipePath,
    overrides: Overrides = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check first, stop on errors, and put the findings into the report.")
    ] = False,
    plan: Annotated[
        Path | None, typer.Option(help="A plan to follow, from  thawline plan --save FILE.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Progress = Shown.AUTO,
) -> None:
    """Train what a recipe says, into a run folder; an interrupted run goes on."""
    _given().check_recipe_file(recipe, overrides or [])
    _work("train").train(recipe, overrides or [], plan=plan, is_checked=check, as_json=as_json, quiet=quiet)


@_command
def evaluate(
    run: RunPath,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Other images: a folder of classes, one with train, val and test inside, or a CSV file.",
            show_default="the run's validation images",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained stack on labelled images."""
    _given().check_run(run)
    _work("evaluate").evaluate(run, data, as_json=as_json, quiet=quiet)


@_command
def predict(
    model: Annotated[
        Path,
        typer.Argument(help="A finished run's folder, an artefact, or a saved stack.", show_default=False),
    ],
    paths: Annotated[
        list[str],
        typer.Argument(help="Images, folders of images, patterns like 'new/**/*.jpg', or - for names on stdin."),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name for each image.")] = 1,
    form: Annotated[PredictionForm, typer.Option("--format", help="How to print them.")] = "table",
    engine: Annotated[EngineWord, typer.Option(help="Who runs the stack.")] = "auto",
    precision: Annotated[PrecisionWord, typer.Option(help="In which numbers.")] = "float32",
    trust: Annotated[
        bool, typer.Option("--trust", help="Also run an artefact that is a program and was made by somebody else.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Like --format json.")] = False,
    quiet: Quiet = False,
) -> None:
    """Say what a trained stack sees in images, row by row; exit code 1 when one is bad, whose row says why."""
    _given().check_model(model)
    options = {"top": top, "form": "json" if as_json else form, "engine": engine, "precision": precision}
    _work("predict").predict(model, paths, **options, is_trusted=trust, quiet=quiet)


@_command
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs' folders, two or more.", show_default=False)],
    report: PagePath = None,
    as_json: AsJson = False,
) -> None:
    """Set runs beside each other: recipes, results per class, speed, and the images on which they disagree."""
    for run in runs:
        _given().check_run(run)
    _work("compare").compare(runs, report=report, as_json=as_json)


@_command
def export(
    run: RunPath,
    formats: Annotated[
        list[str],
        typer.Option(
            "--format", help="saved_model, keras, onnx, litert or openvino; may be given several times.", metavar="F"
        ),
    ],
    to: Annotated[
        Path | None, typer.Option(help="Where the artefacts go, a folder for each format.", show_default="RUN/export")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare each artefact's answers with the stack's.")
    ] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write models that others use, each with a reader, a certificate and a card; exit code 1 when one differs."""
    _given().check_formats(formats)
    _given().check_run(run)
    _work("export").export_run(run, formats, to, verifies=verify, as_json=as_json, quiet=quiet)


@_command
def backbones(as_json: AsJson = False) -> None:
    """List the backbones that a recipe may name, with their image size, value range and number of weights."""
    _work("backbones").print_backbones(as_json=as_json)


@_cache_command
def cache_list(path: CachePath = None, as_json: AsJson = False) -> None:
    """Show what is kept: how much, last used when, and whether a process uses it now."""
    _work("cache").show(path, as_json=as_json)


@_cache_command
def cache_verify(path: CachePath = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Read everything, and take out what is damaged; exit code 1 when something was."""
    is_whole = _work("cache").verify(path, as_json=as_json, quiet=quiet)
    if not is_whole:
        raise typer.Exit(1)


@_cache_command
def cache_prune(
    max_bytes: Annotated[
        str, typer.Option(help="What may stay, like 500MB, 10GB or 1.5GiB.", metavar="SIZE", show_default=False)
    ],
    path: CachePath = None,
    as_json: AsJson = False,
) -> None:
    """Delete what was not used for the longest time, until the rest is small enough; never what a process uses."""
    _work("cache").prune(path, max_bytes, as_json=as_json)


@_cache_command
def cache_clear(path: CachePath = None, as_json: AsJson = False) -> None:
    """Delete all features but those that a process uses; they are computed anew when they are wanted."""
    _work("cache").prune(path, "0", as_json=as_json)


def main() -> None:
    """The entry point of the `thawline` command."""
    _open_closed_streams()
    # Windows consoles may not know the characters that tables are drawn with; names that are no UTF-8 keep their bytes.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ENCODING_ERRORS)
    if hasattr(sys.stdin, "reconfigure"):
        # Names of files may end in a carriage return.
        sys.stdin.reconfigure(errors=NAMES, newline="\n")
    app()


def _open_closed_streams() -> None:
    """Opens standard streams that the caller closed, to nobody: files that are opened later would take their place."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is taken, which is this one.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
