"""Torch modules and jax networks with one planted mistake, and right ones that resemble them."""

import torch
from torch import nn

nn_functional = nn.functional


def rule(name, forward, backward):
    """A torch.autograd.Function `name`: forward(*args), backward(dy, *args) -> gradients."""

    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *args):
            ctx.save_for_backward(*args)
            return forward(*args)

        @staticmethod
        def backward(ctx, dy):
            return backward(dy, *ctx.saved_tensors)

    Rule.__name__ = Rule.__qualname__ = name
    return Rule


def right_rules():
    """name -> (forward, backward) of right rules."""

    def softmax_backward(dy, x):
        p = torch.softmax(x, -1)
        return p * (dy - (dy * p).sum(-1, keepdim=True))

    def norm_backward(dy, x, w):
        inv = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        xhat = x * inv
        g = dy * w
        return inv * (g - xhat * (g * xhat).mean(-1, keepdim=True)), (dy * xhat).sum((0, 1))

    return {
        "Scale": (lambda x, w: x * w, lambda dy, x, w: (dy * w, (dy * x).sum((0, 1)))),
        "Swish": (
            lambda x: x * torch.sigmoid(x),
            lambda dy, x: dy * torch.sigmoid(x) * (1 + x * (1 - torch.sigmoid(x))),
        ),
        "Softmax": (lambda x: torch.softmax(x, -1), softmax_backward),
        "RMSNorm": (
            lambda x, w: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w,
            norm_backward,
        ),
        "Product": (
            lambda a, b: a @ b,
            lambda dy, a, b: (dy @ b.transpose(-1, -2), a.transpose(-1, -2) @ dy),
        ),
    }


#: The rule that is wrong, and its backward.
WRONG_RULES = {
    "scale averages": ("Scale", lambda dy, x, w: (dy * w, (dy * x).mean((0, 1)))),
    "scale forgets w": ("Scale", lambda dy, x, w: (dy, (dy * x).sum((0, 1)))),
    "swish of sigmoid": ("Swish", lambda dy, x: dy * torch.sigmoid(x)),
    "softmax diagonal": (
        "Softmax",
        lambda dy, x: (p := torch.softmax(x, -1)) * (1 - p) * dy,
    ),
    "norm without mean": (
        "RMSNorm",
        lambda dy, x, w: (
            dy * w * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5),
            (dy * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)).sum((0, 1)),
        ),
    ),
    "product sign": (
        "Product",
        lambda dy, a, b: (-(dy @ b.transpose(-1, -2)), a.transpose(-1, -2) @ dy),
    ),
}


class Attention(nn.Module):
    """One head whose softmax and products are custom rules."""

    def __init__(self, rules, d):
        super().__init__()
        self.rules, self.q, self.k = rules, nn.Linear(d, d), nn.Linear(d, d)

    def forward(self, x):
        product, softmax = self.rules["Product"].apply, self.rules["Softmax"].apply
        scores = product(self.q(x), self.k(x).transpose(-1, -2)) / x.shape[-1] ** 0.5
        return product(softmax(scores), x)


class Block(nn.Module):
    def __init__(self, rules, d):
        super().__init__()
        self.rules = rules
        self.norm, self.gain = nn.Parameter(torch.rand(d)), nn.Parameter(torch.rand(d))
        self.attention, self.mlp = Attention(rules, d), nn.Linear(d, d)

    def forward(self, x):
        y = x + self.attention(self.rules["RMSNorm"].apply(x, self.norm))
        return y + self.rules["Scale"].apply(self.rules["Swish"].apply(self.mlp(y)), self.gain)


def network(wrong=None, d=4):
    """Two blocks and a projection; `wrong` is a key of WRONG_RULES."""
    torch.manual_seed(1)
    parts = right_rules()
    if wrong is not None:
        name, backward = WRONG_RULES[wrong]
        parts[name] = (parts[name][0], backward)
    rules = {n: rule(n, *f) for n, f in parts.items()}
    return nn.Sequential(Block(rules, d), Block(rules, d), nn.Linear(d, 2)).double()


class Gate(nn.Module):
    """A gate whose slope `cut` removes."""

    def __init__(self, cut, d=4):
        super().__init__()
        self.cut, self.w, self.scale = cut, nn.Linear(d, d), nn.Parameter(torch.ones(d))

    def forward(self, x):
        return x * self.cut(torch.sigmoid(self.w(x)), self) * self.scale


def no_grad(g, _):
    with torch.no_grad():
        return g * 1.0


def old_copy(g, module):
    return g * (module.scale.data / module.scale.data)  # right: the factor is 1


def made_anew(g, _):
    return torch.tensor(g.tolist(), dtype=g.dtype)


def from_data(g, module):
    return g * module.scale.data


#: Mistakes that no rule holds: what the gate does to its value.
CUTS = {
    "detached": lambda g, _: g.detach(),
    "no_grad": no_grad,
    "made anew": made_anew,
    "data of a parameter": from_data,
    "mean by numpy": lambda g, _: g * g.detach().mean().item(),
    "clamped data": lambda g, _: g + (g.data.clamp(max=0.4) - g.data) * 2,
}


def gated(cut):
    torch.manual_seed(2)
    parts = nn.Sequential(nn.Tanh(), Gate(cut))
    return nn.Sequential(nn.Linear(3, 4), parts, nn.Linear(4, 2)).double()
