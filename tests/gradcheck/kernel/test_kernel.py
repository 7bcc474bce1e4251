"""`check_kernel` in each library, its errors in one line, layouts, and the command line."""

import json
import time

import numpy as np
import pytest

from autocnn.gradcheck import check_kernel

ml_dtypes = pytest.importorskip("ml_dtypes")
torch = pytest.importorskip("torch")


def rng():
    return np.random.default_rng(4)


def numpy_rms(x, w, bug=False):
    """RMS norm of NumPy arrays of any dtype, computed in float32 or wider."""
    wide = np.float64 if x.dtype == np.float64 else np.float32
    z, g = x.astype(wide), w.astype(wide)
    r = 1 / np.sqrt((z * z).mean(-1, keepdims=True) + wide(1e-6))
    y = (z * r * g).astype(x.dtype)

    def backward(dy):
        d = dy.astype(wide)
        dot = (d * g * z).mean(-1, keepdims=True)
        dx = r * d * g - (0 if bug else 1) * z * dot * r**3
        return {"x": dx.astype(x.dtype), "w": (d * z * r).sum(0).astype(w.dtype)}

    return y, backward


def arrays(*names):
    shapes = {"x": (9, 14), "w": (14,), "a": (7,)}
    return {n: rng().standard_normal(shapes[n]) for n in names}


@pytest.mark.parametrize("dtype", ["float32", "bf16", "fp16", "float64"])
def test_numpy_right_and_wrong(dtype):
    right = check_kernel(numpy_rms, numpy_rms, dtype=dtype, **arrays("x", "w"))
    assert right.verdict == "pass", str(right)

    def wrong(x, w):
        return numpy_rms(x, w, bug=True)

    report = check_kernel(wrong, numpy_rms, dtype=dtype, **arrays("x", "w"))
    assert report.verdict == "wrong"
    assert [c.code for c in report.causes] == ["missing-path"]


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * x * 2


class Cube(torch.autograd.Function):
    """The newer form, with a wrong factor."""

    @staticmethod
    def forward(x):
        return x * x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * x * x


def test_a_torch_function_needs_no_reference():
    assert check_kernel(Square, dtype="bf16", **arrays("x")).ok

    def within(x):
        return Cube.apply(x) + Square.apply(x)

    for target in (Cube, within):
        report = check_kernel(target, x=torch.randn(6, 5))
        assert report.verdict == "wrong", str(report)
    cause = check_kernel(Cube, x=torch.randn(6, 5)).causes[0]
    assert cause.code == "scale" and "1 / 3" in cause.message


@pytest.mark.parametrize(
    "dtype", ["float32", *(pytest.param(half, marks=pytest.mark.slow) for half in ("bf16", "fp16"))]
)
def test_jax_custom_rules(dtype):
    jax = pytest.importorskip("jax")

    def make(factor):
        @jax.custom_vjp
        def f(x, w):
            return jax.numpy.tanh(x) * w

        def forward(x, w):
            return f(x, w), (x, w)

        def backward(saved, dy):
            x, w = saved
            t = jax.numpy.tanh(x)
            return factor * dy * w * (1 - t * t), (dy * t).sum(0)

        f.defvjp(forward, backward)
        return f

    x = jax.numpy.asarray(rng().standard_normal((6, 14)), dtype="float32")
    w = jax.numpy.asarray(rng().standard_normal(14), dtype="float32")
    assert check_kernel(make(1), dtype=dtype, x=x, w=w).ok
    report = check_kernel(make(0.5), dtype=dtype, x=x, w=w)
    assert [(c.code, c.leaf) for c in report.causes] == [("scale", "x")]


def test_gradients_of_zero_and_blindness():
    def shifted(x):  # the gradient is zero whatever dy is
        z = x - x.mean()
        return z.sum()

    assert check_kernel(shifted, dtype="float32", library="torch", **arrays("x")).ok

    def hidden(x):  # 1e6 - 1e6 cancels in bfloat16
        return ((x + 3e5) - 3e5).sum() * 0 + (x * 1e-3).sum() + ((x * 300) - (x * 300)).sum()

    assert check_kernel(hidden, dtype="bf16", library="torch", **arrays("x")).verdict != "wrong"


def contiguous_only(x):
    """Reads dy from memory as a kernel does that ignores strides."""
    y = x * 2

    def backward(dy):
        flat = torch.as_strided(dy, (dy.numel(),), (1,), dy.storage_offset())
        return (flat * 2).reshape(x.shape)

    return y, backward


def test_layouts_are_caught_and_named():
    def guarded(x):
        y, backward = contiguous_only(x)
        return y, lambda dy: backward(dy.contiguous())

    arguments = {"x": torch.randn(6, 5)}
    assert check_kernel(guarded, lambda x: x * 2, **arguments).verdict == "pass"

    def padded(x):  # as_strided stays inside the storage, for stride 0 as well
        y, _ = contiguous_only(x)

        def backward(dy):
            storage = torch.cat([torch.tensor(dy.untyped_storage().tolist()[:0]), dy.new_zeros(0)])
            del storage
            if dy.untyped_storage().nbytes() < dy.numel() * dy.element_size():
                return dy * 2
            return torch.as_strided(dy, dy.shape, (5, 1), dy.storage_offset()) * 2

        return y, backward

    report = check_kernel(padded, lambda x: x * 2, **arguments)
    assert [c.code for c in report.causes] == ["layout"], str(report)


class OutputOnMeta(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.empty_like(x, device="meta")

    @staticmethod
    def backward(ctx, dy):
        return dy


ONE_LINE = {
    "no reference": (
        lambda: check_kernel(numpy_rms, **arrays("x", "w")),
        "pass reference=",
    ),
    "dtypes": (
        lambda: check_kernel(
            lambda x, w: x * w, x=torch.randn(3), w=torch.randn(3, dtype=torch.float64)
        ),
        "dtypes differ: x float32, w float64",
    ),
    "devices": (
        lambda: check_kernel(lambda x, w: x * w, x=torch.randn(3), w=torch.randn(3, device="meta")),
        "devices differ: x on cpu, w on meta",
    ),
    "hangs": (
        lambda: check_kernel(
            lambda x: (x, time.sleep(30)), lambda x: x, timeout=0.2, x=torch.randn(3)
        ),
        "forward did not return within 0.2 s for x (3,)",
    ),
    "elsewhere": (
        lambda: check_kernel(
            lambda x: (x * 1, lambda dy: dy.to("meta")), lambda x: x * 1, x=torch.randn(3)
        ),
        "on meta; its arguments are on cpu",
    ),
    "output elsewhere": (
        lambda: check_kernel(OutputOnMeta, lambda x: x * 2, x=torch.randn(3)),
        "returns its output on meta; its arguments are on cpu",
    ),
    "output elsewhere by autograd": (
        lambda: check_kernel(lambda x: (x * 2).to("meta"), lambda x: x * 2, x=torch.randn(3)),
        "returns its output on meta; its arguments are on cpu",
    ),
    "raises": (
        lambda: check_kernel(lambda x: x @ x, lambda x: x, x=torch.randn(2, 3)),
        "raised RuntimeError",
    ),
    "nothing": (lambda: check_kernel(lambda n: n, n=3), "pass reference="),
    "integers": (
        lambda: check_kernel(lambda n: n, n=torch.arange(3)),
        "nothing to differentiate",
    ),
    "shapes": (
        lambda: check_kernel(lambda x: x[:2], lambda x: x, x=torch.randn(3)),
        "not the same function",
    ),
    "dtype": (lambda: check_kernel(lambda x: x, dtype="int8", x=torch.randn(3)), "not supported"),
    "too large": (
        lambda: check_kernel(lambda x: x, dtype="fp16", x=1e6 * torch.ones(3)),
        "float16 does not hold",
    ),
    "wrt": (lambda: check_kernel(lambda x: x, wrt="w", x=torch.randn(3)), "wrt names 'w'"),
}


@pytest.mark.parametrize("name", ONE_LINE)
def test_bad_input_is_one_line(name):
    call, words = ONE_LINE[name]
    with pytest.raises(ValueError, match=r".") as caught:
        call()
    message = str(caught.value)
    assert words in message and "\n" not in message


def test_a_target_that_changes_its_inputs():
    def target(x):
        y = x * 3

        def backward(dy):
            x.data.zero_()
            return dy * 3

        return y, backward

    report = check_kernel(target, lambda x: x * 3, x=torch.randn(4))
    assert [(c.code, c.leaf) for c in report.causes] == [("mutates-input", "x")]


def test_forwards_that_differ():
    report = check_kernel(lambda x: x * x, lambda x: x * x * 1.5, x=torch.randn(8))
    assert "forward" in [c.code for c in report.causes]


def test_report_text_and_json():
    report = check_kernel(Cube, x=torch.randn(6, 5))
    assert str(report).startswith("WRONG  Cube in float32 (torch)")
    data = json.loads(report.to_json())
    assert data["verdict"] == "wrong" and data["causes"][0]["code"] == "scale"
    with pytest.raises(AssertionError, match="scale"):
        report.raise_if_wrong()


FILE = """
import torch

def scaled(x, w):
    y = x * w.exp()
    def backward(dy):
        e = w.exp()
        return dy * e, (dy * x).sum(0) * {factor}
    return y, backward

def plain(x, w):
    return x * w.exp()
"""


@pytest.mark.parametrize(("factor", "code"), [("e", 0), ("1", 1)])
def test_command_line(tmp_path, factor, code):
    from typer.testing import CliRunner

    from autocnn.cli import app

    (tmp_path / "k.py").write_text(FILE.replace("{factor}", factor))
    command = ["check-kernel", f"{tmp_path}/k.py:scaled", "--reference", "plain"]
    command += ["--dtype", "bf16", "--shape", "x=9,7", "--shape", "w=7"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == code, done.output
    assert done.stdout.startswith("WRONG" if code else "PASS")
    bad = CliRunner().invoke(app, [*command[:3], "nothing"])
    assert bad.exit_code == 2 and "no function nothing" in bad.stderr


def test_pytest_fixture(gradcheck):
    assert gradcheck.kernel(Square, dtype="fp16", x=torch.randn(6, 5)).verdict == "pass"
    with pytest.raises(AssertionError, match="scale"):
        gradcheck.kernel(Cube, x=torch.randn(6, 5))
