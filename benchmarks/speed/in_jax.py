"""The works by jax: the same networks over our trees, compiled; the run as one compiled scan."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.speed.works import RATE


def make(found, variant):
    """Return a function that does the work and returns its results."""
    jax.config.update("jax_enable_x64", found.work.kind == "run")
    params, state = jax.tree.map(jnp.asarray, found.trees())
    arrays = {name: jnp.asarray(a) for name, a in found.arrays().items()}
    node, kind = found.about["network"], found.work.kind
    if kind == "run":
        return _run(node, params, state, arrays, found.work.images)
    x, labels = arrays["x"], arrays["labels"]
    if kind == "forward":
        forward = jax.jit(lambda p, s, x: _forward(node, p, s, x))
        return lambda: [np.asarray(forward(params, state, x))]
    step = jax.jit(jax.value_and_grad(lambda p, x: _loss(node, p, state, x, labels, True)))

    def gradient():
        loss, grads = jax.block_until_ready(step(params, x))
        return [float(loss), np.asarray(grads[0]["w"])]

    return gradient


def _loss(node, p, state, x, labels, train=False):
    logits = jax.nn.log_softmax(_forward(node, p, state, x, train))
    return -jnp.take_along_axis(logits, labels[:, None], 1).mean()


def _forward(node, p, s, x, train=False):
    """Compute a network of our trees; running statistics are not moved."""
    o = node["options"]
    match node["name"]:
        case "serial":
            for part, p_, s_ in zip(node["parts"], p, s, strict=True):
                x = _forward(part, p_, s_, x, train)
            return x
        case "residual":
            main, shortcut = node["parts"]
            y = _forward(main, p["main"], s["main"], x, train)
            return y + _forward(shortcut, p["shortcut"], s["shortcut"], x, train)
        case "conv":
            edges = [(q, q) for q in o["padding"]]
            options = {"rhs_dilation": o["dilation"], "feature_group_count": o["groups"]}
            y = lax.conv_general_dilated(x, p["w"], o["stride"], edges, **options)
            return y + p["b"][:, None, None] if o["bias"] else y
        case "dense":
            return x @ p["w"] + p["b"]
        case "batch_norm":
            mean, var = (x.mean((0, 2, 3)), x.var((0, 2, 3))) if train else (s["mean"], s["var"])
            scale = p["w"] / jnp.sqrt(var + o["eps"])
            return (x - mean[:, None, None]) * scale[:, None, None] + p["b"][:, None, None]
        case "max_pool":
            edges = [(0, 0), (0, 0), *((q, q) for q in o["padding"])]
            window = (1, 1, *o["size"]), (1, 1, *o["stride"]), edges
            return lax.reduce_window(x, -jnp.inf, lax.max, *window)
        case "relu":
            return jnp.maximum(x, 0)
        case "flatten":
            return x.reshape(len(x), -1)
        case "global_avg_pool":
            return x.mean((2, 3))
        case "identity" | "dropout":  # with a rate of 0
            return x
    raise ValueError(f"jax's side has no {node['name']}")


def _run(node, params, state, arrays, n):
    """All epochs and their metrics as one compiled program."""
    x, y, x_val, y_val = (arrays[k] for k in ("x_train", "y_train", "x_val", "y_val"))

    def step(p, chosen):
        grads = jax.grad(lambda p: _loss(node, p, state, x[chosen], y[chosen], True))(p)
        return jax.tree.map(lambda w, g: w - RATE * g, p, grads), None

    def metrics(p):
        def right(images, labels):
            return (_forward(node, p, state, images).argmax(1) == labels).mean()

        sets = (x, y), (x_val, y_val)
        return [(_loss(node, p, state, a, b), right(a, b)) for a, b in sets]

    def epoch(p, order):
        p, _ = lax.scan(step, p, order.reshape(-1, n))
        return p, metrics(p)

    whole = jax.jit(lambda p, orders: (metrics(p), lax.scan(epoch, p, orders)))
    return lambda: [float(whole(params, arrays["orders"])[1][1][0][0][-1])]
