# make demo | make test | make test-long | make check: each sets up what it needs. Only a Python of 3.11 or newer and make are assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Tests start hundreds of processes: what they import is compiled once, whatever this shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long check lint types clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/ticketctl demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

# What takes seconds each: pages of the documentation, kills, every plug-in through every claim; and what needs a GPU, on
# one that is not there (tests/pretend_gpu.py).
test-long: $(STAMP)
	$(BIN)/python -m pytest -n 2 --long --pretend-gpu -m "long or gpu"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

check: lint types test test-long

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
