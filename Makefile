# `make train` and `make test` need nothing but Python ≥ 3.11; see the README for the rest.

PYTHON ?= python3
BIN := .venv/bin
RANKS ?= 2

.PHONY: train test test-all faults fuzz same-bits check clean

train: .venv/installed
	$(BIN)/mpirun -n $(RANKS) $(BIN)/python -m admm train $(ARGS)

test: .venv/installed
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: .venv/installed
	$(BIN)/python -m pytest $(ARGS)

faults: .venv/installed
	$(BIN)/python -m tests.faults $(ARGS)

fuzz: .venv/installed
	$(BIN)/python -m tests.fuzz $(ARGS)

same-bits: .venv/installed
	$(BIN)/python -m tests.same_bits $(COMMIT) $(FOLDER) $(ARGS)

check: .venv/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[mpi,test,check]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
