"""The networks of section 25.6: pinned from outside, and every leaf of their gradients derived
twice.
"""

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import autocnn as ac
import reference
from autocnn.models.lenet import DIGITS, TABLE, _codes
from autocnn.models.width import scaled
from autocnn.trees import leaves
from tests.helpers import INTERPRETATIONS

pytestmark = pytest.mark.kernels

alexnet, lenet5, resnet50, vgg16 = (
    ac.models.alexnet,
    ac.models.lenet5,
    ac.models.resnet50,
    ac.models.vgg16,
)


def lenet5_1998(**options):
    return lenet5(original=True, **options)


def alexnet_2014(**options):
    return alexnet(towers=1, **options)


# Published: parameters of each layer that has some, in order, and the size of the maps after each
# convolution or pooling.
PINS = {
    "lenet5": (
        lenet5,
        (1, 28, 28),
        [156, 2416, 48120, 10164, 850],
        [28, 14, 10, 5],
        61_706,
        416_520,
    ),
    # LeCun et al. 1998, section II.B
    "lenet5_1998": (
        lenet5_1998,
        (1, 32, 32),
        [156, 12, 1516, 32, 48120, 10164],
        [28, 14, 10, 5, 1],
        60_000,
        328_096,
    ),
    # Krizhevsky et al. 2012, figure 2: 96 x 363 + 96, 256 x 1200 + 256, ...
    "alexnet": (
        alexnet,
        (3, 227, 227),
        [34_944, 307_456, 885_120, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000],
        [55, 27, 27, 13, 13, 13, 13, 6],
        60_965_224,
        724_406_816,
    ),
    "alexnet_2014": (
        alexnet_2014,
        (3, 224, 224),
        [23_296, 307_392, 663_936, 884_992, 590_080, 37_752_832, 16_781_312, 4_097_000],
        [55, 27, 27, 13, 13, 13, 13, 6],
        61_100_840,
        714_188_480,
    ),
    # Simonyan and Zisserman 2015, table 1, column D
    "vgg16": (
        vgg16,
        (3, 224, 224),
        [
            1792,
            36_928,
            73_856,
            147_584,
            295_168,
            590_080,
            590_080,
            1_180_160,
            2_359_808,
            2_359_808,
            2_359_808,
            2_359_808,
            2_359_808,
            102_764_544,
            16_781_312,
            4_097_000,
        ],
        [224, 224, 112, 112, 112, 56, 56, 56, 56, 28, 28, 28, 28, 14, 14, 14, 14, 7],
        138_357_544,
        15_470_264_320,
    ),
}
# Thin and at true depth, with dropout: what both paths differentiate in a second or two.
THIN = {
    "lenet5": (lambda nn: lenet5(nn=nn), (1, 28, 28)),
    "lenet5 tanh": (lambda nn: lenet5(width=0.5, activation="tanh", nn=nn), (1, 28, 28)),
    "lenet5_1998": (lambda nn: lenet5_1998(nn=nn), (1, 32, 32)),
    "alexnet": (lambda nn: alexnet(10, width=1 / 16, nn=nn), (3, 227, 227)),
    "alexnet_2014": (lambda nn: alexnet_2014(classes=10, stem=4, nn=nn), (3, 224, 224)),
    "vgg16": (lambda nn: vgg16(10, stem=4, nn=nn), (3, 64, 64)),
    "resnet50": (lambda nn: resnet50(10, stem=4, nn=nn), (3, 64, 64)),
    "mobilenet_v2": (lambda nn: ac.models.mobilenet_v2(10, stem=4, nn=nn), (3, 64, 64)),
    "densenet121": (lambda nn: ac.models.densenet121(10, stem=4, nn=nn), (3, 64, 64)),
}


@pytest.mark.parametrize("nn", [ac.layers, reference], ids=["autograd", "reference"])
@pytest.mark.parametrize("name", PINS)
def test_networks_are_the_published_ones(name, nn):
    build, shape, parameters, sizes, total, multiply_adds = PINS[name]
    rows = ac.summary(build(nn=nn), shape)
    assert [row.parameters for row in rows if row.parameters] == parameters
    found = [
        row.output_shape
        for row in rows
        if row.layer.startswith(("conv", "table_conv", "max_pool", "subsample"))
    ]
    assert [s[1] for s in found] == [s[2] for s in found] == sizes
    assert rows.parameters == total
    assert rows.multiply_adds == multiply_adds


@pytest.mark.parametrize("nn", [ac.layers, reference], ids=["autograd", "reference"])
def test_resnet50_is_the_published_one(nn):
    """He et al. 2016, table 1, with the stride in the 3x3: every map of every block."""
    model = resnet50(nn=nn)
    _, params, state = model.init(None, (3, 224, 224))
    rows = ac.summary(model, (3, 224, 224))
    assert len(leaves(params)) == 161
    assert len(leaves(state)) == 106
    assert rows.parameters == 25_557_032
    assert rows.multiply_adds == 4_089_184_256
    convs = [(row.output_shape, row.parameters) for row in rows if row.layer.startswith("conv")]
    assert len(convs) == 53
    expected, channels = [((64, 112, 112), 9408)], 64
    for c, blocks, size in ((64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7)):
        for b in range(blocks):
            before = size * 2 if b == 0 and c > 64 else size
            expected += [
                ((c, before, before), channels * c),
                ((c, size, size), 9 * c * c),
                ((4 * c, size, size), 4 * c * c),
            ]
            expected += [((4 * c, size, size), channels * 4 * c)] if b == 0 else []
            channels = 4 * c
    assert convs == expected
    assert [row.output_shape for row in rows if row.layer == "max_pool"] == [(64, 56, 56)]
    assert rows[-1].parameters == 2048 * 1000 + 1000
    assert (
        sum(math.prod(p.shape) for path, p in leaves(params) if len(p.shape) == 1)
        == 2 * 26_560 + 1000
    )  # batch norm, bias


@pytest.mark.parametrize("nn", [ac.layers, reference], ids=["autograd", "reference"])
def test_mobilenet_v2_is_the_published_one(nn):
    """Sandler et al. 2018, table 2: every block's expansion, channels, stride and map size."""
    model = ac.models.mobilenet_v2(nn=nn)
    rows = ac.summary(model, (3, 224, 224))
    assert rows.parameters == 3_504_872
    assert rows.multiply_adds == 300_774_272  # the paper says 300M
    convs = [(row.output_shape, row.parameters) for row in rows if row.layer.startswith("conv")]
    expected, c_in, size = [((32, 112, 112), 3 * 32 * 9)], 32, 112
    for t, c, n, s in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for i in range(n):
            inside = t * c_in
            expected += [((inside, size, size), c_in * inside)] if t > 1 else []
            size //= s if i == 0 else 1
            expected += [((inside, size, size), 9 * inside), ((c, size, size), inside * c)]
            c_in = c
    assert convs == [*expected, ((1280, 7, 7), 320 * 1280)]
    assert [row.layer for row in rows].count("residual") == 0  # numbered: there are ten
    assert sum(row.layer.startswith("residual") for row in rows) == 10
    assert rows[-1].parameters == 1280 * 1000 + 1000


@pytest.mark.parametrize("nn", [ac.layers, reference], ids=["autograd", "reference"])
def test_densenet121_is_the_published_one(nn):
    """Huang et al. 2017, table 1: growth 32, bottlenecks of 128, half the channels between."""
    model = ac.models.densenet121(nn=nn)
    rows = ac.summary(model, (3, 224, 224))
    assert rows.parameters == 7_978_856
    assert rows.multiply_adds == 2_834_161_664
    convs = [(row.output_shape, row.parameters) for row in rows if row.layer.startswith("conv")]
    expected, c = [((64, 112, 112), 3 * 64 * 49)], 64
    for i, (layers, size) in enumerate(zip((6, 12, 24, 16), (56, 28, 14, 7), strict=True)):
        for _ in range(layers):
            expected += [((128, size, size), c * 128), ((32, size, size), 9 * 128 * 32)]
            c += 32
        if i < 3:
            expected += [((c // 2, size, size), c * c // 2)]
            c //= 2
    assert convs == expected
    assert len(convs) + 1 == 121
    assert rows[-1].parameters == 1024 * 1000 + 1000


DENSE = "flatten dense relu dropout dense relu dropout dense"
ORDER = {  # what shapes cannot show: the order of the layers
    "lenet5": "conv relu max_pool conv relu max_pool flatten dense relu dense relu dense",
    "lenet5_1998": "conv scaled_tanh subsample scaled_tanh "
    "table_conv scaled_tanh subsample scaled_tanh conv scaled_tanh "
    "flatten dense scaled_tanh rbf",
    "alexnet": "conv relu local_response_norm max_pool conv relu local_response_norm max_pool "
    "conv relu conv relu conv relu "
    f"max_pool {DENSE}",
    "alexnet_2014": "conv relu max_pool conv relu max_pool conv relu conv relu conv relu max_pool "
    "flatten dropout dense relu "
    "dropout dense relu dense",
    "vgg16": 2 * (2 * "conv relu " + "max_pool ") + 3 * (3 * "conv relu " + "max_pool ") + DENSE,
}
POOLS = {"lenet5": (2, 2, 0), "alexnet": (3, 2, 0), "alexnet_2014": (3, 2, 0), "vgg16": (2, 2, 0)}


@pytest.mark.parametrize("name", ORDER)
def test_layers_are_in_the_published_order(name):
    parts = PINS[name][0]().parts
    assert " ".join(part.name for part in parts) == ORDER[name]
    for part in parts:
        if part.name == "max_pool":
            assert tuple(part.options.values()) == tuple((n, n) for n in POOLS[name])
        if part.name == "dropout":
            assert part.options == {"p": 0.5}
        if (
            part.name == "local_response_norm"
        ):  # the paper's k = 2, n = 5, alpha = 1e-4, beta = 0.75, in torch's convention
            assert part.options == {"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0}


def test_resnet50s_layers_are_in_the_published_order():
    conv, norm, relu, pool, *stages, average, dense = resnet50().parts
    assert [layer.name for layer in (conv, norm, relu, pool, average, dense)] == [
        "conv", "batch_norm", "relu", "max_pool", "global_avg_pool", "dense"
    ]  # fmt: skip
    assert pool.options == {"size": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    assert norm.options == {"momentum": 0.1, "eps": 1e-5}
    assert [len(stage.parts) for stage in stages] == [3, 4, 6, 3]
    for stage in stages:
        for i, block in enumerate(stage.parts):
            added, last = block.parts
            main, shortcut = added.parts
            assert last.name == "relu"
            assert (
                " ".join(part.name for part in main.parts)
                == "conv batch_norm relu conv batch_norm relu conv batch_norm"
            )
            assert [part.name for part in shortcut.parts] == (
                ["conv", "batch_norm"] if i == 0 else []
            )


def test_the_1998_network_has_the_papers_connections():
    """LeCun et al. 1998, section II.B: trainable parameters and connections of each layer,
    biases counted as connections.
    """
    rows = {row.layer: row for row in ac.summary(lenet5_1998, (1, 32, 32))}
    places = {"conv1": 28 * 28, "table_conv": 10 * 10, "conv2": 1, "dense": 1}
    connections = {name: rows[name].parameters * n for name, n in places.items()}
    assert connections == {
        "conv1": 122_304,
        "table_conv": 151_600,
        "conv2": 48_120,
        "dense": 10_164,
    }
    assert [len(row) for row in TABLE] == [3] * 6 + [4] * 9 + [6]
    assert len(set(TABLE)) == 16
    assert [sum(c in row for row in TABLE) for c in range(6)] == [
        10
    ] * 6  # each map of S2 feeds ten filters


def test_the_codes_are_ten_different_digits():
    codes = np.array(_codes())
    assert codes.shape == (10, 84)
    assert set(codes.ravel()) == {-1, 1}
    assert cdist(codes, codes, "hamming")[np.triu_indices(10, 1)].min() * 84 >= 5
    first = DIGITS.strip().splitlines()[0].split()
    assert "".join(".#"[int(v > 0)] for v in codes[7][:7]) == first[7] == "#######"


def run(model, params, state, x, labels, train):
    """Loss, logits, input gradient and parameter gradients, with dropout on in training."""
    loss, grads, after = model.loss_and_grad(params, state, (x, labels), key=4, train=train)
    y, _, backward = model.vjp(params, state, x, train=train, key=4)
    dy = np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype)
    return {"loss": loss, "y": y, "dx": backward(dy)[0], "grads": grads, "state": after}


@pytest.mark.parametrize("train", [False, True], ids=["evaluate", "train"])
@pytest.mark.parametrize("name", THIN)
def test_every_leaf_agrees(name, train):
    build, shape = THIN[name]
    _, params, state = build(reference).init((3, 7), shape)
    generator = np.random.default_rng(8)
    x, labels = generator.normal(size=(4, *shape)), generator.integers(0, 10, 4)
    by_hand = leaves(run(build(reference), params, state, x, labels, train))
    # MobileNetV2 has biases in front of a batch norm: their gradient is 0 up to rounding.
    largest = max(np.abs(b).max() for path, b in by_hand if path.startswith("grads"))
    least = 1e-4 * largest if name == "mobilenet_v2" else 0.0
    for name, nn in INTERPRETATIONS.items():
        found = leaves(run(build(nn), params, state, x, labels, train))
        assert [path for path, _ in found] == [path for path, _ in by_hand], name
        for (path, a), (_, b) in zip(found, by_hand, strict=True):
            assert np.abs(b).max() > 0 or path.startswith("state") or least, path
            assert np.abs(a - b).max() <= 1e-9 * max(np.abs(b).max(), least), (name, path)


@pytest.mark.parametrize("name", ["lenet5_1998", "alexnet", "resnet50"])
def test_float32_stays_float32(name, nn):
    build, shape = THIN[name]
    model = build(nn)
    _, params, state = model.init(0, shape, "float32")
    x = np.random.default_rng(1).normal(size=(2, *shape)).astype("float32")
    found = leaves(run(model, params, state, x, np.array([1, 3]), True))
    assert {leaf.dtype for _, leaf in found} == {np.dtype("float32")}


def test_width_is_a_factor_or_the_channels_of_the_first_stage():
    for build, first, shape in (
        (resnet50, 64, (3, 32, 32)),
        (vgg16, 64, (3, 32, 32)),
        (lenet5, 6, (1, 28, 28)),
    ):
        by_count, by_factor = (
            build(**w).init(None, shape)[1] for w in ({"stem": 3}, {"width": 3 / first})
        )
        assert [a.shape for _, a in leaves(by_count)] == [a.shape for _, a in leaves(by_factor)]
        assert leaves(by_count)[0][1].shape[0] == 3
    assert (
        leaves(alexnet(stem=5).init(None, (3, 227, 227))[1])[0][1].shape[0] == 6
    )  # both groups of conv2 need as many
    assert [scaled(0.01, None, 64)(n, groups) for n, groups in ((64, 1), (256, 1), (64, 2))] == [
        1,
        3,
        2,
    ]
    assert scaled(1.0, None, 64)(512) == 512
    assert scaled(1.0, 2, 64)(64) == 2
    model = resnet50(7, width=0.125)
    assert model.init(None, (3, 80, 64))[0] == (7,)
    assert len(leaves(model.init(None, (3, 80, 64))[1])) == 161


BAD = [
    (lambda: vgg16(width=0), "width"),
    (lambda: vgg16(width="thin"), "width"),
    (lambda: resnet50(width=-0.5), "width"),
    (lambda: resnet50(width=True), "width"),
    (lambda: lenet5(width=1), "width=1.0 for that factor, or stem=1"),
    (lambda: vgg16(width=np.int64(2)), "stem=2"),
    (lambda: resnet50(stem=1.5), "stem is"),
    (lambda: alexnet(stem=0), "stem is"),
    (lambda: alexnet(width=0.5, stem=4), "not both"),
    (lambda: lenet5(original=True, stem=3), "one width"),
    (lambda: alexnet(towers=3), "towers"),
    (lambda: lenet5(activation="gelu"), "activation"),
    (lambda: lenet5(original=True, width=0.5), "one width"),
    (lambda: lenet5(original=True, classes=11), "1 to 10"),
    (lambda: lenet5(original=True).init(0, (1, 28, 28)), "does not fit|5x5|window"),
    (lambda: alexnet().init(0, (3, 32, 32)), "does not fit"),
    (lambda: resnet50().init(0, (224, 224)), "images"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_arguments_get_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_networks_train_a_step_and_are_rebuilt(nn):
    model = ac.models.rebuild(lenet5_1998(classes=3), nn)
    _, params, state = model.init(1, (1, 32, 32))
    x, labels = np.random.default_rng(0).normal(size=(6, 1, 32, 32)), np.arange(6) % 3
    before, grads, _ = model.loss_and_grad(params, state, (x, labels))
    after = model.loss_and_grad(
        ac.trees.tree_map(lambda p, g: p - 1e-5 * g, params, grads), state, (x, labels)
    )[0]
    assert 0 < after < before
