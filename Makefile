# `make demo` and `make test` do all of their set-up; a second run reuses the environment in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo label test lint clean

demo: $(INSTALLED)
	$(BIN)/python scripts/demo.py

label: $(VENV)/.installed-label
	$(BIN)/python scripts/label.py

test: lint
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# uv installs in seconds what takes pip minutes; where it is not to be had, pip does the same.
$(INSTALLED): pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	if $(BIN)/python -m pip install --quiet uv; then \
		VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --editable '.[dev]'; \
	else \
		$(BIN)/python -m pip install --quiet --editable '.[dev]'; \
	fi
	touch $@

# SAM 2, which MONAI Label brings, builds faster without CUDA; uv leaves MONAI Label's start script out, pip does not.
$(VENV)/.installed-label: $(INSTALLED)
	if test -x $(BIN)/uv; then \
		SAM2_BUILD_CUDA=0 VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --editable '.[dev,label]'; \
	else \
		SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --quiet --editable '.[dev,label]'; \
	fi
	test -e $(BIN)/monailabel || $(BIN)/python -m pip install --quiet --no-deps --force-reinstall monailabel==0.8.5
	touch $@

clean:
	rm -rf $(VENV) demo build dist *.egg-info
