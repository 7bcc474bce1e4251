# Two commands do everything: `make chapter` and `make test`. Each builds its own .venv the first time.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: test chapter notebooks bench mutants lint clean

test: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n auto --dist loadgroup

chapter: .venv/.core
	$(BIN)/autocnn chapter

# Executed in place; afterwards what a cell printed in pieces is put together.
notebooks: .venv/.test
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False notebooks/*.ipynb
	$(BIN)/jupyter nbconvert --to notebook --inplace --coalesce-streams notebooks/*.ipynb

bench: .venv/.bench
	$(BIN)/python -m benchmarks

mutants: .venv/.test
	$(BIN)/python -m benchmarks.robustness.mutants

lint: .venv/.test
	$(BIN)/ruff check .

# One stamp an extra: a stamp older than pyproject.toml means that the dependencies may have changed.
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
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
