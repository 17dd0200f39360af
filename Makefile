# Everything a developer does here. `make` alone says what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
# Three processes, on two cores as well: much of the time they wait for brokers.
PYTEST := $(BIN)/python -m pytest --numprocesses=3 --dist=worksteal
STAMP := $(VENV)/.made-from-lock

.PHONY: help setup demo test check lint torture bench schemas lock clean

help:  ## say what the targets do
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s%s\n", $$1, $$2 }'

setup: $(STAMP)  ## make .venv with everything that the other targets need

# Made anew when what is installed changes; otherwise there is nothing to do.
$(STAMP): requirements.lock pyproject.toml
	@sh .ci/venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## a simulated company's frictions, live, then questions answered by SQL
	@$(BIN)/volvere demo

test: setup  ## all tests; those on Apache Kafka say why where they cannot run
	$(PYTEST)

check: setup lint  ## what a change must pass before it is shown: lint, types, layers, unit tests
	$(PYTEST) -q tests/unit

lint: setup  ## lint, format, types and layers, without tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

torture: setup  ## faults at random against a simulated week, on an Apache Kafka of its own: ROUNDS=10 SEED=1 REPORT=file
	@$(BIN)/python -m tests.faults.torture --rounds $(or $(ROUNDS),10) --seed $(or $(SEED),1) $(if $(REPORT),--report $(REPORT))

# WHAT: peers, scale, store, cost, own or page; OPTIONS: see .venv/bin/python -m tests.bench WHAT --help
bench: setup  ## Volveré beside its peers on an Apache Kafka of its own (JDK 17, Maven): OPTIONS="--runs 3"
	@$(BIN)/python -m tests.bench $(or $(WHAT),peers) $(OPTIONS)

schemas: setup  ## generate the JSON Schemas, the pages of views and metrics, dbt's sources and .env.example anew
	$(BIN)/python -m schemas.registry
	$(BIN)/python -m sinks.reference
	$(BIN)/python -m volvere.metrics
	$(BIN)/python -m volvere.settings > .env.example

# One lock for every Python that we support, and its part that the container needs. uv only resolves here; it is not needed to install.
lock: setup  ## resolve the dependencies anew: requirements.lock
	python3 -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra embedded --extra dev \
		--generate-hashes --no-annotate --no-header \
		pyproject.toml --output-file requirements.lock
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra image --constraint requirements.lock \
		--generate-hashes --no-annotate --no-header \
		pyproject.toml --output-file deploy/requirements.lock

clean:  ## remove what was made, except data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
