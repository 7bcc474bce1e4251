"""Keys: all randomness is a pure function of a key, an int seed or a tuple of ints.

``(seed, i, j, ...)`` names the stream ``default_rng(SeedSequence(seed, spawn_key=(i, j, ...)))``,
and a plain seed is the same as ``(seed,)``. A child's key is its parent's plus its position, so
that two branches of one tree never share a stream. Joining ints into one list, ``default_rng([1])``
and ``default_rng([1, 0])``, would not do: both are the same stream.

Initial weights follow one more rule, the chapter's: the i-th layer that has parameters draws from
seed + i. Seeds 3 and 4 therefore share streams between neighbouring layers; independent repetitions
are keyed ``(3, 0)``, ``(3, 1)``, ... instead.
"""

import numbers

import numpy as np

__all__ = ["as_key", "child", "layer_key", "rng"]


def as_key(key):
    """Return ``key`` as a tuple of non-negative ints; ValueError for anything else."""
    parts = key if isinstance(key, (tuple, list)) else (key,)
    good = parts and all(
        isinstance(k, numbers.Integral) and not isinstance(k, (bool, np.bool_)) and k >= 0
        for k in parts
    )
    if not good:
        raise ValueError(
            f"a key is an int seed or a tuple of ints, none negative, such as 3 or (3, 0); got {key!r}"
        )
    return tuple(int(k) for k in parts)


def child(key, *position):
    """Return the key of the child at ``position``; None, the absent key, stays None."""
    return None if key is None else (*as_key(key), *position)


def layer_key(key, i):
    """Return the key from which the i-th layer that has parameters draws its initial weights:
    seed + i.
    """
    if key is None or i == 0:
        return key
    seed, *path = as_key(key)
    return (seed + i, *path)


def rng(key):
    """Return the numpy Generator that belongs to ``key``."""
    seed, *path = as_key(key)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(path)))
