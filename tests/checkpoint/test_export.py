"""ONNX: onnxruntime computes the same logits from every word of the vocabulary and every
network.
"""

import json

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn import export
from autocnn.export import save_onnx, to_onnx
from autocnn.runs import preprocessing, recipes
from autocnn.trees import tree_map
from tests.cases import parametrize, select

pytestmark = pytest.mark.kernels

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def run(made, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(["logits"], {"images": x})
    return y


def lively(model, shape, seed=0):
    """Parameters and state of which nothing is 0 or 1, in float32."""
    generator = np.random.default_rng(seed)
    _, params, state = model.init((seed, 1), shape, "float32")
    params = tree_map(lambda p: (p + generator.normal(0, 0.1, p.shape)).astype("float32"), params)
    state = tree_map(lambda s: (s + generator.uniform(0.1, 0.9, s.shape)).astype("float32"), state)
    return params, state, generator


def compare(model, shape, batches=(1, 3)):
    params, state, generator = lively(model, shape)
    made = to_onnx(model, params, state, shape)
    onnx.checker.check_model(made, full_check=True)
    for n in batches:
        x = generator.normal(size=(n, *shape)).astype("float32")
        ours = model.apply(params, state, x)[0]
        theirs = run(made, x)
        assert theirs.dtype == np.float32 and theirs.shape == ours.shape
        assert np.abs(ours).max() > 1e-2
        assert np.abs(theirs - ours).max() <= 1e-5 * max(1, np.abs(ours).max())
    return made


@parametrize("word", "network")
def test_every_word(case):
    compare(case.build(ac.layers), case.shape)


NETWORKS = {
    "tiny_cnn": (ac.models.tiny_cnn(dropout=0.3), (1, 8, 8)),
    "tiny_mlp": (ac.models.tiny_mlp(), (1, 8, 8)),
    "lenet5": (ac.models.lenet5(), (1, 28, 28)),
    "lenet5 with tanh": (ac.models.lenet5(activation="tanh"), (1, 28, 28)),
    "lenet5 of 1998": (ac.models.lenet5(original=True), (1, 32, 32)),
    "alexnet of 2012": (ac.models.alexnet(20, width=0.05), (3, 227, 227)),
    "alexnet of 2014": (ac.models.alexnet(20, width=0.05, towers=1), (3, 224, 224)),
    "vgg16": (ac.models.vgg16(20, width=0.05), (3, 64, 64)),
    "resnet50": (ac.models.resnet50(20, width=0.1), (3, 64, 64)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(name):
    model, shape = NETWORKS[name]
    compare(model, shape, batches=(2,))


def test_every_vocabulary_gives_one_graph():
    params, state, _ = lively(ac.models.lenet5(), (1, 28, 28))
    vocabularies = (ac.layers, ac.fast, reference)
    made = {
        to_onnx(ac.models.lenet5(nn=nn), params, state, (1, 28, 28)).SerializeToString()
        for nn in vocabularies
    }
    assert len(made) == 1


def test_float64_is_cast_and_layers_keep_their_names(tiny, patterns):
    model, params, state, (x, _) = tiny
    made = to_onnx(model, params, state, (1, 8, 8), classes=patterns.classes)
    assert [node.name for node in made.graph.node] == [
        "conv",
        "relu",
        "max_pool",
        "flatten",
        "dense",
        "logits",
    ]
    assert {c.name for c in made.graph.initializer} == {"conv.w", "conv.b", "dense.w", "dense.b"}
    assert json.loads(made.metadata_props[0].value) == list(patterns.classes)
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    np.testing.assert_allclose(
        run(made, x.astype("float32")), model.apply(params, state, x)[0], rtol=1e-5, atol=1e-5
    )


def test_a_runs_preparation_is_part_of_the_graph(generator):
    inputs = recipes.inputs("lenet5-1998", (1, 28, 28))
    model = ac.models.lenet5(original=True)
    params, state, _ = lively(model, (1, 32, 32))
    x = generator.random((2, 1, 28, 28)).astype("float32")
    made = to_onnx(model, params, state, (1, 28, 28), inputs=inputs)
    assert json.loads(made.metadata_props[0].value) == inputs._asdict()
    ours = model.apply(params, state, preprocessing.prepare(x, inputs))[0]
    np.testing.assert_allclose(run(made, x), ours, rtol=1e-5)


@pytest.mark.parametrize(
    "opset",
    [pytest.param(n, marks=() if n in (13, 26) else pytest.mark.slow) for n in export.OPSETS],
)
def test_every_word_in_every_opset(opset):
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip("the onnx that is installed is older")
    for case in select("word", "network"):
        model = case.build(ac.layers)
        params, state, generator = lively(model, case.shape)
        if opset < 17 and case.name.startswith("layer_norm"):
            with pytest.raises(ValueError, match=f"layer_norm needs opset 17 .* got opset {opset}"):
                to_onnx(model, params, state, case.shape, opset=opset)
            continue
        made = to_onnx(model, params, state, case.shape, opset=opset)
        assert made.opset_import[0].version == opset
        onnx.checker.check_model(made, full_check=True)
        x = generator.normal(size=(2, *case.shape)).astype("float32")
        ours = model.apply(params, state, x)[0]
        assert np.abs(run(made, x) - ours).max() <= 1e-5 * max(1, np.abs(ours).max()), case.name


@pytest.mark.parametrize("opset", [12, 27, 17.0, True, "17"])
def test_other_opsets_are_refused(opset, tiny):
    model, params, state, _ = tiny
    with pytest.raises(ValueError, match=r"opset is a version .* 13 to \d\d .*; got"):
        to_onnx(model, params, state, (1, 8, 8), opset=opset)


@pytest.mark.parametrize(
    "classes, stored",
    [
        (np.arange(3), [0, 1, 2]),
        (np.array([0.5, 1, 2], "float32"), [0.5, 1, 2]),
        (np.array(["a", "b", "ü"]), ["a", "b", "ü"]),
        ((np.int64(7), True, "x"), [7, True, "x"]),
    ],
    ids=["ints", "floats", "text", "mixed"],
)
def test_classes_of_any_kind(classes, stored, tiny):
    model, params, state, _ = tiny
    made = to_onnx(model, params, state, (1, 8, 8), classes=classes)
    found = {p.key: json.loads(p.value) for p in made.metadata_props}
    assert found == {"classes": stored, "preprocessing": {"pad": 0, "low": 0.0, "high": 1.0}}
    with pytest.raises(ValueError, match="classes are 2 names, and the network's output is"):
        to_onnx(model, params, state, (1, 8, 8), classes=classes[:2])


def test_a_fitted_classifier(tmp_path):
    """The graph takes images as they were fitted, and its classes are the labels."""
    datasets = pytest.importorskip("sklearn.datasets")
    from autocnn.sklearn import CNNClassifier

    digits = datasets.load_digits()
    x, y = digits.images[:300].astype("float32"), digits.target[:300]
    fitted = CNNClassifier(epochs=2, random_state=0).fit(x, y)
    fitted.to_onnx(tmp_path / "c.onnx", opset=13)
    made = onnx.load(tmp_path / "c.onnx")
    found = {p.key: json.loads(p.value) for p in made.metadata_props}
    assert found["classes"] == list(range(10)) and made.opset_import[0].version == 13
    logits = run(made, x[:50, None])
    np.testing.assert_allclose(ac.ops.softmax(logits), fitted.predict_proba(x[:50]), atol=1e-5)
    assert (fitted.classes_[logits.argmax(axis=1)] == fitted.predict(x[:50])).all()


def test_saving(tmp_path, tiny):
    model, params, state, (x, _) = tiny
    save_onnx(tmp_path / "net.onnx", model, params, state, (1, 8, 8))
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    made = to_onnx(model, params, state, (1, 8, 8))
    np.testing.assert_array_equal(
        run(onnx.load(tmp_path / "net.onnx"), x.astype("f")), run(made, x.astype("f"))
    )


def test_bad_input(tiny):
    model, params, state, _ = tiny
    with pytest.raises(ValueError, match="params are not this network's"):
        to_onnx(model, params, state, (1, 10, 10))
    with pytest.raises(ValueError, match="params are not this network's"):
        to_onnx(ac.models.tiny_mlp(), params, state, (1, 8, 8))
    with pytest.raises(ValueError, match="images"):
        to_onnx(model, params, state, (8, 8))
    odd = ac.layers.relu()._replace(name="swish")
    with pytest.raises(ValueError, match="'swish' has no translation to ONNX"):
        to_onnx(odd, {}, {}, (3,))
