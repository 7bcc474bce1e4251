"""Random keys: every random number is a pure function of a key, an int or a tuple of ints.

All interpretations draw the same numbers: the functions are those of ``reference.keys``.
"""

from reference.keys import as_key, child, layer_key, rng

__all__ = ["as_key", "child", "layer_key", "rng"]
