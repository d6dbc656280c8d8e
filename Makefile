# `make serve` and `make test` are all the set-up there is. Both are safe to repeat, and quick the second time.
# PYTHON=python3.13 sets up with another Python than python3.

.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help serve test lint format e2e browser conformance crash cluster deploy bench seed pins clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

serve: $(VENV)/run.stamp ## Set up and run a hub on http://127.0.0.1:8000 (ARGS="--port 9000 --data DIR")
	@exec $(BIN)/homeport serve $(ARGS)

seed: $(VENV)/run.stamp ## Make a demo organization with images in ./homeport-data
	@$(BIN)/homeport seed $(ARGS)

test: $(VENV)/dev.stamp ## Set up and run the tests, with SQLite and with PostgreSQL, S3 and Valkey (ARGS=tests/unit)
	@$(BIN)/python -m pytest $(or $(ARGS),--numprocesses=auto --dist=loadscope)

lint: $(VENV)/dev.stamp ## Check format, style, types and the directions of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/dev.stamp ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

e2e: $(VENV)/dev.stamp ## A working day with docker, podman, skopeo and clients of the Hub API (installs them where it may)
	@tests/e2e/run $(ARGS)

browser: $(VENV)/dev.stamp ## The pages for people in Chromium (installs it where it may)
	@tests/browser/run $(ARGS)

conformance: $(VENV)/dev.stamp ## The OCI conformance suite with every setting on (needs Go 1.24)
	@tests/conformance/run

crash: $(VENV)/dev.stamp ## Kill the server at random moments and at every step of a push (ARGS=--short)
	@$(BIN)/python -m tests.crash $(ARGS)

cluster: $(VENV)/dev.stamp ## Three workers behind nginx, whose parts fail one after the other (ARGS=--short)
	@tests/cluster/run $(ARGS)

deploy: $(VENV)/dev.stamp ## The image, the chart, the compose file and the units of deploy/ (installs what reads them where it may)
	@tests/deploy/run $(ARGS)

bench: $(VENV)/dev.stamp ## Measure beside docker-registry and nginx (ARGS=--quick)
	@$(BIN)/python -m bench $(ARGS)

pins: $(VENV)/dev.stamp ## Fit the pinned versions to pyproject.toml (ARGS=--upgrade for the newest)
	@tools/pins $(BIN) $(ARGS)

clean: ## Remove what the other targets made, but no data
	rm -rf $(VENV) .cache build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# A stamp is written when its set-up has succeeded: an interrupted one is done again.
$(VENV)/run.stamp: requirements/run.txt pyproject.toml tools/setup
	@tools/setup $(VENV) run

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml tools/setup
	@tools/setup $(VENV) dev

ifdef PYTHON
ifneq ($(PYTHON),$(shell cat $(VENV)/python 2>/dev/null))
.PHONY: $(VENV)/run.stamp $(VENV)/dev.stamp
endif
endif
