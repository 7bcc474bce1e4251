"""Losses, whole small networks with their losses, and embeddings."""

import numpy as np


def softmax_cross_entropy(scores, labels):
    n = scores.shape[0]
    shifted = scores - scores.max(axis=1, keepdims=True)
    z = np.exp(shifted).sum(axis=1, keepdims=True)
    log_p = shifted - np.log(z)
    loss = -log_p[np.arange(n), labels].sum() / n

    def backward(dloss):
        dscores = np.exp(log_p)
        dscores[np.arange(n), labels] -= 1
        dscores /= n
        return {"scores": dscores * dloss}

    return loss, backward


def svm_loss(x, w, y, reg):
    n = x.shape[0]
    scores = x @ w
    right = scores[np.arange(n), y][:, None]
    margins = np.maximum(0, scores - right + 1)
    margins[np.arange(n), y] = 0
    loss = margins.sum() / n + reg * np.sum(w * w)

    def backward(dloss):
        dscores = (margins > 0).astype(float)
        counts = dscores.sum(axis=1)
        dscores[np.arange(n), y] -= counts
        dscores = dscores / n * dloss
        dw = x.T @ dscores
        dw += 2 * reg * w * dloss
        dx = dscores @ w.T
        return {"x": dx, "w": dw}

    return loss, backward


def two_layer_net(x, w1, b1, w2, b2, y, reg):
    n = x.shape[0]
    z1 = x @ w1 + b1
    h1 = np.maximum(z1, 0)
    scores = h1 @ w2 + b2
    shifted = scores - scores.max(axis=1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(n), y]).mean()
    loss += 0.5 * reg * (np.sum(w1**2) + np.sum(w2**2))

    def backward(dloss=1.0):
        grads = {}
        dscores = p.copy()
        dscores[np.arange(n), y] -= 1
        dscores *= dloss / n
        grads["w2"] = h1.T @ dscores + reg * w2 * dloss
        grads["b2"] = dscores.sum(axis=0)
        dh1 = dscores @ w2.T
        dz1 = dh1 * (z1 > 0)
        grads["w1"] = x.T @ dz1 + reg * w1 * dloss
        grads["b1"] = dz1.sum(axis=0)
        grads["x"] = dz1 @ w1.T
        return grads

    return loss, backward


def focal(x, targets, gamma=2.0):
    p = 1 / (1 + np.exp(-x))
    pt = np.where(targets == 1, p, 1 - p)
    return np.mean(-((1 - pt) ** gamma) * np.log(pt))


def focal_vjp(dy, x, targets, gamma=2.0):
    p = 1 / (1 + np.exp(-x))
    pt = np.where(targets == 1, p, 1 - p)
    sign = np.where(targets == 1, 1.0, -1.0)
    first = gamma * (1 - pt) ** (gamma - 1) * np.log(pt)
    second = -((1 - pt) ** gamma) / pt
    dpt = (first + second) / x.size
    dp = dpt * sign
    return dy * dp * p * (1 - p)


def smoothed_kl(logits, labels, smooth):
    n, k = logits.shape
    target = np.full((n, k), smooth / (k - 1))
    target[np.arange(n), labels] = 1 - smooth
    m = logits.max(axis=1, keepdims=True)
    lse = m + np.log(np.exp(logits - m).sum(axis=1, keepdims=True))
    log_q = logits - lse
    loss = (target * (np.log(target) - log_q)).sum(axis=1)

    def backward(dloss):
        q = np.exp(log_q)
        dlog_q = -target * dloss[:, None]
        total = dlog_q.sum(axis=1, keepdims=True)
        dlogits = dlog_q - q * total
        return dlogits

    return loss, backward


def triplet(a, p, n, margin):
    dp = ((a - p) ** 2).sum(axis=1)
    dn = ((a - n) ** 2).sum(axis=1)
    raw = dp - dn + margin
    loss = np.maximum(raw, 0).mean()

    def backward(dy):
        active = (raw > 0).astype(float)[:, None]
        scale = 2 * dy / len(raw)
        da = scale * active * ((a - p) - (a - n))
        dpos = -scale * active * (a - p)
        dneg = scale * active * (a - n)
        return {"a": da, "p": dpos, "n": dneg}

    return loss, backward


def cosine(x, y):
    nx = np.sqrt((x * x).sum(axis=1))
    ny = np.sqrt((y * y).sum(axis=1))
    return (x * y).sum(axis=1) / (nx * ny)


def cosine_vjp(dc, x, y):
    nx = np.sqrt((x * x).sum(axis=1, keepdims=True))
    ny = np.sqrt((y * y).sum(axis=1, keepdims=True))
    c = (x * y).sum(axis=1, keepdims=True) / (nx * ny)
    dc = dc[:, None]
    dx = dc * (y / (nx * ny) - c * x / nx**2)
    dy = dc * (x / (nx * ny) - c * y / ny**2)
    return dx, dy


def info_nce(za, zb, tau):
    na = np.linalg.norm(za, axis=1, keepdims=True)
    nb = np.linalg.norm(zb, axis=1, keepdims=True)
    a, b = za / na, zb / nb
    s = a @ b.T / tau
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    n = len(za)
    loss = -np.log(np.diag(p)).mean()

    def backward(dloss):
        ds = p.copy()
        ds[np.arange(n), np.arange(n)] -= 1
        ds = ds * dloss / n
        dtau = -(ds * s).sum() / tau
        da = ds @ b / tau
        db = ds.T @ a / tau
        dza = (da - a * (a * da).sum(axis=1, keepdims=True)) / na
        dzb = (db - b * (b * db).sum(axis=1, keepdims=True)) / nb
        return {"za": dza, "zb": dzb, "tau": np.asarray(dtau)}

    return loss, backward


def chain_crf(emissions, transitions):
    """log Z of a linear chain, and its gradient by marginals from the two passes."""
    steps = len(emissions)
    alpha = [emissions[0]]
    for t in range(1, steps):
        scores = alpha[-1][:, None] + transitions
        top = scores.max(axis=0)
        alpha.append(emissions[t] + top + np.log(np.exp(scores - top).sum(axis=0)))
    top = alpha[-1].max()
    log_z = top + np.log(np.exp(alpha[-1] - top).sum())

    def backward(dy):
        demissions = np.zeros_like(emissions)
        dtransitions = np.zeros_like(transitions)
        dalpha = np.exp(alpha[-1] - log_z) * dy
        for t in range(steps - 1, 0, -1):
            demissions[t] = dalpha
            scores = alpha[t - 1][:, None] + transitions
            weights = np.exp(scores - scores.max(axis=0))
            weights = weights / weights.sum(axis=0)
            dscores = weights * dalpha
            dtransitions += dscores
            dalpha = dscores.sum(axis=1)
        demissions[0] = dalpha
        return {"emissions": demissions, "transitions": dtransitions}

    return log_z, backward


def ctc_like(log_p, labels):
    """Minus the log of the probability that all monotone paths through `labels` have."""
    p = np.exp(log_p)
    steps, length = p.shape[0], len(labels)
    f = np.zeros((steps + 1, length + 1), dtype=p.dtype)
    f[0, 0] = 1.0
    for t in range(1, steps + 1):
        for s in range(1, length + 1):
            f[t, s] = (f[t - 1, s] + f[t - 1, s - 1]) * p[t - 1, labels[s - 1]]
    total = f[steps, length]

    def backward(dy):
        df = np.zeros_like(f)
        dp = np.zeros_like(p)
        df[steps, length] = -dy / total
        for t in range(steps, 0, -1):
            for s in range(length, 0, -1):
                label = labels[s - 1]
                reach = f[t - 1, s] + f[t - 1, s - 1]
                dp[t - 1, label] += df[t, s] * reach
                back = df[t, s] * p[t - 1, label]
                df[t - 1, s] += back
                df[t - 1, s - 1] += back
        return {"log_p": dp * p}

    return -np.log(total), backward


def embedding_forward(table, scale, ids):
    rows = table[ids]
    y = rows * scale
    return y, (table.shape, rows, scale, ids)


def embedding_backward(dy, cache):
    shape, rows, scale, ids = cache
    dscale = (dy * rows).sum(axis=(0, 1))
    drows = dy * scale
    dtable = np.zeros(shape)
    np.add.at(dtable, ids, drows)
    return {"table": dtable, "scale": dscale}


class BagOfWords:
    """The mean embedding of each document's words, then a dense layer."""

    def __init__(self, seed=2):
        rng = np.random.default_rng(seed)
        self.table = rng.standard_normal((6, 3))
        self.w = rng.standard_normal((3, 4))
        self.docs = [[0, 2, 2, 5], [1], [3, 4, 0]]

    def forward(self, x):
        self.means = np.stack([self.table[d].mean(axis=0) for d in self.docs])
        self.mixed = self.means * x
        self.x = x
        return self.mixed @ self.w

    def backward(self, dy):
        self.d_w = self.mixed.T @ dy
        dmixed = dy @ self.w.T
        dmeans = dmixed * self.x
        self.d_table = np.zeros_like(self.table)
        for row, doc in zip(dmeans, self.docs, strict=True):
            share = row / len(doc)
            for word in doc:
                self.d_table[word] += share
        return dmixed * self.means


def mixture_density(mu, log_s, logits, t):
    """Minus the log likelihood of t under a mixture of Gaussians."""
    s = np.exp(log_s)
    z = (t[:, None] - mu) / s
    log_w = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    log_n = log_w - log_s - 0.5 * z**2
    top = log_n.max(axis=1, keepdims=True)
    log_l = top + np.log(np.exp(log_n - top).sum(axis=1, keepdims=True))
    loss = -log_l.sum()

    def backward(dy):
        r = np.exp(log_n - log_l)
        w = np.exp(log_w)
        dlog_n = -r * dy
        dlogits = dlog_n - w * dlog_n.sum(axis=1, keepdims=True)
        dz = -dlog_n * z
        dmu = -dz / s
        dlog_s = -dlog_n - dz * z
        return {"mu": dmu, "log_s": dlog_s, "logits": dlogits}

    return loss, backward


def factorisation_forward(u, v, bias, ratings, known):
    guess = u @ v.T + bias
    error = known * (guess - ratings)
    loss = 0.5 * np.sum(error**2) + 0.05 * (np.sum(u**2) + np.sum(v**2))
    return loss, (u, v, error)


def factorisation_backward(dloss, cache):
    u, v, error = cache
    derror = dloss * error
    du = derror @ v + 0.1 * dloss * u
    dv = derror.T @ u + 0.1 * dloss * v
    dbias = derror.sum(axis=0)
    return du, dv, dbias


def huber_regression(x, w, b, y, delta):
    pred = np.tanh(x @ w + b)
    e = pred - y
    small = np.abs(e) <= delta
    loss = np.where(small, 0.5 * e**2, delta * (np.abs(e) - 0.5 * delta)).sum(axis=1).mean()

    def backward(dloss):
        if not np.any(e):
            return {"x": np.zeros_like(x), "w": np.zeros_like(w), "b": np.zeros_like(b)}
        de = np.where(small, e, delta * np.sign(e)) * dloss / len(x)
        dz = de * (1 - pred * pred)
        return {"x": dz @ w.T, "w": x.T @ dz, "b": dz.sum(axis=0)}

    return loss, backward


def _normal(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


_RATINGS = np.arange(12).reshape(4, 3) % 5

CASES = {
    "softmax_cross_entropy": (
        "closure",
        (softmax_cross_entropy,),
        _normal(0, scores=(5, 4)) | {"labels": np.array([1, 0, 3, 3, 2])},
    ),
    "svm_loss": (
        "closure",
        (svm_loss,),
        _normal(1, x=(5, 3), w=(3, 4)) | {"y": np.array([1, 0, 3, 3, 2]), "reg": 0.1},
    ),
    "two_layer_net": (
        "closure",
        (two_layer_net,),
        _normal(2, x=(5, 3), w1=(3, 6), b1=(6,), w2=(6, 4), b2=(4,))
        | {"y": np.array([1, 0, 3, 3, 2]), "reg": 0.1},
    ),
    "focal": (
        "vjp",
        (focal, focal_vjp),
        _normal(3, x=(3, 4)) | {"t": np.arange(12).reshape(3, 4) % 2},
    ),
    "smoothed_kl": (
        "closure",
        (smoothed_kl,),
        _normal(4, logits=(5, 4)) | {"labels": np.array([1, 0, 3, 3, 2]), "smooth": 0.1},
    ),
    "triplet": (
        "closure",
        (triplet,),
        _normal(5, a=(5, 3), p=(5, 3), n=(5, 3)) | {"margin": 1.0},
    ),
    "cosine": ("vjp", (cosine, cosine_vjp), _normal(6, x=(4, 3), y=(4, 3))),
    "info_nce": (
        "closure",
        (info_nce,),
        _normal(7, za=(4, 3), zb=(4, 3)) | {"tau": np.array(0.5)},
    ),
    "chain_crf": ("closure", (chain_crf,), _normal(8, emissions=(5, 3), transitions=(3, 3))),
    "ctc_like": (
        "closure",
        (ctc_like,),
        _normal(9, log_p=(5, 4)) | {"labels": np.array([2, 0, 2])},
    ),
    "embedding": (
        "pair",
        (embedding_forward, embedding_backward),
        _normal(10, table=(5, 3), scale=(3,)) | {"ids": np.array([[0, 3, 3], [1, 4, 0]])},
    ),
    "bag_of_words": ("object", (BagOfWords,), _normal(11, x=(3, 3))),
    "mixture_density": (
        "closure",
        (mixture_density,),
        _normal(12, mu=(4, 3), log_s=(4, 3), logits=(4, 3)) | {"t": np.array([1, 0, -1, 2])},
    ),
    "factorisation": (
        "pair",
        (factorisation_forward, factorisation_backward),
        _normal(13, u=(4, 2), v=(3, 2), bias=(3,))
        | {"ratings": _RATINGS, "known": (_RATINGS > 0).astype(int)},
    ),
    "huber_regression": (
        "closure",
        (huber_regression,),
        _normal(14, x=(5, 3), w=(3, 2), b=(2,))
        | {"y": np.array([[2, 0], [1, 1], [0, 0], [-1, 2], [0, 1]]), "delta": 0.8},
    ),
}
