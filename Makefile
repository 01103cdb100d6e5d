# slmtui: `make run` opens the app, `make test` runs every check. Both make their own environment in .venv
# and need only Python >= 3.11, a C++ compiler and make; uv is used when it is there.

VENV := .venv
VULKAN := .vulkan
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV := $(shell command -v uv 2>/dev/null)

# GCC 12 drops stores that AMX needs, and llama.cpp then crashes on quantized models; without dead-store
# elimination it keeps AMX and is right. Clang does not know the flag and does not need it.
GCC_FLAGS := $(shell $${CC:-cc} --version 2>/dev/null | grep -q 'Free Software Foundation' && echo -fno-dse)
BUILD_ENV := CFLAGS="$(GCC_FLAGS) $$CFLAGS" CXXFLAGS="$(GCC_FLAGS) $$CXXFLAGS"

ifdef UV
CREATE := $(UV) venv --quiet --allow-existing --python "$(PYTHON)" $(VENV)
INSTALL := $(BUILD_ENV) $(UV) pip install --python $(BIN)/python
else
CREATE := $(PYTHON) -m venv $(VENV)
INSTALL := $(BUILD_ENV) $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off
endif

.PHONY: run test check lint types contracts pytest bench vulkan screenshots format clean

run: $(VENV)/installed
	@$(BIN)/slmtui

test: check

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/parity.py

# The GPU tests where there is no GPU: Mesa's Vulkan on the processor serves as two. See CONTRIBUTING.md.
vulkan: $(VULKAN)/installed
	GGML_VK_VISIBLE_DEVICES=0,0 $(VULKAN)/bin/python -m pytest -m gpu -n 0 tests/gpu

screenshots: $(VENV)/installed-dev
	$(BIN)/python tools/screenshots.py docs

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VULKAN) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "slmtui needs Python 3.11 or newer, and found none. Install it, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(CREATE)

$(VENV)/installed: pyproject.toml slmtui/engine/steps.c | $(BIN)/python
	@echo "Installing slmtui into $(VENV). The first time, llama.cpp is compiled: about 5 minutes on 2 cores."
	$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml slmtui/engine/steps.c | $(BIN)/python
	@echo "Installing slmtui and its tools into $(VENV). The first time, llama.cpp is compiled: about 5 minutes on 2 cores."
	$(INSTALL) --editable '.[dev]'
	$(INSTALL) --editable '.[mlx]' || echo "MLX cannot be had on this system, so its tests are skipped."
	@touch $@ $(VENV)/installed

$(VULKAN)/installed: pyproject.toml
	$(PYTHON) -m venv $(VULKAN)
	$(BUILD_ENV) CMAKE_ARGS=-DGGML_VULKAN=on $(VULKAN)/bin/python -m pip install --disable-pip-version-check --progress-bar off \
		--no-binary llama-cpp-python --no-cache-dir --editable '.[dev]'
	@touch $@
