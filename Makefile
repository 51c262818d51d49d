# make help lists the targets.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# TORCH=cpu takes the CPU build of torch, which PyPI lacks for Linux. A later make without TORCH keeps it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
ifeq ($(strip $(TORCH)),)
override TORCH := $(if $(wildcard $(BIN)/.installed-cpu),cpu)
else ifneq ($(TORCH),cpu)
$(error TORCH is '$(TORCH)', expected cpu, or nothing for the build that the package index has)
endif
INSTALLED := $(BIN)/.installed$(addprefix -,$(TORCH))

export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := install
.PHONY: help install pretrained app cluster browser run plots docs tutorial session league ablations budget bench test packages mutants endurance kills \
	lint format lock build clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED)  ## make .venv from requirements.lock (once); TORCH=cpu: with torch's CPU build

$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "error: $(PYTHON) is older than Python 3.10: use make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(if $(TORCH),$(CPU_BUILD))
	$(PIP) install --quiet -r requirements.lock
	# dvc plots show and diff then write pages that open without a network
	$(BIN)/python -m textmetric.report.dvc_page
	@touch $@

# In place of another build, whose CUDA packages go, if there was one. A failure leaves .venv as it was.
define CPU_BUILD
@torch="$$(grep '^torch==' requirements.lock)+cpu" && \
	$(PIP) install --no-deps --index-url '$(TORCH_INDEX)' "$$torch; sys_platform == 'linux'" \
		> .venv/torch.log 2>&1 || \
	{ echo "error: $$torch could not be installed from TORCH_INDEX=$(TORCH_INDEX): is it reachable?" \
		"(.venv/torch.log has pip's words; TORCH_INDEX=URL names a mirror)" >&2; exit 2; }
@rm -f $(BIN)/.installed*
@$(PIP) list --format=freeze | grep -oE '^(nvidia|cuda|triton)[^=]*' | xargs -r $(PIP) uninstall -qy
endef

pretrained: $(BIN)/.pretrained  ## add what pre-trained encoders need (sentence-transformers, a model), and what opens exports

$(BIN)/.pretrained: $(INSTALLED) requirements-pretrained.lock
	$(PIP) install --quiet -r requirements-pretrained.lock
	@touch $@

app: $(BIN)/.app  ## add what serves the page to correct clusters on (NiceGUI)

$(BIN)/.app: $(INSTALLED) requirements-app.lock
	$(PIP) install --quiet -r requirements-app.lock
	@touch $@

cluster: $(BIN)/.cluster  ## add what spreads jobs over machines (Dask)

$(BIN)/.cluster: $(INSTALLED) requirements-cluster.lock
	$(PIP) install --quiet -r requirements-cluster.lock
	@touch $@

docs: $(BIN)/.docs  ## build the site of these pages and the reference: build/docs/index.html
	@$(BIN)/python -c 'import sphinx' || { echo "error: the site needs Python 3.11 or newer" >&2; exit 2; }
	python -m sphinx -q -W --keep-going -c docs -d build/doctrees . build/docs

$(BIN)/.docs: $(INSTALLED) requirements-docs.lock
	$(PIP) install --quiet -r requirements-docs.lock
	@touch $@

tutorial: install  ## run docs/tutorial.md and draw its picture
	PYTHONPATH=. python docs/tutorial.py

session: install build  ## record docs/first-session.md in tmux
	docs/first-session.sh

run: install  ## run the pipeline: dvc repro
	@python -m textmetric.pipeline.dvc_files
	dvc repro

plots: install  ## draw the learning curves and t-SNE pictures: dvc plots show
	dvc plots show

league: install  ## train every objective with an equal budget and rank them (5 to 10 minutes)
	python -m studies.league

ablations: install  ## width, binary codes, layer norm, classes in a batch (20 to 30 minutes)
	python -m studies.ablations

budget: install pretrained  ## accuracy by labelled rows a class, from every start (an hour or more)
	python -m studies.label_budget --unlabelled \
		--vectors all-MiniLM-L6-v2 --frozen all-MiniLM-L6-v2 $(BUDGET)

bench: install  ## time everything against its peers (half an hour; make bench BENCH=--quick: 2 minutes)
	python -m benchmarks $(BENCH)

test: install browser  ## run the tests, in a process for each processor
	python -m pytest --numprocesses auto --dist loadfile

packages: install  ## test the wheel where only its base, or its extra train with torch, is installed (minutes)
	TEXTMETRIC_PACKAGES=1 $(if $(TORCH),PIP_EXTRA_INDEX_URL='$(TORCH_INDEX)') \
		python -m pytest tests/test_package.py

endurance: install  ## kill, interrupt and starve dvc repro: does the next one finish? (ENDURANCE=--quick: a minute)
	python -m tests.endurance $(ENDURANCE)

kills: install cluster  ## dvc repro on a Dask cluster whose workers are killed: the same dvc.lock? (half an hour)
	python -m tests.cluster.campaign $(KILLS)

mutants: install  ## change the code in 400 places, one at a time: does a test fail? (25 minutes)
	python -m tests.mutants $(MUTANTS)

# The tests of the pages need a browser. Elsewhere than on Debian they skip without one.
browser:  ## install Chromium and its driver for the tests (Debian)
	@if ! command -v chromedriver >/dev/null && command -v apt-get >/dev/null; then \
		as_root=$$(test "$$(id -u)" = 0 || echo sudo); \
		$$as_root apt-get update -qq && \
		$$as_root apt-get install -y -qq chromium chromium-driver >/dev/null || \
		echo "no Chromium could be installed: the tests of the pages will skip" >&2; \
	fi

lint: install  ## ruff, mypy and the import rules
	ruff check .
	ruff format --check .
	mypy
	lint-imports

format: install  ## format the code
	ruff check --fix .
	ruff format .

lock:  ## rewrite requirements.lock from pyproject.toml; torch stays as it is there
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	# another torch gives other figures: to change it, edit its line first
	grep '^torch==' requirements.lock > .venv-lock/torch.txt
	# torch pins the CUDA packages of its CUDA build itself; a CPU build needs none of them
	$(COMPILE) --constraint .venv-lock/torch.txt --extra study --extra test --extra benchmark \
		| grep -vE '^(nvidia-|cuda-|triton)' > requirements.lock.new
	mv requirements.lock.new requirements.lock
	$(COMPILE) --constraint requirements.lock --extra study --extra pretrained --extra test-export \
		| grep -vE '^(nvidia-|cuda-|triton)' | grep -vxFf requirements.lock > requirements-pretrained.lock.new
	mv requirements-pretrained.lock.new requirements-pretrained.lock
	$(COMPILE) --constraint requirements.lock --extra study --extra docs \
		| grep -vE '^(nvidia-|cuda-|triton)' | grep -vxFf requirements.lock > requirements-docs.lock.new
	mv requirements-docs.lock.new requirements-docs.lock
	# next to those of the others, in one environment
	$(COMPILE) --constraint requirements.lock --constraint requirements-pretrained.lock \
		--constraint requirements-docs.lock --extra study --extra app \
		| grep -vE '^(nvidia-|cuda-|triton)' | grep -vxFf requirements.lock > requirements-app.lock.new
	mv requirements-app.lock.new requirements-app.lock
	$(COMPILE) --constraint requirements.lock --constraint requirements-pretrained.lock \
		--constraint requirements-docs.lock --constraint requirements-app.lock \
		--extra study --extra cluster \
		| grep -vE '^(nvidia-|cuda-|triton)' | grep -vxFf requirements.lock > requirements-cluster.lock.new
	mv requirements-cluster.lock.new requirements-cluster.lock
	rm -r .venv-lock

COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.10 \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml

build:  ## make the wheel and the sdist in dist/
	$(PYTHON) -m venv .venv-build
	.venv-build/bin/python -m pip install --quiet build
	.venv-build/bin/python -m build
	rm -r .venv-build

clean:  ## remove what the pipeline wrote, but not the cache or the environment
	git clean -qfdX data models plots dvc_plots
