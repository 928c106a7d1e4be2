# Each verb sets itself up: python3 (3.11 to 3.13) is all it needs. uv is used if present.
# Nothing is installed outside this folder; every download is checked by hash.
.DEFAULT_GOAL := help
.PHONY: help demo files test check bench chaos soak oracle lock format clean
MAKEFLAGS += --no-print-directory
PYTHON ?= python3
DEV := .venv/bin

help: ## say what there is
	@sed -n 's/^\([a-z]*\):[^#]*## /make \1\t/p' $(MAKEFILE_LIST)

demo: .venv-run/ready ## run the whole system here, on simulated patients [SECONDS=20]
	.venv-run/bin/sealward demo $(if $(SECONDS),--seconds $(SECONDS))

files: requirements/files.lock ## let the demo replay Parquet and WFDB files too
	PYTHON=$(PYTHON) sh requirements/install.sh .venv-run requirements/files.lock

test: .venv/ready .venv-oracle/ready ## run every test but the benchmarks
	$(DEV)/python -m pytest

check: .venv/ready ## check format, style, types, architecture and dependencies
	$(DEV)/ruff format --check .
	$(DEV)/ruff check .
	$(DEV)/mypy
	$(DEV)/lint-imports --no-logo
	$(DEV)/deptry src

bench: .venv/ready ## measure size and speed, beside others, in one run [ONLY=codec] [PAGE=1]
	$(DEV)/python -m bench $(ONLY) $(if $(PAGE),--page)

chaos: .venv/ready ## kill processes at random under load [CHAOS=30 rounds] [SEED=n]
	$(DEV)/python -m pytest -p no:randomly -s -q --timeout 3600 slow/test_chaos.py

soak: .venv/ready ## run a site for long and watch its memory [SOAK=600 seconds]
	$(DEV)/python -m pytest -p no:randomly -s -q --timeout 90000 slow/test_soak.py

oracle: .venv-oracle/ready ## set up the second reader of our packets, apart from ours
	.venv-oracle/bin/python -c 'import cwt'

.PHONY: docs
docs: .venv/ready ## make the reference pages that say what the code says
	$(DEV)/python docs/generate.py

format: .venv/ready ## put the sources in form
	$(DEV)/ruff check --fix-only --quiet .
	$(DEV)/ruff format .

lock: .venv/ready ## resolve the dependencies anew
	$(DEV)/python requirements/lock.py

clean: ## forget every environment and every cache
	rm -rf .venv .venv-run .venv-oracle .hypothesis .*_cache dist

.venv-run/ready: requirements/run.lock requirements/install.sh
	PYTHON=$(PYTHON) sh requirements/install.sh .venv-run requirements/run.lock

.venv/ready: requirements/dev.lock requirements/install.sh
	PYTHON=$(PYTHON) sh requirements/install.sh .venv requirements/dev.lock

.venv-oracle/ready: requirements/oracle.lock requirements/install.sh
	PYTHON=$(PYTHON) sh requirements/install.sh .venv-oracle requirements/oracle.lock bare
