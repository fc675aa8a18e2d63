"""Runs the scripts that users run."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def keras_engine_only():
    """Examples and benchmarks run with what is installed, as they do for whoever types them."""


@pytest.fixture
def run_script(monkeypatch):
    """Runs a script of the repository as typed."""

    def run(script, *words):
        monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
        runpy.run_path(str(ROOT / script), run_name="__main__")

    return run
