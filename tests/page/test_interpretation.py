"""The vocabulary in JavaScript against Python, in a real browser: outputs and all gradients."""

import base64

import numpy as np
import pytest

import autocnn as ac
from autocnn.ops import softmax
from autocnn.trees import leaves, tree_map
from tests.page.browser import open_page

IN_THE_BROWSER = """([which, pixels, label]) => {
  const { interpret, networks } = window.autocnn;
  const model = (window.models ??= networks.map(interpret.network))[which];
  const x = { shape: networks[which].input, values: Float64Array.from(pixels) };
  const pass = interpret.forward_and_backward(model, x, label);
  const grads = pass.grads.flatMap((layer) => Object.values(layer));
  const all = [...pass.outputs, pass.probabilities, ...pass.cotangents, ...grads];
  const bytes = new Uint8Array(8 * all.reduce((sum, { values }) => sum + values.length, 0));
  let at = 0;
  for (const { values } of all) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, 8 * values.length), at);
    at += 8 * values.length;
  }
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768)
    text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return [pass.loss, btoa(text)];
}"""


@pytest.fixture(scope="module")
def page(browser, exported):
    with open_page(browser, exported[0].as_uri()) as opened:
        yield opened
        assert opened.complaints == []


def images(shape, n):
    """Random images: every other one mostly empty, with equal numbers in many windows."""
    generator = np.random.default_rng(8)
    x = generator.integers(0, 256, (n, *shape)) / 255
    x[1::2] = np.round(2 * x[1::2]) / 2 * (generator.random(x[1::2].shape) < 0.3)
    return x


def python_pass(trained, x, label):
    """The loss and the list of arrays that the browser answers, by autograd, layer by layer."""
    params = tree_map(lambda p: p.astype("float64"), trained.params)
    outputs, backs, y = [x[None]], [], x[None]
    for layer, p, s in zip(trained.model.parts, params, trained.state, strict=True):
        y, _, back = layer.vjp(p, s, y)
        outputs.append(y)
        backs.append(back)
    batch = (x[None], np.array([label]))
    loss, grads, _ = trained.model.loss_and_grad(params, trained.state, batch)
    p = softmax(y)
    dy = p - np.eye(len(p[0]))[[label]]
    cotangents = [dy]
    for back in reversed(backs):
        dy, _ = back(dy)
        cotangents.insert(0, dy)
    return loss, [*outputs, p, *cotangents, *(leaf for _, leaf in leaves(grads))]


def compare(page, trained, which, n):
    for i, x in enumerate(images(trained.data.x_val.shape[1:], n)):
        label = i % len(trained.data.classes)
        loss, expected = python_pass(trained, x, label)
        found_loss, text = page.evaluate(IN_THE_BROWSER, [which, x.ravel().tolist(), label])
        found = np.frombuffer(base64.b64decode(text))
        assert found_loss == pytest.approx(loss, rel=1e-9)
        assert found.size == sum(array.size for array in expected)
        at = 0
        for number, array in enumerate(expected):
            part, at = found[at : at + array.size], at + array.size
            scale = np.abs(array).max() or 1.0
            assert np.abs(part - array.ravel()).max() <= 1e-9 * scale, (i, number)


@pytest.mark.parametrize("which", [0, 1], ids=["tiny-cnn", "lenet5"])
def test_all_numbers_are_those_of_python(page, exported, which):
    compare(page, exported[1][which], which, 5)


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1], ids=["tiny-cnn", "lenet5"])
def test_all_numbers_of_200_images_are_those_of_python(page, exported, which):
    compare(page, exported[1][which], which, 200)


def mean_pooling(name, classes):
    """The network's layers up to flatten, with pools in which every cell of a window counts."""
    n = ac.layers
    if name == "tiny-cnn":
        return [n.conv(3, 3), n.relu(), n.avg_pool(2)]
    return [
        n.conv(6, 5, padding=2),
        n.relu(),
        n.avg_pool(2),
        n.conv(16, 5),
        n.relu(),
        n.avg_pool(2),
    ]


@pytest.mark.parametrize("which, stage", [(0, 1), (0, 3), (1, 1), (1, 4), (1, 6)])
def test_the_receptive_field_is_the_cells_that_python_depends_on(page, exported, which, stage):
    trained = exported[1][which]
    layers = mean_pooling(trained.name, len(trained.data.classes))[:stage]
    network = ac.layers.serial(*layers)
    shape = trained.data.x_val.shape[1:]
    out, params, state = network.init(0, shape)
    params = tree_map(np.ones_like, params)
    generator = np.random.default_rng(stage)
    for cell in generator.integers(0, np.prod(out), 6):
        dy = np.zeros((1, *out))
        dy.flat[cell] = 1
        _, _, backward = network.vjp(params, state, np.ones((1, *shape)))
        depends = np.argwhere(backward(dy)[0][0] != 0)
        expected = np.stack([depends.min(axis=0), depends.max(axis=0)], axis=1)
        assert len(depends) == np.prod(expected[:, 1] - expected[:, 0] + 1)  # a box, all of it
        box = page.evaluate(
            """([which, stage, cell]) => {
              const { fields, engines } = window.autocnn;
              return engines[which].info().then((i) => fields.receptive(i.stages, stage, cell)[0]);
            }""",
            [which, stage, int(cell)],
        )
        assert np.array_equal(box, expected)
