# The commands of this project. Each sets up what it needs first, so one is enough on a fresh machine.
PYTHON ?= python3
BIN := .venv/bin
# The name holds the contents: a new lock sets up again, a mere checkout does not.
STAMP := .venv/.installed-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup repro test test-examples test-faults test-pytyche test-slurm lint bench bench-peers wheel docs lock clean

help:  ## show this list (the default)
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

setup: $(STAMP)  ## make .venv with the locked libraries; PYTHON=python3.12 picks the interpreter

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1): Python 3.11 to 3.13 is needed; name one: make PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --compile --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	rm -f .venv/.installed-*
	touch $(STAMP)

repro: setup  ## simulate, fit, correct, evaluate what params.yaml says; print the scorecard
	sbcflow params check
	dvc repro
	sbcflow scorecard

test: setup  ## run every test but the comparison with pytyche
	pytest -n 2 --dist loadfile

test-pytyche: setup  ## compare corrections, intervals and runs/ with the published pytyche 0.2.1
	pytest -m pytyche tests/statistical/test_pytyche.py

test-examples: setup  ## run the example that needs pytyche 0.2.1, which it installs apart (the network, minutes)
	pytest -m examples tests/examples

test-faults: setup  ## kill, damage and crowd real runs: 50 kills -9, full disks, altered files
	pytest -n 2 -m faults tests/faults $(FAULTS)

test-slurm: setup  ## bring up a real Slurm on this machine (Debian, root) and run sweeps on it
	pytest -m slurm tests/cluster $(SLURM)

lint: setup  ## check style, types and the workflow
	ruff check
	ruff format --check
	mypy
	snakefmt --check workflow
	snakemake --lint

bench: setup  ## time fits, sweeps, experiments beside DVC's own ways, and orchestration; none is a test
	python benchmarks/scale.py
	python benchmarks/sweeps.py
	python benchmarks/costs.py
	python benchmarks/accuracy.py
	python benchmarks/run.py
	python benchmarks/experiments.py
	python benchmarks/orchestration.py

bench-peers: setup  ## time and score other ways to the same effects (an hour or two; needs the network)
	python benchmarks/peers/run.py

wheel: setup  ## build dist/*.whl, for projects elsewhere (sbcflow new)
	$(BIN)/python -m pip wheel --disable-pip-version-check --quiet --no-deps --no-build-isolation --wheel-dir dist .

docs: setup  ## build docs/_build/html; a warning fails it
	sphinx-build --quiet -W docs docs/_build/html

lock:  ## make requirements.lock again from pyproject.toml (needs uv on the PATH)
	uv pip compile pyproject.toml --group dev --group docs --universal --fork-strategy fewest --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --python-version 3.11 -o requirements.lock

clean:  ## remove what tools left behind; runs/, DVC's cache and .venv stay
	rm -rf .snakemake .cache .mypy_cache .ruff_cache .pytest_cache docs/_build dvc_plots logs build dist
