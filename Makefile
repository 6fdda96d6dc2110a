# Each target sets up .venv by itself; a fresh machine needs python3 with pip, and nothing else.
#   make demo    the page, on a bundled model         make test    every check, with a real browser
#   make lab     the notebook, in JupyterLab          make check   the quick ones: style, types, layers
#   make bench   the measurements                     make clean   take away what the others made

PYTHON ?= python3
MODEL ?= digits-vit
# explorer, or a lesson: start, recipe, formats, ranges, map, own-model, quantise.
PAGE ?= explorer
# Anything: the measurements compare with other runtimes too, which are installed for it.
PEERS ?=
# Processes that share the tests: a browser and its server keep one busy, the rest of the suite another.
WORKERS ?= 2
# Empty: the default port, or the next that is free.
PORT ?=

BIN := .venv/bin
SERVER_OPTIONS = $(if $(PORT),--port $(PORT))

.DEFAULT_GOAL := help
.PHONY: help demo lab test check bench clean

help:
	@sed -n '2,4s/^# *//p' Makefile

demo: .venv/demo.stamp
	@exec $(BIN)/explorer demo --page $(PAGE) --model $(MODEL) $(SERVER_OPTIONS)

lab: .venv/demo.stamp
	@exec $(BIN)/explorer lab --page $(PAGE) $(SERVER_OPTIONS)

# The summary is a run's last line, and a failure of any step is the run's result.
test: .venv/test.stamp
	@.ci/browser $(BIN)/python
	@.ci/node
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@mkdir -p artifacts
	$(BIN)/python -m pytest -n $(WORKERS) --junitxml=artifacts/junit.xml

check: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

bench: .venv/test.stamp
	@.ci/browser $(BIN)/python
	$(if $(PEERS),$(BIN)/pip install --quiet --editable '.[peers]')
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks

clean:
	rm -rf .venv artifacts build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp says that .venv holds what pyproject.toml asks for.
.venv/demo.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=<path>" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[hf]'
	@touch $@

.venv/test.stamp: .venv/demo.stamp
	$(BIN)/pip install --quiet --editable '.[hf,test]'
	@touch $@
