# Two commands are all a newcomer needs; Debian's python3, python3-venv and make are all they need in turn.
#   make demo    install into .venv, then run every stage at demo scale (python train.py)
#   make test    install into .venv, then run the tests
# On a machine without an NVIDIA GPU this spares the download of a few GB of CUDA libraries:
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON   ?= python3
PIP_ARGS ?=
ARGS     ?=
# test processes: the machine's cores, at most 8; one thread each, so that they do not fight over the cores;
# nproc would count OMP_NUM_THREADS for the cores
WORKERS  ?= $(shell n=$$(env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2); if [ "$$n" -gt 8 ]; then n=8; fi; echo "$$n")

VENV   := .venv
BIN    := $(VENV)/bin
INPUTS := pyproject.toml constraints.txt
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs package clean

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1@/p' $(MAKEFILE_LIST) | column -t -s @ 2>/dev/null || grep '## ' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-run  ## install, then run every stage at demo scale (flags: ARGS="...")
	@echo "==> python train.py $(ARGS)"
	@$(BIN)/python train.py $(ARGS)

test: $(VENV)/.stamp-test  ## install, then run the tests (a part of them: ARGS="tests/geometry")
	@echo "==> pytest with $(WORKERS) processes"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(VENV)/.stamp-dev  ## install the tools, then check style, layout, types and the Dockerfile
	@echo "==> ruff check";  $(BIN)/ruff check .
	@echo "==> ruff format"; $(BIN)/ruff format --check .
	@echo "==> mypy";        $(BIN)/mypy
	@echo "==> hadolint";    $(BIN)/hadolint Dockerfile

format: $(VENV)/.stamp-dev  ## mend style and layout in place
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.stamp-dev  ## run the notebooks and build the documentation (its start: build/docs/index.html)
	@OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	@$(BIN)/python .ci/check-links build/docs

package: $(VENV)/.stamp-dev  ## build wheel and sdist, install the wheel elsewhere and use it there
	@.ci/package

clean:  ## remove the environment and the tools' caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A stamp file remembers each installation, so that only a changed input installs again.
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or newer is needed, $$($(PYTHON) --version) came: make PYTHON=/path/to/python3"; exit 1; }
	@echo "==> creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "no environment could be made: apt install python3-venv"; exit 1; }

$(VENV)/.stamp-run: $(INPUTS) | $(BIN)/python
	@echo "==> installing ganverse and what it runs on (a few minutes the first time, several GB with CUDA)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.stamp-test: $(INPUTS) | $(BIN)/python
	@echo "==> installing ganverse and the test tools (a few minutes the first time, several GB with CUDA)"
	@$(INSTALL) -e ".[test]"
	@touch $@ $(VENV)/.stamp-run

$(VENV)/.stamp-dev: $(INPUTS) | $(BIN)/python
	@echo "==> installing ganverse and the development tools"
	@$(INSTALL) -e ".[dev]"
	@touch $@ $(VENV)/.stamp-test $(VENV)/.stamp-run
