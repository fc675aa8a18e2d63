"""Every code of the whole room: a smallest case that fires and one that does not, and one line in the docs."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from finding_cases import CASES
from thawline import check as room
from thawline.check.codes import CODES, checks_page, split_meaning

ROOT = Path(__file__).resolve().parents[2]
MODULES = [importlib.import_module(f"{room.__name__}.{found.name}") for found in pkgutil.iter_modules(room.__path__)]
TABLES = {
    module.__name__: module.CODES
    for module in MODULES
    if module.__name__ != "thawline.check.codes" and hasattr(module, "CODES")
}


def test_the_table_has_all_codes_of_the_room_each_once():
    every = [code for table in TABLES.values() for code in table]
    assert sorted(every) == sorted(set(every))
    assert set(every) == set(CODES)


def test_no_finding_is_made_with_a_code_that_no_table_has():
    """Codes are written out where findings are made, so that the source has each of them."""
    said = set()
    for module in MODULES:
        text = Path(module.__file__).read_text(encoding="utf-8")
        said |= set(re.findall(r'"((?:image|class|split|label|joint|features|head|habit|check)-[a-z0-9-]+)"', text))
    assert said == set(CODES)


def test_there_is_a_case_for_every_code_and_none_for_others():
    assert set(CASES) == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_the_smallest_mistake_is_found_and_the_same_without_it_is_not(code):
    found = [finding for finding in CASES[code](True) if finding.code == code]
    assert len(found) == 1
    severities, _ = split_meaning(code)
    assert found[0].severity in severities
    assert found[0].what.endswith(".") and found[0].fix.endswith(".")
    assert list(CASES[code](False)) == []


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_told_with_severities_and_a_meaning(code):
    severities, meaning = split_meaning(code)
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", code)
    assert sorted(CODES[code].partition(": ")[0].split(" or ")) == sorted(severities)
    assert meaning and not meaning.endswith(".")


def test_the_page_of_the_docs_is_the_one_of_the_program():
    page = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    assert page == checks_page(), "run  python scripts/write_pages.py"
    assert [code for code in CODES if page.count(f"| `{code}` |") != 1] == []
