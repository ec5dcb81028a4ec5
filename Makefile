# `make train` and `make test` need nothing but Python ≥ 3.11; see the README for the rest.

PYTHON ?= python3
BIN := .venv/bin
RANKS ?= 2

# What `make test-lowest` runs: where versions of other packages matter, on every kind of worker.
CORE := tests/quant tests/layers tests/admm/solvers tests/admm/comm tests/admm/datasets \
	tests/admm/cli/test_subnetworks.py tests/contract.py tests/benchmarks/test_report.py

.PHONY: train test test-all test-lowest faults fuzz same-bits check docs notebooks pictures results clean

train: .venv/installed
	$(BIN)/mpirun -n $(RANKS) $(BIN)/python -m admm train $(ARGS)

test: .venv/installed
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: .venv/installed
	$(BIN)/python -m pytest $(ARGS)

# The lowest versions that pyproject.toml allows, of Python too.
test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest -m "not slow" -o cache_dir=.venv-lowest/cache $(CORE) $(ARGS)

faults: .venv/installed
	$(BIN)/python -m tests.faults $(ARGS)

fuzz: .venv/installed
	$(BIN)/python -m tests.fuzz $(ARGS)

same-bits: .venv/installed
	$(BIN)/python -m tests.same_bits $(COMMIT) $(FOLDER) $(ARGS)

# All stored rows, and the tables and pictures of them, which takes long; some rows with
# FILES="benchmarks/results/A.json …".
FILES ?= $(wildcard benchmarks/results/*.json)
results: .venv/installed
	$(BIN)/python -m benchmarks again $(FILES)
	$(BIN)/python -m docs.tables
	$(BIN)/python -m docs.pictures

# Those of docs/images, which explain, and those of stored rows.
pictures: .venv/installed
	$(BIN)/python -m docs.pictures

check: .venv/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# The site, below build/site; a warning is an error. The variable silences an advertisement.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# examples/*.ipynb, from the scripts beside them.
notebooks: .venv/installed
	$(BIN)/jupytext --from py:percent --to ipynb examples/*.py

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[mpi,test,check,docs]"
	touch $@

.venv-lowest/installed: pyproject.toml | .venv/installed
	$(BIN)/uv venv --quiet --clear --python 3.11 .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest --resolution lowest-direct \
		--editable ".[mpi,test]"
	touch $@

clean:
	rm -rf .venv .venv-lowest build dist *.egg-info
