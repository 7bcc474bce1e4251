"""The networks of ``random_networks`` by PyTorch."""

import numpy as np

from autocnn.trees import tree_map

__all__ = ["torch_numbers"]

GEOMETRY = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}


def torch_numbers(layers, params, state, moved, x, dy):
    """Return {"y", "dx", "dparams", "evaluated"} by PyTorch; only the last of networks that drop
    out, whose masks are not torch's. moved: the state for evaluation.
    """
    import torch

    tensors = tree_map(lambda p: torch.tensor(p, requires_grad=True), params)
    images = torch.tensor(x, requires_grad=True)
    state, moved = (tree_map(torch.tensor, tree) for tree in (state, moved))
    with torch.no_grad():
        found = {"evaluated": _chain(layers, tensors, moved, images, False).numpy()}
    if any(word == "dropout" for word, _ in layers):
        return found
    y = _chain(layers, tensors, state, images, True)
    y.backward(torch.tensor(dy))
    dparams = tree_map(lambda p: np.zeros(p.shape) if p.grad is None else p.grad.numpy(), tensors)
    return found | {"y": y.detach().numpy(), "dx": images.grad.numpy(), "dparams": dparams}


def _chain(layers, params, state, x, train):
    for layer, p, s in zip(layers, params, state, strict=True):
        x = _layer(*layer, p, s, x, train)
    return x


def _layer(word, options, p, s, x, train):
    import torch
    from torch.nn import functional as f

    match word:
        case "conv":
            named = {n: options.get(n, d) for n, d in GEOMETRY.items()}
            return f.conv2d(x, p["w"], p.get("b"), **named)
        case "max_pool":
            return f.max_pool2d(x, options["size"], options["stride"], options.get("padding", 0))
        case "avg_pool":
            return f.avg_pool2d(x, options["size"], options["stride"])
        case "batch_norm":
            kept = (None, None) if train else (s["mean"], s["var"])
            return f.batch_norm(x, *kept, p["w"], p["b"], training=train, eps=options["eps"])
        case "local_response_norm":
            return f.local_response_norm(x, **options)
        case "residual":
            shortcut = options["shortcut"]
            other = _chain(shortcut, p["shortcut"], s["shortcut"], x, train) if shortcut else x
            return _chain(options["main"], p["main"], s["main"], x, train) + other
        case "concat":
            paths = zip(options["paths"], p, s, strict=True)
            return torch.cat([_chain(path, *trees, x, train) for path, *trees in paths], dim=1)
        case "dropout":
            return x
        case "flatten":
            return x.flatten(1)
        case "global_avg_pool":
            return x.mean((2, 3))
        case "dense":
            return x @ p["w"] + p["b"]
        case "leaky_relu":
            return f.leaky_relu(x, 0.01)
        case _:
            return getattr(f, word)(x) if hasattr(f, word) else getattr(torch, word)(x)
