"""Writes the pages in docs/ that are tables of the program; tests say when that is due."""

from pathlib import Path

from thawline.check.codes import checks_page
from thawline.data.generator.differences import differences_page

DOCS = Path(__file__).resolve().parents[1] / "docs"

PAGES = {"checks.md": checks_page, "image_data_generator.md": differences_page}


def main() -> None:
    """Writes every page."""
    DOCS.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
