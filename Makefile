# `make chapter` and `make test` do everything. Each builds .venv the first time.
PYTHON ?= python3
BIN := .venv/bin
# Each worker has a core: threads of BLAS would only take it from another worker.
PYTEST := OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: test test-all chapter lab notebooks bench mistakes mutants lint clean

# All but the tests marked slow, of which a sample runs here too (tests/conftest.py).
test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

chapter: .venv/.core
	@$(BIN)/autocnn chapter

# Open the notebooks in a browser.
lab: .venv/.lab
	$(BIN)/jupyter lab notebooks

# Execute the notebooks in a scratch folder, then replace those that ran.
notebooks: .venv/.test
	@$(BIN)/python notebooks/execute.py

bench: .venv/.bench
	@$(BIN)/python -m benchmarks

# One-statement mistakes in right layers: does the checker find the line, and the edit?
mistakes: .venv/.bench
	@$(BIN)/python -m benchmarks.gradcheck.mutation.run

mutants: .venv/.test
	@$(BIN)/python -m benchmarks.robustness.mutants

# One stamp file for each set of extras. A stamp older than pyproject.toml is installed again.
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check
VENV = test -x $(BIN)/python || $(PYTHON) -m venv .venv

.venv/.core: pyproject.toml
	@echo "Installing NumPy, Matplotlib and other packages into .venv, once: about a minute"
	@$(VENV)
	@$(INSTALL) -e .
	@touch $@

.venv/.test: pyproject.toml
	@echo "Installing all extras into .venv, once: a few minutes"
	@$(VENV)
	@$(INSTALL) -e '.[all]'
	@touch $@ .venv/.core

.venv/.lab: pyproject.toml
	@echo "Installing JupyterLab into .venv, once: a few minutes"
	@$(VENV)
	@$(INSTALL) -e '.[lab]'
	@touch $@ .venv/.core

.venv/.bench: pyproject.toml
	@echo "Installing PyTorch and JAX into .venv, once: several minutes"
	@$(VENV)
	@$(INSTALL) -e '.[bench]'
	@touch $@ .venv/.core

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
