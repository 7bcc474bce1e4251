"""The notebooks: each is stored as it was executed, runs without a complaint, and still says
what is stored.
"""

import itertools
import pathlib
import re

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

from notebooks import execute  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# `make test` executes these, `make test-all` all.
SAMPLE = ("01_quick_start", "04_manual_and_automatic", "07_your_own_layer")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 8
    assert {path.stem for path in NOTEBOOKS} >= set(SAMPLE)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem in SAMPLE else pytest.mark.slow)
        for path in NOTEBOOKS
    ],
)
def test_it_runs_and_says_what_is_stored(path, monkeypatch):
    for name, value in execute.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    stored = nbformat.read(path, as_version=4)
    fresh = execute.executed(stored)
    for before, after in zip(stored.cells, fresh.cells, strict=True):
        difference = execute.difference(before, after)
        if difference:
            pytest.fail(
                f"cell {before.id}: {difference}; if that is right, refresh it by `make notebooks`",
                pytrace=False,
            )


@every_notebook
def test_it_is_stored_as_executed_from_top_to_bottom(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for output in itertools.chain.from_iterable(cell.outputs for cell in code):
        assert output.output_type != "error", output.get("evalue")
        assert output.get("name") != "stderr", output.get("text")
        assert (
            "<Figure" not in output.get("data", {}).get("text/plain", "")
            or "image/png" in output.data
        )


@every_notebook
def test_it_is_small_and_knows_no_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 250_000
    assert not re.search(r"(?<![\w/])/(home|work|tmp|usr|Users|root)/", text)
    for target in re.findall(r"\]\(([^)]+\.ipynb)\)", text):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("dw (3,) agree 3e-16", "dw (3,) agree 1e-16", None),
        ("loss 1.3713209884", "loss 1.3713209885", None),
        ("dw (3,) agree 3e-16", "dw (3,) DIFFER 3e-16", "words"),
        ("dw (3,) agree 3e-16", "dw (4,) agree 3e-16", "4"),
        ("loss 1.37132", "loss 1.37142", "1.37142"),
        (
            "60,965,224 parameters",
            "60,965,225 parameters",
            None,
        ),  # one in sixty million: beyond six digits
        ("114 parameters", "115 parameters", "115"),
        ("", "a warning", "words"),
        ("16.0 digits (0.02 s)", "15.7 digits (1.3 s)", None),
    ],
)
def test_the_comparison_sees_words_and_six_digits(before, after, found):
    difference = execute.text_difference(before, after, numbers=True)
    assert difference is None if found is None else found in difference
    if found != "words":
        assert execute.text_difference(before, after, numbers=False) is None
