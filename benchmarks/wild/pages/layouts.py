"""torch.autograd.Functions whose backward reads dy as if it were contiguous: a kernel is given a
pointer and strides, here `torch.as_strided`.
"""

import torch

from benchmarks.wild.pairs import normal, pair


def tensor(*shape, seed=0):
    return torch.tensor(normal(*shape, seed=seed))


def flat_rows(dy):
    """dy read by the strides of a contiguous tensor of its shape, within its storage."""
    wanted = torch.empty(dy.shape).stride()
    last = sum((n - 1) * s for n, s in zip(dy.shape, wanted, strict=True))
    if dy.storage_offset() + last >= dy.untyped_storage().size() // dy.element_size():
        padded = torch.zeros(dy.storage_offset() + last + 1, dtype=dy.dtype)
        memory = torch.as_strided(dy, (dy.untyped_storage().size() // dy.element_size(),), (1,), 0)
        padded[: len(memory)] = memory
        return torch.as_strided(padded, dy.shape, wanted, dy.storage_offset())
    return torch.as_strided(dy, dy.shape, wanted)


def contiguous(dy):
    return dy.contiguous()


# ---- attention's output gradient comes as a permuted view


def attention(read):
    class Attention(torch.autograd.Function):
        @staticmethod
        def forward(ctx, q, k, v):
            p = torch.softmax(q @ k.transpose(-1, -2), -1)
            ctx.save_for_backward(q, k, v, p)
            return p @ v

        @staticmethod
        def backward(ctx, dy):
            q, k, v, p = ctx.saved_tensors
            g = read(dy)
            dp = g @ v.transpose(-1, -2)
            ds = p * (dp - (dp * p).sum(-1, keepdim=True))
            return ds @ k, ds.transpose(-1, -2) @ q, p.transpose(-1, -2) @ g

    return Attention


pair(
    "attention reads dy as contiguous",
    kind="layout",
    link="https://github.com/Dao-AILab/flash-attention/issues/355",
    shows="where dy is a permuted view",
    buggy=attention(flat_rows),
    fixed=attention(contiguous),
    arrays={"q": tensor(2, 3, 4), "k": tensor(2, 5, 4), "v": tensor(2, 5, 3)},
    codes=("layout",),
    library="torch",
)

# ---- a kernel that uses the strides of x for dy, which cat's backward gives as a slice


def scaled(read):
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            ctx.save_for_backward(x, weight)
            return x * weight

        @staticmethod
        def backward(ctx, dy):
            x, weight = ctx.saved_tensors
            g = read(dy)
            return g * weight, (g * x).sum(0)

    return Scaled


pair(
    "slices of a gradient after cat",
    kind="layout",
    link="https://github.com/pytorch/pytorch/issues/194719",
    shows="where dy is a slice of a larger tensor",
    buggy=scaled(flat_rows),
    fixed=scaled(contiguous),
    arrays={"x": tensor(4, 3), "weight": tensor(3)},
    codes=("layout",),
    library="torch",
)


# ---- stride 0: the gradient of a sum is one number


def first_stride(dy):
    """A library that takes the pointer and assumes that rows follow one another."""
    return flat_rows(dy) if dy.dim() and 0 in dy.stride() else dy


pair(
    "stride 0 after sum",
    kind="layout",
    link="https://github.com/NVIDIA/cudnn-frontend/issues/100",
    shows="where dy has stride 0",
    buggy=scaled(first_stride),
    fixed=scaled(contiguous),
    arrays={"x": tensor(3, 4, seed=2), "weight": tensor(4)},
    codes=("layout",),
    library="torch",
)

# ---- the mean over an axis expands what it takes to be contiguous


def mean_last(read):
    class Mean(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.n = x.shape[-1]
            return x.mean(-1)

        @staticmethod
        def backward(ctx, dy):
            return (read(dy) / ctx.n).unsqueeze(-1).expand(*dy.shape, ctx.n).clone()

    return Mean


pair(
    "mean of a mean",
    kind="layout",
    link="https://github.com/torch/nn/pull/345",
    shows="where dy is not contiguous",
    buggy=mean_last(flat_rows),
    fixed=mean_last(contiguous),
    arrays={"x": tensor(3, 2, 4)},
    codes=("layout",),
    library="torch",
)

# ---- distances: inputs that are slices are refused by backward


def distances(read):
    class Distances(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return ((x[:, None] - y[None]) ** 2).sum(-1)

        @staticmethod
        def backward(ctx, dy):
            x, y = (read(t) for t in ctx.saved_tensors)
            d = 2 * dy[..., None] * (x[:, None] - y[None])
            return d.sum(1), -d.sum(0)

    return Distances


def refuses(t):
    return t.view(-1).view(t.shape)


pair(
    "distances refuse slices",
    kind="layout",
    link="https://github.com/pytorch/pytorch/issues/69997",
    shows="where an input is a slice",
    buggy=distances(refuses),
    fixed=distances(contiguous),
    arrays={"x": tensor(4, 3), "y": tensor(5, 3)},
    codes=("layout", "raises"),
    library="torch",
)
