"""Random networks: random layers, geometries and sizes through every interpretation and
PyTorch, values and gradients, in float64 and float32.

    python -m benchmarks.robustness.random_networks [NETWORKS] [SEED]               # 2,000

A network is a chain of random layers on random images. All interpretations must give the same
numbers, or all must refuse it with a ValueError.
"""

import random
import sys
import time

import numpy as np

import autocnn as ac
import reference
from autocnn.trees import leaves, tree_map

INTERPRETATIONS = {"autograd": ac.layers, "reference": reference, "fast": ac.fast}
# Relative to the largest number; in float32 sums of different order differ by some roundings.
TOLERANCES = {"float64": 1e-10, "float32": 2e-4}
ACTIVATIONS = ("relu", "tanh", "sigmoid", "relu6", "silu", "leaky_relu")


def draw_layers(draw, shape):
    """Return a list of (word, arguments) for images of ``shape``; some do not fit."""
    layers, channels = [], shape[0]
    for _ in range(draw.randint(1, 5)):
        word = draw.choice(("conv", "conv", "activation", "max_pool", "avg_pool", "batch_norm"))
        match word:
            case "conv":
                groups = draw.choice([g for g in (1, 1, 1, 2, 3, channels) if channels % g == 0])
                filters = groups * draw.randint(1, 3)
                if draw.random() < 0.05:
                    filters = 16  # where the fast interpretation has other algorithms
                options = {
                    "kernel": (draw.randint(1, 4), draw.randint(1, 4)),
                    "stride": (draw.randint(1, 3), draw.randint(1, 3)),
                    "padding": (draw.randint(0, 2), draw.randint(0, 2)),
                    "dilation": draw.choice((1, 1, 1, 2)),
                    "groups": groups,
                    "bias": draw.random() < 0.7,
                }
                if draw.random() < 0.3:
                    options |= {"kernel": 3, "stride": 1, "padding": 1, "dilation": 1}
                layers.append(("conv", {"filters": filters, **options}))
                channels = filters
            case "activation":
                layers.append((draw.choice(ACTIVATIONS), {}))
            case "max_pool" | "avg_pool":
                size = (draw.randint(1, 3), draw.randint(1, 3))
                stride = (draw.randint(1, 3), draw.randint(1, 3))
                options = {"size": size, "stride": stride}
                if word == "max_pool" and draw.random() < 0.3:
                    options["padding"] = tuple(n // 2 for n in size)
                layers.append((word, options))
            case "batch_norm":
                layers.append((word, {"eps": draw.choice((1e-5, 1e-2))}))
    if draw.random() < 0.5:
        head = draw.choice(("flatten", "global_avg_pool"))
        layers += [(head, {}), ("dense", {"units": draw.randint(1, 4)})]
    return layers


def build(nn, layers):
    """Return the network in an interpretation."""
    words = []
    for word, options in layers:
        if word == "dense":
            words.append(nn.dense(options["units"]))
        else:
            words.append(getattr(nn, word)(**options))
    return nn.serial(*words)


def torch_forward(layers, params, x):
    """Return the network's output by PyTorch."""
    import torch
    from torch.nn import functional as f

    for (word, options), p in zip(layers, params, strict=True):
        match word:
            case "conv":
                named = {n: options[n] for n in ("stride", "padding", "dilation", "groups")}
                x = f.conv2d(x, p["w"], p.get("b"), **named)
            case "max_pool":
                x = f.max_pool2d(x, options["size"], options["stride"], options.get("padding", 0))
            case "avg_pool":
                x = f.avg_pool2d(x, options["size"], options["stride"])
            case "batch_norm":
                x = f.batch_norm(x, None, None, p["w"], p["b"], training=True, eps=options["eps"])
            case "flatten":
                x = x.flatten(1)
            case "global_avg_pool":
                x = x.mean((2, 3))
            case "dense":
                x = x @ p["w"] + p["b"]
            case "leaky_relu":
                x = f.leaky_relu(x, 0.01)
            case _:
                x = getattr(f, word, None)(x) if hasattr(f, word) else getattr(torch, word)(x)
    return x


def numbers(layers, shape, seed, dtype, nn):
    """Return {"y", "dx", "dparams"} of a network by an interpretation; ValueError if refused."""
    model = build(nn, layers)
    out, params, state = model.init((7, seed), shape, dtype)
    generator = np.random.default_rng(seed)
    params = tree_map(lambda p: (p + 0.1 * generator.normal(size=p.shape)).astype(dtype), params)
    x = generator.normal(size=(3, *shape)).astype(dtype)
    dy = generator.normal(size=(3, *out)).astype(dtype)
    y, _, backward = model.vjp(params, state, x, train=True, key=9)
    dx, dparams = backward(dy)
    return {"y": y, "dx": dx, "dparams": dparams}, (params, x, dy)


def torch_numbers(layers, params, x, dy):
    """The same by PyTorch."""
    import torch

    tensors = tree_map(lambda p: torch.tensor(p, requires_grad=True), params)
    images = torch.tensor(x, requires_grad=True)
    y = torch_forward(layers, tensors, images)
    y.backward(torch.tensor(dy))
    return {
        "y": y.detach().numpy(),
        "dx": images.grad.numpy(),
        "dparams": tree_map(lambda p: p.grad.numpy(), tensors),
    }


def difference(found, expected):
    """The largest difference of any leaf, relative to the largest number of all leaves."""
    pairs = list(zip(leaves(found), leaves(expected), strict=True))
    scale = max([float(np.abs(b).max(initial=0)) for _, (_, b) in pairs] + [1.0])
    assert all(a.shape == b.shape and a.dtype == b.dtype for (_, a), (_, b) in pairs)
    return max([float(np.abs(a - b).max(initial=0)) for (_, a), (_, b) in pairs]) / scale


def check(seed, with_torch=True):
    """Draw a network and compare. Returns "agree", "refused", or a sentence of what differs."""
    draw = random.Random(seed)
    shape = (draw.randint(1, 4), draw.randint(3, 13), draw.randint(3, 13))
    layers = draw_layers(draw, shape)
    told = f"seed {seed}: {layers} on {shape}"
    for dtype, tolerance in TOLERANCES.items():
        found, refused, inputs = {}, {}, None
        for name, nn in INTERPRETATIONS.items():
            try:
                found[name], inputs = numbers(layers, shape, seed, dtype, nn)
            except ValueError as error:
                refused[name] = str(error)
        if refused:
            if found:
                return f"{told}: only {', '.join(refused)} refuses it: {refused}"
            return "refused"
        if with_torch:
            found["torch"] = torch_numbers(layers, *inputs)
        for name, result in found.items():
            if (far := difference(result, found["reference"])) > tolerance:
                return f"{told}: {name} differs by {far:.2g} in {dtype}"
    return "agree"


def main(networks=2000, seed=0):
    """Print how many networks agree."""
    began, counts = time.monotonic(), {"agree": 0, "refused": 0}
    for i in range(seed * 1_000_000, seed * 1_000_000 + networks):
        outcome = check(i)
        counts[outcome] = counts.get(outcome, 0) + 1
        if outcome not in ("agree", "refused"):
            print(outcome, flush=True)
    differ = networks - counts["agree"] - counts["refused"]
    print(
        f"{networks:,} networks: {counts['agree']:,} agree in both dtypes, {counts['refused']:,} "
        f"are refused by all, {differ} differ; {time.monotonic() - began:.0f} s"
    )
    return not differ


if __name__ == "__main__":
    sys.exit(not main(*map(int, sys.argv[1:])))
