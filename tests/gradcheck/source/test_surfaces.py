"""The place and the fix in reports, on the command line, as a patch, and what is left alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from autocnn import gradcheck
from autocnn.cli import app

LAYER = """import numpy as np

calls = []
rng = np.random.default_rng(3)
table = {"scale": 2.0}


def slope(h):
    return 1 - h * h


def layer(x, w):
    h = np.tanh(x @ w)
    keep = rng.random(h.shape) < 0.7
    y = h * keep * table["scale"]

    def backward(dy):
        print("backward runs")
        dh = dy * keep
        da = dh * slope(h)
        dx = da @ w.T
        dw = x.T @ da
        return {"x": dx, "w": dw}

    return y, backward


layer_shapes = {"x": (4, 3), "w": (3, 5)}
"""
WRONG = "        dh = dy * keep"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The layer as a file of its own, imported."""
    (tmp_path / "wrong_layer.py").write_text(LAYER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "wrong_layer", raising=False)
    import wrong_layer

    yield wrong_layer
    sys.modules.pop("wrong_layer", None)


def arrays():
    r = np.random.default_rng(0)
    return {"x": r.standard_normal((4, 3)), "w": r.standard_normal((3, 5))}


LINE = 1 + LAYER.splitlines().index(WRONG)


def test_report_names_line_and_edit(module):
    report = gradcheck.check(module.layer, **arrays())
    assert report.place.line == report.fix.line == LINE
    assert report.fix.before == WRONG.strip()
    assert "scale" in report.fix.after or "2" in report.fix.after
    assert f"line {LINE}" in str(report) and "try " in str(report)
    data = json.loads(report.to_json())
    assert data["place"]["line"] == data["fix"]["line"] == LINE
    assert {step["verdict"] for step in data["trail"]} >= {"wrong"}
    assert "✗" in report.excerpt() and "^" in report.excerpt()
    assert report.fix.after.split("=")[0] in report._repr_html_()


def test_failing_test_shows_the_excerpt(module):
    with pytest.raises(AssertionError, match="✗"):
        gradcheck.check(module.layer, **arrays()).raise_if_wrong()


def test_quick_leaves_place_and_fix_out(module):
    report = gradcheck.check(module.layer, quick=True, **arrays())
    assert not report.ok
    assert report.place is None and report.fix is None and not report.trail


def test_nothing_of_the_author_is_changed(module, capsys):
    before = {
        "rng": module.rng.bit_generator.state,
        "modules": set(sys.modules),
        "globals": dict(vars(module)),
        "code": module.layer.__code__,
    }
    text = _bytes(module.__file__)
    given = arrays()
    kept = {n: a.copy() for n, a in given.items()}
    assert not gradcheck.check(module.layer, quick=True, **given).ok
    quick = module.rng.bit_generator.state
    printed = capsys.readouterr().out.count("backward runs")
    assert not gradcheck.check(module.layer, **given).ok
    assert module.rng.bit_generator.state == quick == before["rng"]
    assert set(vars(module)) == set(before["globals"])
    assert all(vars(module)[n] is v for n, v in before["globals"].items())
    assert module.layer.__code__ is before["code"]
    assert all(np.array_equal(given[n], kept[n]) for n in given)
    assert _bytes(module.__file__) == text
    # the search itself prints nothing: no more than the check without it
    assert capsys.readouterr().out.count("backward runs") <= printed


def _bytes(path):
    with open(path, "rb") as file:
        return file.read()


def test_command_line_shows_source_and_writes_a_patch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.py").write_text(LAYER)
    run = CliRunner().invoke(app, ["check", "one.py:layer", "--fix-diff", "fix.diff"])
    assert run.exit_code == 1
    assert f"✗ {LINE}" in run.output and "+++ b/one.py" in run.output
    assert (tmp_path / "one.py").read_text() == LAYER
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "apply", "fix.diff"], check=True)
    changed = (tmp_path / "one.py").read_text()
    assert [a for a, b in zip(changed.splitlines(), LAYER.splitlines(), strict=True) if a != b]
    again = CliRunner().invoke(app, ["check", "one.py:layer"])
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize("end", ["\r\n", ""])
def test_patch_keeps_the_ends_of_lines(tmp_path, monkeypatch, end):
    monkeypatch.chdir(tmp_path)
    text = LAYER.replace("\n", end) if end else LAYER.rstrip("\n")
    (tmp_path / "one.py").write_bytes(text.encode())
    CliRunner().invoke(app, ["check", "one.py:layer", "--fix-diff", "fix.diff"])
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "apply", "fix.diff"], check=True)
    new, old = _bytes("one.py"), text.encode()
    assert new != old
    assert new.count(b"\r\n") == old.count(b"\r\n")
    assert new.endswith(b"\n") == old.endswith(b"\n")


def test_quick_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.py").write_text(LAYER)
    run = CliRunner().invoke(app, ["check", "one.py:layer", "--quick", "--json"])
    assert json.loads(run.stdout)["place"] is None


def test_code_that_writes_files_is_not_run_by_the_search(tmp_path, monkeypatch):
    log = tmp_path / "log.txt"
    source = (
        "import numpy as np\n\n\ndef f(x):\n    def backward(dy):\n"
        f"        with open({str(log)!r}, 'a') as file:\n            file.write('.')\n"
        "        return dy * x\n\n    return x * x, backward\n"
    )
    (tmp_path / "writes.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    import writes

    assert not gradcheck.check(writes.f, quick=True, x=np.ones((3, 2)) * 1.5).ok
    quick = len(log.read_text())
    log.write_text("")
    report = gradcheck.check(writes.f, x=np.ones((3, 2)) * 1.5)
    assert len(log.read_text()) == quick
    assert report.place is None and not report.ok
    assert any("file" in note for note in report.notes)
    sys.modules.pop("writes", None)


def test_an_edit_that_does_not_end_is_dropped():
    def halves(x):
        steps = 3
        y = x.copy()
        for _ in range(steps):
            y = y * 0.5

        def backward(dy):
            dx, k = dy * 1.0, 0
            while k < steps:
                dx = dx * 0.25
                k += 1
            return dx

        return y, backward

    report = gradcheck.check(halves, x=np.arange(1.0, 7.0).reshape(3, 2))
    assert report.place is not None
