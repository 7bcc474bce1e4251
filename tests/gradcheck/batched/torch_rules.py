"""Rules of torch.autograd.Function that are right alone, with `vmap` rules and backward passes that
are wrong for a batch, and right twins.
"""

import torch

X = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
W = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


class Base(torch.autograd.Function):
    """tanh by hand."""

    @staticmethod
    def forward(x):
        return torch.tanh(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        return dy * (1 - y * y)


class Generated(Base):
    generate_vmap_rule = True


class NoRule(Base):
    pass


class OldStyle(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        return dy * (1 - y * y)


class Branch(Base):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return torch.tanh(x) if x.abs().sum() > 0 else x.clone()


class BranchOnDy(Base):
    generate_vmap_rule = True

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        return dy * (1 - y * y) if dy.abs().max() > 0 else torch.zeros_like(y)


class ThroughNumpy(Base):
    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        return torch.from_numpy(dy.numpy() * (1 - y * y).numpy())


class Buffer(Base):
    """Writes into a buffer without a batch axis."""

    generate_vmap_rule = True

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        out = torch.empty(y.shape, dtype=torch.float64)
        out.copy_(dy * (1 - y * y))
        return out


def rule(wrong):
    """Rows centred, x - mean over the last axis, with a vmap rule of its own."""

    class Centre(torch.autograd.Function):
        @staticmethod
        def forward(x, axis):
            return x - x.mean(axis, keepdim=True)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.axis = inputs[1]

        @staticmethod
        def backward(ctx, dy):
            return Centre.apply(dy, ctx.axis), None

        @staticmethod
        def vmap(info, in_dims, x, axis):
            return wrong(Centre.apply, in_dims[0], x, axis)

    return lambda x: Centre.apply(x, -1) * x


def right_rule(apply, dim, x, axis):
    return apply(x.movedim(dim, 0), axis), 0


def dim_ignored(apply, dim, x, axis):
    return apply(x, axis), dim


def over_the_batch(apply, dim, x, axis):
    return apply(x.movedim(dim, 0), 0), 0


def wrong_out_dim(apply, dim, x, axis):
    return apply(x.movedim(dim, -1), -2), 0


def first_row(apply, dim, x, axis):
    rows = x.movedim(dim, 0)
    return apply(rows[:1].expand_as(rows), axis), 0


def centred_twice(apply, dim, x, axis):
    rows = apply(x.movedim(dim, 0), axis)
    return rows - rows.mean(0), 0


def product(wrong):
    """x * w, whose vmap rule must take either of them without a batch axis."""

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(x, w):
            return x * w

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, dy):
            x, w = ctx.saved_tensors
            return dy * w, dy * x

        @staticmethod
        def vmap(info, in_dims, x, w):
            return wrong(Product.apply, in_dims, x, w)

    return lambda x, w: Product.apply(x, w)


def both_dims(apply, dims, x, w):
    x, w = (a if d is None else a.movedim(d, 0) for a, d in zip((x, w), dims, strict=True))
    return apply(x, w), 0


def first_dim_for_both(apply, dims, x, w):
    dim = dims[0] if dims[0] is not None else dims[1]
    x, w = (a if d is None else a.movedim(dim, 0) for a, d in zip((x, w), dims, strict=True))
    return apply(x, w[:1].expand_as(w) if w.dim() > 2 and x.dim() == 2 else w), 0


def closure(backward):
    def f(x):
        y = torch.tanh(x)
        return y, lambda dy: backward(dy, 1 - y * y)

    return f


WRONG = {
    "data-dependent branch": (Branch, {"x": X}, "data-dependent"),
    "branch on dy": (BranchOnDy, {"x": X}, "is_nonzero"),
    "through numpy": (ThroughNumpy, {"x": X}, "fails for a batch"),
    "buffer": (Buffer, {"x": X}, "fails for a batch"),
    "mean over the batch": (rule(over_the_batch), {"x": X}, "runs over the batch's axis"),
    "wrong out_dim": (rule(wrong_out_dim), {"x": X}, "batch"),
    "first row": (rule(first_row), {"x": X}, "one buffer serves the whole batch"),
    "statistics of the batch": (rule(centred_twice), {"x": X}, "runs over the batch's axis"),
    "an argument without batch": (product(first_dim_for_both), {"x": X, "w": W}, "over w alone"),
    "in_dims ignored": (rule(dim_ignored), {"x": X}, "in_dims=-1"),
    "closure": (
        closure(lambda d, s: d * s if d.abs().max() > 0 else d),
        {"x": X},
        "vmap: It looks",
    ),
}
RIGHT = {
    "generated": (Generated, {"x": X}),
    "no rule": (NoRule, {"x": X}),
    "old style": (OldStyle, {"x": X}),
    "own rule": (rule(right_rule), {"x": X}),
    "either argument": (product(both_dims), {"x": X, "w": W}),
    "closure": (closure(lambda d, s: d * s), {"x": X}),
    "plain": (lambda x, w: torch.softmax(x * w, -1), {"x": X, "w": W}),
    "numbers": (lambda x: (torch.tanh(x) ** 2).sum(), {"x": X}),
    "complex": (lambda x: x * x.conj() + x, {"x": torch.complex(X, W)}),
}
