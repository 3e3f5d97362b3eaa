# make demo: train on real digits.  make test: run the tests.  Both set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?=
SOURCES := $(shell find csrc fastnn -name '*.cpp' -o -name '*.h' -o -name '*.inc' -o -name '*.py') CMakeLists.txt pyproject.toml

.PHONY: demo test test-openmp lint bench clean

demo: $(VENV)/.installed
	$(BIN)/python -m fastnn train

test: $(VENV)/.installed
	$(BIN)/pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/pytest bench

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet 'scikit-build-core>=0.10' 'pybind11>=2.13' cmake ninja
	touch $@

$(VENV)/.installed: $(VENV)/.tools $(SOURCES)
	$(BIN)/pip install --quiet --no-build-isolation --editable '.[test,lint,bench]'
	touch $@

clean:
	rm -rf build dist $(VENV)
