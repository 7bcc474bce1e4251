"""Weights from elsewhere: formats, wrappers, prefixes, trunks, and files that fit in part."""

import logging

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import autocnn as ac
import reference
from autocnn import checkpoint, runs
from autocnn.checkpoint import load_torch, load_weights
from autocnn.trees import leaves
from tests.helpers import same_bits

SHAPE = (3, 64, 64)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """A thin VGG-16 as (model, (params, state), {torchvision's name: tensor})."""
    model = ac.models.vgg16(5, stem=2)
    _, params, state = model.init(0, SHAPE, "float32")
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    checkpoint.save_torch(path, model, params, state)
    return model, (params, state), load_file(path)


def part(model, end, start=0):
    words = [p.name for p in model.parts]
    return ac.layers.serial(*model.parts[start : words.index(end) if isinstance(end, str) else end])


def in_torch(tensors, dtype=None):
    torch = pytest.importorskip("torch")
    return {n: torch.tensor(a).to(dtype and getattr(torch, dtype)) for n, a in tensors.items()}


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model.", "net_1.backbone.", ""])
def test_prefixes_are_taken_off(prefix, vgg, tmp_path):
    model, trees, tensors = vgg
    save_file({prefix + n: a for n, a in tensors.items()}, tmp_path / "w")
    found = load_weights(tmp_path / "w", model, SHAPE)
    assert same_bits((found.params, found.state), trees)
    assert found.prefix == prefix and found.taken == 32
    assert same_bits(load_torch(tmp_path / "w", model, SHAPE), trees)
    if prefix:
        assert f"the prefix {prefix!r} was taken off the names" in str(found)


@pytest.mark.parametrize("end", ["flatten", 31, 32])
def test_a_trunk_without_its_classifier(end, vgg, tmp_path):
    """Of the file of a trunk, and of the whole network, with and without flatten."""
    model, (params, state), tensors = vgg
    trunk = part(model, end)
    features = {n: a for n, a in tensors.items() if n.startswith("features.")}
    save_file(features, tmp_path / "trunk")
    save_file({n.removeprefix("features."): a for n, a in features.items()}, tmp_path / "bare")
    save_file(tensors, tmp_path / "whole")
    own = tuple(params[: len(trunk.parts)]), tuple(state[: len(trunk.parts)])
    for name in ("trunk", "bare"):
        found = load_torch(tmp_path / name, trunk, SHAPE)
        assert [(n, a.tobytes()) for n, a in leaves(found)] == [
            (n, a.tobytes()) for n, a in leaves(own)
        ]
    with pytest.raises(ValueError, match=r"unexpected: classifier.0.weight .*; strict=False takes"):
        load_torch(tmp_path / "whole", trunk, SHAPE)
    found = load_weights(tmp_path / "whole", trunk, SHAPE, strict=False)
    assert found.taken == 26 and not found.missing and len(found.unexpected) == 6
    # The other way round: a trunk's file for the whole network.
    with pytest.raises(ValueError, match=r"missing: classifier.0.weight .* takes the 26 of 32"):
        load_torch(tmp_path / "trunk", model, SHAPE)
    found = load_weights(tmp_path / "bare", model, SHAPE, strict=False)
    assert found.taken == 26 and len(found.missing) == 6 and found.prefix == "+features."
    assert same_bits(found.params[0], params[0])
    assert found.params[-1]["w"].dtype == np.float32 and found.params[-1]["w"].std() > 0


@pytest.mark.parametrize(
    "build", [ac.models.resnet50, ac.models.mobilenet_v2, ac.models.densenet121]
)
def test_trunks_of_other_networks(build, tmp_path):
    model = build(5, stem=4)
    _, params, state = model.init(1, SHAPE, "float32")
    checkpoint.save_torch(tmp_path / "whole", model, params, state)
    trunk = part(model, "global_avg_pool")
    found = load_weights(tmp_path / "whole", trunk, SHAPE, strict=False)
    assert not found.missing and not found.misfits
    assert found.taken == len(leaves((params, state))) - 2
    assert [a.tobytes() for _, a in leaves(found.params)] == [
        a.tobytes() for _, a in leaves(params[: len(trunk.parts)])
    ]


def test_strict_false_says_what_it_did(vgg, tmp_path, caplog):
    _, (params, _), tensors = vgg
    other = ac.models.vgg16(7, stem=2)
    tensors = {n: a for n, a in tensors.items() if n != "features.0.bias"} | {
        "extra.weight": np.ones(3, "f"), "features.1.num_batches_tracked": np.zeros((), np.int64),
    }  # fmt: skip
    save_file(tensors, tmp_path / "w")
    with caplog.at_level(logging.WARNING):
        load_torch(tmp_path / "w", other, SHAPE, strict=False)
    (said,) = caplog.messages
    for words in (
        "29 of 32 tensors",
        "not in the file, so as the network starts: features.0.bias",
        "classifier.6.weight (5, 128), not (7, 128)",
        "left out, since the network has no such name: extra.weight",
    ):
        assert words in said
    start = other.init(5, SHAPE, "float32")[1:]
    found = load_weights(tmp_path / "w", other, SHAPE, False, start)
    assert found.missing == ("features.0.bias",) and found.unexpected == ("extra.weight",)
    assert set(found.misfits) == {"classifier.6.weight", "classifier.6.bias"}
    assert same_bits(found.params[-1], start[0][-1]) and same_bits(found.params[2], params[2])


def test_what_fits_nowhere_is_refused(vgg, tmp_path):
    model, _, tensors = vgg
    save_file({"module." + n: a[..., None] for n, a in tensors.items()}, tmp_path / "w")
    for strict in (True, False):
        with pytest.raises(ValueError, match=r"whose names begin with 'module\.', .* none of its"):
            load_torch(tmp_path / "w", model, SHAPE, strict=strict)
    save_file({"a.b": np.ones(2)}, tmp_path / "w")
    with pytest.raises(
        ValueError, match=r"missing: features.0.weight .*; none of its tensors fits"
    ):
        load_torch(tmp_path / "w", model, SHAPE, strict=False)


@pytest.mark.parametrize("kind, name", [("BF16", "bfloat16"), ("F16", "float16")])
def test_half_precision_becomes_float32(kind, name, vgg, tmp_path):
    model, (params, _), tensors = vgg
    torch = pytest.importorskip("torch")
    halves = in_torch(tensors, name)
    pytest.importorskip("safetensors.torch").save_file(halves, tmp_path / "w.safetensors")
    torch.save(halves, tmp_path / "w.pth")
    for file in ("w.safetensors", "w.pth"):
        found = load_weights(tmp_path / file, model, SHAPE)
        assert found.converted == (kind,) and f"{name} was converted to float32" in str(found)
        assert {a.dtype for _, a in leaves(found.params)} == {np.dtype("float32")}
        expected = halves["features.0.weight"].float().numpy()
        np.testing.assert_array_equal(found.params[0]["w"], expected)
        assert np.abs(expected - params[0]["w"]).max() > 0


WRAPPERS = {
    "plain": lambda d: d,
    "state_dict": lambda d: {"state_dict": d, "epoch": 3, "optimizer": {"lr": 0.1}},
    "model": lambda d: {"model": d, "args": [1, "x"]},
    "lightning": lambda d: {"state_dict": {f"model.{n}": a for n, a in d.items()}, "epoch": 1},
    "one of any name": lambda d: {"weights_of_the_net": d, "step": 5},
    "parallel": lambda d: {"net": {f"module.{n}": a for n, a in d.items()}},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_files_of_torch(wrapper, legacy, vgg, tmp_path):
    model, trees, tensors = vgg
    torch = pytest.importorskip("torch")
    path = tmp_path / "w.any"  # the content tells, not the name
    torch.save(
        WRAPPERS[wrapper](in_torch(tensors)), path, _use_new_zipfile_serialization=not legacy
    )
    found = load_weights(path, model, SHAPE)
    assert same_bits((found.params, found.state), trees)


def test_a_real_file_of_a_data_parallel_network(tmp_path):
    """DataParallel's own names, half precision and a wrapper, in one file of torch."""
    torch = pytest.importorskip("torch")
    nn, own = torch.nn, ac.layers
    theirs = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    parallel = nn.DataParallel(theirs).to(torch.bfloat16)
    torch.save({"state_dict": parallel.state_dict(), "epoch": 4}, tmp_path / "checkpoint.pth.tar")
    model = own.serial(own.conv(2, 3), own.relu(), own.flatten(), own.dense(3))
    found = load_weights(tmp_path / "checkpoint.pth.tar", model, (1, 8, 8))
    assert (found.taken, found.prefix, found.converted) == (4, "module.", ("BF16",))
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype("float32")
    expected = theirs.float()(torch.tensor(x)).detach().numpy()
    ours = model.apply(found.params, found.state, x)[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_files_of_torch_that_are_refused(vgg, tmp_path):
    model, _, tensors = vgg
    torch = pytest.importorskip("torch")
    path = tmp_path / "w.pt"
    refused = {
        "holds more than tensors, such as a whole module": torch.nn.Linear(2, 3),
        "holds a dict without tensors": {"epoch": 3},
        "holds several sets of tensors, a, b": {"a": in_torch(tensors), "b": in_torch(tensors)},
    }
    for words, content in refused.items():
        torch.save(content, path)
        with pytest.raises(ValueError, match=words) as error:
            load_torch(path, model, SHAPE)
        assert "\n" not in str(error.value)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is damaged, or not a file of torch"):
        load_torch(path, model, SHAPE)


def test_torch_runs_no_code(tmp_path, vgg):
    torch = pytest.importorskip("torch")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    torch.save({"a": Evil()}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="holds more than tensors"):
        load_torch(tmp_path / "w.pth", vgg[0], SHAPE)
    assert not (tmp_path / "made").exists()


def test_without_torch(tmp_path, vgg, monkeypatch):
    torch = pytest.importorskip("torch")
    torch.save(in_torch(vgg[2]), tmp_path / "w.pth")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'autocnn\[torch\]'"):
        load_torch(tmp_path / "w.pth", vgg[0], SHAPE)


def test_npz(vgg, tmp_path):
    model, trees, tensors = vgg
    np.savez(tmp_path / "w.npz", **tensors)
    for nn in (ac.layers, reference):
        built = ac.models.vgg16(5, stem=2, nn=nn)
        assert same_bits(load_torch(tmp_path / "w.npz", built, SHAPE), trees)
    np.savez(tmp_path / "bad.npz", a=np.array([{}], object))
    with pytest.raises(ValueError, match=r"a in .*bad\.npz holds Python objects"):
        load_torch(tmp_path / "bad.npz", model, SHAPE)
    (tmp_path / "w.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ValueError, match="is an HDF5 file, as Keras writes; save its arrays"):
        load_torch(tmp_path / "w.h5", model, SHAPE)


def test_sequential_of_torch(tmp_path):
    """A network of parts in a row takes the names of torch's Sequential, and computes the same."""
    torch = pytest.importorskip("torch")
    nn, own = torch.nn, ac.layers
    theirs = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 6), nn.Tanh(), nn.Linear(6, 3, bias=False),
    ).double().eval()  # fmt: skip
    model = own.serial(
        own.conv(4, 3), own.batch_norm(), own.relu(), own.max_pool(2), own.flatten(),
        own.dense(6), own.tanh(), own.dense(3, bias=False),
    )  # fmt: skip
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    found = load_weights(tmp_path / "w.pt", model, (1, 8, 8))
    assert found.taken == 9 and found.prefix == ""
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    ours = model.apply(found.params, found.state, x)[0]
    np.testing.assert_allclose(ours, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-12)


def test_a_checkpoint_of_ones_own(tmp_path, tiny):
    model, params, state, _ = tiny
    checkpoint.save(tmp_path / "w", params, {"network": state, "optimizer": {"m": params}})
    found = load_weights(tmp_path / "w", model, (1, 8, 8))
    assert same_bits(found.params, params) and found.unexpected == ()
    assert str(found) == "4 of 4 tensors"


def test_training_starts_from_weights(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("autocnn.cli.session._finish", lambda *a, **o: None)
    short = ("--data", "patterns", "--limit", 30, "--epochs", 1)
    assert command("train", "tiny-cnn", *short, "--out", "first")[0] == 0
    code, out, err = command("train", "tiny-cnn", *short, "--weights", "first", "--out", "second")
    assert (code, err) == (0, "") and "best.safetensors: 4 of 4 tensors\n" in out
    first, second = runs.load("first", "best"), runs.load("second", "last")
    assert first.train_state.history["val_loss"][-1] == second.train_state.history["val_loss"][0]
    assert second.config.weights.path == str(tmp_path / "first" / "best.safetensors")
    code, _, err = command("train", "--run", "second", "--weights", "second")
    assert code == 2 and "holds a run with --weights" in err
    assert command("train", "--run", "second", "--weights", "first")[0] == 0

    # Another number of classes: the classifier starts at random.
    data = ac.data.patterns(classes=("vertical", "horizontal"))
    from autocnn.data import idx
    from autocnn.data.known import FILES

    (tmp_path / "two").mkdir()
    arrays = (data.x_train[:, 0] * 255, data.y_train, data.x_val[:, 0] * 255, data.y_val)
    for name, array in zip(FILES, arrays, strict=True):
        idx.write(tmp_path / "two" / name, array.astype(np.uint8))
    code, out, err = command(
        "train", "tiny-cnn", "--data", "two", "--epochs", 1, "--rate", 0.01, "--weights", "first"
    )
    assert code == 0, err
    assert "2 of 4 tensors; of another shape, so as the network starts: params.4.w (27, 3)" in out
    code, _, err = command("train", "tiny-cnn", *short, "--weights", "nowhere")
    assert code == 2 and err == "autocnn: there is no file or run nowhere to take weights from\n"
