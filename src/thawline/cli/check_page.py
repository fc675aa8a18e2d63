"""The page of a check: its findings, with pictures of the files that they name."""

from pathlib import Path

from thawline.check.check import Check
from thawline.files import write_text
from thawline.recipe import Recipe
from thawline.report.findings import show_found
from thawline.report.page import check_page


def write_check_page(path: Path, found: Check, recipe: Recipe, *, repeat: str) -> None:
    """Writes what a check found as one HTML file that needs nothing else, whole or not at all."""
    text = check_page(
        title=recipe.run.name,
        summary=str(found).splitlines()[-1],
        findings=show_found(found.findings),
        recipe=recipe.to_yaml(),
        repeat=repeat,
    )
    write_text(path, text)
