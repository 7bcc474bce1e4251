"""Optimizers and learning-rate schedules, as pure functions over parameter trees.

    opt = adam(warmup_constant(1e-3, warmup=100))
    opt_state = opt.init(params)
    params, opt_state = opt.update(params, grads, opt_state)

Nothing is changed in place. A rate is a float, or a schedule: a function from the step 0, 1, ... to
a float. ``clip_by_global_norm`` wraps an optimizer and limits the gradients it sees.
"""

from autocnn.deprecation import renamed_names
from autocnn.optim.optimizers import Optimizer, adam, clip_by_global_norm, global_norm, sgd
from autocnn.optim.schedules import Schedule, cosine, piecewise_constant, warmup_constant

__all__ = [
    "Optimizer",
    "Schedule",
    "adam",
    "clip_by_global_norm",
    "cosine",
    "global_norm",
    "piecewise_constant",
    "sgd",
    "warmup_constant",
]

__getattr__ = renamed_names(
    __name__,
    {
        "clip": f"{__name__}.clip_by_global_norm",
        "constant": f"{__name__}.warmup_constant",
        "drops": f"{__name__}.piecewise_constant",
        "norm": f"{__name__}.global_norm",
    },
)
