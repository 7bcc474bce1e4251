"""Arguments by position, in every entry point; and what a first reader meets in check_kernel."""

import inspect

import numpy as np
import pytest

from autocnn import gradcheck
from autocnn.gradcheck.positional import by_name

X = np.random.default_rng(0).standard_normal((3, 4))


def half(x, /, w=2.0, *, shift=0.0):
    y = x * w + shift

    def backward(dy):
        return {"x": dy * w / 2}

    return y, backward


def twice(x, /, w=2.0):
    return x * w, lambda dy: {"x": dy * w}


def test_positional_only_functions_of_numpy():
    assert gradcheck.check(twice, x=X).ok
    assert gradcheck.check(twice, x=X, w=3.0).ok
    report = gradcheck.check(half, x=X, shift=1.0)
    assert report.causes[0].code == "scale" and "dy * w / 2" in str(report)
    assert gradcheck.stress(twice, x=("N", "C"), examples=4).ok
    assert gradcheck.check_kernel(twice, lambda x, /: 2 * x, x=X.astype(np.float32)).ok


def test_the_function_itself_where_all_go_by_name():
    def f(x, *, y=1):
        return x

    assert by_name(f) is f
    assert list(inspect.signature(by_name(half)).parameters) == ["x", "w", "shift"]
    assert by_name(half)(x=1.0, w=2.0, shift=3.0)[0] == 5.0


def test_functions_of_torch_that_show_no_signature():
    torch = pytest.importorskip("torch")
    a, b = torch.tensor(X), torch.tensor(X.T.copy())
    assert gradcheck.check(torch.matmul, a=a, b=b).ok
    assert gradcheck.check(torch.Tensor.sigmoid, x=a).ok
    with pytest.raises(ValueError, match="sigmoid"):
        gradcheck.check(torch.Tensor.sigmoid, x=a, y=b)


def test_functions_of_jax():
    jnp = pytest.importorskip("jax.numpy")
    x = jnp.asarray(X)
    assert gradcheck.check(jnp.sin, x=x).ok
    assert gradcheck.check(jnp.sin, x=x, order=2).ok
    assert gradcheck.check_kernel(jnp.sin, x=jnp.asarray(X, dtype=jnp.float32)).ok


def test_check_kernel_says_the_call_that_takes_arrays():
    def norm(x, w):
        return x * w, lambda dy: (dy * w, (dy * x).sum(0))

    w = np.ones(4)
    with pytest.raises(ValueError, match=r"check_kernel\(norm, reference, x=\.\.\., w=\.\.\.\)"):
        gradcheck.check_kernel(norm, lambda x, w: x * w, X, w)
    with pytest.raises(ValueError, match=r"reference, x=\.\.\., w=\.\.\.\)"):
        gradcheck.check_kernel(norm, X, w=w)
    with pytest.raises(ValueError, match="needs a function, got ndarray"):
        gradcheck.check_kernel(X)
    assert gradcheck.check_kernel(norm, reference=lambda x, w: x * w, x=X, w=w).ok


def test_check_sends_bfloat16_of_numpy_to_check_kernel():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = X.astype(ml_dtypes.bfloat16)
    with pytest.raises(ValueError, match=r"check_kernel\(twice, reference, x=x\) compares in bfl"):
        gradcheck.check(twice, x=x)


def test_numpy_arrays_for_a_function_of_torch_by_apply_and_by_dtype():
    torch = pytest.importorskip("torch")

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, dy):
            return 2 * ctx.saved_tensors[0] * dy

    assert gradcheck.check_kernel(Square.apply, lambda x: x * x, dtype=torch.bfloat16, x=X).ok
    report = gradcheck.check_kernel(
        lambda x: Square.apply(x), lambda x: x * x, dtype=torch.float32, x=X
    )
    assert report.ok and report.library == "torch"


class Dense:
    def __init__(self):
        self.w = np.random.default_rng(1).standard_normal((4, 3))

    def forward(self, x):
        self.x = x
        return x @ self.w

    def backward(self, dy):
        self.dw = np.swapaxes(self.x, -1, -2) @ dy
        return dy @ self.w.T


class MeanOverTheBatch(Dense):
    def backward(self, dy):
        dy = dy - dy.mean(0) * (dy.ndim > 2)
        return super().backward(dy)


def test_objects_take_batches_of_cotangents():
    report = gradcheck.check_object(Dense(), X, batched=True)
    assert report.ok and "batches of" in report.notes[-1]
    report = gradcheck.check_object(MeanOverTheBatch(), X, batched=True)
    assert "batched" in [c.code for c in report.errors]
    assert gradcheck.check_object(MeanOverTheBatch(), X).ok
