# Each target sets itself up in .venv; a set-up that is there already costs nothing.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
STAMP := $(VENV)/.fishlib-stamp

.PHONY: help setup reproduce test lab bench faults lint clean

help:
	@echo "make reproduce   set up and run the whole study on drawn fish, report at the end"
	@echo "make test        set up and run every test"
	@echo "make lab         JupyterLab on notebook 03 and its failure explorer, the newest run"
	@echo "make bench       measure every promised ratio, write runs/bench.json"
	@echo "make faults      kill, fill disks, spoil files on purpose: nothing may be lost (an hour; FAULTS=--short, as in CI: minutes)"

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/python -m uv pip install --quiet -r requirements.lock
	VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/python -m uv pip install --quiet --no-deps -e .
	@$(BIN)/python -c "import pathlib; pathlib.Path('$(STAMP)').touch()"

setup: $(STAMP)

reproduce: $(STAMP)
	$(BIN)/fishlib reproduce --out runs/demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lab: $(STAMP)
	$(BIN)/jupyter lab --notebook-dir notebooks --LabApp.default_url=/lab/tree/03_inference_only.ipynb

bench: $(STAMP)
	$(BIN)/python -m bench

faults: $(STAMP)
	$(BIN)/python -m faults $(FAULTS)

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(p, ignore_errors=True) for p in ('$(VENV)', 'runs')]"
