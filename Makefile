# One environment, exact versions, nothing outside this folder. `make help` lists the rest.
# The system's own Python first: a distribution builds it with profile-guided optimisation, a version manager often
# does not, and our processes then need an eighth more. It must be new enough, and able to make an environment.
FIT := import ensurepip, sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(or $(shell for p in /usr/bin/python3 python3; do $$p -c '$(FIT)' 2>/dev/null && echo $$p && break; done),python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := 0.13.8
# For every Python from 3.11 on and every system at once; overrides.txt says what is left out.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate pyproject.toml --override overrides.txt --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help setup run test check format bench prove weeks kill tell waits plant runs fuzz shots lock up clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the environment

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CityBill needs Python 3.11 or newer: make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: setup ## Run a demo city: web, worker, embedded servers (PORT=8000 to choose)
	@$(BIN)/citybill serve --demo $(if $(PORT),--port $(PORT))

test: setup ## Run every test, on real servers, a process a core (ARGS="-k name" to choose, in one)
	@$(BIN)/pytest $(or $(ARGS),-n auto --dist loadfile --no-loadscope-reorder)

check: setup ## Lint, types, import direction
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## Put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup ## Measure, each figure against its limit in the same run
	@$(BIN)/python -m bench.bill_import
	@$(BIN)/python -m bench.ledger
	@$(BIN)/python -m bench.payments
	@$(BIN)/python -m bench.reconcile
	@$(BIN)/python -m bench.notify
	@$(BIN)/python -m bench.pdf
	@$(BIN)/python -m bench.pages --rows 1000000

prove: setup ## Walk a city at random for a long time; the books must hold (STEPS=1000000)
	@$(BIN)/python -m tests.prove --steps $(or $(STEPS),100000)

weeks: setup ## Live through random city weeks of payments; at the end every fen is found (SEEDS=1000, FROM=1)
	@$(BIN)/python -m tests.weeks --seeds $(or $(SEEDS),200) --from $(or $(FROM),1)

kill: setup ## Kill imports at random moments; what is left must be what a clean one leaves (TIMES=100)
	@$(BIN)/python -m tests.kill --times $(or $(TIMES),100) --what $(or $(WHAT),import)

tell: setup ## Tell a city of its bills while workers are killed and Redis is flushed and hung (TIMES=100, ROWS=100000)
	@$(BIN)/python -m tests.told --times $(or $(TIMES),100) --rows $(or $(ROWS),100000)

waits: setup ## See how long notices wait, alone and behind a night's bills, where carriers take 0.1 to 1 s (NOTICES=20000, ROWS=16000)
	@$(BIN)/python -m bench.notice_waits --rows $(or $(ROWS),16000) --notices $(or $(NOTICES),20000)

plant: setup ## Plant differences of every class among clean rows; exactly those must be found (ROWS=1000000)
	@$(BIN)/python -m tests.planted --rows $(or $(ROWS),1000000)

runs: setup ## Kill a reconciling run of each leg at every statement; nothing may be half done
	@$(BIN)/python -m tests.kill_runs

fuzz: setup ## Try random files on every reader, guided by coverage, SECONDS=60 each
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60)

shots: setup ## Take the screenshots of the README (needs Chromium)
	@$(BIN)/python docs/shots.py

lock: setup ## Choose exact versions anew
	@$(LOCK) --extra demo --extra dev --upgrade --output-file requirements.lock
	@$(LOCK) --constraint requirements.lock --output-file requirements-prod.lock
	@sed -i "/sys_platform == 'never'/d" requirements.lock requirements-prod.lock

up: ## Run with docker compose: servers of their own
	docker compose up --build

clean: ## Remove the environment; the demo city's data stays
	rm -rf $(VENV)
