# Both `make demo` and `make test` set up what is missing first; everything of Python's stays in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UNFINISHED := $(VENV)/.unfinished

.DEFAULT_GOAL := help
.PHONY: help setup system system-tests demo test unit lint format bench soak down

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install what is missing: Debian packages (as root) and .venv

$(STAMP): pyproject.toml constraints.txt imageforge/stack/setup.sh
	@imageforge/stack/setup.sh
	@test -x $(BIN)/python || { echo "setup: making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "setup: installing imageforge and its Python packages into $(VENV)"
# pip takes for installed what it was stopped in the middle of: what was not finished is written anew.
	@again=; test ! -e $(UNFINISHED) || again=--ignore-installed; touch $(UNFINISHED); \
		$(BIN)/python -m pip install -qq --disable-pip-version-check $$again -c constraints.txt -e '.[dev]'
	@rm -f $(UNFINISHED); touch $@

system: $(STAMP)
	@imageforge/stack/setup.sh

demo: system ## Build, shrink, push and deploy the first example, and show the round robin
	@examples/demo.sh

system-tests: $(STAMP)
	@imageforge/stack/setup.sh --tests

test: system-tests lint ## Every check and every test, with an engine of its own where none answers
	@$(BIN)/python -m tests.both -q

unit: system-tests ## The tests that need no engine
	@$(BIN)/python -m pytest -q -m "not engine"

lint: $(STAMP) ## ruff, mypy and the arrows of the house
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .

bench: $(STAMP) ## The benchmarks (an hour)
	@imageforge/stack/setup.sh
	@imageforge/stack/setup.sh --bench
	@$(BIN)/python -m tests.sandbox --run benchmarks

soak: system-tests ## Long runs: many rollouts and kills under load
	@$(BIN)/python -m tests.sandbox -q -m soak

down: ## Stop the demo's stack; PURGE=1 removes all of it
	@$(BIN)/imageforge down $(if $(filter 1 yes,$(PURGE)),--purge --yes)
