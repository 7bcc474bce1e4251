"""``autocnn predict``, ``trace``, ``filters``, ``summary`` and ``export``: what they print and
write, and what they refuse.
"""

import json
import re
import shutil

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from safetensors.numpy import load_file
from typer.testing import CliRunner

import autocnn as ac
from autocnn import checkpoint, runs
from autocnn.cli import app, predict
from autocnn.data import idx
from autocnn.data.known import FILES
from autocnn.models.interpretations import RUNTIMES
from autocnn.runs import preprocessing
from autocnn.runs.answers import run_calibration


def autocnn(*args, **env):
    """Run a command and return its result; ValueErrors come through, as they do to
    ``autocnn.cli.main``.
    """
    result = CliRunner().invoke(app, [str(arg) for arg in args], env=env)
    if isinstance(result.exception, ValueError):
        raise result.exception
    return result


def folder_of(path, x, y):
    for name, array in zip(FILES, (x, y, x, y), strict=True):
        idx.write(path / name, array.astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Four runs, barely trained: patterns by both tiny networks, and 28x28 images by both
    LeNets.
    """
    home = tmp_path_factory.mktemp("runs")
    data = folder_of(
        tmp_path_factory.mktemp("idx"),
        np.random.default_rng(0).integers(0, 256, (6, 28, 28)),
        np.arange(6) % 3,
    )
    found = {}
    for network, images, more in (
        ("tiny-cnn", "patterns", ["--epochs", 4]),
        ("tiny-mlp", "patterns", ["--epochs", 1, "--limit", 9]),
        ("lenet5", data, ["--epochs", 1, "--width", 0.5]),
        ("lenet5-1998", data, ["--epochs", 1, "--rate", 1e-5]),
    ):
        found[network] = home / network
        with (
            pytest.MonkeyPatch.context() as patch
        ):  # the figures of training are not looked at here, and take time
            for name in ("curves", "confusion", "mistakes"):
                patch.setattr(f"autocnn.plots.training.{name}", lambda *args, **options: Figure())
            result = autocnn("train", network, "--data", images, "--out", found[network], *more)
        assert result.exit_code == 0, result.output
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three patterns as PNG files: as they are, large and in colour on white, and as 28x28
    noise.
    """
    folder, data = tmp_path_factory.mktemp("images"), ac.data.patterns()
    grey = (data.x_val[0, 0] * 255).astype(np.uint8)
    Image.fromarray(grey).save(folder / "same.png")
    large = np.kron(255 - (255 * (grey > 128)), np.ones((30, 30))).astype(np.uint8)
    Image.fromarray(np.stack([large, large, np.maximum(large, 60)], axis=-1)).save(
        folder / "large.png"
    )
    Image.fromarray(np.random.default_rng(1).integers(0, 100, (28, 28), dtype=np.uint8)).save(
        folder / "noise.png"
    )
    return folder, grey


def expected(run, grey, calibrated=True):
    """The probabilities of a grey image, calibrated as ``predict`` does or not, and the classes."""
    saved = runs.load(run, "best")
    x = preprocessing.prepare(grey[None, None].astype("f") / 255, saved.config.inputs)
    probs = ac.predict(saved.model, saved.train_state.params, saved.train_state.state, x)[0]
    calibration = run_calibration(run, saved)[0]
    if calibrated and calibration is not None:
        probs = calibration.probabilities(np.log(probs))
    return probs, saved.config.classes


def test_predict_tells_the_networks_own_probabilities(trained, images):
    folder, grey = images
    probs, classes = expected(trained["tiny-cnn"], grey)
    (found,) = json.loads(
        autocnn("predict", trained["tiny-cnn"], folder / "same.png", "--json").stdout
    )["predictions"]
    assert found["image"] == str(folder / "same.png") and found["changes"] == []
    assert [t["class"] for t in found["top"]] == [classes[k] for k in np.argsort(-probs)]
    np.testing.assert_allclose(
        [t["probability"] for t in found["top"]], np.sort(probs)[::-1], rtol=1e-6
    )
    noise = np.asarray(Image.open(folder / "noise.png"))
    for network in ("lenet5", "lenet5-1998"):  # the latter pads and changes grey levels
        probs, _ = expected(trained[network], noise)
        (found,) = json.loads(
            autocnn("predict", trained[network], folder / "noise.png", "--json").stdout
        )["predictions"]
        np.testing.assert_allclose(
            [t["probability"] for t in found["top"]], np.sort(probs)[::-1], rtol=1e-5
        )


@pytest.mark.parametrize("engine", ["fast", "reference", "onnxruntime", "openvino"])
def test_every_engine_gives_the_same_probabilities(engine, trained, images):
    if engine in RUNTIMES:
        pytest.importorskip(engine)
        pytest.importorskip("onnx")

    def found(network, *more):
        path = images[0] / ("same.png" if network == "tiny-cnn" else "noise.png")
        told = json.loads(autocnn("predict", trained[network], path, "--json", *more).stdout)
        (one,) = told["predictions"]
        return {row["class"]: row["probability"] for row in one["top"]}

    for network in ("tiny-cnn", "lenet5-1998"):  # outputs of the latter are sums of about 100
        expected = found(network)
        assert found(network, "--engine", engine) == pytest.approx(expected, rel=1e-4)
    results = [
        json.loads(autocnn("evaluate", trained["tiny-cnn"], "--json", *more).stdout)
        for more in ([], ["--engine", engine])
    ]
    losses, accuracies = zip(*((r["loss"], r["accuracy"]) for r in results), strict=True)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5) and len(set(accuracies)) == 1


def test_a_runtime_says_that_it_computes_in_float32(images, tmp_path, capsys):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    run = tmp_path / "run"
    short = ("--data", "patterns", "--epochs", 1, "--limit", 9, "--dtype", "float64")
    assert autocnn("train", "tiny-mlp", *short, "--out", run).exit_code == 0
    for command in (("evaluate", run), ("predict", run, images[0] / "same.png")):
        result = autocnn(*command, "--engine", "onnxruntime")
        assert result.exit_code == 0
        assert "onnxruntime computes in float32, the run was trained in float64" in result.stderr
        assert "computes in" not in autocnn(*command).stderr


@pytest.mark.parametrize(
    "command",
    [
        ("train", "tiny-cnn", "--out", "OUT"),
        ("lr-find", "tiny-cnn"),
        ("sweep", "tiny-cnn", "--grid", "filters=1", "--out", "OUT"),
        ("exercise", "1", "--out", "OUT"),
        ("chapter", "--out", "OUT"),
        ("explain", "RUN", "IMAGE", "--out", "OUT.png"),
    ],
    ids=lambda command: command[0],
)
def test_gradients_are_refused_to_runtimes(command, trained, images, tmp_path):
    places = {"RUN": trained["tiny-cnn"], "IMAGE": images[0] / "same.png", "OUT": tmp_path / "out"}
    places["OUT.png"] = tmp_path / "out.png"
    words = [places.get(word, word) for word in command]
    with pytest.raises(ValueError, match=r"^openvino computes outputs only, for autocnn predict"):
        autocnn(*words, "--engine", "openvino")
    assert not list(tmp_path.iterdir())


def test_the_best_parameters_are_used_unless_the_last_are_asked_for(trained, images, tmp_path):
    run = shutil.copytree(trained["tiny-cnn"], tmp_path / "run")
    held = checkpoint.load(run / "last.safetensors")
    held.params[0]["w"][:] = 1
    checkpoint.save(run / "last.safetensors", *held)

    def found(command, *args):
        before, after = (
            json.loads(autocnn(command, run, *args, "--json", *more).stdout)
            for more in ([], ["--last"])
        )
        assert before != after or command == "filters"
        return before, after

    same = images[0] / "same.png"
    assert (
        found("predict", same)[0]["predictions"]
        == json.loads(autocnn("predict", trained["tiny-cnn"], same, "--json").stdout)["predictions"]
    )
    found("trace", same)
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "autocnn.plots.predict.filters",
            lambda weights, title: drawn.append(weights) or Figure(),
        )
        found("filters")
    assert (drawn[1] == 1).all() and not (drawn[0] == 1).any()
    for name, more in (("best", []), ("last", ["--last"])):
        autocnn("export", run, tmp_path / f"{name}.safetensors", *more)
    assert (load_file(tmp_path / "last.safetensors")["features.0.weight"] == 1).all()
    np.testing.assert_array_equal(
        load_file(tmp_path / "best.safetensors")["features.0.weight"], drawn[0]
    )


def test_predict_prints_bars(trained, images):
    folder = images[0]
    result = autocnn(
        "predict", trained["tiny-cnn"], folder / "same.png", folder / "large.png", COLUMNS="60"
    )
    assert result.exit_code == 0 and result.stderr == ""
    first, second = result.stdout.split("\n\n")
    assert first.splitlines()[0] == str(folder / "same.png")
    assert second.startswith(
        f"{folder / 'large.png'}: colour to grey, bright and dark swapped, 240x240 to 8x8 pixels\n"
    )
    rows = [
        re.fullmatch(r"  (\w+) +([\d.]+)%(?:  ([█▏▎▍▌▋▊▉]*))?", line)
        for line in first.splitlines()[1:]
    ]
    shares = [float(row[2]) / 100 for row in rows]
    assert len(rows) == 3 and sum(shares) == pytest.approx(1, abs=2e-4)
    assert {row[1] for row in rows} == set(ac.data.patterns().classes)
    for row, share in zip(rows, shares, strict=True):
        eighths = sum(8 if c == "█" else " ▏▎▍▌▋▊▉".index(c) for c in row[3] or "")
        assert abs(eighths - share * (60 - 10 - 12) * 8) <= 1
    top = autocnn(
        "predict", trained["tiny-cnn"], folder / "same.png", "--top", 1
    ).stdout.splitlines()
    assert len(top) == 2 and top[1].split()[:2] == first.splitlines()[1].split()[:2]


def test_pictures_that_cannot_be_read_do_not_stop_the_others(trained, images, tmp_path):
    same, text = images[0] / "same.png", tmp_path / "text.png"
    text.write_text("not an image")
    result = autocnn(
        "predict", trained["tiny-cnn"], same, tmp_path, same, text, tmp_path / "none.png"
    )
    assert result.exit_code == 1
    assert result.stdout.count(f"{same}\n") == 2 and result.stdout.count("%") == 6
    folder, unread, absent = result.stderr.splitlines()
    assert (
        folder
        == f"autocnn: {tmp_path} is a folder; name the images in it, such as {tmp_path}/*.png"
    )
    assert unread.startswith(f"autocnn: {text} is not an image that Pillow") and absent.endswith(
        "none.png"
    )
    result = autocnn("predict", trained["tiny-cnn"], text, same, "--json")
    about = json.loads(result.stdout)
    assert result.exit_code == 1 and [p["image"] for p in about["predictions"]] == [str(same)]
    assert about["failed"] == [
        {"image": str(text), "error": result.stderr.removeprefix("autocnn: ").strip()}
    ]
    with pytest.raises(ValueError, match=r"text.png is not an image.*\nautocnn: there is no file"):
        autocnn("predict", trained["tiny-cnn"], text, tmp_path / "none.png")


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_bars_fit_the_terminal(columns):
    answer = [("a class of many words, far too many", 0.97), ("b", 0.029), ("c", 0.001)]
    lines = predict.bar_chart(answer, columns).splitlines()
    assert max(map(len, lines)) <= max(columns, 24)
    assert len({line.index("%") for line in lines}) == 1


def test_bars_without_blocks(monkeypatch):
    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr("sys.stdout", Ascii())
    assert predict.bar_chart([("a", 0.5), ("b", 0.5)], 40).isascii()


def test_invert(trained, images):
    large = images[0] / "large.png"
    usual, kept, swapped = (
        json.loads(autocnn("predict", trained["tiny-cnn"], large, "--json", *option).stdout)[
            "predictions"
        ][0]
        for option in ([], ["--no-invert"], ["--invert"])
    )
    assert usual == swapped != kept
    found = json.loads(autocnn("predict", trained["lenet5"], large, "--json").stdout)[
        "predictions"
    ][0]
    assert (
        "bright and dark swapped" not in found["changes"]
    )  # nothing is known of this folder's images


def test_trace(trained, images, tmp_path):
    folder, grey = images
    for network, image in (("tiny-cnn", "same"), ("lenet5-1998", "noise")):
        result = autocnn("trace", trained[network], folder / f"{image}.png", COLUMNS="40")
        path = trained[network] / f"trace-{image}.png"
        assert path.read_bytes().startswith(b"\x89PNG")
        assert result.stdout.splitlines()[-1] == str(path)
        assert max(map(len, result.stdout.splitlines()[:-2])) <= 40
    about = json.loads(
        autocnn(
            "trace", trained["tiny-cnn"], folder / "same.png", "--json", "--out", tmp_path / "t.png"
        ).stdout
    )
    assert about["figure"] == str(tmp_path / "t.png") and (tmp_path / "t.png").exists()
    saved = runs.load(trained["tiny-cnn"], "best")
    taps = ac.trace(
        saved.model,
        saved.train_state.params,
        saved.train_state.state,
        grey[None, None].astype("f") / 255,
    )
    assert [layer["layer"] for layer in about["layers"]] == list(taps)
    for layer, tap in zip(about["layers"], taps.values(), strict=True):
        assert tuple(layer["shape"]) == tap.shape[1:]
        np.testing.assert_allclose(
            [layer[k] for k in ("mean", "min", "max")],
            [tap.mean(), tap.min(), tap.max()],
            rtol=1e-4,
        )


@pytest.mark.parametrize(
    "network, count, shape", [("tiny-mlp", 18, [1, 8, 8]), ("lenet5-1998", 6, [1, 5, 5])]
)
def test_filters(network, count, shape, trained, tmp_path):
    about = json.loads(
        autocnn("filters", trained[network], "--json", "--out", tmp_path / "f.png").stdout
    )
    assert (about["filters"], about["shape"]) == (count, shape)
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "ending, start", [("SVG", b"<?xml"), ("pdf", b"%PDF-"), ("png", b"\x89PNG")]
)
def test_the_ending_gives_the_format(ending, start, trained, images, tmp_path):
    for i, command in enumerate((["filters"], ["trace", images[0] / "same.png"])):
        first, second = (tmp_path / f"{i}{n}.{ending}" for n in "ab")
        for path in (first, second):
            word, *more = command
            result = autocnn(word, trained["tiny-cnn"], *more, "--out", path)
            assert result.stdout.splitlines()[-1] == str(path)
        assert first.read_bytes().startswith(start)
        assert first.read_bytes() == second.read_bytes()


def test_a_channel_can_be_followed(trained, images, tmp_path):
    arguments = ("trace", trained["lenet5"], images[0] / "noise.png", "--out", tmp_path / "t.png")
    whole, second = (
        json.loads(autocnn(*arguments, "--json", *more).stdout) for more in ([], ["--channel", 2])
    )
    assert "channel" not in whole and second["channel"] == 2
    saved = runs.load(trained["lenet5"], "best")
    x = np.asarray(Image.open(images[0] / "noise.png"))[None, None].astype("f") / 255
    taps = ac.trace(saved.model, saved.train_state.params, saved.train_state.state, x)
    for row, tap in zip(second["layers"], taps.values(), strict=True):
        part = tap[0, 1] if tap.ndim == 4 and tap.shape[1] > 1 else tap[0]
        assert row["mean"] == pytest.approx(part.mean(), rel=1e-4, abs=1e-7)
    with pytest.raises(ValueError, match="no channel 9: the stages have 1 to at most 8"):
        autocnn(*arguments, "--channel", 9)


def test_rows_show_the_same_channels_until_a_convolution_mixes_them():
    from autocnn.plots import predict as plots

    maps = np.random.default_rng(1)
    taps = {"input": np.ones((1, 9, 9))}
    for name, size in (("conv1", 8), ("relu1", 8), ("max_pool1", 4), ("conv2", 4), ("relu2", 4)):
        taps[name] = maps.normal(size=(20, size, size))
    taps["probs"] = np.array([0.2, 0.8])

    def rows(**options):
        found = {}
        for axes in plots.activations(taps, ["a", "b"], **options).axes:
            title, image = axes.get_title(loc="center"), axes.images[0] if axes.images else None
            for name, tap in list(taps.items())[1:-1]:
                if title and np.array_equal(image.get_array(), tap[int(title) - 1]):
                    found.setdefault(name, []).append(int(title))
        return found

    shown = rows()
    assert all(len(channels) == 8 for channels in shown.values()) and len(shown) == 5
    assert shown["conv1"] == shown["relu1"] == shown["max_pool1"]
    assert shown["conv2"] == shown["relu2"] != shown["conv1"]
    assert {channels[0] for channels in rows(channel=17).values()} == {17}


def test_filters_go_into_the_run_folder(trained):
    path = trained["tiny-cnn"] / "filters.png"
    assert autocnn("filters", trained["tiny-cnn"]).stdout == f"3 filters of 1x3x3\n{path}\n"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_most_active_maps_are_shown_in_their_order():
    from autocnn.plots import predict as plots

    maps = np.random.default_rng(0).normal(size=(20, 4, 4)) * 0.1
    active = [1, 4, 7, 8, 11, 15, 16, 19]
    maps[active] -= 1.0
    figure = plots.activations(
        {"input": np.ones((1, 9, 9)), "conv": maps, "probs": np.array([0.2, 0.8])}, ["a", "b"]
    )
    shown = [axes for axes in figure.axes if axes.get_title(loc="center")]
    assert [int(axes.get_title(loc="center")) - 1 for axes in shown] == active
    for axes, channel in zip(shown, active, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), maps[channel])
    assert [label.get_text() for label in figure.axes[-1].get_yticklabels()] == [
        "a",
        "b",
    ]  # the largest on top


def test_figures_of_large_colour_networks():
    from autocnn.plots import predict as plots

    model = ac.models.resnet50(7, stem=4)
    _, params, state = model.init(0, (3, 64, 64), "float32")
    x = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    taps = {name: tap[0] for name, tap in ac.trace(model, params, state, x).items()}
    figure = plots.activations(taps, [f"class {i}" for i in range(7)])
    labels = [axes.get_ylabel().split("\n")[1] for axes in figure.axes if "\n" in axes.get_ylabel()]
    assert labels == [
        "3 x 64 x 64",
        "4 x 32 x 32",
        "16 x 16 x 16",
        "32 x 8 x 8",
        "64 x 4 x 4",
        "128 x 2 x 2",
        "128",
        "7",
    ]
    figure = plots.filters(params[0]["w"], "title")
    assert sum(axes.images != [] for axes in figure.axes) == 4
    assert all(
        a.get_array().min() >= 0 and a.get_array().max() <= 1
        for axes in figure.axes
        for a in axes.images
    )


def test_summary():
    about = json.loads(autocnn("summary", "resnet50", "--json").stdout)
    assert about["shape"] == [3, 224, 224]
    assert about["total"] == {"parameters": 25557032, "multiply_adds": 4089184256}
    assert about["layers"][0] == {
        "layer": "conv1",
        "output_shape": [64, 112, 112],
        "parameters": 9408,
        "multiply_adds": 118013952,
    }
    text = autocnn("summary", "vgg16", "--shape", "3,224,224").stdout
    assert "138,357,544" in text and text.startswith("vgg16, images of 3x224x224\n\nlayer")
    for name, parameters in {
        "tiny-cnn": 114,
        "tiny-mlp": 1227,
        "lenet5": 61706,
        "lenet5-1998": 60000,
        "alexnet": 60965224,
        "alexnet-2014": 61100840,
    }.items():
        assert (
            json.loads(autocnn("summary", name, "--json").stdout)["total"]["parameters"]
            == parameters
        )
    small = json.loads(
        autocnn(
            "summary", "lenet5", "--shape", "3x32x32", "--classes", 7, "--width", 0.5, "--json"
        ).stdout
    )
    assert small["layers"][0]["output_shape"] == [3, 32, 32] and small["layers"][-1][
        "output_shape"
    ] == [7]


@pytest.mark.parametrize(
    "network", ["tiny-cnn", "lenet5", "lenet5-1998", "alexnet", "vgg16", "resnet50"]
)
def test_summary_fits_narrow_terminals(network):
    for columns in (40, 60):
        lines = autocnn("summary", network, COLUMNS=str(columns)).stdout.splitlines()
        assert max(map(len, lines)) <= columns


def test_summary_of_a_run(trained):
    about = json.loads(autocnn("summary", trained["lenet5-1998"], "--json").stdout)
    assert about["shape"] == [1, 32, 32] and about["layers"][-1]["output_shape"] == [3]


@pytest.mark.parametrize("network", ["tiny-cnn", "tiny-mlp", "lenet5", "lenet5-1998"])
def test_export_onnx(network, trained, images, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    result = autocnn("export", trained[network], tmp_path / "net.onnx")
    assert result.exit_code == 0 and "in [0, 1]" in result.stdout
    session = onnxruntime.InferenceSession(
        tmp_path / "net.onnx", providers=["CPUExecutionProvider"]
    )
    grey = (
        images[1] if network.startswith("tiny") else np.asarray(Image.open(images[0] / "noise.png"))
    )
    (logits,) = session.run(None, {"images": grey[None, None].astype("f") / 255})
    probs, classes = expected(trained[network], grey, calibrated=False)
    np.testing.assert_allclose(ac.ops.softmax(logits)[0], probs, atol=1e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(classes)


def test_export_safetensors(trained, tmp_path):
    about = json.loads(
        autocnn("export", trained["lenet5"], tmp_path / "net.safetensors", "--json").stdout
    )
    assert about["bytes"] == (tmp_path / "net.safetensors").stat().st_size
    tensors, saved = load_file(tmp_path / "net.safetensors"), runs.load(trained["lenet5"], "best")
    np.testing.assert_array_equal(tensors["features.0.weight"], saved.train_state.params[0]["w"])
    np.testing.assert_array_equal(
        tensors["classifier.4.weight"], saved.train_state.params[11]["w"].T
    )
    with pytest.raises(ValueError, match=r"export it as \.onnx"):
        autocnn("export", trained["lenet5-1998"], tmp_path / "other.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize(
    "args, words",
    [
        (("predict", "RUN", "nowhere.png"), "there is no file nowhere.png"),
        (("predict", "nowhere", "same.png"), "holds no run"),
        (("predict", "RUN", "RUN/config.json"), "is not an image that Pillow can read"),
        (("trace", "RUN", "same.png", "--out", "figure.jpg"), "ends in .png"),
        (("filters", "RUN", "--out", "figure"), "ends in .png"),
        (("filters", "nowhere"), "holds no run"),
        (("summary", "resnet51"), "no network or run folder 'resnet51'"),
        (("summary", "RUN", "--classes", "4"), "leave them out"),
        (
            ("summary", "vgg16", "--shape", "224"),
            "--shape is channels, height and width, such as 3,224,224; got 224",
        ),
        (("summary", "vgg16", "--shape", "3,0,224"), "--shape is"),
        (("summary", "vgg16", "--shape", "3,8,8"), "does not fit"),
        (("summary", "vgg16", "--width", "0"), "width is a factor"),
        (("summary", "tiny-cnn", "--width", "nan"), "width is a factor"),
        (("summary", "lenet5-1998", "--classes", "11"), "1 to 10 classes"),
        (("predict", "RUN", "same.png", "--engine", "torch"), "there is no engine 'torch'"),
        (("evaluate", "RUN", "--engine", "torch"), "there is no engine 'torch'"),
        (("export", "RUN", "model.pt"), "suffix gives the format"),
        (("export", "nowhere", "model.onnx"), "holds no run"),
        (("export", "RUN", "model.onnx", "--opset", "9"), "opset is a version"),
        (("export", "RUN", "model.safetensors", "--opset", "17"), "--opset is for .onnx"),
    ],
)
def test_bad_calls_are_one_line_and_write_nothing(
    args, words, trained, images, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(images[1]).save(tmp_path / "same.png")
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        autocnn(*(arg.replace("RUN", str(trained["tiny-cnn"])) for arg in args))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["same.png"]


@pytest.mark.parametrize(
    "command", [("export", "RUN", "X/net.onnx"), ("filters", "RUN", "--out", "X/f.png")]
)
def test_a_place_that_cannot_be_written_is_exit_1(command, trained, tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "file").write_text("")
    paths = {"RUN": trained["tiny-cnn"], "X": tmp_path / "file"}
    result = autocnn(*(re.sub("RUN|X", lambda m: str(paths[m[0]]), arg) for arg in command))
    assert result.exit_code == 1 and result.stdout == ""
    assert re.fullmatch(r"autocnn: cannot write .*\n", result.stderr)
