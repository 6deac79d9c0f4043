# `make demo` and `make test` set up everything they need in .venv, on a machine with Python >= 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
# A tool that is not on the path of a fresh machine: mpiexec comes from the mpich wheel in the environment.
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: demo test lint acceptance clean

demo: $(VENV)/.user
	$(BIN)/felsina demo --out $(OUT) --force

test: lint
	$(BIN)/python -m pytest -q

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# What takes longer: the slow tests, and every benchmark against its reference.
acceptance: lint
	$(BIN)/python -m pytest -q --slow
	set -e; for script in benchmarks/*.py; do case $$script in benchmarks/_*) ;; *) echo "== $$script"; $(BIN)/python $$script;; esac; done

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "felsina needs Python >= 3.11: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "This Python has no venv (Debian: apt-get install python3-venv)."; exit 1; }

$(VENV)/.user: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[mpi,analysis]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.user

clean:
	rm -rf $(VENV) build dist runs .import_linter_cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
