# Isthmus: every target sets up what it needs in .venv and is safe to repeat.
PYTHON ?= python3
# Which histories make model draws: the same seed draws the same ones.
SEED ?= 0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export OMP_NUM_THREADS := 1
export PYTHONWARNINGS := ignore::DeprecationWarning
# What is compiled is kept: each of the suite's many processes would compile the package again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-serve test soak model tutorial pages pictures book check format bench clean

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml src/isthmus/imaging/_entropy.c
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Isthmus needs Python 3.11 or newer; name one: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q -j 2 src
	@touch $(READY)

setup: $(READY) ## Make the virtual environment .venv with the pinned dependencies

demo: $(READY) ## Tell one life on real samples (or made ones) in ./demo-site: acquire, learn, cross, use, survive
	$(BIN)/isthmus demo demo-site

demo-serve: $(READY) ## Tell it, and leave the console open over all of its sites
	$(BIN)/isthmus demo --serve demo-site

test: $(READY) ## Run all tests
	$(BIN)/python -m pytest -n 5 --dist worksteal

soak: $(READY) ## Run the long tests: kills at random moments, again and again, and eight times the examples
	ISTHMUS_EXAMPLES=8 $(BIN)/python -m pytest -n 2 --dist worksteal -m "soak or hypothesis" --soak

model: $(READY) ## Try 20,000 drawn steps of two recovery sites against an oracle: five minutes
	$(BIN)/python tests/recovery_model_run.py 20000 $(SEED)

tutorial: $(READY) ## Follow the tutorial's blocks as they stand, in an empty folder
	$(BIN)/python -m pytest -q --soak tests/soak/test_tutorial_soak.py

pages: $(READY) ## Follow the tutorial and all other pages as they stand, each as its reader would
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --soak tests/soak/test_tutorial_soak.py tests/soak/test_*pages_soak.py

pictures: $(READY) ## Take the pictures of the console for the book anew, in Chromium
	ISTHMUS_PICTURES=docs/images $(BIN)/python -m pytest -q tests/faces/console/test_product_in_a_browser.py

book: $(READY) ## Build the book (docs and the reference made from the code) into build/book
	$(BIN)/mkdocs build --quiet

check: $(READY) ## Prove format, lint, types and the import floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Bring the code into its format
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

bench: $(READY) ## Measure against the peers; prints the figures and writes build/bench.json
	$(BIN)/python -m bench

clean: ## Remove the environment, builds and the demo's site
	rm -f src/isthmus/imaging/_entropy*.so
	rm -rf $(VENV) build demo-site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
