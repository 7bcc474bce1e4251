"""Checkpoints: what is saved comes back; torchvision's names; networks of torch against ours on
the same weights.
"""

import functools
import json
import os

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

import autocnn as ac
import reference
from autocnn import checkpoint
from autocnn.checkpoint.format import DamagedError
from autocnn.trees import leaves, tree_map
from tests.checkpoint import torch_twins
from tests.helpers import same_bits

pytestmark = pytest.mark.kernels

TREE = {
    "a": np.arange(6.0).reshape(2, 3).T,
    "b": [],
    "c": [{}, (), (np.ones((), "f"),)],
    "d": {"e": np.zeros((0, 3), "f")},
}
TREES = [TREE, {}, [], (), [[], {}], np.arange(3), [np.ones(2, bool), np.zeros((), np.int64)]]


@pytest.mark.parametrize("tree", TREES)
def test_what_is_saved_comes_back(tree, tmp_path):
    about = {"epoch": 3, "history": {"loss": [0.5, 0.25]}, "name": "Größe"}
    checkpoint.save(tmp_path / "run.safetensors", tree, [tree, {}], about)
    params, state, metadata = checkpoint.load(tmp_path / "run.safetensors")
    assert same_bits(params, tree)
    assert same_bits(state, [tree, {}])
    assert metadata == about
    assert checkpoint.load(str(tmp_path / "run.safetensors"))[2] == about
    assert os.listdir(tmp_path) == ["run.safetensors"]


def test_every_dtype_that_is_taken_comes_back(tmp_path):
    kinds = (
        "float16",
        "float32",
        "float64",
        "bool",
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    )
    tree = {kind: np.array([0, 1, 1]).astype(kind) for kind in kinds}
    checkpoint.save(tmp_path / "run", tree, [np.arange(3.0).astype(">f8")])
    params, state, _ = checkpoint.load(tmp_path / "run")
    assert same_bits(params, tree)
    assert np.array_equal(state[0], np.arange(3.0))  # of the other byte order


def test_a_network_goes_on_where_it_was(tmp_path):
    model = ac.models.resnet50(5, stem=2)
    _, params, state = model.init(4, (3, 32, 32), "float32")
    x = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype("float32")
    _, state = model.apply(params, state, x, train=True)
    checkpoint.save(tmp_path / "net", params, state)
    again = checkpoint.load(tmp_path / "net")
    assert again.metadata == {}
    assert np.array_equal(
        model.apply(params, state, x)[0], model.apply(again.params, again.state, x)[0]
    )


def test_tensors_carry_their_paths_and_equal_trees_give_equal_bytes(tmp_path):
    _, params, state = ac.models.tiny_cnn().init(3, (1, 8, 8))
    for name in ("one", "two"):
        checkpoint.save(tmp_path / name, params, state, {"x": 1, "y": 2})
    assert sorted(load_file(tmp_path / "one")) == [
        "params.0.b",
        "params.0.w",
        "params.4.b",
        "params.4.w",
    ]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "run"
    checkpoint.save(path, [np.ones(3)])
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(path, [np.zeros(3)])
    assert os.listdir(tmp_path) == ["run"]
    assert checkpoint.load(path).params[0].sum() == 3


def test_a_file_that_is_replaced_while_it_is_opened_is_checked(tmp_path, monkeypatch):
    """A run that is being trained replaces its files: the header that is checked is that of the
    file that is read.
    """
    path, opened, replacements = tmp_path / "run", safetensors.safe_open, []

    def replaced(*args, **options):
        if replacements:
            checkpoint.save(path, [np.ones(3)], metadata={"seed": 12})
            path.write_bytes(path.read_bytes().replace(b"12", replacements.pop()))
        return opened(*args, **options)

    monkeypatch.setattr(safetensors, "safe_open", replaced)
    for seed in (12, 13):
        checkpoint.save(path, [np.zeros(3)])
        replacements.append(b"%d" % seed)
        if seed == 12:
            assert checkpoint.load(path).params[0].sum() == 3
        else:
            with pytest.raises(DamagedError, match="header"):
                checkpoint.load(path)
        assert not replacements


def test_a_place_that_cannot_be_written_is_an_oserror(tmp_path):
    _, params, state = ac.models.tiny_cnn().init(3, (1, 8, 8))
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as caught:
        checkpoint.save(tmp_path / "folder", params, state)
    assert caught.value.filename == str(tmp_path / "folder")  # not the file beside it
    assert os.listdir(tmp_path) == ["folder"]


def test_a_full_disk_is_an_oserror_and_the_old_file_stays(tmp_path):
    resource = pytest.importorskip("resource")
    checkpoint.save(tmp_path / "run", [np.ones(3)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (4096, before[1])
    )  # Python ignores the signal and sees an error of the write
    try:
        with pytest.raises(OSError, match="File too large"):
            checkpoint.save(tmp_path / "run", [np.ones(3000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == ["run"]
    assert checkpoint.load(tmp_path / "run").params[0].sum() == 3


@pytest.mark.parametrize(
    "params, metadata, message",
    [
        ([np.array([None])], None, "params.0"),
        ({"a": "text"}, None, "params.a"),
        (
            [np.ones(2), np.ones(2, "longdouble")],
            None,
            r"params\.1' is float128.*astype\('float64'\)",
        ),
        ([np.ones(2, complex)], None, r"params\.0' is complex128"),
        ([np.zeros(2, [("a", "f8")])], None, r"params\.0"),
        ({1: np.ones(1)}, None, "key 1"),
        ({"a.b": np.ones(1)}, None, "a.b"),
        ([], {"when": object()}, "JSON"),
        ([], {"loss": float("nan")}, "JSON"),
    ],
)
def test_what_cannot_be_saved_is_said(params, metadata, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        checkpoint.save(tmp_path / "run", params, metadata=metadata)
    assert os.listdir(tmp_path) == []


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("hello, world, this is no tensor")
    save_file({"x": np.ones(2)}, tmp_path / "theirs")
    with pytest.raises(ValueError, match="not a safetensors file"):
        checkpoint.load(tmp_path / "text")
    with pytest.raises(ValueError, match="load_torch"):
        checkpoint.load(tmp_path / "theirs")
    with pytest.raises(FileNotFoundError, match="no file"):
        checkpoint.load(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no folder"):
        checkpoint.save(tmp_path / "absent" / "run", [])
    checkpoint.save(tmp_path / "whole", [np.ones(100)])
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:-300])
    with pytest.raises(ValueError, match="not a safetensors file"):
        checkpoint.load(tmp_path / "half")


def resnet50_names():
    """torchvision's state_dict keys of resnet50, written down from its module names."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["conv1.weight", *(f"bn1.{n}" for n in norm)]
    for layer, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for b in range(blocks):
            for i in (1, 2, 3):
                names += [
                    f"layer{layer}.{b}.conv{i}.weight",
                    *(f"layer{layer}.{b}.bn{i}.{n}" for n in norm),
                ]
            if b == 0:
                names += [
                    f"layer{layer}.0.downsample.0.weight",
                    *(f"layer{layer}.0.downsample.1.{n}" for n in norm),
                ]
    return [*names, "fc.weight", "fc.bias"]


def plain_names(features, classifier):
    modules = [f"features.{i}" for i in features] + [f"classifier.{i}" for i in classifier]
    return [f"{module}.{leaf}" for module in modules for leaf in ("weight", "bias")]


NAMES = {
    "resnet50": (lambda **o: ac.models.resnet50(**o), resnet50_names()),
    "vgg16": (
        lambda **o: ac.models.vgg16(**o),
        plain_names((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), (0, 3, 6)),
    ),
    "alexnet": (
        lambda **o: ac.models.alexnet(towers=1, **o),
        plain_names((0, 3, 6, 8, 10), (1, 4, 6)),
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_torchvisions(name, tmp_path):
    build, expected = NAMES[name]
    model = build(stem=2)
    _, params, state = model.init(1, (3, 224, 224), "float32")
    checkpoint.save_torch(tmp_path / "net", model, params, state)
    assert sorted(load_file(tmp_path / "net")) == sorted(expected)
    assert len(expected) == {"resnet50": 320, "vgg16": 32, "alexnet": 16}[name]
    for nn in (ac.layers, reference):
        again = checkpoint.load_torch(tmp_path / "net", build(stem=2, nn=nn), (3, 224, 224))
        assert same_bits(again, (params, state))


def test_some_names_by_hand():
    names = checkpoint.torch_names(ac.models.resnet50())
    assert len(names) == 161 + 106
    assert names["params.0.w"] == "conv1.weight"
    assert names["state.1.var"] == "bn1.running_var"
    assert names["params.4.0.0.main.0.w"] == "layer1.0.conv1.weight"
    assert names["params.5.3.0.main.4.b"] == "layer2.3.bn2.bias"
    assert names["params.7.0.0.shortcut.0.w"] == "layer4.0.downsample.0.weight"
    assert names["state.7.0.0.shortcut.1.mean"] == "layer4.0.downsample.1.running_mean"
    assert names["params.9.w"] == "fc.weight"
    with pytest.raises(ValueError, match="not for this network"):
        checkpoint.torch_names(ac.layers.serial(ac.layers.dense(3)))


def test_a_network_with_nameless_layers_is_refused(tmp_path):
    model = ac.models.lenet5(original=True)
    _, params, state = model.init(0, (1, 32, 32))
    layers = ac.layers
    nameless = layers.serial(
        layers.conv(2, 3), layers.subsample(), layers.flatten(), layers.dense(2)
    )
    save_file({"features.0.weight": np.ones(2)}, tmp_path / "net")
    for refused in (
        lambda: checkpoint.torch_names(model),
        lambda: checkpoint.torch_names(nameless),
        lambda: checkpoint.load_torch(tmp_path / "net", model, (1, 32, 32)),
        lambda: checkpoint.load_torch(tmp_path / "net", own_word(), (1, 8, 8)),
        lambda: checkpoint.save_torch(tmp_path / "new", model, params, state),
    ):
        with pytest.raises(ValueError, match=r"names are known for .*, not for this network"):
            refused()
    assert os.listdir(tmp_path) == ["net"]


def own_word():
    """A network of a word that torch_names has never heard of, and which has a leaf."""
    scale = ac.layers.Layer(
        "scale",
        {},
        lambda key, shape, dtype="float64": (shape, {"by": np.ones(1, dtype)}, ()),
        lambda params, state, x, train, key: (x * params["by"], state),
    )
    return ac.layers.serial(scale, ac.layers.flatten(), ac.layers.dense(2))


def test_trees_that_lack_leaves_are_not_saved(tmp_path):
    model = ac.models.resnet50(5, stem=2)
    _, params, state = model.init(1, (3, 64, 64), "float32")
    for trees, first in (
        (([], []), "params.0.w"),
        ((params, []), "state.1.mean"),
        ((params[:-1], state), "params.9.w"),
    ):
        with pytest.raises(ValueError, match=f"the leaf '{first}' is missing; pass"):
            checkpoint.save_torch(tmp_path / "net", model, *trees)
    assert os.listdir(tmp_path) == []


def test_every_wrong_tensor_is_named(tmp_path):
    model = ac.models.resnet50(5, stem=2)
    _, params, state = model.init(1, (3, 64, 64), "float32")
    path = tmp_path / "net"
    checkpoint.save_torch(path, model, params, state)
    tensors = load_file(path)
    tensors["layer9.weight"] = tensors.pop("layer2.1.conv2.weight")
    tensors["fc.weight"] = np.ascontiguousarray(tensors["fc.weight"].T)
    tensors["bn1.running_mean"] = tensors["bn1.running_mean"].astype("int32")
    save_file(tensors, path)
    with pytest.raises(ValueError) as error:
        checkpoint.load_torch(path, model, (3, 64, 64))
    for part in (
        "missing: layer2.1.conv2.weight (4, 4, 3, 3)",
        "unexpected: layer9.weight (4, 4, 3, 3)",
        "wrong shape: fc.weight (64, 5), the network needs (5, 64)",
        "not of floats: bn1.running_mean I32",
    ):
        assert part in str(error.value)
    with pytest.raises(ValueError, match=r"missing: features\.0\.weight .* and 287 more"):
        checkpoint.load_torch(path, ac.models.vgg16(5, stem=2), (3, 32, 32))
    with pytest.raises(ValueError, match="not this network's"):
        checkpoint.save_torch(path, ac.models.vgg16(5, stem=2), params, state)
    without = {name: a for name, a in load_file(path).items() if "num_batches" not in name}
    assert len(without) == 267


# --- torch itself
# ------------------------------------------------------------------------------------------


def twin(name, width, classes):
    """The network as torchvision writes it, in torch: the same module names, thin, without
    dropout's randomness.
    """
    torch = pytest.importorskip("torch")
    nn = torch.nn
    w = width

    def plain(features, classifier, pool):
        net = nn.Module()
        net.features, net.classifier = nn.Sequential(*features), nn.Sequential(*classifier)
        net.avgpool = nn.AdaptiveAvgPool2d(pool)
        net.forward = lambda x: net.classifier(torch.flatten(net.avgpool(net.features(x)), 1))
        return net

    def dense(d, order):
        sizes = iter(((d, 64 * w), (64 * w, 64 * w), (64 * w, classes)))
        makers = {
            "linear": lambda: nn.Linear(*next(sizes)),
            "relu": nn.ReLU,
            "drop": lambda: nn.Dropout(0.0),
        }
        return [makers[word]() for word in order.split()]

    if name == "alexnet":
        features, c = [], 3
        for f, k, s, p, pool in (
            (1, 11, 4, 2, 1),
            (3, 5, 1, 2, 1),
            (6, 3, 1, 1, 0),
            (4, 3, 1, 1, 0),
            (4, 3, 1, 1, 1),
        ):
            features += [
                nn.Conv2d(c, f * w, k, s, p),
                nn.ReLU(),
                *([nn.MaxPool2d(3, 2)] if pool else []),
            ]
            c = f * w
        return plain(features, dense(c * 36, "drop linear relu drop linear relu linear"), 6)
    if name == "vgg16":
        features, c = [], 3
        for f in (1, 1, "M", 2, 2, "M", 4, 4, 4, "M", 8, 8, 8, "M", 8, 8, 8, "M"):
            features += (
                [nn.MaxPool2d(2)] if f == "M" else [nn.Conv2d(c, f * w, 3, padding=1), nn.ReLU()]
            )
            c = c if f == "M" else f * w
        return plain(features, dense(c * 49, "linear relu drop linear relu drop linear"), 7)

    class Bottleneck(nn.Module):
        def __init__(self, inputs, c, stride, project):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(inputs, c, 1, bias=False), nn.BatchNorm2d(c)
            self.conv2, self.bn2 = nn.Conv2d(c, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c)
            self.conv3, self.bn3 = nn.Conv2d(c, 4 * c, 1, bias=False), nn.BatchNorm2d(4 * c)
            if project:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, 4 * c, 1, stride, bias=False), nn.BatchNorm2d(4 * c)
                )

        def forward(self, x):
            y = torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
            return torch.relu(
                self.bn3(self.conv3(y)) + (self.downsample(x) if hasattr(self, "downsample") else x)
            )

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, w, 7, 2, 3, bias=False), nn.BatchNorm2d(w)
            inputs = w
            for i, blocks in enumerate((3, 4, 6, 3)):
                c, parts = w * 2**i, []
                for b in range(blocks):
                    parts.append(Bottleneck(inputs, c, 2 if b == 0 and i > 0 else 1, b == 0))
                    inputs = 4 * c
                setattr(self, f"layer{i + 1}", nn.Sequential(*parts))
            self.fc = nn.Linear(inputs, classes)

        def forward(self, x):
            x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean(dim=(2, 3)))

    return ResNet()


@pytest.mark.parametrize("nn", [ac.layers, reference], ids=["autograd", "reference"])
@pytest.mark.parametrize(
    "name, size",
    [
        ("alexnet", 224),
        ("vgg16", 224),
        ("resnet50", 96),
        ("mobilenet_v2", 64),
        ("densenet121", 64),
    ],
)
def test_weights_of_torch_give_the_logits_and_gradients_of_torch(name, size, nn, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch_file

    torch.manual_seed(5)
    stem, classes, shape = 2 if name in ("alexnet", "vgg16") else 4, 6, (3, size, size)
    make = getattr(torch_twins, name, functools.partial(twin, name))
    theirs = make(stem, classes).double()
    with torch.no_grad():
        for key, a in theirs.state_dict().items():
            if "running_var" in key or ("weight" in key and a.ndim == 1):
                a.uniform_(0.5, 1.5)
            elif "running_mean" in key or "bias" in key:
                a.normal_(0, 0.2)
    save_torch_file(theirs.state_dict(), tmp_path / "theirs")
    options = {} if name in ("resnet50", "densenet121") else {"dropout": 0.0}
    options |= {"towers": 1} if name == "alexnet" else {}
    ours = getattr(ac.models, name)(classes=classes, stem=stem, nn=nn, **options)
    params, state = checkpoint.load_torch(tmp_path / "theirs", ours, shape)
    generator = np.random.default_rng(2)
    x, labels = generator.normal(size=(3, *shape)), generator.integers(0, classes, 3)

    logits = theirs.eval()(torch.tensor(x)).detach().numpy()
    close(ours.apply(params, state, x)[0], logits, "logits")

    loss, grads, after = ours.loss_and_grad(params, state, (x, labels), key=0)
    loss_ = torch.nn.functional.cross_entropy(theirs.train()(torch.tensor(x)), torch.tensor(labels))
    loss_.backward()
    close(loss, loss_.item(), "loss")
    theirs_after = {
        **{k: p.grad for k, p in theirs.named_parameters()},
        **dict(theirs.named_buffers()),
    }
    names = checkpoint.torch_names(ours)
    compared = leaves({"params": grads}) + leaves({"state": after})
    # MobileNetV2 has biases in front of a batch norm: their gradient is 0 up to rounding.
    least = 1e-4 * max(np.abs(a).max() for _, a in leaves(grads))
    for path, a in compared:
        b = theirs_after[names[path]].numpy()
        close(a, b.T if b.ndim == 2 else b, f"{path} {names[path]}", least)
    numbers = {"alexnet": 16, "vgg16": 32, "resnet50": 267, "mobilenet_v2": 262, "densenet121": 606}
    assert len(compared) == numbers[name]

    checkpoint.save_torch(tmp_path / "ours", ours, tree_map(lambda p: p * 2, params), after)
    torch_file = pytest.importorskip("safetensors.torch").load_file(tmp_path / "ours")
    assert not any(theirs.load_state_dict(torch_file))  # no missing and no unexpected keys
    (path, first), *_ = leaves({"params": params})
    assert torch.equal(theirs.state_dict()[names[path]], 2 * torch.tensor(first))


def close(a, b, name, least=0.0):
    """Compare to nine digits; ``least`` is the smallest scale, for gradients that vanish."""
    assert np.abs(a - b).max() <= 1e-9 * max(np.abs(b).max(), least), name


def test_metadata_are_one_json_text(tmp_path):
    from safetensors import safe_open

    checkpoint.save(tmp_path / "run", TREE, metadata={"seed": 1})
    with safe_open(tmp_path / "run", "numpy") as file:
        assert json.loads(file.metadata()["autocnn"])["metadata"] == {"seed": 1}
