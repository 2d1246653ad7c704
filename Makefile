# StreamVibe's commands. `make help` prints this list from the comments behind the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Any Python >= 3.11 builds the environment; PYTHON=python3.13 chooses another one.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test up check bench mutants soak package deploy deploy-db preflight docs lock clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(INSTALLED) ## install what the other commands need into .venv (they all call it themselves)

$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "StreamVibe needs Python 3.11 or newer; say PYTHON=/path/to/python3.11."; exit 1; }
	@echo "Installing the locked dependencies into $(VENV) (once) ..."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

demo: $(INSTALLED) ## walk through the whole creator journey on the local stack
	@$(BIN)/python -m infra.local.demo

up: $(INSTALLED) ## run the local stack until Ctrl-C (PORT_BASE=n moves its ports)
	@$(BIN)/python -m infra.local.up

test: $(INSTALLED) ## run the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)

soak: $(INSTALLED) ## run the long profiles of the property, fuzz, race and kill tests; e2e through serverless-offline
	@STREAMVIBE_PROFILE=soak $(BIN)/python -m pytest --timeout 3600 $(TESTS)
	@$(if $(TESTS),,STREAMVIBE_FUNCTIONS=serverless-offline $(BIN)/python -m pytest --timeout 3600 tests/e2e)

check: $(INSTALLED) ## ruff, mypy --strict, import rules, SQL lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/sqlfluff lint --disable-progress-bar sql

mutants: $(INSTALLED) ## weaken the schema in some 150 places, one at a time; the database tests must notice
	@$(BIN)/python -m tests.database.mutants

bench: $(INSTALLED) ## run the benchmarks and write infra/bench/latest.json
	@$(BIN)/python -m infra.bench

package: $(INSTALLED) ## build the Lambda artefacts into build/ and print their sizes
	@$(BIN)/python -m infra.package

STAGE ?= dev
OSLS := infra/node/node_modules/.bin/osls

$(OSLS): infra/node/package-lock.json
	@command -v npm >/dev/null || { echo "make deploy needs Node 20.19 or newer with npm (https://nodejs.org)."; exit 1; }
	@cd infra/node && npm ci --loglevel=error
	@touch $@

deploy: $(INSTALLED) $(OSLS) ## build and deploy the functions (STAGE=dev; settings from .env.<stage>, see docs/deploy.md)
	@test -f .env.$(STAGE) || { echo "There is no .env.$(STAGE): copy .env.example and fill it in (docs/deploy.md)."; exit 1; }
	@$(BIN)/python -m infra.package
	@node $(OSLS) deploy --stage $(STAGE) $(if $(REGION),--region $(REGION))

deploy-db: ## apply sql/ to the hosted database named by DATABASE_URL, with the official CLI
	@$(PYTHON) -m infra.push

preflight: $(INSTALLED) ## check what a stage stands on and say what to mend (STAGE=dev; reads .env.<stage> and SSM)
	@set -a; test ! -f .env.$(STAGE) || source ./.env.$(STAGE); set +a; $(BIN)/python -m infra.preflight --stage $(STAGE)

docs: $(INSTALLED) ## write the generated documents (ER diagram, configuration table, OpenAPI)
	@$(BIN)/python -m infra.docs

lock: $(INSTALLED) ## renew requirements.lock from pyproject.toml
	@$(BIN)/python -m pip install -qq uv
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

clean: ## remove everything that the commands above have made
	@rm -rf $(VENV) build infra/local/.run infra/local/.cache node_modules infra/node/node_modules tests/e2e/js/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
