# `make` lists the targets. On a fresh machine: Python >= 3.11 with venv, Go, git.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

BIN := .venv/bin
PYTHON_HERE := $(BIN)/python
# Upstream's etcd and kube-apiserver instead of ours: make test ASSETS=$$KUBEBUILDER_ASSETS
ASSETS ?=
export GOVERNOR_ASSETS := $(ASSETS)
# Further arguments for pytest: make test-unit ARGS='-k quota -x'
ARGS ?=
# A pytest run that takes longer than this has failed.
TEST_SECONDS ?= 900
COVERED := $(BIN)/coverage run -m pytest --session-timeout=$(TEST_SECONDS)
CASES ?= ../shared/corpora/opa-v1/cases.json

ENVIRONMENT := .venv/.synced
OPA := $(BIN)/governor-opa
KUBERNETES := $(if $(ASSETS),,$(BIN)/governor-kubernetes)
BUILDER := native/build.py native/toolchain.py
sources = $(shell find native/$(1) -type f -not -name '.*')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(ENVIRONMENT) $(OPA) $(KUBERNETES) ## make .venv and build the native programs; the first time takes minutes
	@:

$(ENVIRONMENT): pyproject.toml uv.lock scripts/bootstrap scripts/pip_settings.py
	@sh scripts/bootstrap
	@touch $@

$(BIN)/governor-%: $(BUILDER) | $(ENVIRONMENT)
	@$(PYTHON_HERE) -m native.build $* --link $(BIN)

$(OPA): $(call sources,opa)
$(KUBERNETES): $(call sources,kubernetes)

.PHONY: run
run: setup ## the tour, on a real control plane; it stays up until ^C (TOUR=exit: ends by itself)
	@$(PYTHON_HERE) -m tour $(if $(filter exit,$(TOUR)),--exit)

.PHONY: test
test: setup ## all tests, under coverage, which `make verify` reads (ARGS=… for pytest)
	@mkdir -p .make && $(BIN)/coverage erase
ifdef ARGS
	@$(COVERED) $(ARGS)
else
# Side by side: most of the integration tests' time is that of API servers.
	@$(COVERED) -m 'not integration' >.make/unit.log 2>&1 & unit=$$!; \
	$(COVERED) -m integration; integration=$$?; \
	wait $$unit; unit=$$?; cat .make/unit.log; \
	test $$integration -eq 0 -a $$unit -eq 0
endif

.PHONY: test-unit
test-unit: $(ENVIRONMENT) $(OPA) ## the tests that need no control plane
	@$(PYTHON_HERE) -m pytest -m 'not integration' $(ARGS)

.PHONY: test-integration
test-integration: setup ## the tests against the real control plane
	@$(PYTHON_HERE) -m pytest -m integration $(ARGS)

.PHONY: conformance
conformance: $(ENVIRONMENT) $(OPA) ## OPA's own cases through our client (CASES=FILE)
	@$(PYTHON_HERE) -m bench.conformance --cases $(CASES)

.PHONY: mutants
mutants: setup ## break each promise in the source, and see that a test notices
	@$(PYTHON_HERE) -m tests.mutants

.PHONY: kill
kill: setup ## kill Governor and etcd during an agent's writes; hold the ledger against a witness (N=kills)
	@$(PYTHON_HERE) -m bench.kill --kills $(or $(N),20) --writes $(or $(WRITES),500) --seed $(or $(SEED),1)

.PHONY: race
race: setup ## 200 creates at once under a limit of 50, by four webhooks: is it oversold? (N=rounds)
	@$(PYTHON_HERE) -m bench.race --rounds $(or $(N),20) --seed $(or $(SEED),1)

.PHONY: saturate
saturate: setup ## 100 writers on a small API server; and not ready without our priority level
	@$(PYTHON_HERE) -m bench.saturate

.PHONY: bench
bench: setup ## what a review costs
	@$(PYTHON_HERE) -m bench

.PHONY: verify
verify: setup ## generated files, formats, types, layers, policies: changes nothing
	@$(PYTHON_HERE) -m tests.verify

.PHONY: fmt
fmt: $(ENVIRONMENT) $(OPA) ## format Python and Rego
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix-only .
	@$(OPA) fmt --write policies

.PHONY: generate
generate: $(ENVIRONMENT) ## write what is generated: CRDs, references
	@$(PYTHON_HERE) -m controller.apis.generate

.PHONY: cold
cold: ## both README commands in a fresh clone, with a new HOME and new caches; takes long
	@$(or $(PYTHON),python3) scripts/cold.py

.PHONY: clean
clean: ## remove what was made here; the cache of native programs stays
	@rm -rf .venv .make .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
