"""The works that are measured, in three engines with the same weights and images, and a check of
their outputs.
"""

import importlib.util

import numpy as np

import autocnn as ac
from autocnn import fast
from benchmarks.speed.engine_networks import batch, build, in_jax, in_torch

HAS_JAX = importlib.util.find_spec("jax") is not None
PLAIN = "NumPy alone"

# name: network, "forward" or "gradient", images, size, goal
WORKS = {
    "LeNet-5 step, 32 images": ("LeNet-5", "gradient", 32, 28, 1.0),
    "LeNet-5 step, 128 images": ("LeNet-5", "gradient", 128, 28, 1.0),
    "VGG-16 forward, 1 image": ("VGG-16", "forward", 1, 224, 1.0),
    "VGG-16 forward, 4 images": ("VGG-16", "forward", 4, 224, 1.0),
    "ResNet-50 forward, 4 images of 224": ("ResNet-50", "forward", 4, 224, 1.0),
    "ResNet-50 gradient, 8 images of 96": ("ResNet-50", "gradient", 8, 96, 1.2),
    "ResNet-50 gradient, 8 images of 224": ("ResNet-50", "gradient", 8, 224, 1.2),
    "VGG-16 gradient, 2 images of 224": ("VGG-16", "gradient", 2, 224, 1.2),
}


def engines(network, kind, n, size, jax=HAS_JAX):
    """Return {engine: function that does the work and returns an array}, all with the same
    weights and images.
    """
    model, params, state, shape = build(network, size)
    x, labels = batch(shape, n, model.init(None, shape)[0][0])
    ours, theirs = (
        our_engine(model, params, state, x, labels, kind),
        in_torch(model, params, state, shape),
    )

    def without_numba():
        with fast.using("numpy"):
            return ours()

    found = {"ours": ours}
    found |= {
        f"torch, {n} thread{'s' * (n > 1)}": torch_engine(theirs, x, labels, kind, n)
        for n in (1, 2)
    }
    if network == "LeNet-5":
        found[PLAIN] = without_numba
    if jax:
        found["jax"] = _jax_engine(model, params, state, x, labels, kind)
    return found


def our_engine(model, params, state, x, labels, kind):
    def run():
        if kind == "forward":
            return model.apply(params, state, x)[0]
        loss, grads, _ = model.loss_and_grad(params, state, (x, labels))
        return loss, next(leaf for _, leaf in ac.trees.leaves(grads))

    return run


def torch_engine(model, x, labels, kind, threads):
    import torch

    model.train(kind == "gradient")
    x, labels = torch.from_numpy(x), torch.from_numpy(labels)

    def run():
        torch.set_num_threads(threads)
        if kind == "forward":
            with torch.no_grad():
                return model(x).numpy()
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        return loss.item(), next(model.parameters()).grad.numpy()

    return run


def _jax_engine(model, params, state, x, labels, kind):
    import jax
    import jax.numpy as jnp

    forward = in_jax(model)

    def loss(p, x):
        logits = forward(p, state, x, True)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    step = (
        jax.jit(jax.value_and_grad(loss))
        if kind == "gradient"
        else jax.jit(lambda p, x: forward(p, state, x))
    )

    def run():
        out = jax.block_until_ready(step(params, x))
        if kind == "forward":
            return np.asarray(out)
        return float(out[0]), np.asarray(jax.tree.leaves(out[1][0])[-1])

    return run


def check(outputs, exact, name):
    """Compare each engine's logits, or its loss and first gradient, with those of double precision.

    Rounding decides for some maxima and some ReLUs in single precision, and batch norm amplifies
    it: far from the output, a gradient may be off by a percent in any engine. Ours must not be off
    by more than four times what torch's is.
    """
    if isinstance(exact, np.ndarray):
        errors = {engine: _apart(found, exact) for engine, found in outputs.items()}
        allowed = 2e-4
    else:
        losses = {engine: _apart(found[0], exact[0]) for engine, found in outputs.items()}
        if not max(losses.values()) < 2e-4:
            raise AssertionError(f"{name}: losses differ from {exact[0]} by {losses}")
        errors = {engine: _apart(found[1], exact[1]) for engine, found in outputs.items()}
        allowed = max(
            1e-4, 4 * max(error for engine, error in errors.items() if engine.startswith("torch"))
        )
    wrong = {engine: f"{error:.1e}" for engine, error in errors.items() if not error <= allowed}
    if wrong:
        raise AssertionError(
            f"{name}: off by {wrong} of the largest number, where {allowed:.1e} is allowed"
        )


def _apart(found, exact):
    return float(np.abs(np.asarray(found) - exact).max() / np.abs(exact).max())


def in_double(network, kind, n, size):
    """The logits, or the loss and the first gradient, in double precision."""
    model, params, state, shape = build(network, size)
    x, labels = batch(shape, n, model.init(None, shape)[0][0])
    params, state, x = (
        ac.trees.tree_map(lambda a: a.astype("float64"), tree) for tree in (params, state, x)
    )
    if kind == "forward":
        return model.apply(params, state, x)[0]
    loss, grads, _ = model.loss_and_grad(params, state, (x, labels))
    return np.float64(loss), next(leaf for _, leaf in ac.trees.leaves(grads))


def gigaflops(network, kind, n, size):
    """Twice the multiply-adds, three times as many for a gradient."""
    model, _, _, shape = build(network, size)
    return 2 * ac.summary(model, shape).multiply_adds * n * (3 if kind == "gradient" else 1) / 1e9
