"""Convolution and its neighbours where the work is cut: many blocks, several threads, images
larger than a block.
"""

import inspect

import numpy as np
import pytest

from autocnn import autodiff, fast, ops
from autocnn.fast import convolution, kernels
from autocnn.fast.kernels import tuning
from autocnn.trees import tree_map
from tests import fast_ops

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("two_threads")]

# images (N, C, H, W), filters, kernel, stride, padding, dilation, groups
GEOMETRIES = {
    "patches": ((5, 3, 21, 18), 6, (3, 2), (2, 1), (1, 0), (1, 2), 1),
    "grey": ((4, 1, 17, 20), 6, (5, 5), (1, 1), (2, 2), (1, 1), 1),
    "grey in steps": ((3, 1, 17, 20), 3, (2, 3), (3, 2), (0, 1), (2, 1), 1),
    "product": ((3, 40, 11, 12), 80, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "product in steps": ((3, 8, 12, 11), 70, (1, 1), (2, 3), (0, 0), (1, 1), 1),
    "winograd": ((3, 16, 13, 12), 40, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "winograd, few rows": ((1, 24, 5, 3), 70, (3, 3), (1, 1), (2, 0), (1, 1), 1),
    "padding wider than the kernel": ((2, 16, 4, 5), 16, (3, 3), (1, 1), (3, 1), (1, 1), 1),
    "many channels, dilated": ((2, 16, 8, 7), 16, (3, 3), (1, 1), (1, 1), (2, 2), 1),
    "groups": ((2, 6, 9, 10), 9, (3, 3), (2, 2), (1, 1), (1, 1), 3),
}
geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)


@pytest.fixture(params=["numpy", "numba"], autouse=True)
def kind(request, monkeypatch):
    if request.param == "numba":
        pytest.importorskip("numba")
    monkeypatch.setattr(
        tuning, "WINOGRAD_TRANSFORM_COST", -np.inf
    )  # Winograd's algorithm for few outputs, too
    with fast.using(request.param):
        yield request.param


@pytest.fixture(params=["sums of each thread", "sums of all threads"])
def small_blocks(request, kind, monkeypatch):
    """Cut everything into tiny blocks, and share them out among three threads, by either way of
    adding up derivatives.
    """
    by_thread = request.param == "sums of each thread"
    if kind == "numpy" and not by_thread:
        pytest.skip("NumPy's kernels have no threads of their own")
    sizes = {
        "NUMPY_MATMUL_BLOCK": 256,
        "NUMPY_MATMUL_MIN_ROWS": 5,
        "NUMPY_PATCH_BLOCK": 256,
        "NUMPY_PATCH_MIN_ROWS": 5,
        "NUMPY_PATCH_REUSE": 0,
        "NUMPY_WINOGRAD_BLOCK": 64,
        "NUMBA_BLOCK": 256,
        "NUMBA_MIN_ROWS": 5,
        "NUMBA_MATMUL_TALL": 20,
        "NUMBA_MATMUL_DEPTH": 7,
        "NUMBA_MATMUL_DIVIDE_RESULT": 2**20 if by_thread else 0,
        "NUMBA_PATCH_PHASE": 300,
        "NUMBA_PATCH_DIVIDE_WEIGHTS": 2**20 if by_thread else 0,
        "NUMBA_WINOGRAD_BLOCK": 64,
        "NUMBA_WINOGRAD_PHASE": 200,
        "WINOGRAD_MIN_TILES": 5,
    }
    for name, value in sizes.items():
        monkeypatch.setattr(tuning, name, value)
    before = fast.threads()
    fast.threads(3)
    yield
    fast.threads(before)


def both(f, geometry, dtype="float64", seed=0):
    shape, filters, kernel, *options = geometry
    generator = np.random.default_rng(seed)
    x, b = generator.normal(size=shape), generator.normal(size=filters)
    w = generator.normal(size=(filters, shape[1] // options[-1], *kernel))
    arrays = [a.astype(dtype) for a in (x, w, b)]
    y, _, backward = autodiff.vjp(lambda x, w, b: (f(x, w, b, *options), None), *arrays)
    return [y, *backward(generator.normal(size=y.shape).astype(dtype))]


def worst(ours, theirs):
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs, strict=True))


@geometries
def test_blocks_make_no_difference(geometry, small_blocks):
    assert worst(both(fast_ops.conv2d, geometry), both(ops.conv2d, geometry)) < 1e-12


@geometries
def test_whole(geometry):
    assert worst(both(fast_ops.conv2d, geometry), both(ops.conv2d, geometry)) < 1e-12


@geometries
def test_single_precision_in_blocks(geometry, small_blocks):
    single = both(fast_ops.conv2d, geometry, "float32")
    assert {a.dtype for a in single} == {np.dtype("float32")}
    assert worst(single, both(ops.conv2d, geometry)) < 50 * np.finfo("float32").eps


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equal_threads_give_equal_results(count, small_blocks):
    results = []
    for _ in range(2):
        fast.threads(count)
        results.append(both(fast_ops.conv2d, GEOMETRIES["winograd"], "float32"))
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("train", [False, True])
def test_a_network_in_blocks(train, small_blocks):
    def build(nn):
        inner = nn.serial(
            nn.conv(16, 3, padding=1, bias=False),
            nn.batch_norm(),
            nn.relu(),
            nn.conv(6, 1, bias=False),
            nn.batch_norm(),
        )
        return nn.serial(
            nn.conv(6, 3), nn.relu(), nn.max_pool(2), nn.residual(inner), nn.relu(),
            nn.avg_pool(2), nn.max_pool(3, 2, 1),
            nn.local_response_norm(3), nn.flatten(), nn.dense(4),
        )  # fmt: skip

    from autocnn import layers
    from autocnn.trees import leaves

    x, labels = np.random.default_rng(1).normal(size=(7, 2, 19, 18)), np.arange(7) % 4
    found = []
    for nn in (fast, layers):
        model = build(nn)
        _, params, state = model.init(2, x.shape[1:])
        loss, grads, state = model.loss_and_grad(params, state, (x, labels), train=train)
        found.append([np.array(loss), *(leaf for _, leaf in leaves([grads, state]))])
    assert worst(*([a for a in part if a.any()] for part in found)) < 1e-10


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_rows_through_a_large_dense_layer(n, generator):
    x, w, dy = (
        generator.normal(size=(n, 1100)),
        generator.normal(size=(1100, 1000)),
        generator.normal(size=(n, 1000)),
    )
    y, _, backward = fast.dense(1000).vjp({"w": w, "b": np.ones(1000)}, {}, x)
    dx, grads = backward(dy)
    expected = [x @ w + 1, dy @ w.T, x.T @ dy, dy.sum(axis=0)]
    assert worst([y, dx, grads["w"], grads["b"]], expected) < 1e-12


def test_equal_patches_make_equal_outputs(kind):
    """Flat background makes equal windows, and pooling's ties must stay ties: no output may
    depend on where it stands.
    """
    x = np.zeros((18, 1, 8, 8))
    x[:, :, 3:5] = 1
    w = np.random.default_rng(0).normal(size=(3, 1, 3, 3))
    y = fast_ops.conv2d(x, w, np.array([0.1, 0.2, 0.3]))
    assert all(
        len(np.unique(y[:, f])) <= 5 for f in range(3)
    )  # one value for each way the window meets the bar


def test_winograd_only_where_it_saves_multiplications(kind, monkeypatch):
    monkeypatch.undo()
    w, ones = np.empty((512, 512, 3, 3)), (1, 1)
    many, few, odd = (1, 28, 28, 512), (8, 3, 3, 512), (60, 1, 1, 512)
    assert convolution._is_winograd(w, ones, ones, ones, many)
    assert not convolution._is_winograd(w, ones, ones, ones, few)
    assert not convolution._is_winograd(w, ones, ones, ones, odd)
    assert not convolution._is_winograd(w, (2, 2), ones, ones, many)
    assert not convolution._is_winograd(w[:8], ones, ones, ones, many)


def test_large_arrays_choose_numba(kind):
    with fast.using("auto"):
        small = kernels.kernels_for(tuning.NUMBA_MIN_SIZE - 1)
        large = kernels.kernels_for(tuning.NUMBA_MIN_SIZE)
    assert small.__name__ == "autocnn.fast.kernels.numpy"
    assert large.__name__ == "autocnn.fast.kernels." + (
        "numba" if kernels._numba_installed() else "numpy"
    )


def test_both_backends_export_the_same_functions(kind):
    from autocnn.fast.kernels import numpy as kernels_numpy

    backend = kernels.kernels_for(1)
    assert backend.__all__ == kernels_numpy.__all__
    for name in backend.__all__:
        ours = inspect.signature(getattr(backend, name))
        assert ours == inspect.signature(getattr(kernels_numpy, name)), name
        assert f"    {name}{ours}" in kernels.__doc__, f"kernels.__doc__ lacks {name}{ours}"


def test_backward_runs_on_the_backend_of_forward(kind):
    """NumPy's kernels keep patches, and Numba's do not take them."""
    x, w = (
        np.random.default_rng(0).normal(size=(1, 3, 128, 128)),
        np.random.default_rng(1).normal(size=(4, 3, 5, 5)),
    )
    layer = fast.conv(4, 5, stride=16, padding=2, bias=False)
    with fast.using("numpy"):
        y, _, backward = layer.vjp({"w": w}, {}, x)
        dx, grads = backward(y)
    dx_, grads_ = backward(y)
    np.testing.assert_array_equal(dx_, dx)
    np.testing.assert_array_equal(grads_["w"], grads["w"])


@pytest.mark.parametrize("dtype", [">f8", "<f8"])
def test_either_order_of_bytes(kind, dtype):
    x = np.random.default_rng(0).normal(size=(2, 3, 80, 90))
    normal = fast.serial(fast.batch_norm(), fast.relu())
    for layer in (fast.max_pool(2), fast.max_pool(3, 2, 1), fast.relu(), fast.conv(2, 3), normal):
        _, params, state = layer.init(0, x.shape[1:])
        expected, _, back = layer.vjp(params, state, x)
        params, state = (tree_map(lambda a: a.astype(dtype), tree) for tree in (params, state))
        y, _, backward = layer.vjp(params, state, x.astype(dtype))
        assert worst([y, backward(y)[0]], [expected, back(expected)[0]]) < 1e-12
