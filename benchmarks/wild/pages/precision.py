"""Sums kept in bfloat16 or float16. The functions keep the dtype that they are given."""

import torch

from autocnn import gradcheck
from benchmarks.wild.pages.layouts import tensor
from benchmarks.wild.pairs import pair


def kernel(dtype, reference, **arrays):
    """The call for a kernel of its own precision."""
    return lambda f: gradcheck.check_kernel(f, reference, dtype=dtype, **arrays)


def adds_one_by_one(rows):
    """The sum over the first axis, each partial sum in the dtype of the rows."""
    total = torch.zeros_like(rows[0])
    for row in rows:
        total = total + row
    return total


def adds_in_float(rows):
    wide = torch.promote_types(rows.dtype, torch.float32)
    return rows.to(wide).sum(0).to(rows.dtype)


# ---- layer norm and rms norm: the weight's gradient


def layer_norm(total):
    def f(x, w):
        z = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = z.mean(-1, keepdim=True)
        rstd = (z.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
        xhat = (z - mean) * rstd

        def backward(dy):
            g = dy.to(z.dtype) * w.to(z.dtype)
            dx = (g - g.mean(-1, keepdim=True) - xhat * (g * xhat).mean(-1, keepdim=True)) * rstd
            return dx.to(x.dtype), total((dy.to(z.dtype) * xhat).to(x.dtype))

        return (xhat * w.to(z.dtype)).to(x.dtype), backward

    return f


def plain_layer_norm(x, w):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], w)


LONG = {"x": tensor(700, 6), "w": 1 + 0.3 * tensor(6)}
pair(
    "layer norm adds its weight's gradient in bfloat16",
    kind="precision",
    link="https://github.com/karpathy/llm.c/pull/476",
    shows="at hundreds of rows",
    buggy=layer_norm(adds_one_by_one),
    fixed=layer_norm(adds_in_float),
    arrays=LONG,
    codes=("precision",),
    call=kernel("bf16", plain_layer_norm, **LONG),
    library="torch pair",
)


def rms_norm(total):
    def f(x, w):
        z = x.to(torch.promote_types(x.dtype, torch.float32))
        r = (z.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()

        def backward(dy):
            g = dy.to(z.dtype) * w.to(z.dtype)
            dx = r * (g - z * r * r * (g * z).mean(-1, keepdim=True))
            return dx.to(x.dtype), total((dy.to(z.dtype) * z * r).to(x.dtype))

        return (z * r * w.to(z.dtype)).to(x.dtype), backward

    return f


def plain_rms_norm(x, w):
    return x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * w


def halves(rows):
    """A tree of additions, each in the dtype of the rows."""
    while len(rows) > 1:
        rest = rows[len(rows) // 2 * 2 :]
        rows = torch.cat([rows[0 : len(rows) // 2 * 2 : 2] + rows[1::2][: len(rows) // 2], rest])
    return rows[0]


pair(
    "rms norm reduces a block in bfloat16",
    kind="precision",
    link="https://github.com/linkedin/Liger-Kernel/pull/950",
    shows="at thousands of rows",
    buggy=rms_norm(halves),
    fixed=rms_norm(adds_in_float),
    arrays={"x": tensor(3000, 4), "w": 1 + 0.3 * tensor(4)},
    codes=("precision",),
    call=kernel("bf16", plain_rms_norm, x=tensor(3000, 4), w=1 + 0.3 * tensor(4)),
    library="torch pair",
)

# ---- a linear layer: batches are added to a weight gradient of bfloat16


def linear(batches_in_float):
    def f(x, w):
        def backward(dy):
            wide = torch.promote_types(x.dtype, torch.float32)
            dw = torch.zeros(w.shape, dtype=wide if batches_in_float else w.dtype)
            for one, g in zip(x, dy, strict=True):
                dw = dw + (g.T.to(wide) @ one.to(wide)).to(dw.dtype)
            return dy @ w, dw.to(w.dtype)

        return x @ w.T, backward

    return f


def plain_linear(x, w):
    return x @ w.T


BATCHES = {"x": tensor(500, 3, 4), "w": tensor(5, 4)}
pair(
    "convolution adds batches in bfloat16",
    kind="precision",
    link="https://github.com/ROCm/rocm-libraries/pull/5859",
    shows="at hundreds of batches",
    buggy=linear(False),
    fixed=linear(True),
    arrays=BATCHES,
    codes=("precision",),
    call=kernel("bf16", plain_linear, **BATCHES),
    library="torch pair",
)

# ---- group norm in float16: gradients pass through bfloat16


def scale_only(through):
    def f(x, w):
        def backward(dy):
            wide = torch.promote_types(x.dtype, torch.float32)
            dw = (dy.to(wide) * x.to(wide)).sum(0)
            if through and x.dtype == torch.float16:
                dw = dw.to(torch.bfloat16)
            return dy * w, dw.to(w.dtype)

        return x * w, backward

    return f


def plain_scale(x, w):
    return x * w


ROWS = {"x": tensor(60, 30), "w": tensor(30)}
pair(
    "float16 gradient through bfloat16",
    kind="precision",
    link="https://github.com/linkedin/Liger-Kernel/pull/1253",
    shows="in float16",
    buggy=scale_only(True),
    fixed=scale_only(False),
    arrays=ROWS,
    codes=("precision",),
    call=kernel("fp16", plain_scale, **ROWS),
    library="torch pair",
)

# ---- max: ties are counted in float16, in which 70,000 is infinite


def shared_maximum(count_in):
    def f(x):
        y = x.max()

        def backward(dy):
            ties = x == y
            kind = x.dtype if count_in is None else torch.promote_types(x.dtype, count_in)
            count = ties.to(kind).sum(dtype=kind)
            return (ties.to(kind) * (dy.to(kind) / count)).to(x.dtype)

        return y, backward

    return f


def plain_maximum(x):
    return x.amax()


TIED = {"x": torch.ones(70_000, dtype=torch.float64)}
pair(
    "max counts its ties in float16",
    kind="precision",
    link="https://github.com/tinygrad/tinygrad/issues/12296",
    shows="at more than 65,504 ties",
    buggy=shared_maximum(None),
    fixed=shared_maximum(torch.float32),
    arrays=TIED,
    codes=("precision", "zero", "nonfinite"),
    call=kernel("fp16", plain_maximum, **TIED),
    library="torch pair",
)
