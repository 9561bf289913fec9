# Everything runs in .venv, which is built from the hashed lock; UV_* keeps uv to this Python.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEPLOY := .venv-deploy
DOCS := .venv-docs
STAMP := $(VENV)/.installed
ASSETS := console/dist/manifest.json
# Much of a test is waiting for servers: three files at a time, each process with servers of its own, in the
# order of their names: the long ones, end to end and with servers, come first, so that none is left over.
SIDE_BY_SIDE := -n 3 --dist loadfile --no-loadscope-reorder
export UV_PYTHON_DOWNLOADS := never
# Compiled once, not by every process of the tests and for every workflow's start, whatever the caller's habit.
test test-unit test-integration: export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help assets docs dev demo test test-unit test-integration lint typecheck format fingerprints migrate seed bench screenshots chaos check-deploy lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Recoup needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements/dev.txt
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

$(ASSETS): $(STAMP) console/build.py console/package-lock.json $(shell find console -name '*.html' -o -path 'console/static/*' -o -path 'console/*.py')
	@$(BIN)/python -m console.build

assets: $(ASSETS) ## Build what the console's pages load

dev: $(STAMP) $(ASSETS) ## Start everything, do the main job, stay up until Ctrl-C
	@$(BIN)/recoup dev

demo: $(STAMP) $(ASSETS) ## The same, then stop and exit 0
	@$(BIN)/recoup demo

test: $(STAMP) $(ASSETS) ## Every test, against real servers that it starts itself
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-unit: $(STAMP) ## The tests that need no server
	@$(BIN)/python -m pytest tests/unit

test-integration: $(STAMP) $(ASSETS) ## The tests against PostgreSQL, Temporal and SFTP
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/integration tests/e2e

lint: $(STAMP) ## Style, imports, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

typecheck: $(STAMP) ## mypy --strict
	@$(BIN)/mypy

format: $(STAMP) ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

fingerprints: $(STAMP) ## Write down anew which steps new runs of workflows take; review the diff
	@RECOUP_FINGERPRINTS=write $(BIN)/python -m pytest -q tests/replay/test_fingerprints.py

migrate: $(STAMP) ## Bring the database of a running sandbox to the present schema
	@$(BIN)/recoup migrate

seed: $(STAMP) ## Make the demo agencies and users in a running sandbox
	@$(BIN)/recoup seed

bench: $(STAMP) $(ASSETS) ## Measure speed against floors taken in the same run
	@$(BIN)/recoup bench

screenshots: $(STAMP) $(ASSETS) ## Pictures of every page of the console in docs/screenshots, the README's in docs/pictures
	@RECOUP_BROWSER_REQUIRED=1 RECOUP_SCREENSHOTS=$(CURDIR)/docs/screenshots \
		$(BIN)/python -m pytest -q tests/e2e/console/pictures.py tests/e2e/console/test_every_page.py

chaos: $(STAMP) $(ASSETS) ## Take payments while processes are killed, and prove that no cent is wrong
	@$(BIN)/recoup chaos

$(DEPLOY)/.installed: $(STAMP) requirements/deploy.txt
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(DEPLOY)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(DEPLOY)/bin/python requirements/deploy.txt
	@touch $@

$(DOCS)/.installed: $(STAMP) requirements/docs.txt docs/sphinx/package-lock.json
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(DOCS)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(DOCS)/bin/python requirements/docs.txt
	@cd docs/sphinx && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent
	@touch $@

docs: $(DOCS)/.installed ## Build the documents as a site that reads offline, in site/
	@$(DOCS)/bin/sphinx-build -q -E -W --keep-going -c docs/sphinx -d $(DOCS)/doctrees . site
	@$(BIN)/python docs/sphinx/reference.py site/reference
	@echo "site/index.html"

check-deploy: $(STAMP) $(ASSETS) $(DEPLOY)/.installed $(DOCS)/.installed ## Check image, compose file, chart, alert rules, workflows and documents
	@$(BIN)/python -m pytest tests/deploy

lock: $(STAMP) ## Resolve the dependencies anew
	@$(BIN)/uv pip compile pyproject.toml --extra tracing --group dev $(LOCKED) -o requirements/dev.txt
	@$(BIN)/uv pip compile pyproject.toml --extra tracing $(LOCKED) -c requirements/dev.txt -o requirements/runtime.txt
	@$(BIN)/uv pip compile --group pyproject.toml:build $(LOCKED) -c requirements/dev.txt -o requirements/build.txt
	@$(BIN)/uv pip compile --group pyproject.toml:deploy $(LOCKED) -o requirements/deploy.txt
	@$(BIN)/uv pip compile --group pyproject.toml:docs $(LOCKED) -o requirements/docs.txt
	@echo "uv==$$($(BIN)/uv --version | cut -d' ' -f2)" | $(BIN)/uv pip compile - $(LOCKED) -o requirements/bootstrap.txt
LOCKED := --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11

clean: ## Remove the environment; the sandbox's data under .recoup stays
	@rm -rf $(VENV)
