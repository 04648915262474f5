# Thin names for commands that also work without make (README.md shows each in one line).
# VENV=folder uses another environment; PYTHON=python3.12 builds it with another interpreter; PORT=8001 moves the site.

VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
# A file to a process, in the order of tests/conftest.py; each process has its own database server and Chromium.
SIDE_BY_SIDE = -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
export OMP_WAIT_POLICY = passive

.PHONY: run test lint types bench bench-peers bench-loop bench-rounds starter-model screenshots

run: $(VENV)/installed
	@exec $(BIN)/python -m config.launcher

test: $(VENV)/installed-dev
	@$(BIN)/python -m tests.browser.install
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --ignore=tests/browser
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/browser

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.annotation --out docs/results.md
	$(BIN)/python -m benchmarks.browser --out docs/results.md
	$(BIN)/python -m benchmarks.trainer

bench-peers: $(VENV)/installed
	$(BIN)/python -m benchmarks.annotation.peer --out docs/results.md
	$(BIN)/python -m benchmarks.trainer.peer

bench-loop: $(VENV)/installed
	$(BIN)/python -m benchmarks.loop

bench-rounds: $(VENV)/installed
	$(BIN)/python -m benchmarks.loop --rounds 3 --out docs/results.md

starter-model: $(VENV)/installed
	$(BIN)/python -m training.starter.build

screenshots: $(VENV)/installed-dev
	$(BIN)/python -m docs.screenshots

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Plumbline needs Python 3.11 or newer: PYTHON=python3.12 make run"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); \
		echo "This Python cannot make environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/installed: requirements.txt | $(VENV)/bin/pip
	@echo "Installing what Plumbline needs into $(VENV) (once; about two minutes) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
