"""What can be said of gradients at full size without comparing them: shapes, dtypes, inf and
nan."""

import numpy as np

from autocnn.gradcheck.large.calls import FullSize
from autocnn.gradcheck.large.directions import Measured
from autocnn.gradcheck.large.slopes import Facts
from autocnn.gradcheck.report import Cause

__all__ = ["gradient_causes"]


def gradient_causes(full: FullSize, facts: dict[str, Facts], here: Measured) -> list[Cause]:
    """A cause for each gradient that cannot be compared."""
    causes = []
    if not here.finite:
        message = "the output holds inf or nan at these arguments: nothing can be compared"
        causes.append(Cause("nonfinite", None, message))
    for name, fact in facts.items():
        x = full.value(name)
        if not fact.came:
            continue
        if fact.shape is None or fact.dtype is None:
            causes.append(Cause("shape", name, "the gradient is not an array"))
        elif fact.dtype.kind != "f":
            message = f"the gradient is {fact.dtype}, the leaf {x.dtype}"
            causes.append(Cause("dtype", name, message))
        elif fact.shape != x.shape:
            message = f"the gradient has shape {fact.shape}, the leaf {x.shape}"
            causes.append(Cause("shape", name, message))
        elif fact.nonfinite is not None:
            count, first = fact.nonfinite
            where = f"{name}[{', '.join(map(str, first))}]"
            message = f"{count} of {x.size} entries are inf or nan, first at {where}"
            causes.append(Cause("nonfinite", name, message))
        elif _loses_digits(fact.dtype, x.dtype, here.dtypes):
            message = f"the gradient is {fact.dtype}, the leaf and the output {x.dtype}"
            causes.append(Cause("dtype", name, message))
    return causes


def _loses_digits(grad: np.dtype, leaf: np.dtype, outputs: tuple[np.dtype, ...]) -> bool:
    return grad.itemsize < leaf.itemsize and not all(d == np.float32 for d in outputs)
