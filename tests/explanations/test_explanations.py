"""Explanations: held to captum on the same weights in torch, and alike in every interpretation."""

import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

import autocnn as ac
import reference
from autocnn import explanations, runs
from autocnn.explanations.gradcam import resized
from autocnn.trees import leaves, tree_map

pytestmark = pytest.mark.kernels

SHAPE = (3, 14, 12)
LABEL = 2
NNS = {"autograd": ac.layers, "reference": reference, "fast": ac.fast}


def network(nn):
    return nn.serial(
        nn.conv(6, 3, padding=1), nn.batch_norm(), nn.relu(), nn.max_pool(2),
        nn.conv(8, 3), nn.relu(),
        nn.residual(nn.serial(nn.conv(8, 3, padding=1), nn.tanh())),
        nn.avg_pool(2), nn.flatten(), nn.dense(4),
    )  # fmt: skip


@pytest.fixture(scope="module")
def trees():
    generator = np.random.default_rng(4)
    _, params, state = network(ac.layers).init(0, SHAPE)
    params = tree_map(lambda p: p + 0.2 * generator.normal(size=p.shape), params)
    return params, tree_map(lambda s: s + generator.uniform(0.2, 0.8, s.shape), state)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(5).random(SHAPE)


@pytest.fixture(scope="module")
def twin(trees):
    """The same network in torch, in float64: (module, its second convolution)."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Add(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x):
            return x + torch.tanh(self.conv(x))

    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3), nn.ReLU(), Add(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 4),
    ).double().eval()  # fmt: skip
    params, state = trees
    with torch.no_grad():
        places = {0: 0, 1: 1, 4: 4, 9: 9}
        for ours, theirs in places.items():
            w = params[ours]["w"]
            module[theirs].weight.copy_(torch.tensor(w.T if w.ndim == 2 else w))
            module[theirs].bias.copy_(torch.tensor(params[ours]["b"]))
        module[1].running_mean.copy_(torch.tensor(state[1]["mean"]))
        module[1].running_var.copy_(torch.tensor(state[1]["var"]))
        inside = params[6]["main"][0] if isinstance(params[6], dict) else params[6][0][0]
        module[6].conv.weight.copy_(torch.tensor(inside["w"]))
        module[6].conv.bias.copy_(torch.tensor(inside["b"]))
    return module


def close(a, b, digits=1e-11):
    assert a.shape == b.shape and np.abs(b).max() > 1e-4
    assert np.abs(a - b).max() <= digits * np.abs(b).max()


SLOW = pytest.mark.slow  # test_both_gradient_paths_agree compares them in every run


@pytest.fixture(params=["fast", *(pytest.param(n, marks=SLOW) for n in ("autograd", "reference"))])
def ours(request, trees):
    return network(NNS[request.param]), *trees


@pytest.fixture
def theirs(twin, image):
    """(module, image). captum makes its own numbers, such as steps, in torch's default dtype."""
    torch = pytest.importorskip("torch")
    before, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    yield twin, torch.tensor(image[None], requires_grad=True)
    torch.set_default_dtype(before)
    torch.set_num_threads(threads)


def test_the_twin_computes_the_same(ours, theirs, image):
    model, params, state = ours
    twin, x = theirs
    close(model.apply(params, state, image[None])[0], twin(x).detach().numpy())


def test_gradients_are_captums(ours, theirs, image):
    attr = pytest.importorskip("captum.attr")
    twin, x = theirs
    for name, expected in (
        ("saliency", attr.Saliency(twin).attribute(x, target=LABEL)),
        ("input_x_gradient", attr.InputXGradient(twin).attribute(x, target=LABEL)),
    ):
        close(getattr(explanations, name)(*ours, image, LABEL), expected.detach().numpy()[0])


@pytest.mark.parametrize("baseline, steps", [(0.0, 50), (0.3, 20)])
def test_integrated_gradients_are_captums(baseline, steps, ours, theirs, image):
    """To single precision, in which captum has the points; and to double by torch itself."""
    torch, attr = pytest.importorskip("torch"), pytest.importorskip("captum.attr")
    twin, x = theirs
    found = explanations.integrated_gradients(*ours, image, LABEL, baseline, steps)
    method = attr.IntegratedGradients(twin)
    captums = method.attribute(x, baseline, target=LABEL, n_steps=steps).detach().numpy()[0]
    close(found, captums, 3e-8)
    points, weights = np.polynomial.legendre.leggauss(steps)
    line = baseline + torch.tensor((points + 1) / 2).reshape(-1, 1, 1, 1) * (x - baseline)
    line = line.detach().requires_grad_()
    (slopes,) = torch.autograd.grad(twin(line)[:, LABEL].sum(), line)
    close(found, (image - baseline) * np.tensordot(weights / 2, slopes.numpy(), 1))


@pytest.mark.parametrize(
    "window, stride", [((4, 3), (4, 2)), ((5, 5), (3, 4)), ((14, 12), (1, 1)), ((3, 4), (3, 4))]
)
def test_occlusion_is_captums(window, stride, ours, theirs, image):
    """To single precision, in which captum computes it."""
    attr = pytest.importorskip("captum.attr")
    twin, x = theirs
    expected = attr.Occlusion(twin).attribute(
        x, (3, *window), strides=(3, *stride), baselines=0.25, target=LABEL
    )
    found = explanations.occlusion(*ours, image, LABEL, window, stride, 0.25)
    close(found, expected.detach().numpy()[0], 3e-7)


def test_occlusion_in_double_precision(ours, theirs, image):
    """Windows that do not overlap, by torch itself."""
    torch = pytest.importorskip("torch")
    twin, x = theirs
    expected = np.zeros(SHAPE)
    for row in range(0, 14, 5):  # the last is cut
        for column in range(0, 12, 3):
            place = (slice(None), slice(row, row + 5), slice(column, column + 3))
            covered = torch.tensor(image)
            covered[place] = 0
            fall = twin(x)[0, LABEL] - twin(covered[None])[0, LABEL]
            expected[place] = fall.item()
    close(explanations.occlusion(*ours, image, LABEL, (5, 3), (5, 3)), expected)


def test_grad_cam_is_captums(ours, theirs, image):
    attr = pytest.importorskip("captum.attr")
    twin, x = theirs
    for name, layer in (
        (None, twin[6].conv), ("conv1", twin[0]), ("relu2", twin[5]), ("residual", twin[6]),
        ("max_pool", twin[3]),
    ):  # fmt: skip
        cam = attr.LayerGradCam(twin, layer)
        for label in (LABEL, 0):
            expected = cam.attribute(x, target=label, relu_attributions=True).detach().numpy()[0, 0]
            found, at = explanations.grad_cam(*ours, image, label, name)
            assert at == (name or "conv3") and found.shape == expected.shape
            assert np.abs(found - expected).max() <= 1e-11 * max(1e-3, np.abs(expected).max())
            slopes = explanations.layer_gradient(*ours, image, label, at)[1]
            raw = attr.LayerActivation(twin, layer).attribute(x).detach().numpy()[0]
            close(explanations.layer_gradient(*ours, image, label, at)[0], raw)
            assert slopes.shape == raw.shape
    upsampled = attr.LayerAttribution.interpolate(
        cam.attribute(x, target=LABEL), SHAPE[1:], "bilinear"
    )
    found = explanations.layer_gradient(*ours, image, LABEL, "max_pool")
    small = np.tensordot(found[1].mean(axis=(1, 2)), found[0], 1)
    close(resized(small, SHAPE[1:]), upsampled.detach().numpy()[0, 0])


@pytest.mark.parametrize("method", explanations.METHODS)
def test_both_gradient_paths_agree(method, trees, image):
    params, state = trees
    found = {
        name: ac.explain(
            network(nn), image, method, LABEL, params=params, state=state, check=name != "autograd"
        )
        for name, nn in NNS.items()
    }
    for name, one in found.items():
        assert one.engine == name and one.map.shape == SHAPE[1:] and one.label == LABEL
        close(one.attribution, found["autograd"].attribution, 1e-12)
        assert one.digits is None or one.digits > 12
    by_name = ac.explain(
        network(ac.layers), image, method, "c", params=params, state=state, classes="abcd",
        engine="fast",
    )  # fmt: skip
    assert by_name.engine == "fast" and by_name.name == "c"
    np.testing.assert_array_equal(by_name.map, found["fast"].map)


def test_integrated_gradients_add_up_to_the_score(nn, image):
    """On a smooth network, to the last digits; kinks cost the quadrature some."""
    model = nn.serial(nn.conv(4, 3), nn.tanh(), nn.avg_pool(2), nn.flatten(), nn.dense(4))
    _, params, state = model.init(3, SHAPE)
    found = explanations.integrated_gradients(model, params, state, image, 1)
    ends = np.stack([image, np.zeros_like(image)])
    s = model.apply(params, state, ends)[0][:, 1]
    assert found.sum() == pytest.approx(s[0] - s[1], rel=1e-12)


def test_smooth_grad_is_a_mean_of_gradients(ours, image):
    model, params, state = ours
    found = explanations.smooth_grad(*ours, image, 1, samples=3, noise=0.1, seed=7)
    noise = np.random.default_rng(7).standard_normal((3, *SHAPE))
    expected = 0
    for part in noise:
        x = image + 0.1 * (image.max() - image.min()) * part
        backward = model.vjp(params, state, x[None])[2]
        expected = expected + backward(np.eye(4)[[1]])[0][0] / 3
    close(found, expected)
    close(
        explanations.smooth_grad(*ours, image, 1, samples=2, noise=0.0),
        ac.explain(model, image, "input-x-gradient", 1, params=params, state=state).attribution
        / image,
    )


def test_occlusion_holds_few_images_at_a_time():
    """One window for each pixel of 32 x 32: all covered images at once would take 8.4 MB."""
    nn = ac.layers
    model = nn.serial(nn.max_pool(16), nn.flatten(), nn.dense(2, bias=False))
    params = ({}, {}, {"w": np.ones((4, 2))})
    tracemalloc.start()
    try:
        ac.explain(model, np.ones((32, 32)), "occlusion", 1, params=params, window=1, stride=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3e6


def test_occlusion_finds_the_one_pixel_that_counts():
    """A score that is one pixel: covering it takes all, covering another nothing."""
    nn = ac.layers
    model = nn.serial(nn.flatten(), nn.dense(2, bias=False))
    w = np.zeros((16, 2))
    w[5, 1] = 3.0
    params = ({}, {"w": w})
    found = ac.explain(model, np.ones((4, 4)), "occlusion", 1, params=params, window=1, stride=1)
    expected = np.zeros((4, 4))
    expected[1, 1] = 3
    np.testing.assert_allclose(found.map, expected, atol=1e-15)
    assert found.logit == 3 and found.probability == pytest.approx(1 / (1 + np.exp(-3)))


@pytest.mark.parametrize("method", explanations.METHODS)
def test_random_weights_give_another_map(method, patterns):
    """The sanity check of Adebayo et al. 2018: a map that ignores the weights explains nothing."""
    model = ac.models.tiny_cnn(nn=ac.fast)
    _, params, _ = model.init(3, (1, 8, 8))
    run = ac.train(params, patterns, model=model, epochs=30)
    x, label = patterns.x_val[0], int(patterns.y_val[0])
    trained = ac.explain(run, x, method, label)
    scrambled = tree_map(lambda p: np.random.default_rng(1).normal(0, p.std(), p.shape), run.params)
    other = ac.explain(model, x, method, label, params=scrambled)
    apart = np.abs(trained.map / np.abs(trained.map).max() - other.map / np.abs(other.map).max())
    assert apart.max() > 0.3
    assert trained.probability > 0.9 > other.probability


def test_bad_calls(trees, image):
    params, state = trees
    call = dict(params=params, state=state)
    model = network(ac.layers)
    for arguments, options, says in (
        ((model, image, "salience"), call, "no method 'salience'; .*did you mean 'saliency'?"),
        ((model, image, "saliency", 4), call, "no class 4; the classes are 0, 1, 2, 3"),
        ((model, image, "saliency", "cat"), call, "no class 'cat'"),
        ((model, image, "grad-cam"), call | {"layer": "conv9"}, "no layer 'conv9'; there are conv"),
        ((model, image, "grad-cam"), call | {"layer": "dense"}, r"output of dense is \(4,\)"),
        ((model, image, "saliency"), call | {"window": 3}, "saliency has no option 'window'"),
        ((model, image, "occlusion"), call | {"window": 13}, "does not fit an image"),
        ((model, image, "occlusion"), call | {"window": 2, "stride": 3}, "leaves pixels uncovered"),
        ((model, image[:, :4], "saliency"), call, "images"),
        ((model, image[0, 0], "saliency"), call, r"takes one image, \(C, H, W\)"),
        ((model, "three.png"), call, "an image file can be read for a run folder"),
        ((model, image), {}, "explain takes a run folder, a run, or a network"),
        ((ac.models.tiny_mlp(), image[:1, :8, :8], "grad-cam"),
         {"params": ac.models.tiny_mlp().init(0, (1, 8, 8))[1]}, "needs a network with a conv"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=says):
            ac.explain(*arguments, **options)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Two untrained runs by name, and an image."""
    home = tmp_path_factory.mktemp("explain")
    folders = {}
    for network, size in (("tiny-cnn", 8), ("lenet5-1998", 28)):
        shape = (1, size, size)
        config = runs.RunConfig(
            network=network, data="mnist", classes=tuple("0123456789"), shape=shape,
            inputs=ac.runs.recipes.inputs(network, shape),
            recipe=ac.runs.recipes.Recipe(epochs=1), steps_per_epoch=1,
        )  # fmt: skip
        folders[network] = runs.create(home / network, config)
        start = runs.initialize(config)[2]
        history = {n: [0.5] for n in ("train_loss", "train_acc", "val_loss", "val_acc")}
        for which in ("best", "last"):
            runs.save(folders[network], start._replace(history={"epoch": [0]} | history), which)
    pixels = np.zeros((28, 28), np.uint8)
    pixels[6:22, 12:16] = 230
    Image.fromarray(pixels).save(home / "one.png")
    return folders, home / "one.png"


@pytest.mark.parametrize(
    "network", ["tiny-cnn", pytest.param("lenet5-1998", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("method", explanations.METHODS)
def test_command_line(method, network, run_folder, command, tmp_path):
    folders, image = run_folder
    folder = folders[network]
    size = 8 if network == "tiny-cnn" else 32  # the latter pads
    words = ("explain", folder, image, "--method", method, "--out", tmp_path / "why.svg")
    code, out, err = command(*words, "--json")
    assert (code, err) == (0, ""), err
    about = json.loads(out)
    assert np.shape(about["map"]) == (size, size) and about["engine"] == "fast"
    assert (about["digits"] is None) == (method == "occlusion")
    assert about["digits"] is None or about["digits"] > 4
    assert (tmp_path / "why.svg").read_bytes()[:5] == b"<?xml"
    again = ac.explain(folder, image, method)
    np.testing.assert_allclose(about["map"], again.map, rtol=1e-5, atol=1e-7)
    assert about["class"] == again.name
    code, out, err = command(*words, "--class", "7", "--engine", "reference")
    assert code == 0 and "of class 7, probability" in out
    assert ("reference and autograd agree to" in out) == (method != "occlusion")


def test_command_line_refuses(run_folder, command, tmp_path):
    folders, image = run_folder
    for more, says in (
        (("--method", "gradcam"), "no method 'gradcam'"),
        (("--class", "ten"), "no class 'ten'"),
        (("--layer", "conv1"), "no layer 'conv1'"),
        (("--out", tmp_path / "x.jpg"), "ends in .png, .svg or .pdf"),
        (("--method", "saliency", "--window", 3), "saliency has no option 'window'"),
    ):
        code, out, err = command("explain", folders["tiny-cnn"], image, *more)
        assert code == 2 and out == "" and says in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_figures(trees, image):
    params, state = trees
    for method in ("saliency", "occlusion"):
        found = ac.explain(network(ac.layers), image, method, params=params, state=state)
        figure = found.draw()
        left, right, bar = figure.axes
        assert left.get_title(loc="left") == f"{found.name}, {found.probability:.2%}"
        np.testing.assert_array_equal(right.images[1].get_array(), found.map)
        low, high = right.images[1].get_clim()
        assert high == np.abs(found.map).max() and low == (-high if method == "occlusion" else 0)
        assert bar.get_ylabel()
    assert method in repr(found)
    assert leaves(params)
