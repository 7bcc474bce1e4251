"""What a pair is: a derivative as somebody got it wrong, and as it belongs.

The facts (which term, which setting) come from a public thread or a change in a repository; the
code here is written anew and as small as the mistake allows.
"""

import importlib
import inspect
import pkgutil
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["KINDS", "Pair", "closure", "every_pair", "held", "normal", "pair"]

#: The kinds of mistakes, and what belongs to each.
KINDS = {
    "formula": "a factor, a sign or a term of the derivative",
    "path": "a route of the chain rule left out, or no gradient at all",
    "broadcast": "sums over axes that were broadcast",
    "accumulation": "`=` where contributions add up, or one that counts twice",
    "mask": "wrong exactly where a mask or a comparison says so",
    "edge": "right but for special values: zeros, ties, overflow, a rank of 0",
    "setting": "right but for some stride, group count, rank or length",
    "layout": "reads memory as if it were contiguous",
    "precision": "sums kept in a narrow dtype",
    "in-place": "writes into an argument, the cotangent or what was saved",
    "randomness": "draws anew in backward, or differs from call to call",
    "second order": "right once, wrong when differentiated again",
    "forward mode": "the rule of forward mode",
    "complex": "a conjugate missing, or one too many",
}


class Pair(NamedTuple):
    """One mistake. `buggy` and `fixed` are what `check` is given; `call(function)` is the call of
    this project's checker that a user would make, and returns its report.

    `library` is numpy (f(**arrays) -> (y, backward)), torch or jax (f(**arrays) -> y). `shows` says
    at which settings it shows; `arrays` has them. `codes` are the causes that count as its name,
    decided before the checker first ran on it; "twice" and "not adjoint" stand for the notes that
    the checker writes on second derivatives and on forward mode.
    """

    name: str
    kind: str
    link: str
    shows: str
    buggy: Callable
    fixed: Callable
    arrays: dict[str, Any]
    codes: tuple[str, ...]
    call: Callable
    library: str = "numpy"
    order: int = 1
    mode: str = "reverse"


PAIRS: dict[str, Pair] = {}


def pair(name: str, **fields: Any) -> Pair:
    """Enter a pair; the default call is `gradcheck.check(function, **arrays)`."""
    from autocnn import gradcheck

    arrays = fields["arrays"]
    options = {n: v for n, v in fields.items() if n in ("order", "mode")}
    fields.setdefault("call", lambda f: gradcheck.check(f, **arrays, **options))
    made = Pair(name, **fields)
    assert made.kind in KINDS and name not in PAIRS, name
    PAIRS[name] = made
    return made


def closure(forward: Callable, backward: Callable) -> Callable:
    """f(**arrays) -> (y, backward) of forward(**arrays) -> y and backward(dy, **arrays)."""

    def f(**arrays):
        return forward(**arrays), lambda dy: backward(dy, **arrays)

    f.__name__, f.__signature__ = forward.__name__, inspect.signature(forward)
    return f


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers, the same at each call."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def held(name: str) -> bool:
    """Is this pair held back from whoever writes rules? About a third are, by their names."""
    return zlib.crc32(name.encode()) % 3 == 0


def every_pair() -> dict[str, Pair]:
    """name -> pair, of all pages."""
    from benchmarks.wild import pages

    for page in pkgutil.iter_modules(pages.__path__):
        importlib.import_module(f"{pages.__name__}.{page.name}")
    return PAIRS
