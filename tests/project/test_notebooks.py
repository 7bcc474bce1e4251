"""The notebooks: each is stored as it was executed, runs without a complaint, and still says
what is stored.
"""

import copy
import itertools
import pathlib
import re

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d*)?(?:e[-+]?\d+)?")
# Durations, and to how many digits a sum happens to agree, differ from run to run and from machine
# to machine.
UNSTEADY = re.compile(r"[\d.]+ (s|digits)\b|\bexact\b")
# Cells with this tag print numbers that depend on how a machine rounds; only their words are
# compared.
ROUNDING = "rounding"

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
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "100")
    stored = nbformat.read(path, as_version=4)
    fresh = copy.deepcopy(stored)
    nbclient.NotebookClient(
        fresh, timeout=300, resources={"metadata": {"path": path.parent}}
    ).execute()
    for before, after in zip(stored.cells, fresh.cells, strict=True):
        numbers = ROUNDING not in before.metadata.get("tags", [])
        difference = _difference(_said(before), _said(after), numbers)
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
    difference = _difference(before, after, numbers=True)
    assert difference is None if found is None else found in difference
    if found != "words":
        assert _difference(before, after, numbers=False) is None


def _said(cell):
    """What a cell's outputs say in text, stderr included; images say nothing."""
    said = ""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if output.output_type == "stream":
            said += output.text  # may arrive in pieces, cut anywhere
        elif "image/png" not in data:
            said += f"\n{data.get('text/markdown') or data.get('text/plain') or output}\n"
    return said


def _difference(before, after, numbers):
    """Say where two texts differ: in their words, or in numbers by more than six digits and
    1e-9. None when they do not.
    """
    before, after = (UNSTEADY.sub("~", text) for text in (before, after))
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (before, after)]
    if words[0] != words[1]:
        return f"words differ: {before!r} became {after!r}"
    for old, new in (
        zip(NUMBER.findall(before), NUMBER.findall(after), strict=True) if numbers else ()
    ):
        if float(new.replace(",", "")) != pytest.approx(
            float(old.replace(",", "")), rel=1e-6, abs=1e-9
        ):
            return f"{old} became {new} in {after!r}"
    return None
