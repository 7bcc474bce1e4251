"""Networks of one's own on the command line: FILE.py:FUNCTION, from training to export."""

import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import autocnn as ac
import reference
from autocnn import runs
from autocnn.cli import settings
from autocnn.runs import own_network
from autocnn.runs.own_network import build_own

NET = """
import numpy as np
from autocnn import layers as nn
import beside

def build(classes, filters=beside.FILTERS):
    return nn.serial(
        nn.conv(filters, 3), nn.relu(), nn.max_pool(2), nn.flatten(), nn.dense(classes)
    )

def scaled(k):
    def forward(params, state, x, train, key):
        return x * params["by"], state
    init = lambda key, shape, dtype="float64": (shape, {"by": np.ones(1, dtype)}, ())
    return nn.serial(nn.Layer("scale", {}, init, forward), nn.flatten(), nn.dense(k))

def fails_later(classes):
    def forward(params, state, x, train, key):
        return x.nothing, state
    init = lambda key, shape, dtype="float64": (shape, {"by": np.ones(1, dtype)}, ())
    return nn.serial(nn.Layer("scale", {}, init, forward), nn.flatten(), nn.dense(classes))

def with_nn(classes, nn, depth: int, *, kind="relu"):
    parts = [layer for _ in range(depth) for layer in (nn.conv(2, 3), getattr(nn, kind)())]
    return nn.serial(*parts, nn.flatten(), nn.dense(classes))

def nothing(classes):
    pass

def pair(classes):
    return build(classes), 3

def wrong(classes):
    return nn.serial(nn.conv(0, 3))

def leaves(classes):
    raise SystemExit(3)

def seven():
    return nn.serial(nn.flatten(), nn.dense(7))

ready = build(3)
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    """A folder with net.py, in which the test works."""
    monkeypatch.chdir(tmp_path)
    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(f"autocnn.plots.training.{name}", lambda *a, **o: Figure((1, 1)))
    monkeypatch.setattr(own_network, "_TOLD", set())
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "beside.py").write_text("FILTERS = 4\n")
    Image.fromarray(np.eye(8, dtype=np.uint8) * 200).save("eye.png")
    return tmp_path / "net.py"


TRAIN = ("--data", "patterns", "--limit", 30, "--epochs", 1)


def test_a_run_of_ones_own_network(net, command):
    code, out, err = command("train", "net.py:build", *TRAIN, "--build", "filters=5")
    assert code == 0, err
    assert f"{net}:build, " in out and "runs/net-patterns: config.json" in out
    run = "runs/net-patterns"
    config = runs.read_config(run)
    assert config.network == f"{net}:build" and config.build_options == {"filters": 5}
    saved = runs.load(run, "last")
    assert saved.train_state.params[0]["w"].shape == (5, 1, 3, 3)
    assert (net.parent / run / "network.py").read_text() == NET
    for words in (
        ("evaluate", run),
        ("predict", run, "eye.png"),
        ("trace", run, "eye.png"),
        ("filters", run),
        ("summary", run),
        ("export", run, "net.safetensors"),
        ("verify", run),
        ("train", "--run", run),
        ("train", "net.py:build", "--run", run),
    ):
        code, out, err = command(*words)
        assert (code, err) == (0, ""), words
    assert re.search(r"network\.py +whole", command("verify", run)[1])
    line = settings.command(config)
    assert f"{net}:build --data patterns --build filters=5" in line
    code, out, err = command("train", "net.py:build", "--build", "filters=6", "--run", run)
    assert code == 2 and "holds a run with --build filters=5, not --build filters=6" in err


@pytest.mark.parametrize("engine", ["fast", "autograd", "reference"])
def test_every_interpretation_trains_it_alike(engine, net, command):
    code, _, err = command(
        "train", "net.py:build", *TRAIN, "--engine", engine, "--dtype", "float64"
    )
    assert code == 0, err
    found = runs.load("runs/net-patterns", "last").train_state
    model = build_own("net.py:build", 3, {}, ac.layers)
    _, params, state = model.init((0, 0), (1, 8, 8))
    config = runs.read_config("runs/net-patterns")
    data = runs.load_data("patterns", 30)
    run = ac.train(
        params, data, model, state, config.optimizer(), 1, config.recipe.batch_size, seed=0
    )
    for ours, theirs in zip(run.params, found.params, strict=True):
        for leaf in ours:
            np.testing.assert_allclose(ours[leaf], theirs[leaf], rtol=1e-9, atol=1e-12)


def test_a_file_that_changed_is_said(net, command):
    command("train", "net.py:build", *TRAIN)
    command("train", "net.py:scaled", *TRAIN)
    before = command("evaluate", "runs/net-patterns")[1]
    net.write_text(f"# a comment\n{NET}")
    code, out, err = command("evaluate", "runs/net-patterns")
    assert (code, out) == (0, before)
    assert err.count("has changed since the run began; the network that it builds has not") == 1
    for run, why in (
        ("runs/net-scaled-patterns", "the network has layers of its own, which may have changed"),
        ("runs/net-patterns", "builds another network now"),
    ):
        for words in (("evaluate", run), ("train", "--run", run), ("summary", run)):
            code, out, err = command(*words)
            assert (code, out) == (2, "") and why in err and err.count("\n") == 1
            assert "which is in the run folder as network.py" in err and "damaged" not in err
        net.write_text(NET.replace("nn.relu()", "nn.tanh()"))
    net.unlink()
    code, _, err = command("evaluate", "runs/net-patterns")
    assert code == 2 and err == (
        f"autocnn: there is no file {net}; a network of your own is FILE.py:FUNCTION\n"
    )
    net.write_text((net.parent / "runs/net-patterns/network.py").read_text())
    assert command("evaluate", "runs/net-patterns")[1] == before


def test_the_text_in_a_run_folder_is_never_run(net, command):
    """A run folder may come from anywhere; only the file that it was made from is imported."""
    command("train", "net.py:build", *TRAIN)
    copy = net.parent / "runs/net-patterns/network.py"
    copy.write_text("raise SystemExit('run')")
    assert command("evaluate", "runs/net-patterns")[0] == 0
    code, out, _ = command("verify", "runs/net-patterns")
    assert code == 1 and "it is not what the network was built from" in " ".join(out.split())


@pytest.mark.parametrize(
    "name, more, says",
    [
        ("net.py", (), "name the function in the file that builds the network, such as net.py:b"),
        ("net.py:", (), "builds the network, such as net.py:build"),
        ("none.py:build", (), "there is no file none.py"),
        ("net.py:bild", (), r"net.py defines no 'bild'; it defines .*did you mean 'build'?"),
        ("net.py:nothing", (), "net.py:nothing returned None; it must return a network"),
        ("net.py:pair", (), "net.py:pair returned a tuple; it must return a network"),
        ("net.py:wrong", (), r"ValueError: conv: filters must be an int.* \(.*net.py, line 34\)"),
        ("net.py:leaves", (), r"failed: it called sys.exit\(3\) \(.*net.py, line 37\)"),
        ("net.py:seven", (), "net-seven has 7 outputs, and the data 3 classes"),
        ("net.py:fails_later", (), r"your network failed: AttributeError: .*net.py, line 19\)"),
        ("net.py:with_nn", (), "needs a value for depth: --build depth=VALUE"),
        ("net.py:with_nn", ("--build", "depth=1", "--build", "kin=tanh"), "did you mean 'kind'?"),
        ("net.py:build", ("--build", "filters"), "--build takes NAME=VALUE"),
        ("net.py:build", ("--build", "filters=x"), r"filters must be an int.*net.py, line 8\)"),
        ("net.py:build", ("--width", 2), "has no argument 'width'"),
        ("net.py:ready", ("--build", "a=1"), "is not a function and takes no --build options"),
        ("net.py:scaled", ("--engine", "reference"), "has no backward pass by hand"),
        ("tiny-cnn", ("--build", "a=1"), "--build is for networks of your own"),
        ("net.py:beside", (), "net.py:beside is a module"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(name, more, says, net, command):
    code, _, err = command("train", name, *TRAIN, *more)
    assert code == 2 and err.startswith("autocnn: ") and err.count("\n") == 1
    assert re.search(says.replace("?", r"\?") if "did you" in says else says, err), err
    if "fails_later" not in name:
        assert not (net.parent / "runs").exists()


@pytest.mark.parametrize(
    "text, says",
    [
        ("import nowhere", r"ModuleNotFoundError: No module named 'nowhere' \(.*bad.py, line 1\)"),
        ("x = 1\ny = (", r"SyntaxError: '\(' was never closed \(.*bad.py, line 2\)"),
        ("\n1 / 0", r"ZeroDivisionError: division by zero \(.*bad.py, line 2\)"),
    ],
)
def test_files_that_cannot_be_imported(text, says, net, command):
    net.with_name("bad.py").write_text(text)
    for words in (("train", "bad.py:build", *TRAIN), ("summary", "bad.py:f", "--shape", "1,8,8")):
        code, _, err = command(*words)
        assert code == 2 and err.count("\n") == 1
        assert re.search(f"bad.py cannot be imported: {says}", err)


def test_options_and_ready_networks(net):
    found = build_own("net.py:with_nn", 4, {"depth": 2, "kind": "tanh"}, reference)
    assert isinstance(found, reference.Layer) and found.is_by_hand
    assert [part.name for part in found.parts] == ["conv", "tanh"] * 2 + ["flatten", "dense"]
    assert build_own("net.py:ready", 3, {}, ac.fast).init(None, (1, 8, 8))[0] == (3,)
    own = build_own("net.py:scaled", 5, {}, ac.fast)
    assert own.init(None, (1, 8, 8))[0] == (5,) and type(own) is type(ac.fast.relu())
    parsed = settings.parse_build(["a=1", "b=0.5", "c=[1, 2]", "d=tanh", "e=None", "f=x=y"])
    assert parsed == {"a": 1, "b": 0.5, "c": [1, 2], "d": "tanh", "e": None, "f": "x=y"}


def test_summary(net, command):
    words = ("summary", "net.py:build", "--shape", "3,32,32")
    about = json.loads(command(*words, "--build", "filters=2", "--json")[1])
    assert about["layers"][0]["output_shape"] == [2, 30, 30]
    assert about["layers"][-1]["output_shape"] == [10]
    code, _, err = command("summary", "net.py:build")
    assert code == 2 and "--shape C,H,W" in err
    code, _, err = command("summary", "resnet50", "--build", "a=1")
    assert code == 2 and "--build is for networks of your own" in err


def test_a_layer_of_ones_own_is_explained_by_the_one_way_that_it_has(net, command):
    command("train", "net.py:scaled", *TRAIN, "--out", "runs/scaled")
    for engine in ("fast", "autograd"):
        code, out, err = command(
            "explain", "runs/scaled", "eye.png", "--method", "saliency", "--engine", engine
        )
        assert (code, err) == (0, "")
        assert f"computed by {engine} only: a layer of your own has no backward pass" in out
    code, out, err = command("explain", "runs/scaled", "eye.png", "--engine", "reference")
    assert code == 2 and "use --engine autograd or fast" in err
