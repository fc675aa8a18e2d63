# What CI does and what anyone types: one environment in .venv, made once, remade when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The project's own runs keep their features beside them, not in the user's cache.
export THAWLINE_CACHE ?= $(CURDIR)/.cache/features
# Tests run in so many processes at once; each has a TensorFlow of its own.
TEST_PROCESSES ?= 2

.PHONY: demo test check bench examples clean

demo: $(VENV)/ready  ## train on real images, report
	$(BIN)/thawline demo

test: check  ## all checks and tests
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile

check: $(VENV)/ready  ## format, lint, types, floors, file lengths
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/check_lengths.py

bench: $(VENV)/ready  ## the figures that the README quotes
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

examples: $(VENV)/ready  ## the examples on all their images
	for script in examples/*.py; do $(BIN)/python $$script || exit 1; done

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cpu,demo,test]'
	touch $@

clean:
	rm -rf $(VENV) .cache
