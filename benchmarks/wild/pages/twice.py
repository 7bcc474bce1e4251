"""torch.autograd.Functions that are right once and wrong when differentiated again."""

import torch

from benchmarks.wild.pages.layouts import tensor
from benchmarks.wild.pairs import pair

TWICE = ("twice",)

# ---- an intermediate value on ctx


class SquareOfDouble(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.double = x * 2
        return ctx.double**2

    @staticmethod
    def backward(ctx, dy):
        return 4 * ctx.double * dy


class SquareOfDoubleSaved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x * 2) ** 2

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return 8 * x * dy


pair(
    "intermediate on ctx",
    kind="second order",
    link="https://github.com/pytorch/pytorch/issues/58509",
    shows="at the second derivative",
    buggy=SquareOfDouble,
    fixed=SquareOfDoubleSaved,
    arrays={"x": tensor(4)},
    codes=TWICE,
    library="torch",
    order=2,
)

# ---- a factor that is 1 only as long as nobody differentiates it


class Tripled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.inner, ctx.x = x * 2, x
        return ctx.inner * 3

    @staticmethod
    def backward(ctx, dy):
        return 3 * dy * ctx.inner / ctx.x


class TripledRight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 6

    @staticmethod
    def backward(ctx, dy):
        return 6 * dy


pair(
    "intermediate divided by its input",
    kind="second order",
    link="https://github.com/pytorch/pytorch/issues/76185",
    shows="at the second derivative",
    buggy=Tripled,
    fixed=TripledRight,
    arrays={"x": tensor(4).abs() + 0.5},
    codes=TWICE,
    library="torch",
    order=2,
)


# ---- a graph kept from forward, of a detached copy


class GraphOfCopy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.x = x.detach().requires_grad_()
        with torch.enable_grad():
            ctx.y = ctx.x**2
        return ctx.y.detach()

    @staticmethod
    def backward(ctx, dy):
        return torch.autograd.grad(ctx.y, ctx.x, dy, create_graph=True)[0]


class GraphAnew(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            return torch.autograd.grad(x**2, x, dy, create_graph=True)[0]


pair(
    "graph of a detached copy",
    kind="second order",
    link="https://github.com/pytorch/pytorch/issues/99523",
    shows="at the second derivative",
    buggy=GraphOfCopy,
    fixed=GraphAnew,
    arrays={"x": tensor(5)},
    codes=TWICE,
    library="torch",
    order=2,
)

# ---- a backward pass that is a Function itself, whose own backward forgets the sum


def binary_cross_entropy(summed):
    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, dy, p, target):
            ctx.save_for_backward(dy, p, target)
            return dy * (p - target) / (p * (1 - p))

        @staticmethod
        def backward(ctx, g):
            dy, p, target = ctx.saved_tensors
            q = p * (1 - p)
            slope = 1 / q - (p - target) * (1 - 2 * p) / q**2
            gdy = g * (p - target) / q
            return gdy.sum() if summed else gdy.mean(), g * dy * slope, None

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx, p, target):
            ctx.save_for_backward(p, target)
            return -(target * p.log() + (1 - target) * (1 - p).log()).sum()

        @staticmethod
        def backward(ctx, dy):
            p, target = ctx.saved_tensors
            return Backward.apply(dy, p, target), None

    return lambda p, target: Loss.apply(p, target.detach())


TARGETS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
pair(
    "double backward of a summed loss",
    kind="second order",
    link="https://github.com/pytorch/pytorch/issues/59477",
    shows="at the second derivative in dy",
    buggy=binary_cross_entropy(False),
    fixed=binary_cross_entropy(True),
    arrays={"p": torch.sigmoid(tensor(2, 3)), "target": TARGETS.to(torch.int64)},
    codes=(*TWICE, "scale"),
    library="torch",
    order=2,
)


# ---- a product with two zeros: its gradient is zero, its second derivative is not


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.prod()

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        zeros = int((x == 0).sum())
        if zeros > 1:
            return torch.zeros_like(x)
        return without(x) * dy


def without(x):
    """Of each entry, the product of the others."""
    return torch.stack([torch.cat([x[:k], x[k + 1 :]]).prod() for k in range(len(x))])


class ProductRight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.prod()

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return without(x) * dy


pair(
    "product with two zeros",
    kind="second order",
    link="https://github.com/pytorch/pytorch/issues/106789",
    shows="at the second derivative with two zeros",
    buggy=Product,
    fixed=ProductRight,
    arrays={"x": torch.tensor([2.0, 3.0, 0.0, 0.0], dtype=torch.float64)},
    codes=(*TWICE, "zero", "missing"),
    library="torch",
    order=2,
)
