"""Kernels that pass within their dtype's rounding, and lose digits that the reference keeps."""

import pytest

from autocnn import gradcheck

torch = pytest.importorskip("torch")


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def scaled(through):
    def f(x, w):
        def backward(dy):
            dw = (dy.float() * x.float()).sum(0)
            return dy * w, dw.to(through or w.dtype).to(w.dtype)

        return x * w, backward

    return f


def batches(wide):
    def f(x, w):
        def backward(dy):
            dw = torch.zeros(w.shape, dtype=torch.float32 if wide else w.dtype)
            for one, g in zip(x, dy, strict=True):
                dw = dw + (g.T.float() @ one.float()).to(dw.dtype)
            return dy @ w, dw.to(w.dtype)

        return x @ w.T, backward

    return f


def biased(wide):
    def f(x, b):
        def backward(dy):
            db = torch.zeros(b.shape, dtype=torch.float32 if wide else b.dtype)
            for row in dy:
                db = db + row.to(db.dtype)
            return dy, db.to(b.dtype)

        return x + b, backward

    return f


CASES = {
    "float16 through bfloat16": (
        (scaled(torch.bfloat16), scaled(None), lambda x, w: x * w),
        "fp16",
        {"x": normal(60, 30), "w": normal(30)},
        "w",
    ),
    "batches added in bfloat16": (
        (batches(False), batches(True), lambda x, w: x @ w.T),
        "bf16",
        {"x": normal(400, 3, 4), "w": normal(5, 4)},
        "w",
    ),
    "rows added in bfloat16": (
        (biased(False), biased(True), lambda x, b: x + b),
        "bf16",
        {"x": normal(300, 8), "b": normal(8)},
        "b",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_lost_digits_are_a_limit(name):
    (narrow, wide, reference), dtype, arrays, leaf = CASES[name]
    report = gradcheck.check_kernel(narrow, reference, dtype=dtype, **arrays)
    assert report.verdict != "pass"
    said = " ".join([*report.leaves[leaf].limits, *(c.message for c in report.causes)])
    assert "accumulate in" in said.lower(), str(report)
    assert gradcheck.check_kernel(wide, reference, dtype=dtype, **arrays).verdict == "pass"
