# `make compare` and `make test` are all that a newcomer needs: each builds what it runs in.
PYTHON ?= python3
ENV := .venv
RUN := $(ENV)/bin/

# libgomp's threads spin at barriers; beside another busy process that makes a step ten times slower
export GOMP_SPINCOUNT ?= 2000

.PHONY: compare test slow lint types check clean

compare: $(ENV)/run.stamp
	$(RUN)ptheta compare digits gmm made realnvp vae gan ebm ncsn --seeds 1 --seconds 12 --quick -o report.html

# two workers of one thread each
test: $(ENV)/test.stamp
	OMP_NUM_THREADS=1 $(RUN)python -m pytest -n 2

slow: $(ENV)/test.stamp
	$(RUN)python -m pytest -m slow

lint: $(ENV)/dev.stamp
	$(RUN)ruff check .
	$(RUN)ruff format --check .

types: $(ENV)/dev.stamp
	$(RUN)pyright

check: lint types test

$(ENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ptheta needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(ENV)

$(ENV)/run.stamp: $(ENV)/bin/python pyproject.toml constraints.txt
	$(RUN)python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(ENV)/test.stamp: $(ENV)/run.stamp
	$(RUN)python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

$(ENV)/dev.stamp: $(ENV)/test.stamp
	$(RUN)python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	touch $@

clean:
	rm -rf $(ENV) runs report.html
