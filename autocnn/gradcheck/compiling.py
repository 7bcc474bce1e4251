"""Functions of jax arrays that are compiled once they have been called often at the same shapes:
tracing a custom rule anew takes milliseconds at each call, and a check calls it a thousand times.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["OFTEN", "Compiled", "stamp"]

# a check runs what it compiles a few thousand times at most: it is not worth optimising
_OPTIONS = {"xla_backend_optimization_level": 0}
OFTEN = 6  # calls at the same shapes after which compiling pays


class Compiled:
    """`f(*arrays)`, compiled once it has been called more than `often` times at the same shapes.

    It stays as it is when it cannot be compiled, or gives other values then: it branches on
    values, keeps a state, or draws numbers from outside of jax.
    """

    def __init__(self, f: Callable, often: int = OFTEN) -> None:
        self.f, self.often = f, often
        self.calls: Counter = Counter()
        self.jitted: Callable | None = None
        self.refused = False

    def __call__(self, *arrays: Any) -> Any:
        import jax

        if self.refused:
            return self.f(*arrays)
        if self.jitted is not None:  # one compilation for new shapes, not one for each operation
            return self.jitted(*arrays)
        leaves = jax.tree_util.tree_leaves(arrays)
        key = tuple((np.shape(a), str(getattr(a, "dtype", ""))) for a in leaves)
        self.calls[key] += 1
        if self.calls[key] <= self.often:
            return self.f(*arrays)
        return self.compiled_first(*arrays)

    def compiled_first(self, *arrays: Any) -> Any:
        """The result of f itself, compared with that of f compiled."""
        import jax

        eager, jitted = self.f(*arrays), jax.jit(self.f, compiler_options=_OPTIONS)
        try:
            pairs = zip(*map(jax.tree_util.tree_leaves, (eager, jitted(*arrays))), strict=True)
            same = all(np.allclose(a, b, 1e-9, 1e-12, equal_nan=True) for a, b in pairs)
        except Exception:  # whatever tracing does not allow
            same = False
        self.jitted, self.refused = (jitted, False) if same else (None, True)
        return eager


def stamp(value: Any) -> Any:
    """What two arguments of the same value share."""
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    return repr(value)
