"""Attention and positions."""

import numpy as np

from autocnn import gradcheck
from benchmarks.wild.pages.softmaxes import softmax
from benchmarks.wild.pairs import closure, normal, pair

# ---- attention with fewer heads for keys: heads are shared, gradients are not summed


def shared_heads(q, k, v):
    share = len(q) // len(k)
    k, v = np.repeat(k, share, axis=0), np.repeat(v, share, axis=0)
    return softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])) @ v


def shared_gradient(collect):
    def backward(dy, q, k, v):
        share, scale = len(q) // len(k), 1 / np.sqrt(q.shape[-1])
        kk, vv = np.repeat(k, share, axis=0), np.repeat(v, share, axis=0)
        p = softmax(q @ kk.swapaxes(1, 2) * scale)
        dp = dy @ vv.swapaxes(1, 2)
        ds = p * (dp - np.sum(dp * p, axis=-1, keepdims=True)) * scale
        return {
            "q": ds @ kk,
            "k": collect(ds.swapaxes(1, 2) @ q, len(k)),
            "v": collect(p.swapaxes(1, 2) @ dy, len(k)),
        }

    return backward


def per_group(d, heads):
    return d.reshape(heads, -1, *d.shape[1:]).sum(1)


HEADS = {"q": normal(4, 3, 2), "k": normal(2, 5, 2), "v": normal(2, 5, 3)}
pair(
    "grouped query attention unsummed",
    kind="broadcast",
    link="https://github.com/marin-community/levanter/pull/449",
    shows="where heads share a key",
    buggy=closure(shared_heads, shared_gradient(lambda d, heads: d)),
    fixed=closure(shared_heads, shared_gradient(per_group)),
    arrays=HEADS,
    codes=("shape",),
)


# ---- the same with interleaved heads: the index is divided by the wrong count


def interleaved(d, heads):
    share = len(d) // heads
    out = np.zeros((heads, *d.shape[1:]))
    for h in range(len(d)):
        out[(h // heads) % heads if share != heads else h // share] += d[h]
    return out


pair(
    "grouped query attention divides by the other count",
    kind="setting",
    link="https://github.com/XunhaoLai/native-sparse-attention-triton/issues/27",
    shows="where the heads of a key are not as many as the keys",
    buggy=closure(shared_heads, shared_gradient(interleaved)),
    fixed=closure(shared_heads, shared_gradient(per_group)),
    arrays={"q": normal(6, 3, 2), "k": normal(2, 5, 2), "v": normal(2, 5, 3)},
    codes=("group", "permuted", "partial", "wrong-operand", "axis-scale"),
    call=lambda f: gradcheck.stress(
        f, q=("H*share", "T", "D"), k=("H", "S", "D"), v=("H", "S", "E"), share=[1, 2, 3]
    ),
)

# ---- rotary positions: the sine is applied after the exchange of halves


def exchange(x):
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([-b, a], axis=-1)


def rotary(x, cos, sin):
    return x * cos + exchange(x) * sin


ANGLES = normal(3, 4)
pair(
    "rotary embedding's sine",
    kind="formula",
    link="https://github.com/PaddlePaddle/Paddle/pull/74716",
    shows="where the two halves of the sine differ",
    buggy=closure(rotary, lambda dy, x, cos, sin: {"x": dy * cos - exchange(dy) * sin}),
    fixed=closure(rotary, lambda dy, x, cos, sin: {"x": dy * cos - exchange(dy * sin)}),
    arrays={"x": normal(3, 4, seed=1), "cos": np.cos(ANGLES), "sin": np.sin(ANGLES)},
    codes=("wrong-operand", "permuted"),
    call=lambda f: gradcheck.check(
        f, wrt="x", x=normal(3, 4, seed=1), cos=np.cos(ANGLES), sin=np.sin(ANGLES)
    ),
)
