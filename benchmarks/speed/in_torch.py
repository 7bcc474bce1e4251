"""The works by torch, eager or compiled: the same networks of torch's modules, weights copied."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.speed.works import RATE

ROWS = 256  # of a dense layer's weights are copied at a time, so that no second copy is made


def make(found, variant):
    """Return a function that does the work and returns its results. variant: "" or "compile"."""
    model, work = network(found), found.work
    arrays = {name: torch.from_numpy(a) for name, a in found.arrays().items()}
    if work.kind == "run":
        torch.set_num_threads(1)  # more only wait for each other, at this size
        return lambda: [_train(model, found, arrays)]
    x, labels = arrays["x"], arrays["labels"]
    model.train(work.kind == "gradient")
    if variant:
        model = torch.compile(model)
    if work.kind == "forward":

        def forward():
            with torch.inference_mode():
                return [model(x).numpy()]

        return forward
    parameters = list(model.parameters())

    def gradient():
        for p in parameters:
            p.grad = None
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        return [loss.item(), parameters[0].grad.numpy()]

    return gradient


class Sum(nn.Module):
    """A residual block: the sum of two branches."""

    def __init__(self, one, two):
        super().__init__()
        self.one, self.two = one, two

    def forward(self, x):
        return self.one(x) + self.two(x)


def network(found):
    """Build a work's network with its weights."""
    return _module(found, found.about["network"])


def _module(found, node):
    o, shape = node["options"], node["shape"]
    match node["name"]:
        case "serial":
            return nn.Sequential(*(_module(found, part) for part in node["parts"]))
        case "residual":
            return Sum(*(_module(found, part) for part in node["parts"]))
        case "conv":
            window = (o["kernel"], o["stride"], o["padding"], o["dilation"], o["groups"])
            module = nn.Conv2d(shape[0], o["filters"], *window, bias=o["bias"])
            return _filled(found, module, node)
        case "dense":
            return _filled(found, nn.Linear(shape[0], o["units"]), node)
        case "batch_norm":
            return _filled(found, nn.BatchNorm2d(shape[0], o["eps"], o["momentum"]), node)
        case "max_pool":
            return nn.MaxPool2d(o["size"], o["stride"], o["padding"])
        case "relu":
            return nn.ReLU(inplace=True)
        case "flatten":
            return nn.Flatten()
        case "global_avg_pool":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case "identity" | "dropout":  # with a rate of 0
            return nn.Identity()
    raise ValueError(f"torch's side has no {node['name']}")


def _filled(found, module, node):
    """Copy weights, (units, inputs) in torch where ours are (inputs, units)."""
    names = {"w": "weight", "b": "bias", "mean": "running_mean", "var": "running_var"}
    places = {**node["params"], **node["state"]}
    module.to(getattr(torch, places["b" if "b" in places else "w"]["dtype"]))
    with torch.no_grad():
        for name, place in places.items():
            own = getattr(module, names[name])
            if node["name"] == "dense" and name == "w":
                rows, columns = place["shape"]
                size = columns * np.dtype(place["dtype"]).itemsize
                for i in range(0, rows, ROWS):
                    n = min(ROWS, rows - i)
                    some = place | {"at": place["at"] + i * size, "shape": [n, columns]}
                    own[:, i : i + n] = torch.from_numpy(found.get(some).T)
            else:
                own.copy_(torch.from_numpy(found.get(place)))
    return module


def _train(model, found, arrays):
    """Train from the initial weights; return the last training loss, metrics taken each epoch."""
    model.load_state_dict(network(found).state_dict())
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    x, y, x_val, y_val = (arrays[k] for k in ("x_train", "y_train", "x_val", "y_val"))

    def metrics():
        with torch.no_grad():
            for images, labels in ((x, y), (x_val, y_val)):
                logits = model(images)
                right = (logits.argmax(1) == labels).double().mean()
                yield float(F.cross_entropy(logits, labels)), float(right)

    history = [list(metrics())]
    for order in arrays["orders"]:
        for chosen in order.split(found.work.images):
            optimizer.zero_grad()
            F.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
        history.append(list(metrics()))
    return history[-1][0][0]
