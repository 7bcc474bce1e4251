"""Arrays a part at a time, so that nothing the size of the whole is made."""

import math
import zlib
from collections.abc import Iterator

import numpy as np

__all__ = ["BLOCK", "LARGE", "blocks", "checksum", "flat"]

BLOCK = 2**15  # entries
LARGE = 2**18  # entries: arrays with more are not copied for a check

Index = tuple


def blocks(shape: tuple[int, ...], most: int = BLOCK) -> Iterator[tuple[Index, int]]:
    """(index, position of its first entry in C order) of parts of at most `most` entries that cover
    an array of this shape."""
    if math.prod(shape) <= most:
        yield (), 0
        return
    inner = math.prod(shape[1:])
    if inner <= most:
        step = most // max(inner, 1)
        for start in range(0, shape[0], step):
            yield (slice(start, start + step),), start * inner
        return
    for i in range(shape[0]):
        for index, start in blocks(shape[1:], most):
            yield (i, *index), i * inner + start


def flat(array: np.ndarray, index: Index) -> np.ndarray:
    """The entries of one block, in C order."""
    return np.asarray(array[index]).reshape(-1)


def checksum(array: np.ndarray) -> int:
    """A number that changes, but for one chance in four billion, when any bit of `array` does."""
    total = 0
    for index, _ in blocks(array.shape):
        total = zlib.crc32(flat(array, index).view(np.uint8), total)
    return total
