# Everything a developer or CI does, by name. A fresh machine needs Python 3.11 to 3.13 with pip, and make; nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# A pipe in a recipe, and the reader of a CI log, should see lines as they happen.
export PYTHONUNBUFFERED := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PACKAGES := $(wildcard agentflow tasks config migrations)
SOURCES := $(wildcard agentflow tasks config migrations tests examples evals bench)
UV ?= $(firstword $(wildcard $(VENV)/bin/uv) uv)
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --exclude-newer "7 days" $(if $(UPGRADE),--upgrade)

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Install the locked packages and the project into .venv

# The first interpreter that runs and fits: a name on the PATH may be a shim that does not.
define find_python
for candidate in $${PYTHON3:-} python3 python3.13 python3.12 python3.11; do \
	if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi; \
	candidate=; \
done; \
if [ -z "$$candidate" ]; then \
	echo "No Python 3.11, 3.12 or 3.13 found: install one, or name it with PYTHON3=/path/to/python." >&2; exit 1; \
fi
endef

# Some systems ship venv without ensurepip: the system's own pip then installs into the venv from outside.
$(PYTHON):
	@$(find_python); \
	echo "Making $(VENV) with $$("$$candidate" -V)"; \
	"$$candidate" -m venv $(VENV) >/dev/null 2>&1 || { \
		rm -rf $(VENV); \
		"$$candidate" -m venv --without-pip $(VENV) && "$$candidate" -m pip --python $(PYTHON) install -qq pip; \
	} || { \
		rm -rf $(VENV); \
		echo "$$candidate can't make a virtual environment: install its venv and pip packages (python3-venv, python3-pip)." >&2; \
		exit 1; \
	}

$(STAMP): $(PYTHON) requirements/dev.lock pyproject.toml
	@echo "Installing the locked packages"
	@$(PYTHON) -m pip install -qq --require-hashes --only-binary :all: -r requirements/dev.lock
	@$(PYTHON) -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: $(STAMP) ## Start everything here and run the refund agent under injected faults
	@$(PYTHON) -m examples.refunds.demo

.PHONY: test
test: $(STAMP) ## Run the tests in two processes (ARGS="-k lease" for some of them, "-n 0" for one process)
	@$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-long
test-long: $(STAMP) ## Run the tests that take minutes, which `make test` leaves out
	@$(PYTHON) -m pytest -m long $(ARGS)

.PHONY: chaos
chaos: $(STAMP) ## Break everything for a while, heal it, and check what is left (SEED=1 DURATION=900, in seconds)
	@$(PYTHON) -m tests.chaos $(if $(SEED),--seed $(SEED)) --duration $(or $(DURATION),900) $(ARGS)

.PHONY: crashpoints
crashpoints: $(STAMP) ## Kill and freeze a process at each of its points, and check what is left
	@$(PYTHON) -m tests.crashpoints $(ARGS)

.PHONY: mutants
mutants: $(STAMP) ## Take each guard of the protocol out of a copy, and see the tests fail
	@$(PYTHON) -m tests.mutants $(ARGS)

.PHONY: model
model: $(STAMP) ## Explore the model of the protocol, and print a counterexample for each guard that is left out
	@$(PYTHON) -m tests.model $(ARGS)

.PHONY: check
check: $(STAMP) ## Check format, lint, types and imports
	@$(VENV)/bin/ruff format --check --quiet $(SOURCES)
	@$(VENV)/bin/ruff check --quiet $(SOURCES)
	@$(VENV)/bin/mypy $(PACKAGES)
	@$(VENV)/bin/lint-imports

.PHONY: format
format: $(STAMP) ## Put the sources into their format, and mend what lint can mend
	@$(VENV)/bin/ruff check --fix --quiet $(SOURCES) || true
	@$(VENV)/bin/ruff format $(SOURCES)

.PHONY: bench
bench: $(STAMP) ## Take the figures (ARGS="steps", "llm", "all", "profile", "queries"; python -m bench --help)
	@$(PYTHON) -m bench $(ARGS)

.PHONY: bench-peers
bench-peers: $(STAMP) ## Measure agentflow beside its peers, each in an environment of its own (ARGS="--only absurd dbos")
	@$(PYTHON) -m bench.peers $(ARGS)

.PHONY: bench-growth
bench-growth: $(STAMP) ## Fill the tables with a year of runs, and measure beside empty ones (ARGS="--runs 100000")
	@$(PYTHON) -m bench.growth $(ARGS)

.PHONY: wheel
wheel: $(STAMP) ## Build the wheel into dist/
	@rm -rf dist
	@$(PYTHON) -m build --no-isolation --wheel

.PHONY: wheel-test
wheel-test: wheel ## Install the wheel into an empty venv, start a project and run its tests
	@bash tests/wheel/check.sh dist/*.whl

# The image takes run.lock, an isolated build takes build.lock, .venv takes dev.lock; one resolution serves all three.
.PHONY: lock
lock: ## Pin the packages again, none younger than a week (UPGRADE=1 takes newer ones)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: install it, or name it with UV=/path/to/uv." >&2; exit 1; }
	@$(COMPILE) pyproject.toml --extra embedded --extra dev --group build --output-file requirements/dev.lock
	@$(COMPILE) pyproject.toml --constraint requirements/dev.lock --output-file requirements/run.lock
	@$(COMPILE) --group build --constraint requirements/dev.lock --output-file requirements/build.lock

.PHONY: clean
clean: ## Remove what was built and cached, but not .venv and .agentflow
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
