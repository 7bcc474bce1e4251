"""References that return y alone, or are of another library than the target."""

import numpy as np
import pytest

from autocnn import gradcheck

RNG = np.random.default_rng(2)
X, W, B = RNG.standard_normal((3, 5)), 1 + 0.1 * RNG.standard_normal(5), RNG.standard_normal(5)
ARRAYS = {"x": X, "w": W, "b": B}


def target(cross=1.0):
    def layer_norm(x, w, b):
        m, v = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        s = 1 / np.sqrt(v + x.dtype.type(1e-5))
        h = (x - m) * s

        def backward(dy):
            d = dy * w
            dx = d - d.mean(-1, keepdims=True) - cross * h * (d * h).mean(-1, keepdims=True)
            return {"x": dx * s, "w": (dy * h).sum(0), "b": dy.sum(0)}

        return h * w + b, backward

    return layer_norm


def plain(x, w, b):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(np.var(x, -1, keepdims=True) + 1e-5) * w + b


def not_complex_safe(x, w, b):
    return plain(x.astype(float), w.astype(float), b.astype(float))


def torch_plain():
    torch = pytest.importorskip("torch")
    return lambda x, w, b: torch.nn.functional.layer_norm(x, (5,), w, b)


def jax_plain():
    jnp = pytest.importorskip("jax").numpy

    def layer_norm(x, w, b):
        m, v = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - m) / jnp.sqrt(v + 1e-5) * w + b

    return layer_norm


def torch_module():
    return pytest.importorskip("torch").nn.LayerNorm(5)


REFERENCES = {
    "complex step": plain,
    "real differences": not_complex_safe,
    "its own backward": target(),
    "torch": torch_plain,
    "module": torch_module,
    "jax": jax_plain,
}


SLOW = {("real differences", "float32"), ("complex step", "float32")}
SLOW |= {("jax", "float32"), ("jax", "float64")}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(n, d, marks=[pytest.mark.slow] * ((n, d) in SLOW))
        for n in REFERENCES
        for d in ("float32", "float64")
    ],
)
def test_numpy_targets(name, dtype):
    reference = REFERENCES[name]
    reference = reference() if name in ("torch", "module", "jax") else reference
    if dtype == "float64" or name in ("complex step", "real differences"):
        report = gradcheck.check_kernel(target(), reference, dtype=dtype, **ARRAYS)
        assert report.verdict == "pass", str(report)
        assert any("complex step" in n for n in report.notes) == (name == "complex step")
        assert any("real differences" in n for n in report.notes) == (name == "real differences")
    if dtype == "float32":
        report = gradcheck.check_kernel(target(0.0), reference, dtype=dtype, **ARRAYS)
        assert [c.code for c in report.causes] == ["missing-path"], str(report)


def torch_target(x, w, b):
    torch = pytest.importorskip("torch")
    return torch.nn.functional.layer_norm(x.float(), (5,), w.float(), b.float()).to(x.dtype)


@pytest.mark.parametrize("reference", [plain, target()], ids=["plain", "backward"])
def test_torch_targets_take_numpy_references(reference):
    report = gradcheck.check_kernel(
        torch_target, reference, library="torch", dtype="bf16", **ARRAYS
    )
    assert report.verdict == "pass", str(report)

    def halved(x, w, b):
        return torch_target(x, w, 0.5 * b + 0.5 * b.detach())

    report = gradcheck.check_kernel(halved, reference, library="torch", dtype="bf16", **ARRAYS)
    assert [(c.code, c.leaf) for c in report.causes] == [("scale", "b")], str(report)


@pytest.mark.parametrize(
    ("f", "slope"),
    [(np.abs, np.sign), (lambda x: np.maximum(x, 0), lambda x: x > 0)],
    ids=["abs", "relu"],
)
def test_kinks_by_real_differences(f, slope):
    """Steps that cross a kink are seen and not used."""
    x = np.random.default_rng(4).standard_normal((10, 6))

    def kernel(x):
        return f(x), lambda dy: dy * slope(x)

    def reference(x):
        return f(x.astype(float))

    report = gradcheck.check_kernel(kernel, reference, x=x)
    assert report.ok, str(report)
    assert "real differences" in report.notes[0]


def test_what_is_too_large_or_missing_is_one_line():
    for reference, words in ((lambda x: np.tanh(x), "60,000 .at most 4,096"), (None, "reference=")):
        with pytest.raises(ValueError, match=words) as error:
            gradcheck.check_kernel(
                lambda x: (np.tanh(x), lambda dy: dy), reference, x=np.ones((300, 200))
            )
        assert "\n" not in str(error.value)


@pytest.mark.slow
def test_the_error_bar_is_part_of_the_tolerance():
    """A reference that computes in float32 is known to few digits, and a target in float64 is held
    to no more."""
    x = np.random.default_rng(5).standard_normal((5, 4))

    def coarse(x):
        return np.tanh(np.array(x, dtype=np.float32)).astype(float)

    def kernel(factor):
        return lambda x: (np.tanh(x), lambda dy: factor * dy / np.cosh(x) ** 2)

    assert gradcheck.check_kernel(kernel(1.0), coarse, x=x).ok
    assert not gradcheck.check_kernel(kernel(1.01), coarse, x=x).ok


def test_the_command_takes_a_plain_reference(tmp_path):
    from typer.testing import CliRunner

    from autocnn.cli import app

    path = tmp_path / "kernel.py"
    path.write_text(
        "import numpy as np\n"
        "def kernel(x):\n"
        "    return np.tanh(x), lambda dy: dy / np.cosh(x) ** 2\n"
        "def plain(x):\n"
        "    return np.tanh(x)\n"
    )
    call = ["check-kernel", f"{path}:kernel", "--reference", "plain", "--shape", "x=3,4"]
    result = CliRunner().invoke(app, [*call, "--dtype", "float32"])
    assert result.exit_code == 0 and "complex step" in " ".join(result.output.split())
