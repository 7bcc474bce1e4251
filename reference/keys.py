"""Random keys: every random number is a pure function of a key, an int or a tuple of ints.

The key ``(seed, i, j, ...)`` stands for the random stream
``default_rng(SeedSequence(seed, spawn_key=(i, j, ...)))``; a plain int ``seed`` is the same key as
``(seed,)``. A part of a network draws from its parent's key with its position appended, so that no
two parts share a stream. (Seeding with a list would not do: ``default_rng([1])`` and
``default_rng([1, 0])`` are the same stream.)

Initial weights follow one more rule, which is the chapter's: the i-th layer that has parameters
draws from seed + i. So the second layer for seed 3 draws the same numbers as the first for seed 4.
Independent repetitions therefore use the keys ``(3, 0)``, ``(3, 1)``, ..., not the seeds 3, 4, ...
"""

import numbers
from collections.abc import Sequence

import numpy as np

__all__ = ["as_key", "child", "layer_key", "rng"]


Key = int | Sequence[int]


def as_key(key: Key) -> tuple[int, ...]:
    """Return ``key`` as a tuple of ints, 0 or more; ValueError for anything else."""
    parts = key if isinstance(key, (tuple, list)) else (key,)
    good = parts and all(
        isinstance(k, numbers.Integral) and not isinstance(k, (bool, np.bool_)) and k >= 0
        for k in parts
    )
    if not good:
        raise ValueError(
            "a key is an int seed or a tuple of ints, none negative, such as 3 or (3, 0); "
            f"got {key!r}"
        )
    return tuple(int(k) for k in parts)


def child(key: Key | None, *position: int) -> tuple[int, ...] | None:
    """Return the key of the part at ``position``, (*key, *position). None stays None."""
    return None if key is None else (*as_key(key), *position)


def layer_key(key: Key | None, i: int) -> Key | None:
    """Return the key for the initial weights of the i-th layer that has parameters: seed + i."""
    if key is None or i == 0:
        return key
    seed, *path = as_key(key)
    return (seed + i, *path)


def rng(key: Key) -> np.random.Generator:
    """Return a new NumPy Generator at the beginning of the stream of ``key``."""
    seed, *path = as_key(key)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(path)))
