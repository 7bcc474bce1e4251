"""What people and machines see: the report's text at every width, its JSON, the figures, the
command and the fixture.
"""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from autocnn import gradcheck
from autocnn.cli.check import check as command
from autocnn.plots.gradcheck import error_map, mosaic, overview, taylor_slopes

pytest_plugins = ["pytester"]
RNG = np.random.default_rng(0)
ARRAYS = {
    "x": RNG.standard_normal((5, 4)),
    "w": RNG.standard_normal((4, 3)),
    "b": RNG.standard_normal(3),
}


def dense(x, w, b):
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x.T @ dy, "b": dy.sum(axis=0)}


def averaged(x, w, b):
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x.T @ dy / len(x), "b": dy.sum(axis=0)}


@pytest.fixture(scope="module")
def wrong():
    return gradcheck.check(averaged, seed=3, **ARRAYS)


@pytest.mark.parametrize("width", [40, 60, 100, 120])
def test_text_fits_its_width(wrong, width):
    text = wrong.text(width)
    assert max(map(len, text.splitlines())) <= width
    for words in ("WRONG", "averaged", "FAIL", "scale", "yours", "seed=3"):
        assert words in text


def test_text_follows_the_terminal(wrong, monkeypatch):
    monkeypatch.setenv("COLUMNS", "52")
    assert max(map(len, str(wrong).splitlines())) <= 52


def test_the_cause_says_what_and_how_sure(wrong):
    (cause,) = wrong.causes
    assert (cause.code, cause.leaf) == ("scale", "w") and cause.code in gradcheck.CODES
    assert cause.factor == pytest.approx(0.2, rel=1e-9) and cause.residual < 1e-12
    assert "1 / N" in cause.message
    index, yours, gradient = wrong.leaves["w"].worst[0]
    assert yours == pytest.approx(gradient / 5) and len(index) == 2


def test_json_round_trip(wrong):
    data = json.loads(wrong.to_json())
    assert data["ok"] is False and data["causes"][0]["code"] == "scale"
    assert data["leaves"]["w"]["verdict"] == "wrong" and data["leaves"]["x"]["verdict"] == "agree"
    assert data["reproduce"]["seed"] == 3 and data["leaves"]["w"]["worst"][0]["index"] == list(
        wrong.leaves["w"].worst[0].index
    )
    infinite = gradcheck.check(lambda x: (2 * x, lambda dy: {"x": dy / 0.0}), x=np.ones(3))
    assert json.loads(infinite.to_json())["causes"][0]["code"] == "nonfinite"


def test_raise_if_wrong(wrong):
    with pytest.raises(AssertionError, match="1 / N"):
        wrong.raise_if_wrong()
    right = gradcheck.check(dense, **ARRAYS)
    assert right.raise_if_wrong() is right


def test_the_same_seed_gives_the_same_report(wrong):
    again = gradcheck.check(averaged, seed=3, **ARRAYS)
    assert again.text().split("(")[1:] != [] and again.causes == wrong.causes
    assert again.leaves["w"].error == wrong.leaves["w"].error


def test_a_factor_is_named_at_two_sizes():
    """N = 2 and the kernel's 2: at these sizes alone 1 / N is 1 / 2 is 1 / k."""
    x, w = RNG.standard_normal((2, 3)), RNG.standard_normal((3, 2))
    report = gradcheck.check(
        lambda x, w: (x @ w, lambda dy: {"x": dy @ w.T, "w": x.T @ dy / 2}), x=x, w=w
    )
    assert report.causes[0].code == "scale" and report.causes[0].factor == pytest.approx(0.5)
    x, w = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 3))
    report = gradcheck.check(
        lambda x, w: (x @ w, lambda dy: {"x": dy @ w.T, "w": x.T @ dy / w.shape[1]}), x=x, w=w
    )
    assert "1 / K" in report.causes[0].message and "1 / N" not in report.causes[0].message


# ---- figures


def test_mosaic():
    a = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    image = mosaic(a)
    assert image.shape == (2 * 5 - 1, 3 * 6 - 1)
    assert np.array_equal(image[5:9, 12:17], a[1, 2]) and np.isnan(image[4]).all()
    assert mosaic(np.ones(3)).shape == (1, 3)


def test_figures(wrong, tmp_path):
    overview(wrong).savefig(tmp_path / "wrong.png")
    assert (tmp_path / "wrong.png").stat().st_size > 5000
    assert [axes.get_title(loc="left") for axes in error_map(wrong).axes[::2]] == [
        "yours",
        "gradient",
        "difference",
    ]
    lines = {
        line.get_label(): line.get_xydata()
        for line in taylor_slopes(wrong, "w").axes[0].get_lines()
    }
    h, r = lines["with your gradient"][:12].T
    assert np.polyfit(np.log(h), np.log(r), 1)[0] == pytest.approx(1, abs=0.05)
    assert len(overview(gradcheck.check(dense, **ARRAYS)).axes) == 1
    with pytest.raises(ValueError, match="there are maps of: w"):
        error_map(wrong, "x")
    with pytest.raises(ValueError, match="no leaf of averaged"):
        taylor_slopes(wrong, "z")


# ---- the command


app = typer.Typer(pretty_exceptions_enable=False)
app.command()(command)

SOURCE = """
import numpy as np

def dense(x, w):
    return x @ w, lambda dy: {"x": dy @ w.T, "w": x.T @ dy}

def bad(x, w):
    print("noise")
    return x @ w, lambda dy: {"x": dy @ w.T, "w": -x.T @ dy}

bad_shapes = {"x": (5, 3), "w": (3, 2)}

def mean_forward(x):
    return x.mean(axis=1), x.shape

def mean_backward(dy, shape):
    return np.broadcast_to(dy[:, None] / shape[1], shape).copy()

def mean_inputs(seed):
    return {"x": np.random.default_rng(seed).standard_normal((4, 3))}

def sine(x):
    return np.sin(x)

def sine_vjp(dy, x):
    return dy * np.cos(x)

def pick(x, labels):
    rows = np.arange(len(x))
    def backward(dy):
        dx = np.zeros_like(x)
        dx[rows, labels] = dy
        return {"x": dx}
    return x[rows, labels], backward

class Scale:
    def __init__(self):
        self.a = np.array([2.0, 3.0, 4.0])
    def forward(self, x):
        self.x = x
        return x * self.a
    def backward(self, dy):
        self.da = (dy * self.x).sum(axis=0)
        return dy * self.a

broken = 3
"""


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    path = tmp_path_factory.mktemp("layers") / "layers_under_check.py"
    path.write_text(SOURCE)
    return str(path)


def shell(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.mark.parametrize(
    ("name", "arguments", "exit_code"),
    [
        ("dense", ["--shape", "x=5,3", "--shape", "w=3,2"], 0),
        ("bad", [], 1),
        ("mean", [], 0),
        ("mean_forward", ["--shape", "x=4,3"], 0),
        ("sine", ["--shape", "x=7", "--seed", 4], 0),
        ("pick", ["--shape", "x=5,4", "--shape", "labels=5:4"], 0),
        ("Scale", ["--shape", "x=4,3"], 0),
    ],
)
def test_command(layers, name, arguments, exit_code):
    result = shell(f"{layers}:{name}", *arguments)
    assert result.exit_code == exit_code, result.output
    assert ("WRONG" if exit_code else "OK") in result.stdout and "Traceback" not in result.output


def test_command_json_and_plot(layers, tmp_path):
    result = shell(f"{layers}:bad", "--json", "--plot", tmp_path / "bad.png")
    assert result.exit_code == 1 and (tmp_path / "bad.png").exists()
    assert json.loads(result.stdout[result.stdout.index("{") :])["causes"][0]["code"] == "sign"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{}:nothing"], "there is no nothing"),
        (["{}:dense"], "--shape x=3,4"),
        (["{}:dense", "--shape", "x=5,3"], "also needs w"),
        (["{}:dense", "--shape", "x=5,3", "--shape", "w=3,2", "--shape", "z=1"], "no argument z"),
        (["{}:dense", "--shape", "x=5,3", "--shape", "w=4,2"], "raised ValueError"),
        (["{}:dense", "--shape", "x=five"], "is not NAME=SIZES"),
        (["{}:dense", "--shape", "x=0,3"], "is not NAME=SIZES"),
        (["{}:broken"], "is a int"),
        (["{}:bad", "--plot", "x.txt"], "must end in"),
        (["{}:bad", "--plot", "/no/such/folder/x.png"], "there is no folder"),
        (["nowhere.py:f"], "there is no file"),
        (["{}:no-name"], "is not FILE.py:NAME"),
    ],
)
def test_command_refuses(layers, arguments, words):
    result = shell(*(a.format(layers) for a in arguments))
    assert result.exit_code == 2 and words in result.stderr and result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1


def test_command_refuses_a_file_that_does_not_run(tmp_path):
    (tmp_path / "half.py").write_text("def f(:\n")
    result = shell(f"{tmp_path / 'half.py'}:f")
    assert result.exit_code == 2 and "SyntaxError" in result.stderr


# ---- the fixture


def test_fixture(pytester):
    pytester.makeconftest("from autocnn.gradcheck.pytest_plugin import gradcheck")
    pytester.makepyfile(
        """
        import numpy as np

        def test_right(gradcheck):
            assert gradcheck(lambda x: (2 * x, lambda dy: 2 * dy), x=np.ones(3)).ok
            gradcheck.pair(lambda x: (3 * x, 3), lambda dy, c: c * dy, x=np.ones(3))
            gradcheck.vjp(np.sin, lambda dy, x: dy * np.cos(x), np.ones(3))

        def test_wrong(gradcheck):
            gradcheck(lambda x: (2 * x, lambda dy: dy), x=np.ones(3))
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*scale: yours is exactly 0.5 x the gradient*"])


def test_reports_inside_a_test(pytester):
    pytester.makepyfile(
        """
        import numpy as np
        from autocnn import gradcheck

        def wrong(x):
            return 2 * x, lambda dy: dy

        def check():
            return gradcheck.check(wrong, quick=True, x=np.ones(3))

        def test_asserted():
            assert check()

        def test_raised():
            check().raise_if_wrong()

        def test_dropped():
            check()

        def test_looked_at():
            assert check().causes[0].code == "scale"
            assert not check()

        def test_right():
            assert gradcheck.check(lambda x: (2 * x, lambda dy: 2 * dy), x=np.ones(3))
        """
    )
    # its own process: the plugin of this one may be loaded twice otherwise
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=2, failed=3)
    for name, how in (
        ("asserted", "assert"),
        ("raised", "AssertionError:"),
        ("dropped", "Failed:"),
    ):
        result.stdout.fnmatch_lines([f"FAILED *::test_{name} - {how} WRONG*"])
    result.stdout.fnmatch_lines(["*The test did not look at this report.*"])


def test_the_fixture_is_declared():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {
        "autocnn": "autocnn.gradcheck.pytest_plugin"
    }
