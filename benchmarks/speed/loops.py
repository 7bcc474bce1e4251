"""The baseline: TinyCNN with plain loops over output positions, as a textbook writes it. Slow on
purpose.

Forward and backward visit every output position of the convolution and of the pooling in Python;
everything else is NumPy.
"""

import numpy as np

__all__ = ["train"]


def conv_forward(x, w, b):
    """Valid convolution, stride 1: one contraction for each output position."""
    n, f, k = len(x), len(w), w.shape[2]
    ho, wo = x.shape[2] - k + 1, x.shape[3] - k + 1
    y = np.zeros((n, f, ho, wo))
    for i in range(ho):
        for j in range(wo):
            y[:, :, i, j] = (
                np.tensordot(x[:, :, i : i + k, j : j + k], w, axes=([1, 2, 3], [1, 2, 3])) + b
            )
    return y


def conv_backward(x, w, dy):
    """Gradients of image, kernels and biases, one position at a time. A layer that can stand
    anywhere computes all three.
    """
    k = w.shape[2]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            dw += np.tensordot(dy[:, :, i, j], x[:, :, i : i + k, j : j + k], axes=([0], [0]))
            dx[:, :, i : i + k, j : j + k] += np.tensordot(dy[:, :, i, j], w, axes=([1], [0]))
    return dx, dw, dy.sum(axis=(0, 2, 3))


def pool_forward(x):
    """Maximum over 2x2 windows and where it was found."""
    n, f, h, w = x.shape
    y, which = np.zeros((n, f, h // 2, w // 2)), np.zeros((n, f, h // 2, w // 2), int)
    for i in range(h // 2):
        for j in range(w // 2):
            cells = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(n, f, 4)
            which[:, :, i, j] = cells.argmax(axis=2)
            y[:, :, i, j] = cells.max(axis=2)
    return y, which


def pool_backward(shape, which, dy):
    """Hand each gradient to the cell that won."""
    dx = np.zeros(shape)
    ns, fs = np.ogrid[: shape[0], : shape[1]]
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            at = which[:, :, i, j]
            dx[ns, fs, 2 * i + at // 2, 2 * j + at % 2] += dy[:, :, i, j]
    return dx


def forward(params, x):
    """Logits and what the backward pass needs."""
    (w, b), (v, c) = params
    z = conv_forward(x, w, b)
    a = np.maximum(z, 0)
    p, which = pool_forward(a)
    flat = p.reshape(len(x), -1)
    return flat @ v + c, (z, a, which, flat)


def loss_and_grad(params, x, y):
    """Mean cross-entropy and its gradients."""
    (w, _), (v, _) = params
    logits, (z, a, which, flat) = forward(params, x)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = -np.log(np.clip(p[rows, y], 1e-12, 1)).mean()
    d = p.copy()
    d[rows, y] -= 1
    d /= len(x)
    da = pool_backward(
        a.shape, which, (d @ v.T).reshape(len(x), len(w), *np.array(a.shape[2:]) // 2)
    )
    _, dw, db = conv_backward(x, w, da * (z > 0))
    return loss, ((dw, db), (flat.T @ d, d.sum(axis=0)))


def metrics(params, x, y):
    """Loss and accuracy."""
    logits, _ = forward(params, x)
    z = logits - logits.max(axis=1, keepdims=True)
    return (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean(), (
        logits.argmax(axis=1) == y
    ).mean()


def train(params, data, epochs=80, batch_size=18, rate=0.12, seed=11):
    """The chapter's run. Returns the history of (train loss, train accuracy, validation
    accuracy).
    """
    params = ((params[0]["w"], params[0]["b"]), (params[4]["w"], params[4]["b"]))
    shuffle = np.random.default_rng(seed)
    history = []

    def record():
        loss, accuracy = metrics(params, data.x_train, data.y_train)
        history.append((loss, accuracy, metrics(params, data.x_val, data.y_val)[1]))

    record()
    for _ in range(epochs):
        order = shuffle.permutation(len(data.x_train))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            _, grads = loss_and_grad(params, data.x_train[batch], data.y_train[batch])
            params = tuple(
                tuple(p - rate * g for p, g in zip(*pair, strict=True))
                for pair in zip(params, grads, strict=True)
            )
        record()
    return history
