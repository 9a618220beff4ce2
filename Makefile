# `make demo` and `make test` need Python 3.11 or 3.12, and a C++ compiler where compressai has no wheel for the
# machine. Both set up .venv on first use.

# Candidates, tried in order. Shims that do not run and Pythons without venv are passed over.
PYTHON ?= python3.12 python3.11 python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
# Tests share the cores file by file, since those of a file share trainings.
SHARED := -n auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-slow soak torch-matrix lint format docs bench wheel clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(INSTALLED) ## make .venv with the pinned versions of constraints.txt

demo: $(INSTALLED) ## train a small codec on real photos, beside the pretrained one, JPEG and WebP in the end (under 3 minutes on two cores)
	$(BIN)/python launch.py experiment=demo
	$(BIN)/python -m analysis rd "$$($(BIN)/python -m lic_exp signature experiment=demo)" --anchors box,jpeg,webp --out runs/demo_beside_others.png

test: $(INSTALLED) ## the fast tests
	$(BIN)/python -m pytest -m "not slow" $(SHARED)

test-slow: $(INSTALLED) ## the tests that take minutes
	$(BIN)/python -m pytest -m "slow and not soak" $(SHARED) --durations=10

lint: $(INSTALLED) ## style, types and layer contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/architecture.py

format: $(INSTALLED) ## bring the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(INSTALLED) ## the pages of docs/ as a site in site/; a warning, such as a link that leads nowhere, is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

soak: $(INSTALLED) ## kill, cancel and resume trainings 160 times, damage 10 000 files, try 2000 odd command lines (an hour)
	$(BIN)/python tests/end_to_end/killing.py --trials 20
	$(BIN)/python tests/end_to_end/faults.py --trials 5
	$(BIN)/python tests/slurm/interrupting.py --trials 20
	$(BIN)/python -m pytest -m soak

torch-matrix: $(INSTALLED) ## every small model on several versions of torch and on numpy 2, 6 GB of disk at a time (an hour)
	$(BIN)/python tests/torch_matrix/versions.py

bench: $(INSTALLED) ## the benchmarks behind benchmarks/RESULTS.md
	set -e; for benchmark in benchmarks/*.py; do echo "## $$benchmark"; $(BIN)/python $$benchmark; done

wheel: $(INSTALLED) ## a wheel in dist/
	$(BIN)/python -m build --wheel

clean: ## remove build outputs and caches; .venv and runs stay
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# pip is the last thing that venv installs, so an interrupted set-up starts again.
$(BIN)/pip:
	@for python in $(PYTHON); do \
	    if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})' 2>/dev/null; then \
	        echo "$$python -m venv $(VENV)"; \
	        exec $$python -m venv --clear $(VENV); \
	    fi; \
	done; \
	echo "None of these is a Python 3.11 or 3.12 that can make a virtual environment: $(PYTHON)" >&2; \
	echo "Debian, Ubuntu: apt install python3-venv. Elsewhere: make PYTHON=/path/to/python3.12" >&2; \
	exit 1

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@
