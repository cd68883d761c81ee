# `make demo` and `make test` set up everything they need: Python (3.10 or newer), make and a
# network are enough. The environment lands in .venv and is rebuilt only when its inputs change.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo/run
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE := $(shell find relight3d build_backend -name '*.cpp' -o -name '*.h' -o -name 'build*.py' -o -path 'build_backend/*.py')

.PHONY: help setup demo test lint format clean

help:
	@echo "make demo    photos in, a relightable asset out, on the bundled capture (3 to 5 minutes on two cores)"
	@echo "make test    lint, types, contracts and tests"
	@echo "make lint    the same without the tests"
	@echo "make format  let ruff reformat and mend what it can"
	@echo "make clean   remove the environment and everything that was built"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt setup.py $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "relight3d needs Python 3.10 or newer; '$(PYTHON)' is not. Try: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/relight3d train data/demo --preset cpu-fast --out $(DEMO) --overwrite
	$(BIN)/relight3d render $(DEMO) --views turntable --frames 60 --env data/demo/envmaps/kloppenheim_05.hdr --out $(DEMO)/turntable
	$(BIN)/relight3d export $(DEMO) --format ply --out $(DEMO)/asset.ply
	@echo
	@echo "Look at  $(DEMO)/report.html            photos beside renders, materials, scores"
	@echo "         $(DEMO)/turntable/rgb.mp4      the object under a sunny sky"
	@echo "         $(DEMO)/asset.ply              splats with materials, for any 3DGS viewer"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyright --pythonpath $(BIN)/python

test: lint
	$(BIN)/python -m pytest
	@echo
	@echo "All checks passed. What each test shows stands in its name: tests/<room>/test_<module>.py;"
	@echo "'make demo' shows the whole chain at work."

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .ruff_cache .import_linter_cache relight3d.egg-info
	find relight3d tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
	find relight3d -name '*.so' -type f -delete
