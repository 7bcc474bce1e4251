"""A hundred functions of torch, real and complex, that must pass at first and second order."""

import torch
import torch.nn.functional as F

UNARY = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "digamma",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "neg",
    "reciprocal",
    "relu",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "logit",
]
ACTIVATIONS = [
    "celu",
    "elu",
    "gelu",
    "hardswish",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "relu6",
    "selu",
    "silu",
    "softplus",
    "softsign",
    "tanhshrink",
    "hardtanh",
]
COMPLEX = [
    "exp",
    "sin",
    "cos",
    "sinh",
    "cosh",
    "tanh",
    "log",
    "sqrt",
    "reciprocal",
    "square",
    "sigmoid",
    "abs",
    "angle",
    "conj",
    "real",
]


def _domain(name):
    inside = {"acos", "asin", "atanh", "erfinv"}
    if name in inside:
        return lambda x: 0.8 * torch.tanh(x)
    if name == "logit":
        return lambda x: torch.sigmoid(x) * 0.8 + 0.1
    if name == "acosh":
        return lambda x: 1.5 + x.abs()
    positive = {"log", "log10", "log1p", "log2", "rsqrt", "sqrt", "reciprocal"}
    positive |= {"digamma", "lgamma"}
    if name in positive:
        return lambda x: x.abs() + 0.5
    return lambda x: x


def operations():
    """(name, function of x and perhaps w, complex?)."""
    found = []
    for n in UNARY:
        found.append((n, lambda x, n=n: getattr(torch, n)(_domain(n)(x)), False))
    for n in ACTIVATIONS:
        found.append((f"F.{n}", lambda x, n=n: getattr(F, n)(x), False))
    for n in COMPLEX:
        found.append((f"complex {n}", lambda x, n=n: getattr(torch, n)(x), True))
    more = {
        "add": lambda x, w: x + w,
        "mul": lambda x, w: x * w,
        "div": lambda x, w: x / (w * w + 1),
        "pow": lambda x, w: (x.abs() + 0.5) ** w,
        "atan2": lambda x, w: torch.atan2(x, w),
        "hypot": lambda x, w: torch.hypot(x, w),
        "logaddexp": lambda x, w: torch.logaddexp(x, w),
        "matmul": lambda x, w: x @ w.T,
        "maximum": lambda x, w: torch.maximum(x, w),
        "where": lambda x, w: torch.where(x > 0, x * w, w),
        "lerp": lambda x, w: torch.lerp(x, w, 0.3),
        "dist": lambda x, w: torch.dist(x, w),
        # the default mode has no second derivative in torch
        "cdist": lambda x, w: torch.cdist(x, w, compute_mode="use_mm_for_euclid_dist"),
        "outer": lambda x, w: torch.outer(x[0], w[1]) ** 2,
        "cross_entropy": lambda x, w: F.cross_entropy(x, torch.softmax(w, 1)),
        "mse_loss": lambda x, w: F.mse_loss(x, w),
        "huber_loss": lambda x, w: F.huber_loss(x, w),
        "smooth_l1": lambda x, w: F.smooth_l1_loss(x, w),
        "kl_div": lambda x, w: F.kl_div(F.log_softmax(x, 1), F.softmax(w, 1), reduction="sum"),
        "cosine_similarity": lambda x, w: F.cosine_similarity(x, w),
        "einsum": lambda x, w: torch.einsum("ij,kj->ik", x, w),
    }
    single = {
        "sum": lambda x: x.sum(1),
        "mean": lambda x: x.mean(0),
        "prod": lambda x: x.prod(1),
        "var": lambda x: x.var(1),
        "std": lambda x: x.std(1),
        "logsumexp": lambda x: x.logsumexp(1),
        "softmax": lambda x: x.softmax(1),
        "log_softmax": lambda x: x.log_softmax(1),
        "cumsum": lambda x: x.cumsum(1),
        "cumprod": lambda x: x.cumprod(1),
        "logcumsumexp": lambda x: x.logcumsumexp(1),
        "max": lambda x: x.max(1).values,
        "amax": lambda x: x.amax(0),
        "sort": lambda x: x.sort(1).values,
        "topk": lambda x: x.topk(2, 1).values,
        "norm": lambda x: x.norm(dim=1),
        "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
        "normalize": lambda x: F.normalize(x),
        "flip": lambda x: x.flip(1) ** 2,
        "roll": lambda x: x.roll(1, 1) ** 2,
        "tril": lambda x: x.tril() ** 3,
        "diag": lambda x: x.diagonal() ** 2,
        "pad": lambda x: F.pad(x, (1, 2)) ** 2,
        "avg_pool": lambda x: F.avg_pool1d(x[None], 2) ** 2,
        "max_pool": lambda x: F.max_pool1d(x[None], 2) ** 2,
        "unfold": lambda x: x.unfold(1, 2, 1) ** 2,
        "gather": lambda x: x.gather(1, torch.tensor([[0], [2], [1]])) ** 2,
        "trace": lambda x: (x @ x.T).trace(),
        "det": lambda x: torch.linalg.det(x @ x.T + torch.eye(3, dtype=x.dtype)),
        "inverse": lambda x: torch.linalg.inv(x @ x.T + torch.eye(3, dtype=x.dtype)),
    }
    found += [(n, f, False) for n, f in more.items()] + [(n, f, False) for n, f in single.items()]
    pair = {
        "complex mul": lambda x, w: x * w,
        "complex matmul": lambda x, w: x @ w.mH,
        "complex div": lambda x, w: x / w,
    }
    return found + [(n, f, True) for n, f in pair.items()]
