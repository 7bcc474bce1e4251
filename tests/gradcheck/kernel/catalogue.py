"""The kernels of the tests: right ones that must pass, and wrong ones with the codes that name
them.
"""

import functools
from typing import Any, NamedTuple

import kernels as k
import numpy as np
import torch
import torch.nn.functional as F

SHORT = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Case(NamedTuple):
    name: str
    target: Any
    reference: Any
    dtype: str
    arguments: dict
    codes: tuple[str, ...] = ()
    wrt: tuple[str, ...] | None = None


def reference_rms(x, w, eps=1e-6):
    return x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * w


def reference_attention(q, k, v):
    s = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    mask = torch.ones(s.shape[-2:], dtype=torch.bool).tril()
    return torch.softmax(s.masked_fill(~mask, -torch.inf), -1) @ v


def reference_rotary(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def reference_heads(q, k):
    return q @ k.repeat_interleave(2, 1).transpose(-1, -2)


REFERENCES = {
    "layer_norm": lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b),
    "rms_norm": reference_rms,
    "softmax": lambda x: torch.softmax(x, -1),
    "cross_entropy": lambda x, labels: F.cross_entropy(x, labels),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "swiglu": lambda a, b: F.silu(a) * b,
    "linear": lambda x, w, b: F.linear(x, w, b),
    "attention": reference_attention,
    "embedding": lambda table, index: table[index],
    "bias_sum": lambda x, b: x + b,
    "relu_linear": lambda x, w: (x @ w).relu(),
    "max_pool": lambda x: F.max_pool1d(x, 3, 2),
    "rotary": reference_rotary,
    "dropout": lambda x, keep, p: x * keep / (1 - p),
    "grouped_heads": reference_heads,
    "conv1d": lambda x, w: F.conv1d(x, w, padding=1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
}


WRT = {"rotary": ("x",)}


@functools.cache
def _arguments(name: str) -> dict:
    rng = np.random.default_rng(len(name))

    def normal(*shape):
        return torch.tensor(rng.standard_normal(shape))

    return {
        "layer_norm": lambda: {"x": normal(37, 70), "w": 1 + 0.5 * normal(70), "b": normal(70)},
        "rms_norm": lambda: {"x": normal(5, 7, 48), "w": 1 + 0.5 * normal(48)},
        "softmax": lambda: {"x": normal(12, 33)},
        "cross_entropy": lambda: {"x": 3 * normal(21, 17), "labels": torch.arange(21) % 17},
        "gelu": lambda: {"x": 2 * normal(300)},
        "swiglu": lambda: {"a": normal(9, 31), "b": normal(9, 31)},
        "linear": lambda: {"x": normal(45, 24), "w": normal(24, 24), "b": normal(24)},
        "attention": lambda: {n: normal(2, 3, 21, 16) for n in "qkv"},
        "embedding": lambda: {
            "table": normal(11, 8),
            "index": torch.tensor(rng.integers(0, 11, 60)),
        },
        "bias_sum": lambda: {"x": normal(1000, 6), "b": normal(6)},
        "relu_linear": lambda: {"x": normal(40, 20), "w": normal(20, 30)},
        "max_pool": lambda: {"x": normal(4, 5, 41)},
        "rotary": lambda: {
            "x": normal(3, 10, 8),
            "cos": torch.cos(normal(10, 4)),
            "sin": torch.sin(normal(10, 4)),
        },
        "dropout": lambda: {
            "x": normal(20, 30),
            "keep": torch.tensor(rng.integers(0, 4, (20, 30)) > 0).long(),
            "p": 0.25,
        },
        "grouped_heads": lambda: {"q": normal(2, 4, 9, 8), "k": normal(2, 2, 9, 8)},
        "conv1d": lambda: {"x": normal(6, 4, 25), "w": normal(5, 4, 3)},
        "log_softmax": lambda: {"x": normal(14, 19)},
    }[name]()


def _case(name: str, dtype: str, bug=None, codes=(), **changes) -> Case:
    wanted = SHORT[dtype]
    arguments = {
        n: v.to(wanted) if torch.is_tensor(v) and v.is_floating_point() else v
        for n, v in {**_arguments(name), **changes}.items()
    }
    label = f"{name} {dtype}" + (f": {bug}" if bug else "")
    return Case(
        label,
        getattr(k, name)(bug),
        REFERENCES[name],
        dtype,
        arguments,
        tuple(codes),
        WRT.get(name),
    )


def tf32(a: torch.Tensor) -> torch.Tensor:
    """Rounded to ten bits of mantissa, as matrix units do with float32."""
    bits = a.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def tf32_linear(x, w, b):
    y = tf32(x) @ tf32(w).T + b

    def backward(dy):
        return tf32(dy) @ tf32(w), tf32(dy).T @ tf32(x), dy.sum(0)

    return y, backward


def truncated_linear(x, w, b):
    def cut(a):
        return (a.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)

    def backward(dy):
        return cut(dy) @ cut(w), cut(dy).T @ cut(x), dy.sum(0)

    return cut(x) @ cut(w).T + b, backward


def bf16_linear(x, w, b):
    def low(a):
        return a.bfloat16().float()

    def backward(dy):
        return low(dy) @ low(w), low(dy).T @ low(x), dy.sum(0)

    return low(x) @ low(w).T + b, backward


def tf32_attention(q, k, v):
    scale = q.shape[-1] ** -0.5
    s = scale * (tf32(q) @ tf32(k).transpose(-1, -2))
    mask = torch.ones(s.shape[-2:], dtype=torch.bool).tril()
    p = torch.softmax(s.masked_fill(~mask, -torch.inf), -1)
    o = tf32(p) @ tf32(v)

    def backward(dy):
        dv = tf32(p).transpose(-1, -2) @ tf32(dy)
        dp = tf32(dy) @ tf32(v).transpose(-1, -2)
        ds = p * (dp - (dy * o).sum(-1, keepdim=True))
        return scale * (tf32(ds) @ tf32(k)), scale * (tf32(ds).transpose(-1, -2) @ tf32(q)), dv

    return o, backward


def atomic_bias(x, b):
    """Sums in an order that differs from call to call, in the argument's dtype for float32."""

    def backward(dy):
        order = torch.randperm(len(dy))
        parts = dy.float()[order].split(100)
        total = torch.zeros_like(b, dtype=torch.float32)
        for part in parts:
            total = total + part.sum(0)
        return dy.clone(), total.to(b.dtype)

    return x + b, backward


def atomic_embedding(table, index):
    def backward(dy):
        order = torch.randperm(len(index))
        d = torch.zeros(table.shape, dtype=torch.float32)
        d.index_add_(0, index[order], dy.float()[order])
        return d.to(table.dtype)

    return table[index], backward


def native_linear(x, w, b):
    """Sums kept in the arguments' dtype, one row at a time."""

    def backward(dy):
        dw = torch.zeros_like(w)
        for r in range(len(dy)):
            dw += dy[r][:, None] * x[r][None]
        return dy @ w, dw, dy.float().sum(0).to(b.dtype)

    return x @ w.T + b, backward


def native_softmax(x):
    """Every operation rounds to the argument's dtype."""
    e = (x - x.max(-1, keepdim=True).values).exp()
    p = e / e.sum(-1, keepdim=True)

    def backward(dy):
        return p * (dy - (dy * p).sum(-1, keepdim=True))

    return p, backward


def native_layer_norm(x, w, b):
    mean = x.mean(-1, keepdim=True)
    rstd = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
    xhat = (x - mean) * rstd

    def backward(dy):
        g = dy * w
        dx = (g - g.mean(-1, keepdim=True) - xhat * (g * xhat).mean(-1, keepdim=True)) * rstd
        return dx, (dy * xhat).sum(0), dy.sum(0)

    return xhat * w + b, backward


def native_gelu(x):
    c = 0.7978845608028654
    t = torch.tanh(c * (x + 0.044715 * x**3))

    def backward(dy):
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * (c * (1 + 3 * 0.044715 * x**2)))

    return 0.5 * x * (1 + t), backward


def cancelling(x, b):
    """The bias sees half a million terms that cancel."""

    def backward(dy):
        return dy.clone(), dy.float().sum(0).to(b.dtype)

    return x + b, backward


def truncating_store(x, w):
    """Computes in float32 and cuts the result off to bfloat16 in place of rounding it."""

    def cut(a):
        return (a.contiguous().view(torch.int32) & ~0xFFFF).view(torch.float32).bfloat16()

    def backward(dy):
        return cut(dy.float() @ w.float().T), cut(x.float().T @ dy.float())

    return cut(x.float() @ w.float()), backward


def right_cases() -> list[Case]:
    names = list(REFERENCES)
    cases = [_case(n, d) for n in names for d in SHORT]
    rng = np.random.default_rng(1)

    def tensor(*shape, dtype=torch.float32, scale=1.0):
        return torch.tensor(scale * rng.standard_normal(shape)).to(dtype)

    lin = {"x": tensor(64, 48), "w": tensor(32, 48), "b": tensor(32)}
    cases += [
        Case("TF32 linear", tf32_linear, REFERENCES["linear"], "float32", lin),
        Case("truncating linear", truncated_linear, REFERENCES["linear"], "float32", lin),
        Case("bf16 products", bf16_linear, REFERENCES["linear"], "float32", lin),
        Case(
            "TF32 attention",
            tf32_attention,
            reference_attention,
            "float32",
            {n: tensor(2, 2, 24, 16) for n in "qkv"},
        ),
    ]
    low = {"x": tensor(40, 30, dtype=torch.bfloat16), "w": tensor(30, 20, dtype=torch.bfloat16)}
    cases.append(Case("truncating store", truncating_store, lambda x, w: x @ w, "bf16", low))
    for short, dtype in SHORT.items():
        table = {"table": tensor(9, 5, dtype=dtype), "index": torch.tensor(rng.integers(0, 9, 400))}
        cases.append(
            Case(
                f"atomic embedding {short}", atomic_embedding, REFERENCES["embedding"], short, table
            )
        )
        args = {"x": tensor(3000, 4, dtype=dtype), "b": tensor(4, dtype=dtype)}
        cases.append(Case(f"atomic bias {short}", atomic_bias, REFERENCES["bias_sum"], short, args))
        args = {"x": tensor(500_000, 2, dtype=dtype), "b": tensor(2, dtype=dtype)}
        cases.append(
            Case(f"half a million terms {short}", cancelling, REFERENCES["bias_sum"], short, args)
        )
        for name, target in (
            ("softmax", native_softmax),
            ("layer_norm", native_layer_norm),
            ("gelu", native_gelu),
            ("linear", native_linear),
        ):
            cases.append(_case(name, short)._replace(name=f"native {name} {short}", target=target))
    for scale in (1e-6, 1e6):
        for name in ("layer_norm", "linear", "softmax", "relu_linear", "conv1d"):
            for short in ("float32", "bf16"):
                first = next(iter(_arguments(name)))
                value = _arguments(name)[first] * scale
                case = _case(name, short, **{first: value})
                cases.append(case._replace(name=f"{case.name} x {scale:g}"))
    return cases


WRONG = [
    ("layer_norm", "w", ("wrong-operand",)),
    ("layer_norm", "mean path", ("missing-path",)),
    ("layer_norm", "variance path", ("missing-path",)),
    ("layer_norm", "sums for means", ("missing-path",)),
    ("layer_norm", "rstd", ("axis-scale",)),
    ("layer_norm", "raw x", ("additive", "missing-path", "wrong-operand")),
    ("layer_norm", "last tile", ("partial",)),
    ("layer_norm", "one program", ("overwritten", "partial")),
    ("layer_norm", "averaged", ("scale",)),
    ("layer_norm", "tail columns", ("partial",)),
    ("rms_norm", "norm path", ("missing-path",)),
    ("rms_norm", "r squared", ("missing-path",)),
    ("rms_norm", "dw without r", ("wrong-operand", "axis-scale")),
    ("softmax", "diagonal", ("missing-path",)),
    ("softmax", "no dot", ("missing-path",)),
    ("softmax", "dot over rows", ("missing-path", "wrong-operand")),
    ("softmax", "sign", ("sign",)),
    ("cross_entropy", "one-hot", ("additive", "missing-path", "partial")),
    ("cross_entropy", "label shifted", ("wrong-operand",)),
    ("cross_entropy", "no mean", ("scale",)),
    ("cross_entropy", "dy", ("wrong-operand", "not-linear")),
    ("gelu", "cubic", ("wrong-operand", "axis-scale")),
    ("gelu", "half", ("missing-path", "wrong-operand")),
    ("swiglu", "slope", ("missing-path", "wrong-operand")),
    ("swiglu", "exchanged", ("wrong-operand",)),
    ("swiglu", "b missing", ("axis-scale", "wrong-operand")),
    ("linear", "w for its transpose", ("wrong-operand",)),
    ("linear", "last rows", ("partial",)),
    ("linear", "k tail", ("partial",)),
    ("linear", "db scalar", ("broadcast",)),
    ("linear", "weight decay", ("additive",)),
    ("linear", "split-k overwrites", ("partial", "overwritten")),
    ("attention", "mask", ("wrong-operand", "missing-path")),
    ("attention", "mask off by one", ("wrong-operand", "missing-path")),
    ("attention", "delta", ("missing-path",)),
    ("attention", "scale", ("scale",)),
    ("attention", "dk not transposed", ("wrong-operand", "transposed")),
    ("attention", "last block of keys", ("partial",)),
    ("attention", "nan in masked rows", ("nonfinite",)),
    ("embedding", "overwrites", ("overwritten",)),
    ("embedding", "padding row", ("partial",)),
    ("bias_sum", "kept narrow", ("precision",)),
    ("bias_sum", "race", ("nondeterministic",)),
    ("bias_sum", "cut off", ("partial",)),
    ("relu_linear", "mask of dy", ("mask", "not-linear")),
    ("relu_linear", "no mask", ("mask", "missing-path")),
    ("max_pool", "overwrites", ("overwritten",)),
    ("max_pool", "origin", ("permuted", "shifted")),
    ("rotary", "not reversed", ("wrong-operand",)),
    ("dropout", "scale", ("scale",)),
    ("dropout", "mask", ("wrong-operand", "mask")),
    ("grouped_heads", "first head", ("partial",)),
    ("grouped_heads", "tiled", ("permuted", "wrong-operand")),
    ("conv1d", "flipped", ("wrong-operand",)),
    ("conv1d", "dw flipped", ("flipped",)),
    ("conv1d", "first example", ("partial",)),
    ("log_softmax", "dy sums to one", ("not-linear",)),
]


def wrong_cases() -> list[Case]:
    cases = []
    for number, (name, bug, codes) in enumerate(WRONG):
        dtype = list(SHORT)[number % 3]
        if bug == "kept narrow":
            dtype = "bf16"
        cases.append(_case(name, dtype, bug, codes))
    cases.append(_case("layer_norm", "bf16", "Bessel", ("scale",)))
    x = 12 * torch.tensor(np.random.default_rng(3).standard_normal((8, 10)))
    cases.append(
        _case("cross_entropy", "float32", "overflow", ("nonfinite",), x=x, labels=torch.arange(8))
    )
    return cases
