"""Writes docs/checks.md from the tables of codes in the program; a test says when that is due."""

from pathlib import Path

from thawline.check.codes import checks_page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "checks.md"


def main() -> None:
    """Writes the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(checks_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
