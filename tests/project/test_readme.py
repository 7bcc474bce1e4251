"""What the documentation shows runs: the README's Python blocks and commands in order, and every
docstring example of the packages.
"""

import doctest
import importlib
import linecache
import pathlib
import re
import textwrap

import pytest
from PIL import Image

import autocnn as ac
import reference
from tests.helpers import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.M | re.S)
# {i: what is shown below the i-th Python block}
SHOWN = {
    i: after[1]
    for i, part in enumerate(re.split(r"^```python\n.*?^```\n", README, flags=re.M | re.S)[1:])
    if (after := re.match(r"\n```\n(.*?)^```", part, flags=re.M | re.S))
}
UNSTEADY = re.compile(r"\([\d.]+ s\)|\d(\.\d+)?e-1[5-7]")  # durations and rounding errors
SHELL = re.findall(r"^```sh\n(.*?)^```", README, flags=re.M | re.S)
COMMANDS = [line.split("#")[0].strip() for block in SHELL for line in block.splitlines()]
# The pages beside the code, and the files that they link to.
LINKS = [
    (page, link.split("#")[0])
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
    for link in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    if not link.startswith("http")
]


def modules_with_examples():
    for package in (ac, reference):
        root = pathlib.Path(package.__file__).parent
        for path in sorted(root.rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                yield ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(
                    ".__init__"
                )


EXAMPLES = list(modules_with_examples())


def test_the_python_blocks_run_in_order(capsys, monkeypatch):
    """In one session, and each prints what is shown below it."""
    monkeypatch.setenv("COLUMNS", "100")  # reports fit the terminal
    names: dict = {}
    assert len(BLOCKS) == 4
    printed = []
    for i, block in enumerate(BLOCKS):
        name = f"<README block {i}>"  # its source is to be had, as that of a notebook's cell is
        linecache.cache[name] = (len(block), None, block.splitlines(keepends=True), name)
        exec(compile(block, name, "exec"), names)
        printed.append([UNSTEADY.sub("~", line) for line in capsys.readouterr().out.splitlines()])
    shown = {i: UNSTEADY.sub("~", text).splitlines() for i, text in SHOWN.items()}
    assert list(shown) == [i for i, lines in enumerate(printed) if lines] == [0, 2]
    for i, lines in shown.items():  # the report is shown less some of its lines
        assert [line for line in lines if line not in printed[i]] == []
    assert shown[0] == printed[0]
    assert names["own_run"].params[1]["w"].shape == (4,)
    assert names["dx"].shape == names["x"].shape == (18, 1, 8, 8)
    assert [path for path, _ in ac.trees.leaves(names["dparams"])] == ["0.w", "0.b", "4.w", "4.b"]


def draw_images():
    """What the commands are given: pets, a folder of images for each class, and photo.jpg."""
    data = ac.data.patterns(24, 1, size=28, classes=("vertical", "horizontal"))
    for i, (x, y) in enumerate(zip(data.x_train, data.y_train, strict=True)):
        folder = pathlib.Path("pets") / data.classes[y]
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray((x[0].clip(0, 1) * 255).astype("uint8"))
        image.save(folder / f"{i}.png")
    image.save("photo.jpg")


def test_the_commands_run(command, tmp_path, monkeypatch):
    """Those of autocnn, in order; every Make target exists."""
    monkeypatch.chdir(tmp_path)
    draw_images()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    programs = [line.split()[0] for line in COMMANDS]
    assert programs.count("make") == 3 and programs.count("autocnn") == 12 and len(programs) == 16
    assert programs.index(".") == 1  # what follows finds the environment that was made
    for line in COMMANDS:
        program, *arguments = line.split()
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, flags=re.M), line
        elif program == ".":
            assert arguments == [".venv/bin/activate"]
        else:
            code, _, stderr = command(*arguments)
            assert code == 0, f"{line}: {stderr}"
    assert (tmp_path / "runs" / "tiny" / "history.csv").read_text().count(
        "\n"
    ) == 6  # epochs 0 to 4


@pytest.mark.parametrize("page, link", sorted(set(LINKS)))
def test_links_lead_somewhere(page, link):
    assert (ROOT / page).parent.joinpath(link).exists()


def test_contributing_names_what_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([\w-]+)", text, flags=re.M):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    paths = re.findall(r"`((?:autocnn|reference|tests)/[\w/.*-]*)`", text)
    assert len(paths) > 8
    for path in paths:
        assert list(ROOT.glob(path)), path


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
    """Its example is the indented block."""
    lines = [line for line in ac.__doc__.splitlines() if line.startswith("    ") or not line]
    names: dict = {}
    exec(textwrap.dedent("\n".join(lines)), names)
    assert names["run"].history["val_acc"][-1] == 1.0
    assert names["out_shape"] == (3,)
