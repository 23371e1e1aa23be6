# Everything a contributor types. Needs make and Python 3.11 or newer; the rest goes into .venv.
#
# The environment is a chain of stamp files in .venv, each newer than what it was made from:
#   made (the environment itself)  <-  base (what runs)  <-  installed (this project, editable)
#                                                        <-  test  <-  check
# so a target pays only for what changed, and a second `make dev` pays nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PIP_INSTALL := $(PIP) install --require-hashes
SAGA_DEV_ARGS ?=
STACK_ARGS ?=
PYTEST_ARGS ?=

# An environment knows by heart where it is and which Python it is of, and breaks when either moves: then it is stale.
PLACE := echo "$(CURDIR) $$(readlink -f $(BIN)/python)"
STALE := $(shell test -x $(BIN)/python && test "$$($(PLACE))" = "$$(cat $(VENV)/.made 2>/dev/null)" || echo stale)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help dev stack test test-fast test-long check fix bench docs lock clean stale

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

dev: $(VENV)/.installed ## run everything on this machine, with reload (SAGA_DEV_ARGS="..." is passed on)
	@exec $(BIN)/saga dev $(SAGA_DEV_ARGS)

stack: $(VENV)/.installed ## Redis, the registry and a runner, as in compose.yml (STACK_ARGS="..." is passed on)
	@exec $(BIN)/python deploy/stack.py $(STACK_ARGS)

test: $(VENV)/.test ## the tests, without those that take long or break things (PYTEST_ARGS="..." is passed on)
	$(BIN)/python -m pytest -m "not slow and not fault" $(PYTEST_ARGS)

test-fast: $(VENV)/.test ## the tests that start no process
	$(BIN)/python -m pytest -n auto -m "not slow and not fault and not process" $(PYTEST_ARGS)

test-long: $(VENV)/.test ## only the tests that take long or break things
	$(BIN)/python -m pytest -m "slow or fault" $(PYTEST_ARGS)

check: $(VENV)/.check ## lint, format, types, floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.check ## mend what lint and format can mend by themselves
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

# With the tests' packages, because the registry's Redis is started as theirs is.
bench: $(VENV)/.test ## measure
	$(BIN)/python -m bench

docs: $(VENV)/.installed ## write what is generated: the schema in schemas/, tables in docs/reference/
	$(BIN)/saga schema -o schemas/saga.schema.json
	$(BIN)/python docs/generate.py

clean: ## remove the environment and every cache
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build

# --- the environment ---------------------------------------------------------------------------

$(VENV)/.made: $(STALE)
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "make: there is no command '$(PYTHON)'; install Python 3.11 or newer, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1), and this project needs 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' cannot make environments (no ensurepip); on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version 2>&1)"
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV)
	@$(PLACE) > $@

$(VENV)/.base: requirements/base.txt requirements/build.txt $(VENV)/.made
	@echo "Installing what the project runs on"
	@$(PIP_INSTALL) -r requirements/base.txt -r requirements/build.txt
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.base
	@$(PIP) install --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.installed
	@echo "Installing what the tests need"
	@$(PIP_INSTALL) -r requirements/test.txt
	@touch $@

# After the tests' packages, because types are checked against those too.
$(VENV)/.check: requirements/check.txt $(VENV)/.test
	@echo "Installing what the checks need"
	@$(PIP_INSTALL) -r requirements/check.txt
	@touch $@

# --- the pins ----------------------------------------------------------------------------------
# pyproject.toml says what is wanted; requirements/*.txt say which, with hashes and no address, so they fit any
# index. Each file keeps to the pins of those before it.

UPGRADE ?=
COMPILE = env -u PIP_FIND_LINKS $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes \
  --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --no-annotate $(UPGRADE)
GROUP = $(BIN)/python -c 'import sys, tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"][sys.argv[1]], sep="\n")'

lock: $(VENV)/.made ## pin anew from pyproject.toml (UPGRADE=--upgrade moves to the newest)
	@$(PIP_INSTALL) -r requirements/lock.txt
	$(COMPILE) --output-file requirements/base.txt pyproject.toml
	$(GROUP) build | $(COMPILE) -c requirements/base.txt --output-file requirements/build.txt -
	$(GROUP) test | $(COMPILE) -c requirements/base.txt -c requirements/build.txt --output-file requirements/test.txt -
	$(GROUP) check | $(COMPILE) -c requirements/base.txt -c requirements/build.txt -c requirements/test.txt --output-file requirements/check.txt -
	$(GROUP) lock | $(COMPILE) -c requirements/base.txt --output-file requirements/lock.txt -
