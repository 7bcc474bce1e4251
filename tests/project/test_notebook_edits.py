"""What a curious student changes first in a notebook: the variables at the top of a part. All that
follows must go on, and its comparisons must still agree.
"""

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

from notebooks import execute  # noqa: E402
from tests.project.test_notebooks import NOTEBOOKS  # noqa: E402

# The notebook's number, what stands there and what is put in its place, and how many lines
# compare something that is wrong on purpose.
EDITS = [
    ("01", {"FILTERS, KERNEL, SIZE = 3, 3, 8": "FILTERS, KERNEL, SIZE = 5, 4, 11"}, 0),
    ("01", {'CLASSES = ("vertical", ': 'CLASSES = ("dot", "vertical", '}, 0),
    (
        "02",
        {
            "N, C, H, W = 2, 3, 6, 7": "N, C, H, W = 1, 1, 9, 8",
            "F, kh, kw = 4, 3, 2": "F, kh, kw = 2, 1, 5",
            "stride, padding = 2, 1": "stride, padding = 1, 2",
        },
        2,
    ),
    ("02", {"stride, padding = 2, 1": "stride, padding = 3, 0"}, 1),  # no two patches overlap
    ("02", {"edge = np.array([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]])": "edge = np.eye(2, 4)"}, 2),
    (
        "04",
        {
            "KERNEL, SIZE = 3, 8": "KERNEL, SIZE = 4, 9",
            "BATCH, FILTERS = 18, 3": "BATCH, FILTERS = 7, 5",
        },
        3,
    ),
    ("04", {"SHAPE = (5, 3, 4, 2)": "SHAPE = (3, 7, 5, 5)"}, 3),
    ("05", {"FILTERS, KERNEL, SIZE = 3, 3, 8": "FILTERS, KERNEL, SIZE = 4, 2, 9"}, 0),
    (
        "07",
        {
            "SHAPE = (5, 3, 4, 2)": "SHAPE = (4, 6)",
            "KERNEL, SIZE = 3, 3, 8": "KERNEL, SIZE = 5, 2, 9",
        },
        2,
    ),
    ("08", {"REPETITIONS, SIZE = 3, 8": "REPETITIONS, SIZE = 1, 10"}, 0),
    ("09", {"SEEDS, EPOCHS = 4, 20": "SEEDS, EPOCHS = 2, 3"}, 0),
    ("break_it", {"S = 2 ": "S = 3 "}, 0),
    ("break_it", {"O, kh, kw = 6, 3, 2": "O, kh, kw = 5, 2, 2"}, 0),
]


def edited(name, changes):
    """The notebook whose name begins so, with the changes made once each."""
    (path,) = [path for path in NOTEBOOKS if path.name.startswith(name)]
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for before, after in changes.items():
        assert sum(cell.source.count(before) for cell in code) == 1, before
        for cell in code:
            cell.source = cell.source.replace(before, after)
    return notebook


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changes", "different"), EDITS)
def test_everything_after_an_edit_follows(name, changes, different, monkeypatch):
    for variable, value in execute.ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    try:
        fresh = execute.executed(edited(name, changes))
    except nbclient.exceptions.CellExecutionError as error:
        pytest.fail(f"{error.ename}: {error.evalue}", pytrace=False)
    lines = "\n".join(execute.said(cell) for cell in fresh.cells).splitlines()
    assert len([line for line in lines if "DIFFER" in line or line.endswith("False")]) == different


@pytest.mark.parametrize(("name", "changes", "different"), EDITS)
def test_what_is_edited_is_there(name, changes, different):
    assert edited(name, changes).cells


def test_no_solution_stands_below_its_question():
    cells = edited("08", {}).cells
    begin = next(i for i, cell in enumerate(cells) if cell.source == "# Solutions")
    solutions = [i for i, cell in enumerate(cells) if "solution" in cell.metadata.get("tags", [])]
    turns = [i for i, cell in enumerate(cells) if cell.source.startswith("# Your turn")]
    assert len(turns) == 5 and max(turns) < begin < min(solutions)
    assert all(cells[i].metadata["jupyter"]["source_hidden"] for i in solutions)
