# `make demo` and `make test` set up the environment in .venv; a second run reuses it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
ACTIVE = $(shell command -v python || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
KERNELS := $(VENV)/.kernels
LABEL_INSTALLED := $(VENV)/.installed-label
# MONAI Label needs Python below 3.12; its tests are skipped on later versions.
HAS_LABEL := $(shell $(PYTHON) -c 'import sys; print("yes" if sys.version_info < (3, 12) else "")')

.PHONY: demo demo-phantom label test lint docs check-kernels gpu-check release-check clean

demo: $(INSTALLED) $(KERNELS)
	$(BIN)/python scripts/demo.py

demo-phantom: $(INSTALLED) $(KERNELS)
	$(BIN)/python scripts/demo_phantom.py

label: $(LABEL_INSTALLED)
	$(BIN)/python scripts/label.py

test: $(if $(HAS_LABEL),$(LABEL_INSTALLED)) lint $(KERNELS)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Warnings, such as broken links, are errors. The variable hides Material's notice about the next MkDocs.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Builds the kernels with the oldest supported PyTorch in a separate environment; takes up to five minutes.
check-kernels: $(INSTALLED)
	$(BIN)/python scripts/check_kernels.py

# Tests and benchmarks of what runs on a GPU, with the active Python and the packages that it has. The limits add up to six
# minutes; a benchmark leaves out the rows for which it has no time. All run, also after one that fails.
gpu-check:
	@failed=0; \
	timeout 110 $(ACTIVE) -m pytest -o addopts=--import-mode=importlib -m gpu tests/bundle tests/data tests/handlers tests/inferers tests/ops tests/writers || failed=1; \
	timeout 75 $(ACTIVE) benchmarks/video_inference.py --device cuda --seconds 50 || failed=1; \
	timeout 70 $(ACTIVE) benchmarks/file_to_masks.py --device cuda --amp-dtype bfloat16 || failed=1; \
	timeout 40 $(ACTIVE) benchmarks/deform_conv.py --device cuda || failed=1; \
	timeout 65 $(ACTIVE) benchmarks/training.py --device cuda --backbone pvt_v2_b5 --batch-size 8 --seconds 45 || failed=1; \
	exit $$failed

# Tests the wheel, without extras, in a clean environment outside the repository.
release-check: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build
	clean=$$(mktemp -d) && trap 'rm -rf "$$clean"' EXIT && \
	$(PYTHON) -m venv "$$clean/venv" && \
	if test -x $(BIN)/uv; then \
		VIRTUAL_ENV="$$clean/venv" $(BIN)/uv pip install --quiet dist/*.whl; \
	else \
		"$$clean/venv/bin/python" -m pip install --quiet dist/*.whl; \
	fi && \
	cp -r scripts "$$clean" && cd "$$clean" && \
	venv/bin/python -m lsinet_monai copy bundle bundle && venv/bin/python scripts/demo_phantom.py --short

# uv is much faster than pip; without uv, pip does the same.
$(INSTALLED): pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	if $(BIN)/python -m pip install --quiet uv; then \
		VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --editable '.[dev]'; \
	else \
		$(BIN)/python -m pip install --quiet --editable '.[dev]'; \
	fi
	touch $@

# MONAI Label needs SAM 2. Without build isolation, it is built with the installed PyTorch instead of a downloaded one. uv
# does not install MONAI Label's start script, but pip does.
$(LABEL_INSTALLED): $(INSTALLED)
	if test -x $(BIN)/uv; then \
		SAM2_BUILD_CUDA=0 VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-build-isolation-package sam2 \
			--editable '.[dev,label]'; \
	else \
		SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --quiet --editable '.[dev,label]'; \
	fi
	test -e $(BIN)/monailabel || $(BIN)/python -m pip install --quiet --no-deps --force-reinstall monailabel==0.8.5
	touch $@

# Compiles the kernels now, so that no test has to wait. Without a compiler, torchvision's operator is used.
$(KERNELS): $(INSTALLED) $(wildcard lsinet_monai/csrc/*.*)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest demo build dist site *.egg-info lsinet_monai/ops/*.so
