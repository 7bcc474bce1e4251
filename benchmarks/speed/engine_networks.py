"""The measured networks in three tongues: ours from the vocabulary, torch's and jax's built from
ours with the same weights.
"""

import numpy as np

import autocnn as ac
from autocnn import fast

NETWORKS = {
    "TinyCNN": (lambda: ac.models.tiny_cnn(nn=fast), (1, 8, 8)),
    "LeNet-5": (lambda: ac.models.lenet5(nn=fast), (1, 28, 28)),
    "VGG-16": (lambda: ac.models.vgg16(dropout=0.0, nn=fast), (3, 224, 224)),
    "ResNet-50": (lambda: ac.models.resnet50(nn=fast), (3, 224, 224)),
}


def build(name, size=None, dtype="float32"):
    """Return (model, params, state, shape) of a network for images of ``size`` x ``size``."""
    make, (c, h, w) = NETWORKS[name]
    shape = (c, size or h, size or w)
    model = make()
    _, params, state = model.init(0, shape, dtype)
    return model, params, state, shape


def batch(shape, n, classes, dtype="float32"):
    """Draw n images and labels."""
    generator = np.random.default_rng(n)
    return generator.normal(size=(n, *shape)).astype(dtype), generator.integers(0, classes, n)


def in_torch(model, params, state, shape):
    """Build the same network from torch's modules, weights copied."""
    import torch
    from torch import nn

    class Sum(nn.Module):
        def __init__(self, one, two):
            super().__init__()
            self.one, self.two = one, two

        def forward(self, x):
            return self.one(x) + self.two(x)

    def fill(module, p, **more):
        with torch.no_grad():
            for name, a in (*p.items(), *more.items()):
                own = getattr(module, {"w": "weight", "b": "bias"}.get(name, name))
                for row, values in zip(
                    own, a, strict=True
                ):  # no second copy of VGG's 100 million weights
                    row.copy_(torch.from_numpy(np.array(values)))
        return module

    def walk(layer, p, s, shape):
        o, name = layer.options, layer.name
        if name == "serial":
            modules = []
            for part, p_, s_ in zip(layer.parts, p, s, strict=True):
                module, shape = walk(part, p_, s_, shape)
                modules.append(module)
            return nn.Sequential(*modules), shape
        out = layer.init(None, shape)[0]
        if name == "residual":
            one, two = (
                walk(part, p[k], s[k], shape)[0]
                for part, k in zip(layer.parts, ("main", "shortcut"), strict=True)
            )
            return Sum(one, two), out
        dtype = getattr(torch, str(next(iter(p.values())).dtype)) if p else None
        if name == "conv":
            window = (o["kernel"], o["stride"], o["padding"], o["dilation"], o["groups"])
            return fill(
                nn.Conv2d(shape[0], o["filters"], *window, bias=o["bias"], dtype=dtype), p
            ), out
        if name == "dense":
            return fill(
                nn.Linear(shape[0], o["units"], dtype=dtype), {"w": p["w"].T, "b": p["b"]}
            ), out
        if name == "batch_norm":
            module = nn.BatchNorm2d(shape[0], o["eps"], o["momentum"], dtype=dtype)
            return fill(module, p, running_mean=s["mean"], running_var=s["var"]), out
        if name == "max_pool":
            return nn.MaxPool2d(o["size"], o["stride"], o["padding"]), out
        plain = {
            "relu": lambda: nn.ReLU(inplace=True),
            "flatten": nn.Flatten,
            "identity": nn.Identity,
            "dropout": nn.Identity,
            "global_avg_pool": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        }
        return plain[name](), out

    return walk(model, params, state, shape)[0]


def in_jax(model):
    """Return ``forward(params, state, x, train)`` of the same network in jax, over our trees
    (statistics are not moved).
    """
    import jax.numpy as jnp
    from jax import lax

    def forward(layer, p, s, x, train):
        o, name = layer.options, layer.name
        if name == "serial":
            for part, p_, s_ in zip(layer.parts, p, s, strict=True):
                x = forward(part, p_, s_, x, train)
            return x
        if name == "residual":
            main, shortcut = layer.parts
            return forward(main, p["main"], s["main"], x, train) + forward(
                shortcut, p["shortcut"], s["shortcut"], x, train
            )
        if name == "conv":
            edges, steps = [(q, q) for q in o["padding"]], (o["stride"], o["dilation"])
            y = lax.conv_general_dilated(
                x, p["w"], steps[0], edges, rhs_dilation=steps[1], feature_group_count=o["groups"]
            )
            return y + p["b"][:, None, None] if o["bias"] else y
        if name == "dense":
            return x @ p["w"] + p["b"]
        if name == "batch_norm":
            mean, var = (x.mean((0, 2, 3)), x.var((0, 2, 3))) if train else (s["mean"], s["var"])
            scale = p["w"] / jnp.sqrt(var + o["eps"])
            return (x - mean[:, None, None]) * scale[:, None, None] + p["b"][:, None, None]
        if name == "max_pool":
            edges = [(0, 0), (0, 0), *((q, q) for q in o["padding"])]
            return lax.reduce_window(
                x, -jnp.inf, lax.max, (1, 1, *o["size"]), (1, 1, *o["stride"]), edges
            )
        plain = {
            "relu": lambda: jnp.maximum(x, 0),
            "flatten": lambda: x.reshape(len(x), -1),
            "identity": lambda: x,
            "dropout": lambda: x,
            "global_avg_pool": lambda: x.mean((2, 3)),
        }
        return plain[name]()

    return lambda p, s, x, train=False: forward(model, p, s, x, train)
