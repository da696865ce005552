# SPDX-License-Identifier: Apache-2.0
# Everything runs in .venv, which the first target that needs it makes. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
STAMP := .venv/.installed
EXAMPLES := $(patsubst %/pyproject.toml,%,$(wildcard examples/*/pyproject.toml))
# The first Python that is new enough and can make environments; `make PYTHON=/path/to/python3 …` chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$p -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$p; break; fi; done)
ARGS ?=
# Hundreds of our processes start in a test run; each would compile the source anew where the environment forbids to keep it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup run test check format chaos chaos-long bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv and install the pinned dependencies (again only where they changed)

$(STAMP): requirements.lock pyproject.toml $(EXAMPLES:=/pyproject.toml)
	@test -n "$(PYTHON)" || { echo "Event Bridge needs Python 3.11 or newer with its venv module (Debian, Ubuntu: apt install python3-venv). Install it, or run make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Event Bridge needs Python 3.11 or newer; $(PYTHON) is {sys.version.split()[0]}")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . $(EXAMPLES:%=-e ./%)
	@touch $@

run: setup ## Run the whole product here, with a demo tenant (Ctrl-C ends it; data stays in .bridge/)
	@$(BIN)/evb dev $(ARGS)

test: check ## Check and test everything, on real Kafka and Valkey
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)
	@for example in $(EXAMPLES); do (cd $$example && $(CURDIR)/$(BIN)/python -m pytest -q) || exit 1; done

check: setup ## Lint, formatting, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chaos: setup ## Break every part under load and account for every event: the table of docs/reliability.md (ARGS="C2 P1" for rows)
	$(BIN)/python -m tests.chaos $(ARGS)

chaos-long: setup ## The same with the large numbers, and a full disk, wrong clocks and few open files, for hours (ARGS="C2" for a row)
	$(BIN)/python -m tests.chaos --long $(ARGS)
	CHAOS=long $(BIN)/python -m pytest -m chaos -s

bench: setup ## Measure this machine: rates, latency, memory (ARGS="ingress" for a part)
	$(BIN)/python -m bench $(ARGS)

clean: ## Remove .venv and what tools left; data in .bridge/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
