# `make help` lists the targets. Each does the set-up that it needs; `make setup` does it alone.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all reproduce benchmark mutants docs lint type tensorboard clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv and install the project in it, for development

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "descentlab needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (once; a minute or two)"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@mkdir -p .venv/typing && ln -sfn ../../src .venv/typing/descentlab  # where mypy finds it
	@touch $@

run: $(READY)  ## fit a line to the diabetes data, then test its last and its best parameters
	@$(BIN)/descentlab fit --config linear_regression/split.yaml --test_after_fit true

test: $(READY)  ## run the tests, but for those that take more than a few seconds (PYTEST="…" passes flags on)
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(PYTEST)

test-all: $(READY)  ## run all tests
	@$(BIN)/python -m pytest $(PARALLEL) $(PYTEST)

reproduce: $(READY)  ## run every entry of the handouts and write reports/handouts/
	@$(BIN)/python scripts/reproduce.py

benchmark: $(READY)  ## measure every speed that the documentation claims
	@$(BIN)/python scripts/benchmark.py

mutants: $(READY)  ## change random lines of the source and see whether a test notices (an hour or more)
	@$(BIN)/python scripts/mutants.py

docs: $(READY)  ## build the documentation as a site, site/index.html; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

lint: $(READY)  ## check style and layout
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

type: $(READY)  ## check types
	@$(BIN)/mypy

tensorboard: $(READY)  ## show the latest runs in TensorBoard, on http://localhost:6006
	@$(BIN)/descentlab tensorboard

clean:  ## remove what the project made: .venv, runs, reports, caches
	rm -rf .venv logs reports/handouts* site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
