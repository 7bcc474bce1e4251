# Two commands do everything: `make chapter` and `make test`. Each builds its own .venv the first time.
PYTHON ?= python3
BIN := .venv/bin
# Each worker has a core: threads of BLAS would only take it from another worker.
PYTEST := OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: test test-all chapter notebooks bench mistakes mutants lint clean

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
	$(BIN)/autocnn chapter

# Execute the notebooks in place, then join what a cell printed in pieces.
notebooks: .venv/.test
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False notebooks/*.ipynb
	$(BIN)/jupyter nbconvert --to notebook --inplace --coalesce-streams notebooks/*.ipynb

bench: .venv/.bench
	$(BIN)/python -m benchmarks

# One-statement mistakes in right layers: does the checker find the line, and the edit?
mistakes: .venv/.bench
	$(BIN)/python -m benchmarks.gradcheck.mutation.run

mutants: .venv/.test
	$(BIN)/python -m benchmarks.robustness.mutants

# One stamp file for each set of extras. A stamp older than pyproject.toml is installed again.
.venv/.core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/.test: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	touch $@ .venv/.core

.venv/.bench: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $@ .venv/.core

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
