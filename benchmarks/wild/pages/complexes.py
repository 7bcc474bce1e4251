"""Functions of complex tensors. torch's convention: the gradient is that of the real loss in the
real part plus i times that in the imaginary part, so that factors come back conjugated.
"""

import torch

from benchmarks.wild.pages.layouts import tensor
from benchmarks.wild.pairs import pair

CONJ = ("conjugate",)


def cplx(*shape, seed=0):
    return torch.complex(tensor(*shape, seed=seed), tensor(*shape, seed=seed + 7))


def rule(forward, backward):
    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *args):
            ctx.save_for_backward(*args)
            return forward(*args)

        @staticmethod
        def backward(ctx, dy):
            return backward(dy, *ctx.saved_tensors)

    Rule.__name__ = forward.__name__
    return Rule


def matmul(x, w):
    return x @ w


pair(
    "complex matmul",
    kind="complex",
    link="https://github.com/tensorflow/tensorflow/issues/4859",
    shows="where the matrices are not real",
    buggy=rule(matmul, lambda dy, x, w: (dy @ w.T, x.T @ dy)),
    fixed=rule(matmul, lambda dy, x, w: (dy @ w.mH, x.mH @ dy)),
    arrays={"x": cplx(3, 2), "w": cplx(2, 4)},
    codes=CONJ,
    library="torch",
)


def product(x):
    return x.prod(-1)


pair(
    "complex product",
    kind="complex",
    link="https://github.com/ml-explore/mlx/pull/3433",
    shows="where entries are not real",
    buggy=rule(product, lambda dy, x: dy[:, None] * x.prod(-1, keepdim=True) / x),
    fixed=rule(product, lambda dy, x: dy[:, None] * (x.prod(-1, keepdim=True) / x).conj()),
    arrays={"x": cplx(2, 3)},
    codes=CONJ,
    library="torch",
)


def angle(x):
    return x.angle()


def angle_gradient(dy, x):
    size = x.real**2 + x.imag**2
    return torch.complex(-dy * x.imag / size, dy * x.real / size)


pair(
    "angle",
    kind="complex",
    link="https://github.com/pytorch/pytorch/issues/46144",
    shows="always",
    buggy=rule(angle, lambda dy, x: angle_gradient(dy, x).conj()),
    fixed=rule(angle, angle_gradient),
    arrays={"x": cplx(4)},
    codes=CONJ,
    library="torch",
)


def turn(x):
    return x * 1j


pair(
    "product with i",
    kind="complex",
    link="https://github.com/FluxML/Zygote.jl/issues/160",
    shows="always",
    buggy=rule(turn, lambda dy, x: dy * 1j),
    fixed=rule(turn, lambda dy, x: dy * -1j),
    arrays={"x": cplx(3)},
    codes=(*CONJ, "sign"),
    library="torch",
)


def contraction(a, b):
    return torch.einsum("ij,ij->i", a, b)


pair(
    "tensor contraction",
    kind="complex",
    link="https://github.com/FluxML/Zygote.jl/issues/151",
    shows="where the tensors are not real",
    buggy=rule(contraction, lambda dy, a, b: (dy[:, None] * b, dy[:, None] * a)),
    fixed=rule(contraction, lambda dy, a, b: (dy[:, None] * b.conj(), dy[:, None] * a.conj())),
    arrays={"a": cplx(2, 3), "b": cplx(2, 3, seed=2)},
    codes=CONJ,
    library="torch",
)


def norm(x):
    return (x.real**2 + x.imag**2).sum(-1).sqrt()


pair(
    "complex norm",
    kind="complex",
    link="https://github.com/HIPS/autograd/pull/393",
    shows="where entries are not real",
    buggy=rule(norm, lambda dy, x: (dy / norm(x))[:, None] * x.conj()),
    fixed=rule(norm, lambda dy, x: (dy / norm(x))[:, None] * x),
    arrays={"x": cplx(2, 3)},
    codes=CONJ,
    library="torch",
)
