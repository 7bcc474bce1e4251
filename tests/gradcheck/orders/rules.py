"""Wrong rules of torch and jax: second order, forward mode, complex. PLANTED: name -> (function,
arguments, options of `check`, words of which one must be in the report).
"""

import torch


def real(*shape, positive=False, seed=1):
    x = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x.abs() + 0.5 if positive else x


def cplx(*shape):
    return torch.randn(
        *shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(7 + sum(shape))
    )


def function(forward, backward, save=None, jvp=None):
    """A torch.autograd.Function: forward(*args), backward(dy, *saved), jvp(*saved, *tangents)."""

    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *args):
            kept = (save or (lambda *a: a))(*args)
            ctx.kept = kept
            if all(torch.is_tensor(k) for k in kept):
                ctx.save_for_backward(*kept)
                ctx.kept = None
                ctx.save_for_forward(*kept)
            return forward(*args)

        @staticmethod
        def backward(ctx, dy):
            return backward(dy, *(ctx.saved_tensors if ctx.kept is None else ctx.kept))

        @staticmethod
        def jvp(ctx, *tangents):
            saved = ctx.saved_tensors if ctx.kept is None else ctx.kept
            return jvp(*saved, *tangents)

    Rule.__name__ = "Rule"
    names = ("x", "w")[: forward.__code__.co_argcount]

    def call(**arrays):
        return Rule.apply(*(arrays[n] for n in names))

    return call


def detached(*args):
    return [a.detach().clone() for a in args], None


TWICE = ("right once, wrong twice",)
ADJOINT = ("not adjoint",)
CONJ = ("conj() is missing",)
X, XW = {"x": real(5)}, {"x": real(5), "w": real(5, seed=2)}


def second(forward, backward, arrays, save=detached):
    wrapped = function(
        forward, lambda dy, kept, _: backward(dy, *kept), save=lambda *a: (save(*a)[0], None)
    )
    return wrapped, arrays, {"order": 2}, TWICE


def no_grad_backward(dy, x):
    with torch.no_grad():
        return dy * torch.cos(x)


def half_detached(dy, x):
    return dy * torch.cos(x).detach()


def forward_mode(forward, backward, jvp, arrays, mode="both"):
    return function(forward, backward, jvp=jvp), arrays, {"mode": mode}, ADJOINT


def complex_rule(forward, backward, arrays):
    return function(forward, backward), arrays, {}, CONJ


C, CW = {"x": cplx(4)}, {"x": cplx(4), "w": cplx(1, 4)[0]}
PLANTED = {
    # saved without a graph
    "cube saved detached": second(lambda x: x**3, lambda dy, x: 3 * dy * x**2, X),
    "square saved detached": second(lambda x: x * x, lambda dy, x: 2 * dy * x, X),
    "sin saved detached": second(lambda x: torch.sin(x), lambda dy, x: dy * torch.cos(x), X),
    "product saved detached": second(lambda x, w: x * w, lambda dy, x, w: (dy * w, dy * x), XW),
    "output kept as an attribute": second(
        lambda x: torch.exp(x), lambda dy, y: dy * y, X, lambda x: ([x.detach().exp()], None)
    ),
    "no_grad in backward": (
        function(lambda x: torch.sin(x), no_grad_backward),
        X,
        {"order": 2},
        TWICE,
    ),
    "slope detached": (function(lambda x: torch.sin(x), half_detached), X, {"order": 2}, TWICE),
    "matmul detached": second(
        lambda x, w: x @ w,
        lambda dy, x, w: (dy @ w.T, x.T @ dy),
        {"x": real(3, 4), "w": real(4, 2)},
    ),
    "norm detached": second(
        lambda x: x / x.norm(),
        lambda dy, x: dy / x.norm() - x * (dy @ x) / x.norm() ** 3,
        X,
    ),
    "quotient half detached": (
        function(lambda x, w: x / w, lambda dy, x, w: (dy / w.detach(), -dy * x / w.detach() ** 2)),
        {"x": real(5), "w": real(5, positive=True)},
        {"order": 2},
        TWICE,
    ),
    # forward rules
    "jvp without slope": forward_mode(
        lambda x: torch.sin(x), lambda dy, x: dy * torch.cos(x), lambda x, t: t, X
    ),
    "jvp zero": forward_mode(
        lambda x: torch.sin(x), lambda dy, x: dy * torch.cos(x), lambda x, t: 0 * t, X
    ),
    "jvp sign": forward_mode(
        lambda x: torch.cos(x), lambda dy, x: -dy * torch.sin(x), lambda x, t: t * torch.sin(x), X
    ),
    "jvp factor": forward_mode(lambda x: x * x, lambda dy, x: 2 * dy * x, lambda x, t: t * x, X),
    "jvp one tangent": forward_mode(
        lambda x, w: x * w, lambda dy, x, w: (dy * w, dy * x), lambda x, w, tx, tw: tx * w, XW
    ),
    "jvp product of tangents": forward_mode(
        lambda x, w: x * w,
        lambda dy, x, w: (dy * w, dy * x),
        lambda x, w, tx, tw: tx * x + tw * w,
        XW,
    ),
    "jvp sums": forward_mode(
        lambda x: x.cumsum(0),
        lambda dy, x: dy.flip(0).cumsum(0).flip(0),
        lambda x, t: t.flip(0).cumsum(0).flip(0),
        X,
    ),
    "jvp softmax diagonal": forward_mode(
        lambda x: torch.softmax(x, 0),
        lambda dy, x: (p := torch.softmax(x, 0)) * (dy - (dy * p).sum()),
        lambda x, t: (p := torch.softmax(x, 0)) * (1 - p) * t,
        X,
    ),
    "jvp of the transpose": forward_mode(
        lambda x, w: x @ w,
        lambda dy, x, w: (dy @ w.T, x.T @ dy),
        lambda x, w, tx, tw: tx @ w.T + x @ tw,
        {"x": real(3, 3), "w": real(3, 3, seed=2)},
    ),
    "backward without slope": forward_mode(
        lambda x: torch.sin(x), lambda dy, x: dy, lambda x, t: t * torch.cos(x), X
    ),
    "backward factor": forward_mode(
        lambda x: x * x, lambda dy, x: dy * x, lambda x, t: 2 * t * x, X
    ),
    "backward of the reverse": forward_mode(
        lambda x: x.cumsum(0), lambda dy, x: dy.cumsum(0), lambda x, t: t.cumsum(0), X
    ),
    # conjugates
    "product without conj": complex_rule(lambda x, w: x * w, lambda dy, x, w: (dy * w, dy * x), CW),
    "product half conj": complex_rule(
        lambda x, w: x * w, lambda dy, x, w: (dy * w.conj(), dy * x), CW
    ),
    "square without conj": complex_rule(lambda x: x * x, lambda dy, x: 2 * dy * x, C),
    "exp without conj": complex_rule(lambda x: x.exp(), lambda dy, x: dy * x.exp(), C),
    "sin without conj": complex_rule(lambda x: x.sin(), lambda dy, x: dy * x.cos(), C),
    "conj left out": complex_rule(lambda x: x.conj(), lambda dy, x: dy, C),
    "matmul without conj": complex_rule(
        lambda x, w: x @ w,
        lambda dy, x, w: (dy @ w.T, x.T @ dy),
        {"x": cplx(3, 4), "w": cplx(4, 2)},
    ),
    "quotient without conj": complex_rule(
        lambda x, w: x / w, lambda dy, x, w: (dy / w, -dy * x / w**2), CW
    ),
    "abs squared half": complex_rule(
        lambda x: x.real**2 + x.imag**2, lambda dy, x: 2 * dy * x.conj(), C
    ),
    "reciprocal too many conj": complex_rule(
        lambda x: 1 / x, lambda dy, x: -dy.conj() / x.conj() ** 2, C
    ),
}
