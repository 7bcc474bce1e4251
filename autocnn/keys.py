"""Keys: all randomness is a pure function of a key, an int seed or a tuple of ints.

Both gradient paths draw the same numbers, so the functions stand once, in ``reference.keys``.
"""

from reference.keys import as_key, child, layer_key, rng

__all__ = ["as_key", "child", "layer_key", "rng"]
