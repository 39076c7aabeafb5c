# Each target works alone on a fresh machine: it makes .venv, installs the project there, and goes on.
#   make run             run notebook 04 (NB=01 for another) and write a report
#   make lab             open the course in JupyterLab (the learner's copies, under work/)
#   make course          run every notebook
#   make test            units, each notebook in seconds on other data, the core notebooks against their stored outputs
#   make test-notebooks  every notebook against its stored outputs
#   make test-slow       what takes more than ten seconds a test: every notebook on every data set, and more
#   make test-lowest     the units with the lowest versions that pyproject.toml allows (in .venv-lowest)
#   make lint            ruff over Python and notebooks, and whether the Python files are formatted (make format does it)
#   make reliability     run NB=04 over ten seeds, count how often each claim holds, keep it in the notebook
#   make times           measure every notebook on this machine, write the times into notebooks and README
#   TORCH_INDEX=URL      install torch and torchvision from another index (see the README: GPU)
#   CONSTRAINTS=constraints.txt   install exactly the versions that the project's tests use

PYTHON ?= python3
NB ?= 04
VENV := .venv
# Windows keeps a virtual environment's programs elsewhere
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

ifneq ($(DEEPUNSUP_DATA),)
export DEEPUNSUP_DATA := $(abspath $(DEEPUNSUP_DATA))
endif

# All that runs in parallel shares the cores: conftest.py gives each worker cores/N threads, and orders the files.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout 1200
CORE := $(foreach number,00 01 04 09 10 14,$(wildcard notebooks/$(number)_*.ipynb))

# The tests also want what a learner does not need: a search, clusters, several processes.
EXTRAS := test,dev,search,cluster,distributed

.PHONY: install run lab course test test-notebooks test-slow test-all test-lowest lint format times reliability clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; give it as: make PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "venv is missing: on Debian, apt install python3-venv"; exit 2; }
	@echo "installing into $(VENV) (torch is large: some minutes the first time)"
ifneq ($(TORCH_INDEX),)
	@$(PIP) --index-url $(TORCH_INDEX) "torch>=2.6,<3" "torchvision>=0.21,<1"
endif
	@$(PIP) --editable ".[test,dev]"
	@$(BIN)/python -c "import matplotlib.pyplot"  # builds the font cache now, not in the first lesson
	@touch $@

$(VENV)/installed-extras: $(VENV)/installed
	@$(PIP) --editable ".[$(EXTRAS)]"
	@touch $@

run: $(VENV)/installed
	$(BIN)/deepunsup run $(NB)

lab: $(VENV)/installed
	$(BIN)/deepunsup lab

course: $(VENV)/installed
	$(BIN)/deepunsup run all

test: $(VENV)/installed-extras
	$(PYTEST) -m "not slow" $(NBVAL) tests $(CORE)

test-notebooks: $(VENV)/installed-extras
	$(PYTEST) $(NBVAL) notebooks

test-slow: $(VENV)/installed-extras
	$(PYTEST) -m slow tests
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest $(NBVAL) notebooks

# make test and make test-notebooks in one, without doing the core twice: what .ci/run wants
test-all: $(VENV)/installed-extras
	$(PYTEST) -m "not slow" $(NBVAL) tests notebooks

# "torch>=2.6,<3" becomes torch==2.6: every dependency at the lowest version that pyproject.toml allows
.venv-lowest/installed: pyproject.toml
	@test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	@sed -n -E 's/^ *"([A-Za-z0-9_-]+)>=([0-9.]+).*/\1==\2/p' pyproject.toml > .venv-lowest/constraints.txt
	@.venv-lowest/bin/python -m pip install --quiet --constraint .venv-lowest/constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@

test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile -m "not slow and not smoke" tests

lint: $(VENV)/installed
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff check --config "lint.pycodestyle.max-line-length = 100" notebooks
	$(BIN)/python -m ruff format --check --exclude "*.ipynb" .

format: $(VENV)/installed
	$(BIN)/python -m ruff check --fix-only .
	$(BIN)/python -m ruff format --exclude "*.ipynb" .

times: $(VENV)/installed
	$(BIN)/python tools/times.py --readme README.md

reliability: $(VENV)/installed
	$(BIN)/python tools/reliability.py $(NB)

clean:
	$(BIN)/deepunsup clean --yes
