"""About how much memory training a network takes, before any of it is allocated.

The estimate counts what a step and a save hold at one time. For AlexNet, VGG-16, ResNet-50,
MobileNetV2 and DenseNet-121 it was 0.9 to 1.4 times the measured peak.
"""

import math
from typing import Any

import numpy as np

from autocnn.inspection.summary import summary
from autocnn.memory import available, gigabytes
from autocnn.runs.start import MAX_PARAMETERS
from autocnn.text import shape_text

__all__ = ["available", "check", "gigabytes", "needed"]

MOMENTS = {"adam": 2, "sgd": 1}  # trees of the parameters' size that an optimizer keeps
LEAST_TO_SAY = 1 << 29  # of which nobody needs to be told
PER_VALUE = 2  # arrays of an output's size that a step holds: what backward needs, and scratch
PER_SAVE = 4  # copies that a checkpoint passes through: arrays, bytes, file, and read back


def needed(
    model: Any, shape: tuple[int, int, int], batch_size: int, dtype: str, optimizer: str
) -> int:
    """Return about how many bytes training takes, beside the data and the program itself.

    model: a network of any interpretation. shape: (C, H, W) of one image as it enters the network.
    optimizer: "adam" or "sgd". Nothing is allocated.
    """
    rows = summary(model, shape)
    size, trees = np.dtype(dtype).itemsize, 1 + MOMENTS.get(optimizer, 2)
    values = sum(math.prod(row.output_shape) for row in rows) + math.prod(shape)
    step = (trees + 1) * rows.parameters + PER_VALUE * batch_size * values
    return size * max(step, PER_SAVE * trees * rows.parameters)


def check(
    name: str,
    model: Any,
    shape: tuple[int, int, int],
    batch_size: int,
    dtype: str,
    optimizer: str,
) -> str | None:
    """Return a sentence on what training needs and what is free; None where it needs little.

    name: of the network, for the sentence. Raises MemoryError, with what would fit, when it needs
    more than is free.
    """
    need, free = needed(model, shape, batch_size, dtype, optimizer), available()
    if need > MAX_PARAMETERS * np.dtype(dtype).itemsize * PER_SAVE * 3:
        return None  # ``initialize`` refuses it
    if need < LEAST_TO_SAY and (free is None or need < free):
        return None
    what = f"{name} with batches of {batch_size} images of {shape_text(shape, 'x')}"
    if free is None or need <= free:
        rest = "" if free is None else f"; {gigabytes(free)} are free"
        return f"{what} takes about {gigabytes(need)} of memory{rest}"
    fits = [
        n
        for n in (2**k for k in range(20, -1, -1))
        if n < batch_size and needed(model, shape, n, dtype, optimizer) <= 0.9 * free
    ]
    advice = f"--batch-size {fits[0]} would fit" if fits else "a smaller --width takes less"
    raise MemoryError(
        f"{what} takes about {gigabytes(need)}, and {gigabytes(free)} are free; {advice}"
    )
