"""Planted mistakes: what people get wrong in the backward pass of each layer, as edits of the text
in the folder ``sources``.
"""

from typing import NamedTuple

__all__ = ["MISTAKES", "Mistake", "planted"]


class Mistake(NamedTuple):
    """One edit of a layer's text. name: what it does, for people. before, after: the edit; before
    occurs once in the text.
    """

    name: str
    before: str
    after: str


_SCATTER = "dimage[:, :, rows, columns] +="
_GIVES = 'np.einsum("nfij,fc->ncij", dy, w[:, :, u, v])\n        db'
_TAKES = 'np.einsum("nfij,ncij->fc", dy, image[:, :, rows, columns])'
_MASK = "dx = dy * (x > 0)"

MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "conv": (
        Mistake("= for += where windows overlap", _SCATTER, _SCATTER.replace("+=", "=")),
        Mistake("kernel flipped", _GIVES, _GIVES.replace("w[", "w[:, :, ::-1, ::-1][")),
        Mistake("kernel's rows and columns exchanged", _GIVES, _GIVES.replace("u, v", "v, u")),
        Mistake("dw divided by the number of images", _TAKES, f"{_TAKES} / len(x)"),
        Mistake(
            "bias summed over the filters as well",
            "db = dy.sum(axis=(0, 2, 3))",
            "db = np.full_like(b, dy.sum())",
        ),
        Mistake(
            "bias averaged where it should be summed",
            "db = dy.sum(axis=(0, 2, 3))",
            "db = dy.mean(axis=(0, 2, 3))",
        ),
    ),
    "relu": (
        Mistake("no mask", _MASK, "dx = dy"),
        Mistake("mask by the gradient", _MASK, "dx = dy * (dy > 0)"),
        Mistake("mask reversed", _MASK, "dx = dy * (x < 0)"),
        Mistake("gradient 1 at the kink", _MASK, "dx = dy * (x >= 0)"),
    ),
    "tanh": (
        Mistake("slope at x for slope at y", "(1 - y**2)", "(1 - x**2)"),
        Mistake("square forgotten", "(1 - y**2)", "(1 - y)"),
        Mistake("slope forgotten", "dx = dy * (1 - y**2)", "dx = dy"),
    ),
    "max_pool": (
        Mistake("all cells get the gradient", "dx[:, :, rows, columns] += share",
                "dx[:, :, rows, columns] += dy[:, :, i, j, None, None]"),
        Mistake("every one of equal maxima gets it",
                "wins = np.arange(kh * kw) == first[:, :, None]",
                "wins = cells == cells.max(axis=2)[:, :, None]"),
        Mistake("the minimum gets the gradient", "cells.argmax(axis=2)", "cells.argmin(axis=2)"),
        Mistake("= for += (shows only where windows overlap)",
                "dx[:, :, rows, columns] += share", "dx[:, :, rows, columns] = share"),
    ),
    "avg_pool": (
        Mistake("division by the window's size forgotten", "+= dy / (kh * kw)", "+= dy"),
        Mistake("= for += (shows only where windows overlap)",
                "columns] += dy", "columns] = dy"),
    ),
    "dense": (
        Mistake("dw reshaped where it should be transposed",
                "dw = x.T @ dy", "dw = (dy.T @ x).reshape(w.shape)"),
        Mistake("dw divided by the number of images", "dw = x.T @ dy", "dw = x.T @ dy / len(x)"),
        Mistake("bias summed over the classes as well",
                "db = dy.sum(axis=0)", "db = 0 * b + dy.sum()"),
        Mistake("dw of the first image only", "dw = x.T @ dy", "dw = x[:1].T @ dy[:1]"),
        Mistake("sign of dx", "dx = dy @ w.T", "dx = -dy @ w.T"),
    ),
    "flatten": (
        Mistake("channels last", "dx = dy.reshape(x.shape)",
                "dx = dy.reshape(len(x), *x.shape[2:], x.shape[1]).transpose(0, 3, 1, 2)"),
        Mistake("rows and columns exchanged", "dx = dy.reshape(x.shape)",
                "dx = dy.reshape(x.shape).transpose(0, 1, 3, 2)"),
    ),
    "batch_norm": (
        Mistake("statistics as constants",
                "dx = (dz - mean_dz - z * mean_dz_z) / std", "dx = dz / std"),
        Mistake("variance as a constant",
                "dx = (dz - mean_dz - z * mean_dz_z) / std", "dx = (dz - mean_dz) / std"),
        Mistake("dw without z", "dw = (dy * z).sum(axis=axes)", "dw = dy.sum(axis=axes)"),
    ),
    "cross_entropy": (
        Mistake("1 / N forgotten", "dz = dloss * dz / n", "dz = dloss * dz"),
        Mistake("one-hot labels not subtracted", "labels] -= 1\n", "labels] -= 0\n"),
        Mistake("sign", "dz = dloss * dz / n", "dz = -dloss * dz / n"),
    ),
}  # fmt: skip


def planted(text: str, mistake: Mistake) -> str:
    """Return a layer's text with a mistake in it."""
    if text.count(mistake.before) != 1:
        raise ValueError(f"the text does not hold {mistake.before!r} once")
    return text.replace(mistake.before, mistake.after)
