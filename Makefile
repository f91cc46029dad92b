# `make` lists what there is. Needs Python 3.11 or newer and make, nothing else.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run stop test bench bench-ledger check format lint types imports migrations css seed clean lock run-packages dev-packages
MAKEFLAGS += --no-print-directory

# The newest Python that really runs (a pyenv shim may exist and fail) and can make a virtual environment.
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
# With `make PYTHON=...` that one makes .venv, else the fastest that is here: builds differ by half.
THIS_PYTHON := $(if $(findstring file,$(origin PYTHON)),,--this-python)
BIN := .venv/bin
T ?= tests
ARGS ?=
# How many processes share the tests: one for each core, for a part of them just one. WORKERS=0: this one alone.
WORKERS ?= $(if $(filter tests tests/,$(T)),auto,0)
SPREAD := -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Settings for commands that read the settings but need no engine.
NO_ENGINES := TURNPIKE_IGNORE_ENV_FILES=1 DATABASE_URL=postgres://turnpike@127.0.0.1:1/turnpike DATABASE_POOL=false \
	METER_REDIS_URL=redis://127.0.0.1:1/0 REDIS_URL=redis://127.0.0.1:2/0 \
	SECRET_KEY=this-key-signs-nothing-it-only-lets-checks-read-the-settings-7Qx2 \
	API_KEY_PEPPERS=1:this-pepper-signs-nothing DJANGO_SETTINGS_MODULE=gateway.settings.base
# The same, as a production installation would set them.
PRODUCTION := $(NO_ENGINES) DEBUG=false TURNPIKE_LOCAL=false SITE_URL=https://turnpike.example \
	ALLOWED_HOSTS=turnpike.example EMAIL_URL=smtp://mail.turnpike.example:587 HF_TOKEN=hf_used_by_checks_only

help: ## list the targets
	@echo "Turnpike: one key, one meter and one invoice for Hugging Face inference."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: run-packages ## start everything on this machine (PORT=8001 for another port, STRIPE=fake to try payments)
	@exec $(BIN)/python -m gateway.runner

stop: python ## stop what `make run` started
	@$(PYTHON) -m gateway.runner stop

test: dev-packages ## run the tests (T=tests/gateway for some, ARGS="-x -k name" for pytest, WORKERS=0: one process)
	@$(BIN)/python -m pytest $(SPREAD) $(T) $(ARGS)

check: dev-packages ## everything that must be clean: format, lint, types, imports, migrations, deployment, OpenAPI
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(NO_ENGINES) $(BIN)/mypy
	$(BIN)/lint-imports
	$(NO_ENGINES) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING
	$(PRODUCTION) $(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null

format: dev-packages ## rewrite the Python files in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: dev-packages ## what ruff has to say
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: dev-packages ## mypy --strict
	$(NO_ENGINES) $(BIN)/mypy

imports: dev-packages ## the arrows gateway -> billing -> accounts
	$(BIN)/lint-imports

migrations: run-packages ## write migrations for changed models (ARGS="-n name")
	$(NO_ENGINES) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations $(ARGS)

bench: dev-packages ## speed beside nginx, rolter, Portkey and LiteLLM; writes docs/benchmarks.md (ARGS="--help")
	@$(BIN)/python -m tests.bench.gateways --page $(ARGS)

bench-ledger: dev-packages ## events a second into the ledger, how closing and pages grow; writes its part of that page
	@$(BIN)/python -m tests.bench.ledger --page $(ARGS)

css: ## build gateway/static/turnpike.css (needs Node 20)
	npm install --no-save
	npm run css

seed: run-packages ## plans, prices and demo accounts again, into what `make run` started
	@$(BIN)/python -m gateway.runner status
	@$(BIN)/python manage.py seed

lock: dev-packages ## compile requirements*.in into requirements*.txt, with hashes
	$(BIN)/uv pip compile requirements.in -o requirements.txt $(LOCK)
	$(BIN)/uv pip compile requirements-dev.in -o requirements-dev.txt $(LOCK)
	$(BIN)/uv pip compile requirements-model.in -o requirements-model.txt --no-deps $(LOCK)
LOCK := --quiet --custom-compile-command "make lock" --generate-hashes --universal --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links

clean: python ## remove var/ (all local data) and .venv
	@if $(PYTHON) -m gateway.runner status; then exit 1; fi
	rm -rf var .venv

python:
	@test -n "$(PYTHON)" || { echo "Turnpike needs Python 3.11 or newer with its venv module, and finds none. Install one (Debian, Ubuntu: apt install python3 python3-venv) and run make again." >&2; exit 3; }
.PHONY: python

run-packages: python
	@$(PYTHON) gateway/runner/install.py run $(THIS_PYTHON)

dev-packages: run-packages
	@$(PYTHON) gateway/runner/install.py dev
