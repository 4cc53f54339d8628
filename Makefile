# Two commands do all the set-up on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := train,tasks,math,parquet,search,dense,serve,dev
export OMP_NUM_THREADS ?= 1

.PHONY: setup quickstart test lint clean

setup: $(VENV)/.ready

# torch goes first and pinned: an unpinned one brings gigabytes of CUDA along.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@

quickstart: setup
	$(BIN)/rekindle train examples/spell_backward.toml --recipe recycle --out runs/quickstart --resume

test: setup lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
