"""One node on autograd's tape for a whole layer, or a whole network, whose derivative is given.

A function with a given derivative is written twice: ``pull``, which computes arrays by fast kernels
and returns a closure for the way back, and ``plain``, the same function composed of autograd's own
primitives. Gradients go through ``pull``. Whatever it cannot do, derivatives of derivatives or
forward mode, goes through ``plain``: slower, never wrong.
"""

import numpy as np
from autograd.core import VJPNode
from autograd.tracer import isbox, new_box

from autocnn import autodiff

__all__ = ["differentiable", "isbox"]


def differentiable(pull, plain, args):
    """Return (y, aux) of ``args``, a list of arrays that autograd may be tracing.

    ``pull(args, wanted)`` returns (y, aux, back); ``wanted`` holds the positions whose gradients
    are asked for (none: back is not needed), and ``back(dy)`` returns a list of gradients, one an
    argument, None where not wanted. ``plain(args)`` returns (y, aux).
    """
    wanted = tuple(i for i, arg in enumerate(args) if isbox(arg))
    if not wanted:
        return pull(args, ())[:2]
    boxes = [args[i] for i in wanted]
    values = _put(args, wanted, [box._value for box in boxes])
    trace = boxes[0]._trace
    one_level = all(box._trace == trace for box in boxes) and not any(
        isbox(value) for value in values
    )
    if not one_level or any(type(box._node) is not VJPNode for box in boxes):
        return plain(args)
    y, aux, back = pull(values, wanted)
    dtype = y.dtype

    def vjp(dy):
        if isbox(dy):
            _, _, again = autodiff.vjp(
                lambda *part: plain(_put(values, wanted, part)), *(values[i] for i in wanted)
            )
            return again(dy)
        grads = back(np.asarray(dy, dtype))
        return tuple(grads[i] for i in wanted)

    node = VJPNode.__new__(VJPNode)
    node.parents = [box._node for box in boxes]
    node.vjp = vjp
    return new_box(y, trace, node), aux


def _put(values, positions, part):
    values = list(values)
    for i, value in zip(positions, part, strict=True):
        values[i] = value
    return values
