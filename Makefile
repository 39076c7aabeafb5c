# Each target works alone on a fresh machine: it makes .venv, installs the project there, and goes on.
#   make run            run notebook 04 (NB=01 for another) and write a report
#   make lab            open the course in JupyterLab (the learner's copies, under work/)
#   make course         run every notebook
#   make test           all tests that take minutes; make test-all adds the long ones
#   make times          measure every notebook on this machine, write the times into notebooks and README
#   TORCH_INDEX=URL     install torch and torchvision from another index (see the README: GPU)
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

# All that runs in parallel shares the cores: conftest.py gives each worker cores/N threads.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout 600

# The tests also want what a learner does not need: a search, clusters, several processes.
EXTRAS := test,dev,search,cluster,distributed

.PHONY: install run lab course test test-all times clean

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
	$(PYTEST) -m "not slow" $(NBVAL) tests notebooks

test-all: $(VENV)/installed-extras
	$(PYTEST) $(NBVAL) tests notebooks
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(NBVAL) notebooks
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest $(NBVAL) notebooks

times: $(VENV)/installed
	$(BIN)/python tools/times.py --readme README.md

clean:
	$(BIN)/deepunsup clean --yes
