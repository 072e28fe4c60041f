# Every target sets up what it needs: on a fresh machine `make demo` or `make test` is the only command.
VENV ?= .venv
PYTHON ?= python3
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.installed-for-demo
DOCS_STAMP := $(VENV)/.installed-for-docs
BIN := $(VENV)/bin

.PHONY: demo install test lint check types wheel bench docs clean

demo: $(DEMO_STAMP)
	$(BIN)/gancompress quickstart

install: $(STAMP)

# Tests start many processes that import the package: its bytecode is kept, whatever the environment says.
test: lint
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

check: lint types

types: $(STAMP)
	$(BIN)/pyright --pythonpath $(BIN)/python

wheel: $(STAMP)
	$(BIN)/python scripts/check_wheel.py

bench: $(STAMP)
	$(BIN)/python scripts/benchmark_channels.py
	$(BIN)/python scripts/benchmark_supernet.py
	$(BIN)/python scripts/benchmark_search.py

docs: $(DOCS_STAMP)
	$(BIN)/mkdocs build --strict

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

# What the demo needs and no more; files that it never imports are not compiled.
$(DEMO_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[openvino]'
	touch $(DEMO_STAMP)

$(DOCS_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $(DOCS_STAMP)

clean:
	rm -rf $(VENV) build dist src/*.egg-info
