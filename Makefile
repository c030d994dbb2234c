# Two commands matter: `make demo` and `make test`. Each sets up what it needs and works again at once the second time.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.set-up
BROKER ?= local
TESTS ?= tests
# Each process has a Kafka of its own; a module's tests stay together, because they may share a broker
PROCESSES ?= 2
ARGS ?=

help: ## say what can be done here
	@echo "stream-scorer: scores events on Apache Kafka, each exactly once"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(SETUP) ## make .venv with everything in it (the other commands do this themselves)

$(SETUP): requirements.txt requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "stream-scorer needs Python 3.11 or newer, and none was found. Install one, or say: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 2; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) (once; a minute or so)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment: on Debian and Ubuntu, install the package python3-venv."; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt || \
		{ echo "Could not install the locked packages: see pip's message above. Is the package index reachable?"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

schemas: setup ## Kubernetes' own schemas too (100 MB), for the tests of its objects
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-kubernetes.txt

demo: setup ## a real Kafka, a model, a worker and a realistic stream, live in this terminal
	@$(BIN)/stream-scorer demo $(ARGS)

test: setup ## all tests but the long ones, on a real Kafka (BROKER=container: on a container)
	@STREAM_SCORER_TEST_BROKER_SOURCE=$(BROKER) $(BIN)/python -m pytest -m "not long" -n $(PROCESSES) --dist loadfile $(TESTS) $(ARGS)

faults: setup ## the fault tests, the long ones too, and docs/reliability.md written from what they found
	@STREAM_SCORER_TEST_BROKER_SOURCE=$(BROKER) $(BIN)/python -m pytest -m "long or fault" -n $(PROCESSES) --dist loadfile --reliability-report docs/reliability.md tests $(ARGS)

verdicts: setup ## a thousand simulated roll-outs of each kind: how often the judge is wrong
	@$(BIN)/python -m pytest tests/core/rollout/test_verdicts.py $(ARGS)

bench: setup ## events a second over a backlog, exactly once, and latency at a fixed rate
	@$(BIN)/stream-scorer bench $(ARGS)
	@$(BIN)/stream-scorer bench --latency 1000

load: setup ## Locust on a gateway, with a broker and a worker of its own; reports under build/load
	@$(BIN)/python -m tests.load.run $(ARGS)

check: static $(if $(TESTED),,test) ## everything that CI checks: format, lint, types, import contracts, generated files, tests

static: format-check lint types imports generated ## `make check` without the tests

format: setup ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet .

format-check: setup
	@$(BIN)/ruff format --check .

lint: setup
	@$(BIN)/ruff check .

types: setup
	@$(BIN)/mypy

imports: setup
	@$(BIN)/lint-imports

generated: setup
	@$(BIN)/python -m pytest -q tests/contracts

generate: setup ## write what is generated from the code anew: schemas under topics/, pages under docs/
	@$(BIN)/stream-scorer topics describe --out topics/
	@$(BIN)/python -m stream_scorer.operations.generators.docs_pages docs
	@$(BIN)/stream-scorer monitoring describe --out deploy
	@$(BIN)/python -m stream_scorer.operations.generators.kubernetes deploy

lock: setup ## write the lock files anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group build -o requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements.txt pyproject.toml --group build --group dev -o requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements-dev.txt --group kubernetes -o requirements-kubernetes.txt

clean: ## remove .venv and what tools left behind (caches of the broker and the model stay)
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help setup schemas demo test faults verdicts bench load check static format format-check lint types imports generated generate lock clean
