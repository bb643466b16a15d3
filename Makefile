# Works with GNU make 3.81 (macOS) and later, and with BSD or GNU tools.
# `make help` lists the targets; each has its explanation behind `##`.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# Folders with our own Python code (gen/ is generated).
CODE := services gateway libs localnet client miner pooler cli devstack demo trials backup examples scripts tests

# Settings of single targets.
FARMERS ?= 25
BLOCKS ?= 2
BENCH_ARGS ?= --compare
FAULTS_ARGS ?=
DAY_ARGS ?=
SECURITY_ARGS ?=
HISTORY_ARGS ?=
YIELD_ARGS ?=
PYTEST_ARGS ?=
# CHANGED=1: only lines that have changed.
CHANGED ?=
MUTANTS_ARGS ?=
MUTANTS_WORKERS ?= 2
# More than there are cores: many tests wait for ledgers.
PYTEST_WORKERS ?= 4
LOCK_ARGS ?=

.PHONY: help setup gen verify-gen docs verify-docs fmt verify-fmt lint types imports protos migrations check \
	contracts verify-contracts test test-release test-fast demo bench books yield faults day security history mutants screenshots up down secrets certificates lock clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  Variables: FARMERS=$(FARMERS) BLOCKS=$(BLOCKS) for demo;"
	@echo "             PYTEST_ARGS='-k name', PYTEST_WORKERS=$(PYTEST_WORKERS) for test; PYTHON=path for setup"

## ---- setting up -----------------------------------------------------------------------------

setup: $(STAMP) ## Make .venv and install what requirements/ pins (every other target does it, too)
	@:

$(STAMP): requirements/dev.txt pyproject.toml scripts/make_venv.sh
	@PYTHON='$(PYTHON)' sh scripts/make_venv.sh $(VENV)
	@touch $@

lock: ## Pin requirements/*.in again, with hashes (needs uv; LOCK_ARGS=--upgrade for newer versions)
	@sh scripts/lock.sh $(LOCK_ARGS)

## ---- generated code and formats: verify-X says what X would change ------------------------------

gen: setup ## Generate gen/ from protos/
	@$(PY) scripts/gen.py

verify-gen: setup ## Fail when gen/ is not what protos/ gives
	@$(PY) scripts/gen.py --check

docs: setup ## Generate docs/configuration.md, states.md, errors.md and access.md from the code
	@$(PY) scripts/gen_docs.py

verify-docs: setup ## Fail when a generated document is not what the code gives
	@$(PY) scripts/gen_docs.py --check

fmt: setup ## Format Python and protos, and apply safe lint fixes
	@$(VENV)/bin/ruff check --fix-only --quiet .
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/buf format --write

verify-fmt: setup ## Fail when Python or protos are not formatted
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/buf format --diff --exit-code

contracts: setup ## Test our Soroban contract and build it (needs cargo)
	@$(PY) scripts/contracts.py

verify-contracts: setup ## Fail when the committed contract is not what its source gives (skipped without cargo)
	@$(PY) scripts/contracts.py --check

## ---- checks -----------------------------------------------------------------------------------

lint: setup ## Run ruff and the house rules (sizes, names, nothing of one machine)
	@$(VENV)/bin/ruff check .
	@$(PY) scripts/check_style.py

types: setup ## Run mypy --strict
	@$(VENV)/bin/mypy $(CODE)

imports: setup ## Check who may import what (import-linter)
	@$(VENV)/bin/lint-imports

protos: setup ## Lint protos and compare them with the last release for breaking changes
	@$(VENV)/bin/buf lint
	@$(PY) scripts/check_breaking.py

migrations: setup ## Fail when all migrations together are not what schema.sql says
	@$(PY) scripts/check_migrations.py

check: verify-gen verify-docs verify-fmt lint types imports protos migrations ## All of the checks above
	@echo "all checks passed"

## ---- running ------------------------------------------------------------------------------------

test: setup ## Run all tests, and once more, alone, the few that failed; sets up on a fresh clone
	@# Tests start some hundred processes, also where PYTHONDONTWRITEBYTECODE is set.
	-@$(PY) -m compileall -qq $(CODE) gen
	@$(PY) scripts/run_tests.py -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-release: setup ## Run what takes long, before a release: signals at many moments, PgBouncer, strange users
	@$(PY) -m pytest tests/release -p no:xdist $(PYTEST_ARGS)

test-fast: setup ## Run the unit tests only
	@$(PY) -m pytest tests/unit -m "not e2e and not faults" $(PYTEST_ARGS)

demo: setup ## Run a whole pool: FARMERS farmers through BLOCKS blocks, compared with the chain
	@$(PY) -m demo run --farmers $(FARMERS) --blocks $(BLOCKS)

bench: setup ## Measure the wallet on mainnet's limits, then the gateway, shares, the ledger and payouts (BENCH_ARGS='--farmers 100': only the wallet)
	@$(PY) -m trials.bench run $(BENCH_ARGS)
	$(if $(filter-out --compare,$(BENCH_ARGS)),,@$(PY) -m trials.bench.by_http)
	$(if $(filter-out --compare,$(BENCH_ARGS)),,@$(PY) -m trials.shares bench)
	$(if $(filter-out --compare,$(BENCH_ARGS)),,@$(PY) -m trials.bench.ledger)
	$(if $(filter-out --compare,$(BENCH_ARGS)),,@$(PY) -m trials.bench.payouts)

yield: setup ## Compare strategies with the best possible ones in simulated blocks (YIELD_ARGS='--blocks 300 --blocks-1000 100 --warm-up 50')
	@$(PY) -m trials.yields $(YIELD_ARGS)
	$(if $(strip $(YIELD_ARGS)),,@$(PY) -m trials.yields --localnet)

faults: setup ## Break everything in turn and compare with the chain, then day and history (FAULTS_ARGS='--only kill': only that)
	@$(PY) -m trials.faults run $(FAULTS_ARGS)
	$(if $(strip $(FAULTS_ARGS)),,@$(PY) -m trials.shares kill)
	$(if $(strip $(FAULTS_ARGS)),,@$(MAKE) day history)

books: setup ## Book a million random journals by processes that are killed (BOOKS_ARGS='--journals 50000')
	@$(PY) -m trials.books $(BOOKS_ARGS)

day: setup ## Farm 24 h of blocks in compressed time, with kills (DAY_ARGS='--farmers 20 --blocks 12')
	@$(PY) -m trials.day $(DAY_ARGS)

security: setup ## Try all callers and roles, forged orders, thefts, 100,000 hostile requests, 100,000 abandoned calls; look for secrets (SECURITY_ARGS='--quick --requests 5000 --abandoned 5000')
	@$(PY) -m trials.security $(SECURITY_ARGS)
	@$(PY) -m trials.security.cost
	$(if $(strip $(SECURITY_ARGS)),,@$(PY) -m trials.shares attack)

history: setup ## Compare a block's statements with and without 10 million events (HISTORY_ARGS='--events 100000')
	@$(PY) -m trials.history $(HISTORY_ARGS)

mutants: setup ## Make wrong changes and show which no test notices (CHANGED=1; MUTANTS_ARGS='--only services/plant'; MUTANTS_WORKERS=2)
	@$(PY) -m trials.mutants --workers $(MUTANTS_WORKERS) $(if $(CHANGED),--changed) $(MUTANTS_ARGS)

screenshots: setup ## Take the pictures of docs/images from a pool that farms (needs Chromium)
	@$(PY) -m scripts.screenshots

up: setup ## Start the pool and leave it running; prints the addresses (PORTS_FROM=61000: seven ports from there on)
	@$(PY) -m demo up $(if $(PORTS_FROM),--ports-from $(PORTS_FROM))

down: setup ## Stop what `make up` started
	@$(PY) -m demo down

secrets: setup ## Write random passwords and the wallet's key for docker-compose.yml
	@$(PY) scripts/make_secrets.py

certificates: setup ## Renew the certificates that `make secrets` made, and nothing else
	@$(PY) scripts/make_secrets.py --renew

clean: ## Remove caches and the demo's data (not .venv; `make down` first)
	rm -rf var dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
