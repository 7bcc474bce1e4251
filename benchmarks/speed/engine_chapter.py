"""The chapter's run of TinyCNN, 80 epochs with metrics, in ours, torch and jax; run as a script,
one of them and nothing else.

python -m benchmarks.speed.engine_chapter ours | torch | jax | jax-steps
"""

import sys

import numpy as np


def start():
    """Return the data and the initial weights that all engines share."""
    import autocnn as ac

    data = ac.data.patterns()
    _, params, _ = ac.models.tiny_cnn().init(3, (1, 8, 8))
    return data, params


def orders(n=180, epochs=80, seed=11):
    """The order of the images in each epoch: (epochs, n)."""
    generator = np.random.default_rng(seed)
    return np.stack([generator.permutation(n) for _ in range(epochs)])


def ours():
    """Return the last training loss of ``ac.train`` with the fast network."""
    import autocnn as ac
    from autocnn import fast

    data, params = start()
    return ac.train(params, data, model=ac.models.tiny_cnn(nn=fast)).history["train_loss"][-1]


def in_torch(threads=1):
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    data, params = start()
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 3)
    ).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.from_numpy(params[0]["w"]))
        model[4].weight.copy_(torch.from_numpy(params[4]["w"].T.copy()))
        model[0].bias.zero_()
        model[4].bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), 0.12)
    x, y, x_val, y_val = (
        torch.from_numpy(a) for a in (data.x_train, data.y_train, data.x_val, data.y_val)
    )

    def metrics():
        with torch.no_grad():
            for images, labels in ((x, y), (x_val, y_val)):
                logits = model(images)
                yield (
                    float(F.cross_entropy(logits, labels)),
                    float((logits.argmax(1) == labels).double().mean()),
                )

    history = [list(metrics())]
    for order in torch.from_numpy(orders()):
        for chosen in order.split(18):
            optimizer.zero_grad()
            F.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
        history.append(list(metrics()))
    return history[-1][0][0]


def in_jax(scan=True):
    """The whole run as one compiled scan, or a compiled step at a time. Returns a function to
    call again, warm.
    """
    import jax
    import jax.numpy as jnp
    from jax import lax

    jax.config.update("jax_enable_x64", True)
    data, params = start()
    weights = (params[0]["w"], params[0]["b"], params[4]["w"], params[4]["b"])
    x, y, x_val, y_val = map(jnp.asarray, (data.x_train, data.y_train, data.x_val, data.y_val))

    def logits(p, x):
        z = lax.conv_general_dilated(x, p[0], (1, 1), "VALID") + p[1][:, None, None]
        z = lax.reduce_window(
            jnp.maximum(z, 0), -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"
        )
        return z.reshape(len(x), -1) @ p[2] + p[3]

    def loss(p, x, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits(p, x)), y[:, None], 1).mean()

    def step(p, chosen):
        grads = jax.grad(loss)(p, x[chosen], y[chosen])
        return tuple(w - 0.12 * g for w, g in zip(p, grads, strict=True)), None

    def metrics(p):
        return [
            (loss(p, a, b), (logits(p, a).argmax(1) == b).mean())
            for a, b in ((x, y), (x_val, y_val))
        ]

    def epoch(p, order):
        p, _ = lax.scan(step, p, order.reshape(10, 18))
        return p, metrics(p)

    whole, one, measured = (
        jax.jit(lambda p, o: lax.scan(epoch, p, o)),
        jax.jit(step),
        jax.jit(metrics),
    )

    def run():
        if scan:
            return float(whole(weights, orders())[1][0][0][-1])
        p, history = weights, [measured(weights)]
        for order in orders():
            for chosen in order.reshape(10, 18):
                p, _ = one(p, chosen)
            history.append([(float(a), float(b)) for a, b in measured(p)])
        return float(history[-1][0][0])

    return run


if __name__ == "__main__":
    engine = sys.argv[1]
    print(
        ours()
        if engine == "ours"
        else in_torch()
        if engine == "torch"
        else in_jax(engine == "jax")()
    )
