"""``export.predictor``: onnxruntime and OpenVINO compute what the interpretations do."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

import autocnn as ac
from autocnn import export
from autocnn.export import runtimes
from autocnn.models.interpretations import RUNTIMES, interpretation
from autocnn.trees import tree_map
from tests.helpers import ROOT

NETWORKS = {
    "tiny_cnn": (ac.models.tiny_cnn(dropout=0.3), (1, 8, 8)),
    "lenet5": (ac.models.lenet5(), (1, 28, 28)),
    "lenet5 of 1998": (ac.models.lenet5(original=True), (1, 32, 32)),
    "alexnet": (ac.models.alexnet(20, width=0.05), (3, 227, 227)),
    "vgg16": (ac.models.vgg16(20, width=0.05), (3, 64, 64)),
    "resnet50": (ac.models.resnet50(20, width=0.1), (3, 64, 64)),
    "mobilenet_v2": (ac.models.mobilenet_v2(20, width=0.2), (3, 64, 64)),
    "densenet121": (ac.models.densenet121(20, width=0.2), (3, 64, 64)),
}


@pytest.fixture(params=RUNTIMES)
def runtime(request):
    """Each runtime that is installed."""
    pytest.importorskip("onnx")
    if not importlib.util.find_spec(request.param):
        pytest.skip(f"could not import '{request.param}'")
    return request.param


@pytest.fixture
def lenet():
    """LeNet-5, its trees in float32, and three images."""
    model = ac.models.lenet5()
    _, params, state = model.init(0, (1, 28, 28), "float32")
    x = np.random.default_rng(1).random((3, 1, 28, 28), np.float32)
    return model, params, state, x


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_float64_to_single_precision(runtime, name, generator):
    model, shape = NETWORKS[name]
    _, params, state = model.init(0, shape)
    params = tree_map(lambda p: p + generator.normal(0, 0.1, p.shape), params)
    state = tree_map(lambda s: s + generator.uniform(0.1, 0.9, s.shape), state)
    outputs = export.predictor(runtime, model, params, state, shape)
    for n in (3, 1, 2):
        x = generator.normal(size=(n, *shape))
        exact = model.apply(params, state, x)[0]
        found = outputs(x)
        assert found.dtype == np.float32 and found.shape == exact.shape
        assert np.abs(exact).max() > 1e-2
        np.testing.assert_allclose(found, exact, atol=2e-5 * np.abs(exact).max(), rtol=0)


def test_nothing_that_was_returned_or_given_changes(runtime, lenet):
    model, params, state, x = lenet
    outputs = export.predictor(runtime, model, params, state, (1, 28, 28))
    before, first = x.copy(), outputs(x)
    kept = first.copy()
    params[0]["w"][:] = 0  # the graph has values of its own
    second = outputs(x[::-1])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(second, kept[::-1], atol=1e-5)


def test_threads_are_those_of_the_kernels(runtime, lenet, monkeypatch):
    seen = []
    load = runtimes._LOADERS[runtime]

    def loader(library, graph, threads):
        seen.append(threads)
        return load(library, graph, threads)

    monkeypatch.setitem(runtimes._LOADERS, runtime, loader)
    before = ac.fast.threads()
    try:
        for n in (1, 2):
            ac.fast.threads(n)
            export.predictor(runtime, *lenet[:3], (1, 28, 28))(lenet[3])
    finally:
        ac.fast.threads(before)
    assert seen == [1, 2]


@pytest.mark.parametrize(
    "x, words",
    [
        (np.zeros((1, 28, 28)), r"images \(N, 1, 28, 28\) with N at least 1, got \(1, 28, 28\)"),
        (np.zeros((0, 1, 28, 28)), "N at least 1"),
        (np.zeros((2, 1, 32, 32)), r"got \(2, 1, 32, 32\)"),
        (np.full((2, 1, 28, 28), np.inf), "must be finite"),
        (np.zeros((2, 1, 28, 28), int), "array of floats"),
        ([[1.0]], "array of floats"),
    ],
    ids=["one image", "none", "larger", "infinite", "int", "list"],
)
def test_images_that_do_not_fit(runtime, lenet, x, words):
    with pytest.raises(ValueError, match=words):
        export.predictor(runtime, *lenet[:3], (1, 28, 28))(x)


def test_networks_that_have_no_graph(runtime, lenet):
    scale = ac.layers.Layer(
        "scale",
        {},
        lambda key, shape, dtype="float64": (shape, {}, {}),
        lambda params, state, x, train, key: (2 * x, state),
    )
    with pytest.raises(ValueError, match=f"{runtime} runs ONNX graphs, and the layer 'scale' has"):
        export.predictor(runtime, scale, {}, {}, (1, 8, 8))
    model, params, state, _ = lenet
    params[0]["w"][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        export.predictor(runtime, model, params, state, (1, 28, 28))


def test_a_network_that_the_runtime_refuses(runtime, lenet, monkeypatch):
    def refuse(library, graph, threads):
        raise RuntimeError("no kernel\nmore about it")

    monkeypatch.setitem(runtimes._LOADERS, runtime, refuse)
    with pytest.raises(ValueError, match=f"^{runtime} cannot run this network: no kernel$"):
        export.predictor(runtime, *lenet[:3], (1, 28, 28))


@pytest.mark.parametrize("name, extra", [("onnxruntime", "onnx"), ("openvino", "openvino")])
def test_a_missing_package_is_named_with_its_command(name, extra, lenet, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"needs the package {name}: .*'autocnn\[{extra}\]'"):
        export.predictor(name, *lenet[:3], (1, 28, 28))


def test_names(lenet):
    with pytest.raises(ValueError, match="no runtime 'tvm'; the runtimes are onnxruntime, openvi"):
        export.predictor("tvm", *lenet[:3], (1, 28, 28))
    assert set(RUNTIMES) == set(runtimes._LOADERS)
    for name in RUNTIMES:
        with pytest.raises(ValueError, match=f"{name} computes outputs only"):
            interpretation(name)


def test_openvino_is_imported_without_telemetry():
    """Its package would send a message over the network, from a forked process."""
    if not importlib.util.find_spec("openvino"):
        pytest.skip("could not import 'openvino'")
    code = (
        "import os, sys; os.register_at_fork(before=lambda: print('forked'))\n"
        "from autocnn.export import runtimes\n"
        "print(runtimes._import('openvino').__name__, 'openvino_telemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.returncode) == ("openvino False\n", 0), done.stderr
