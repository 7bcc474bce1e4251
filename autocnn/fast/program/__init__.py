"""Programs: a small network's batches trained on in one call of compiled code, Python in none.

For small networks the time goes into what lies between the kernels. Here a network is a table of
rows, a row a layer, and one machine runs it: it takes a batch's images, eight at a time, an image
in each lane of a vector, through the layers forward and backward, moves the parameters, and goes on
to the next batch. The machine is the same for all networks of a dtype. LLVM compiles it in a
quarter of a second, when it is first needed; nothing is kept on disk.

    layout      what machine and callers agree on
    vectors     the language in which kernels are written
    kernels     the layers: conv, pool and, by itself, the rest
    machine     how batches go through the layers
    batches     a batch's loss and update
    lower       from a network to its table
    run         calls with NumPy's arrays

Results depend on the processor's kind, not on the number of threads: one thread computes. Where
Numba is not installed, or NumPy's kernels are chosen, there are no programs.
"""

from typing import Any

import numpy as np

from autocnn.fast.kernels import is_automatic, tuning
from autocnn.fast.program.lower import Program, lower
from autocnn.trees import leaves

__all__ = ["small_program"]


def small_program(
    model: Any, params: Any, x: np.ndarray, batch_size: int, train: bool
) -> Program | None:
    """Return the program of a network for batches of x (N, ...), or None.

    None for what a program cannot hold, or not do more quickly than kernels layer by layer; params
    and x fit the network. What decides are the network, dtypes and sizes, never what ran before.
    """
    if not is_automatic() or x.dtype.char not in "fd" or not x.dtype.isnative:
        return None
    pairs = leaves(params)
    if not pairs or any(leaf.dtype != x.dtype for _, leaf in pairs):
        return None
    sizes = tuple((path, leaf.size) for path, leaf in pairs)
    program = lower(model, tuple(x.shape[1:]), sizes, train)
    if program is None:
        return None
    is_narrow = program.widest <= tuning.PROGRAM_NARROW and program.heaviest <= tuning.PROGRAM_LIGHT
    most = tuning.PROGRAM_MAX_NARROW_WORK if is_narrow else tuning.PROGRAM_MAX_WORK
    return program if batch_size * program.work <= most else None
