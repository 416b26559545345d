# Every target makes .venv when it is missing or older than pyproject.toml, and needs no network after that.

PYTHON ?= python3
PYTEST_ARGS ?= -n auto
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
STACK := $(VENV)/.installed-stack

.DEFAULT_GOAL := help
.PHONY: help demo test check bench faults test-stack test-sdk test-mlflow clean

help:
	@echo "make demo        an experiment of three branches, live, and the table that compares them"
	@echo "make test        all tests"
	@echo "make check       ruff, mypy --strict, the layer table and the collector's configurations"
	@echo "make bench       what recording costs, against the stock SDK, what logging costs, against other libraries, sampling, and what a tracked loop does"
	@echo "make faults      what every fault costs: lost, twice, dropped, delays, as one table"
	@echo "make test-sdk    OpenTelemetry's own tracing tests against our provider"
	@echo "make test-stack  against the real collector, Jaeger and Prometheus, built with Go"
	@echo "make test-mlflow against the real MLflow, oldest to newest, in environments of their own, kept outside of the tree"
	@echo "make clean       remove everything that was made"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "branchline needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
	  { test -x $(BIN)/python || uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV); } \
	  && uv pip install --quiet --python $(BIN)/python -e '.[dev]'; \
	else \
	  { test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV); } \
	  && $(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'; \
	fi
	@touch $@

$(STACK): $(READY)
	@if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(BIN)/python -e '.[dev,stack]'; \
	else $(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,stack]'; fi
	@touch $@

demo: $(READY)
	@$(BIN)/branchline demo

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/collector_config.py
	$(BIN)/python -m pytest tests/test_layers.py

bench: $(READY)
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.logs
	@$(BIN)/python -m benchmarks.sampling
	@$(BIN)/python -m benchmarks.progress
	@$(BIN)/python -m benchmarks.progress --terminal

faults: $(READY)
	@$(BIN)/python tests/faults/fault_table.py

test-sdk: $(READY)
	$(BIN)/python tests/conformance/run.py

# Without Go there is nothing to test against: the build says so, and nothing is installed for it.
test-stack: $(READY)
	@$(BIN)/python tests/stack/build.py
	@if $(BIN)/python tests/stack/build.py --can; then \
	  $(MAKE) --no-print-directory $(STACK) && $(BIN)/python -m pytest -m stack tests/stack; \
	fi

# MLflow brings some ninety packages that nothing else needs: nobody installs it for `make test`. The newest release runs
# all tests; the oldest, some between and the one without a store run those of what every release does.
MLFLOW ?= newest traces middle floor skinny

test-mlflow: $(READY)
	@for release in $(MLFLOW); do \
	  case $$release in newest) tests=tests/with_mlflow;; *) tests=tests/with_mlflow/test_mlflow_releases.py;; esac; \
	  python=$$($(BIN)/python tests/with_mlflow/environment.py $$release) || exit 1; \
	  echo "== MLflow, $$release"; \
	  PYTHONPATH="$(CURDIR)/src" $$python -m pytest $$tests || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist .branchline .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
