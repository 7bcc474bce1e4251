"""Random networks: random layers, geometries and sizes through every interpretation, every kind of
kernels and plans of ``autocnn.fast``, and PyTorch, in float64 and float32.

    python -m benchmarks.robustness.random_networks [NETWORKS] [SEED]               # 2,000

A network is a chain of random layers on random images. Compared are its output and gradients in
training, its output in evaluation, by a predictor too, a step's loss and gradients, and the
parameters after two epochs. All must give the same numbers, or all must refuse with a ValueError.
"""

import importlib.util
import random
import sys
import time
import warnings

import numpy as np

import autocnn as ac
import reference
from autocnn.trees import leaves, tree_map
from benchmarks.robustness.random_layers import draw_layers
from benchmarks.robustness.torch_networks import torch_numbers

# Name: (vocabulary, kernels).
WAYS = {
    "reference": (reference, "auto"),
    "autograd": (ac.layers, "auto"),
    "fast": (ac.fast, "auto"),
    "fast by numpy": (ac.fast, "numpy"),
    "fast by numba": (ac.fast, "numba"),
    "fast by plans": (ac.fast, "onednn"),
}
if importlib.util.find_spec("numba") is None:
    del WAYS["fast by numba"]
# Relative to the largest number; in float32 sums of different order differ by some roundings.
TOLERANCES = {"float64": 1e-10, "float32": 2e-4}


def build(nn, layers):
    """Return the network in an interpretation."""
    words = []
    for word, options in layers:
        match word:
            case "residual":
                shortcut = options["shortcut"] and build(nn, options["shortcut"])
                words.append(nn.residual(build(nn, options["main"]), shortcut))
            case "concat":
                words.append(nn.concat(*(build(nn, path) for path in options["paths"])))
            case _:
                words.append(getattr(nn, word)(**options))
    return nn.serial(*words)


def numbers(layers, shape, seed, dtype, nn):
    """Return ({name: tree} of all that is compared, the arguments of ``torch_numbers``) by an
    interpretation; ValueError if it refuses.
    """
    model = build(nn, layers)
    out, params, state = model.init((7, seed), shape, dtype)
    generator = np.random.default_rng(seed)
    params = tree_map(lambda p: (p + 0.1 * generator.normal(size=p.shape)).astype(dtype), params)
    moved = tree_map(lambda s: (s + generator.uniform(0, 1, s.shape)).astype(dtype), state)
    n = int(generator.integers(1, 6))
    x = generator.normal(size=(n, *shape)).astype(dtype)
    dy = generator.normal(size=(n, *out)).astype(dtype)
    y, _, backward = model.vjp(params, state, x, train=True, key=9)
    dx, dparams = backward(dy)
    found = {"y": y, "dx": dx, "dparams": dparams}
    found["evaluated"] = model.apply(params, moved, x)[0]
    found["predicted"] = ac.fast.predictor(model, params, moved)(x)
    if len(out) == 1 and out[0] > 1:
        labels = generator.integers(0, out[0], n)
        found["step"] = model.loss_and_grad(params, state, (x, labels), key=9)
        images = generator.uniform(size=(7, *shape)).astype(dtype)
        data = ac.data.Dataset(images, np.arange(7) % out[0], x_val=images[:2], y_val=np.arange(2))
        optimizer = ac.optim.sgd(0.01, momentum=(seed % 2) / 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what such a short training teaches
            run = ac.train(params, data, model, state, epochs=2, batch_size=3, seed=seed,
                           optimizer=optimizer)  # fmt: skip
        found["trained"] = run.params, run.state, [np.array(a) for a in run.history.values()]
    return found, (params, state, moved, x, dy)


def difference(found, expected):
    """The largest difference of any leaf, relative to the largest number of all leaves."""
    pairs = [(a, np.asarray(b)) for (_, a), (_, b) in
             zip(leaves(found), leaves(expected), strict=True)]  # fmt: skip
    scale = max([float(np.abs(b).max(initial=0)) for _, b in pairs] + [1.0])
    assert all(np.shape(a) == b.shape for a, b in pairs)
    return max([float(np.abs(a - b).max(initial=0)) for a, b in pairs], default=0.0) / scale


def check(seed, with_torch=True):
    """Draw a network and compare. Returns "agree", "refused", or a sentence of what differs."""
    draw = random.Random(seed)
    shape = (draw.randint(1, 4), draw.randint(3, 13), draw.randint(3, 13))
    layers = draw_layers(draw, shape)
    told = f"seed {seed}: {layers} on {shape}"
    for dtype, tolerance in TOLERANCES.items():
        found, refused, inputs = {}, {}, None
        for name, (nn, kernels) in WAYS.items():
            try:
                with ac.fast.using(kernels):
                    found[name], inputs = numbers(layers, shape, seed, dtype, nn)
            except ValueError as error:
                refused[name] = str(error)
        if refused:
            if found:
                return f"{told}: only {', '.join(refused)} refuses it: {refused}"
            return "refused"
        if with_torch:
            found["torch"] = torch_numbers(layers, *inputs)
        for name, results in found.items():
            for what, result in results.items():
                if not (far := difference(result, found["reference"][what])) <= tolerance:
                    return f"{told}: {what} by {name} differs by {far:.2g} in {dtype}"
    return "agree"


def main(networks=2000, seed=0):
    """Print how many networks agree."""
    import torch

    torch.set_num_threads(1)
    began, counts = time.monotonic(), {"agree": 0, "refused": 0}
    for i in range(seed * 1_000_000, seed * 1_000_000 + networks):
        ac.fast.threads(2 if i % 8 == 0 else 1)  # on a busy machine two wait for one another
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
