"""thawline plan: what is asked in words that cannot be read is told before the work."""

import pytest
from typer.testing import CliRunner

from thawline.cli import app


@pytest.mark.parametrize("word", ["0", "-1", "two", "1;2", "1,,2", ""])
@pytest.mark.parametrize("option", ["--views", "--epochs"])
def test_numbers_that_cannot_be_are_told_before_the_work(option, word, tmp_path):
    done = CliRunner().invoke(app, ["plan", str(tmp_path / "no recipe.yaml"), option, word])
    assert done.exit_code == 2
    assert f"{option} takes whole numbers from 1 up" in done.stderr
