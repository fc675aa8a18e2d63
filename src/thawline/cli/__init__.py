"""The command line: words and options here, the work in one file per group of commands.

The files that do the work import Keras; they are imported when a command runs, so that `--help` answers at once.
"""

import functools
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from thawline import __version__
from thawline.errors import ThawlineError

app = typer.Typer(
    name="thawline",
    help="Train models stacked in series on folders of images: frozen parts run once, augmentation included.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

cache_app = typer.Typer(name="cache", help="Look after the features that are kept.", no_args_is_help=True)
app.add_typer(cache_app)

# When the process began its work, so that the time for loading Keras is accounted for.
STARTED = time.perf_counter()

# What shells expect from a program that Ctrl-C ended.
_INTERRUPTED = 130

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
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


def _telling_errors(work: Callable[..., None]) -> Callable[..., None]:
    """A command that turns our errors into one line and an exit code."""

    @functools.wraps(work)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            work(*arguments, **options)
        except ThawlineError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("interrupted: nothing that was computed is lost, the same command goes on from here.", err=True)
            raise typer.Exit(_INTERRUPTED) from None

    return run


def _command(work: Callable[..., None]) -> Callable[..., None]:
    return app.command()(_telling_errors(work))


def _cache_command(work: Callable[..., None]) -> Callable[..., None]:
    return cache_app.command(work.__name__.removeprefix("cache_"))(_telling_errors(work))


def _work(module: str) -> Any:
    return import_module(f"thawline.cli.{module}")


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
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Look for mistakes in the images and the stack; exit code 1 when something is wrong."""
    _work("check").check_recipe(recipe, overrides or [], as_json=as_json, quiet=quiet)


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
    options = {"views": views, "epochs": epochs, "save": save, "as_json": as_json, "quiet": quiet}
    _work("plan").plan_recipe(recipe, overrides or [], **options)


@_command
def train(
    recipe: RecipePath,
    overrides: Overrides = None,
    plan: Annotated[
        Path | None, typer.Option(help="A plan to follow, from  thawline plan --save FILE.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train what a recipe says, into a run folder; an interrupted run goes on."""
    _work("train").train(recipe, overrides or [], plan=plan, as_json=as_json, quiet=quiet)


@_command
def evaluate(
    run: RunPath,
    data: Annotated[
        Path | None,
        typer.Option(help="A folder of classes to measure on.", show_default="the run's validation images"),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained stack on labelled images."""
    _work("answers").evaluate(run, data, as_json=as_json, quiet=quiet)


@_command
def predict(
    run: RunPath,
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of images.", show_default=False)],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name for each image.")] = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say what a trained stack sees in images."""
    _work("answers").predict(run, paths, top=top, as_json=as_json, quiet=quiet)


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
    # Windows consoles may not know the characters that tables are drawn with.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app()
