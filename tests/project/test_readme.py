"""What the documentation shows runs: the README's Python blocks in order, and every docstring
example of the packages.
"""

import doctest
import importlib
import itertools
import pathlib
import re

import numpy as np
import pytest

import autocnn as ac
import reference

README = (pathlib.Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.M | re.S)
LINKS = [link for link in re.findall(r"\]\(([^)#]+)", README) if not link.startswith("http")]


def modules_with_examples():
    for package in (ac, reference):
        root = pathlib.Path(package.__file__).parent
        for path in sorted(root.rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                yield ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(
                    ".__init__"
                )


EXAMPLES = list(modules_with_examples())


def test_the_readmes_blocks_run_in_order(capsys):
    layer = ac.models.tiny_cnn()
    x, labels = np.random.default_rng(0).random((4, 1, 8, 8)), np.arange(4) % 3
    # What a reader of the shorter blocks has at hand.
    names = {
        "tiny_cnn": ac.models.tiny_cnn,
        "layer": layer,
        "key": 3,
        "shape": (1, 8, 8),
        "dtype": "float64",
    }
    names |= {"x": x, "labels": labels, "fast": ac.fast}
    assert len(BLOCKS) >= 3
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert names["run"].history["val_acc"][-1] == 1.0
    assert re.search(r"total\s+114\s+1,053", printed)
    differences = [
        float(line.split()[1]) for line in printed.splitlines() if re.match(r"\d\.[wb] ", line)
    ]
    assert len(differences) == 4
    assert max(differences) < 1e-15
    dx, dparams = names["backward"](np.ones((4, 3)))
    assert dx.shape == x.shape
    assert [path for path, _ in ac.trees.leaves(dparams)] == ["0.w", "0.b", "4.w", "4.b"]


@pytest.mark.parametrize("link", sorted(set(LINKS)))
def test_the_readmes_links_lead_somewhere(link):
    assert (pathlib.Path(__file__).parents[2] / link).exists()


def test_some_docstrings_have_examples():
    assert EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_docstring_examples_run(name):
    if name == "autocnn.data.real":
        pytest.importorskip("sklearn")  # its digits are the example
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0


def test_the_docstring_of_the_package_runs():
    """Its example is indented, not prompted: the lines from the first import on."""
    lines = itertools.dropwhile(lambda line: "import" not in line, ac.__doc__.splitlines())
    names = {}
    exec("\n".join(line.strip() for line in lines), names)
    assert names["run"].history["val_acc"][-1] == 1.0
