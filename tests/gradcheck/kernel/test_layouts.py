"""Memory layouts in `check`: what reads memory and ignores strides is caught and named, what uses
strides passes.
"""

import ctypes

import numpy as np
import pytest

from autocnn import gradcheck


def read_memory(array, shape=None):
    """As C code reads a pointer: array.size numbers from the first on."""
    pointer = array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    base = array if array.base is None else array.base
    if any(s == 0 for s in array.strides):  # stay inside the memory
        return np.full(shape or array.shape, pointer[0])
    del base
    return np.ctypeslib.as_array(pointer, shape or array.shape).copy()


def x(*shape):
    return np.random.default_rng(2).standard_normal(shape)


def tanh_pointer(x):
    y = np.tanh(x)
    return y, lambda dy: {"x": read_memory(dy) * (1 - y * y)}


def product_order_k(x, w):
    return x * w, lambda dy: {"x": dy * w, "w": (dy.ravel(order="K") * x.ravel()).reshape(x.shape)}


def input_by_memory(x):
    kept = read_memory(x)
    return x**2, lambda dy: {"x": 2 * dy * kept}


def dense_strided(x, w):
    rows = np.lib.stride_tricks.as_strided

    def backward(dy):
        flat = rows(dy, dy.shape, (dy.shape[1] * dy.itemsize, dy.itemsize))
        return {"x": flat @ w.T, "w": x.T @ dy}

    return x @ w, backward


def two_outputs_none(x):
    def backward(dys):
        a, b = dys
        return {"x": 2 * a + 3 * b if a is not None and b is not None else 2 * x}

    return (2 * x, 3 * x), backward


WRONG = {
    "a pointer to dy": (tanh_pointer, {"x": x(4, 5)}, "x"),
    "order K": (product_order_k, {"x": x(4, 5), "w": x(4, 5)}, "w"),
    "a pointer to the input": (input_by_memory, {"x": x(3, 6)}, "x"),
    "strides of a contiguous array": (dense_strided, {"x": x(4, 5), "w": x(5, 3)}, "x"),
    "None for an output": (two_outputs_none, {"x": x(4)}, "x"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_layout_that_shows_the_mistake(name):
    f, arrays, leaf = WRONG[name]
    report = gradcheck.check(f, **arrays)
    assert [(c.code, c.leaf) for c in report.causes if c.level == "error"] == [("layout", leaf)]
    assert not report.ok


def test_the_message_names_memory_read_as_contiguous():
    report = gradcheck.check(tanh_pointer, x=x(4, 5))
    assert "read as if it were contiguous" in report.causes[0].message


def strided(x, w):
    y = x @ w
    return y, lambda dy: {"x": dy @ w.T, "w": x.T @ dy}


def contiguous_copy(x):
    y = np.tanh(x)
    return y, lambda dy: {"x": read_memory(np.ascontiguousarray(dy)) * (1 - y * y)}


def refuses(x):
    def backward(dy):
        if not dy.flags.c_contiguous:
            raise TypeError("needs a contiguous dy")
        return {"x": 2 * dy}

    return 2 * x, backward


def test_right_functions_pass():
    assert gradcheck.check(strided, x=x(4, 5), w=x(5, 3)).ok
    assert gradcheck.check(contiguous_copy, x=x(4, 5)).ok
    report = gradcheck.check(refuses, x=x(4, 5))
    assert report.ok and [c.level for c in report.causes if c.code == "layout"] == ["warning"]


def test_torch_functions_get_the_layouts():
    torch = pytest.importorskip("torch")

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, dy):
            if 0 in dy.stride():
                return 2 * dy
            flat = torch.as_strided(dy, dy.shape, (dy.shape[1], 1), dy.storage_offset())
            return 2 * flat

    report = gradcheck.check(Twice, x=torch.randn(4, 5, dtype=torch.float64))
    assert [c.code for c in report.causes if c.level == "error"] == ["layout"]
