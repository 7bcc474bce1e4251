"""Writes into arguments, the cotangent or what was saved; races."""

import numpy as np

from benchmarks.wild.pages.norms import EPS, rms_norm
from benchmarks.wild.pages.softmaxes import softmax
from benchmarks.wild.pairs import normal, pair

# ---- rms norm: dx is written into dy, of which the weight's gradient is then taken


def rms(in_place):
    def f(x, w):
        r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + EPS)

        def backward(dy):
            g = dy * w
            dx = dy if in_place else np.empty_like(dy)
            dx[...] = r * (g - x * r * r * (g * x).mean(-1, keepdims=True))
            return {"x": dx, "w": (dy * x * r).sum(0)}

        return rms_norm(x, w), backward

    return f


pair(
    "rms norm writes into dy",
    kind="in-place",
    link="https://github.com/unslothai/unsloth/pull/4550",
    shows="always",
    buggy=rms(True),
    fixed=rms(False),
    arrays={"x": normal(4, 6), "w": 1 + 0.2 * normal(6)},
    codes=("mutates-input",),
)

# ---- cross entropy: the gradient is written into the logits that were saved


def entropy_of_rows(in_place):
    def f(x, labels):
        rows = np.arange(len(x))
        saved = x if in_place else x.copy()

        def backward(dy):
            p = softmax(saved)
            p[rows, labels] -= 1
            saved[...] = dy * p / len(x)
            return {"x": saved.copy()}

        def backward_right(dy):
            p = softmax(saved)
            p[rows, labels] -= 1
            return {"x": dy * p / len(x)}

        loss = -np.mean(np.log(softmax(x)[rows, labels]))
        return loss, backward if in_place else backward_right

    return f


pair(
    "cross entropy overwrites its logits",
    kind="in-place",
    link="https://github.com/unslothai/unsloth/issues/5002",
    shows="where the logits are used again",
    buggy=entropy_of_rows(True),
    fixed=entropy_of_rows(False),
    arrays={"x": normal(4, 5), "labels": np.array([0, 3, 1, 4])},
    codes=("mutates-input",),
)


# ---- cross entropy: forward leaves the gradient in its argument


def in_forward(in_place):
    def f(x, labels):
        rows = np.arange(len(x))
        p = softmax(x)
        loss = -np.mean(np.log(p[rows, labels]))
        d = p.copy()
        d[rows, labels] -= 1
        if in_place and x.dtype == d.dtype:
            x[...] = d / len(x)
        return loss, lambda dy: {"x": dy * d / len(x)}

    return f


pair(
    "cross entropy's forward overwrites its input",
    kind="in-place",
    link="https://github.com/linkedin/Liger-Kernel/pull/1251",
    shows="where the input was saved by another function",
    buggy=in_forward(True),
    fixed=in_forward(False),
    arrays={"x": normal(4, 5), "labels": np.array([0, 3, 1, 4])},
    codes=("mutates-input",),
)


# ---- rotary positions: the rotation happens in the argument


def rotate(in_place):
    def f(q, cos, sin):
        half = q.shape[-1] // 2
        out = q if in_place else q.copy()
        a, b = q[..., :half].copy(), q[..., half:].copy()
        out[..., :half], out[..., half:] = a * cos - b * sin, b * cos + a * sin

        def backward(dy):
            g, h = dy[..., :half], dy[..., half:]
            return {"q": np.concatenate([g * cos + h * sin, h * cos - g * sin], axis=-1)}

        return out, backward

    return f


pair(
    "rotary embedding turns its argument",
    kind="in-place",
    link="https://github.com/unslothai/unsloth/issues/5001",
    shows="where the argument is used again",
    buggy=rotate(True),
    fixed=rotate(False),
    arrays={"q": normal(3, 4), "cos": 0.8, "sin": 0.6},
    codes=("mutates-input", "aliased"),
)


# ---- a recurrence in two directions: dx replaces dy before the second direction reads it


def two_ways(in_place):
    def f(x, forth, back):
        def backward(dy):
            g = dy if in_place else dy.copy()
            first = np.cumsum(g[::-1], axis=0)[::-1] * forth
            if in_place:
                dy[...] = first
            second = np.cumsum(g, axis=0) * back
            return {"x": first + second}

        return np.cumsum(x * forth, axis=0) + np.cumsum((x * back)[::-1], axis=0)[::-1], backward

    return f


pair(
    "two directions share dy's buffer",
    kind="in-place",
    link="https://github.com/apache/mxnet/pull/18203",
    shows="always",
    buggy=two_ways(True),
    fixed=two_ways(False),
    arrays={"x": normal(5, 2), "forth": 0.7, "back": -1.3},
    codes=("mutates-input",),
)

# ---- threads that add to one number without a lock

ORDER = np.random.default_rng(3)


def gated(locked):
    def f(x, g):
        def backward(dy):
            terms = dy * x
            if not locked:  # one of the additions is lost, another one in each call
                terms[ORDER.integers(len(terms))] = 0
            return {"x": dy * g, "g": terms.sum(0)}

        return x * g, backward

    return f


pair(
    "gate's sum without a lock",
    kind="randomness",
    link="https://github.com/fla-org/flash-linear-attention/issues/889",
    shows="in most calls",
    buggy=gated(False),
    fixed=gated(True),
    arrays={"x": normal(6, 3), "g": normal(3)},
    codes=("nondeterministic",),
)

BUFFER = np.random.default_rng(4)


def shifted(in_order):
    """y[t] = x[t] + x[t + 1] / 2; backward reads rows that other blocks are writing."""

    def f(x):
        def backward(dy):
            buffer, out = dy.copy(), np.zeros_like(dy)
            order = range(len(dy) - 1, -1, -1) if in_order else BUFFER.permutation(len(dy))
            for t in order:
                out[t] = buffer[t] + (0.5 * buffer[t - 1] if t else 0)
                if not in_order:
                    buffer[t] = out[t]
            return {"x": out}

        return x + 0.5 * np.concatenate([x[1:], np.zeros_like(x[:1])]), backward

    return f


pair(
    "blocks read what others write",
    kind="randomness",
    link="https://github.com/tile-ai/TileOPs/issues/1729",
    shows="in most calls",
    buggy=shifted(False),
    fixed=shifted(True),
    arrays={"x": normal(6, 3)},
    codes=("nondeterministic",),
)
