"""Learning-rate schedules: functions from the step 0, 1, ... to a rate."""

import bisect
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autocnn.ops.arguments import integer

__all__ = [
    "Schedule",
    "call_text",
    "check_non_negative",
    "cosine",
    "piecewise_constant",
    "warmup_constant",
]

Schedule = Callable[[int], float]


@dataclass(frozen=True, repr=False)
class _Schedule:
    """A schedule that can be pickled, and whose repr is the call that made it."""

    function: Callable[..., float]
    text: str
    arguments: tuple

    def __call__(self, step: int) -> float:
        return self.function(step, *self.arguments)

    def __repr__(self) -> str:
        return self.text


def cosine(peak: float, steps: int, warmup: int = 0, end: float = 0.0) -> Schedule:
    """Schedule: a linear warmup to ``peak``, then half a cosine down to ``end``.

        t < warmup:    peak (t + 1) / warmup
        t >= warmup:   end + (peak - end) (1 + cos(pi u)) / 2,  u = (t - warmup) / (steps - warmup)
        t >= steps:    end

    peak, end: rates, 0 or more. steps: the length of the run; its last step is steps - 1. warmup:
    steps of warmup, fewer than ``steps``. ValueError for anything else.

    Source: Loshchilov and Hutter 2017, SGDR, equation 5, without restarts; the warmup is from Goyal
    et al. 2017, Accurate, large minibatch SGD, section 2.2.

    >>> rate = cosine(0.1, steps=8, warmup=2)
    >>> [round(rate(t), 4) for t in range(9)]
    [0.05, 0.1, 0.1, 0.0933, 0.075, 0.05, 0.025, 0.0067, 0.0]
    """
    check_non_negative(**{"the peak rate": peak, "the end rate": end})
    steps, warmup = integer(steps, "cosine: steps"), integer(warmup, "cosine: warmup", least=0)
    if warmup >= steps:
        raise ValueError(
            f"cosine: warmup={warmup} must be less than steps={steps}, such as warmup={steps // 10}"
        )

    return _Schedule(
        _cosine,
        call_text("cosine", peak, steps, warmup=warmup, end=end),
        (peak, steps, warmup, end),
    )


def _cosine(step: int, peak: float, steps: int, warmup: int, end: float) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    u = min((step - warmup) / (steps - warmup), 1.0)
    return end + (peak - end) * (1 + math.cos(math.pi * u)) / 2


def warmup_constant(peak: float, warmup: int = 0) -> Schedule:
    """Schedule: a linear warmup to ``peak``, then ``peak``.

        t < warmup:    peak (t + 1) / warmup
        t >= warmup:   peak

    It does not depend on the length of the run: five epochs, resumed for five more, are the same as
    ten.

    peak: a rate, 0 or more. warmup: steps, 0 or more. ValueError for anything else.

    >>> rate = warmup_constant(0.1, warmup=2)
    >>> [rate(t) for t in range(4)]
    [0.05, 0.1, 0.1, 0.1]
    """
    check_non_negative(**{"the peak rate": peak})
    warmup = integer(warmup, "warmup_constant: warmup", least=0)
    text = call_text("warmup_constant", peak, warmup=warmup)
    return _Schedule(_warmup_constant, text, (peak, warmup))


def _warmup_constant(step: int, peak: float, warmup: int) -> float:
    return peak * (step + 1) / warmup if step < warmup else peak


def piecewise_constant(rates: Mapping[int, float]) -> Schedule:
    """Schedule: constant rates that change at given steps.

    rates: {first step: rate from that step on}. It must contain step 0; ValueError otherwise, and
    for a rate below 0.

    >>> rate = piecewise_constant({0: 0.1, 100: 0.01})
    >>> rate(99), rate(100)
    (0.1, 0.01)
    """
    starts = sorted(rates)
    if not starts or starts[0] != 0:
        raise ValueError(
            "piecewise_constant needs the rate from step 0 on, such as {0: 0.1, 100: 0.01}; "
            f"got {rates!r}"
        )
    for start in starts:
        step = integer(start, "piecewise_constant: a step", least=0)
        check_non_negative(**{f"rate from step {step}": rates[start]})
    steps = {start: rates[start] for start in starts}
    return _Schedule(_piecewise_constant, call_text("piecewise_constant", steps), (starts, steps))


def _piecewise_constant(step: int, starts: list[int], rates: Mapping[int, float]) -> float:
    return rates[starts[bisect.bisect_right(starts, step) - 1]]


def call_text(name: str, *values: Any, **options: Any) -> str:
    """Return the text of a call, without the options that are 0 or False."""
    given = [repr(v) for v in values] + [f"{k}={v!r}" for k, v in options.items() if v]
    return f"{name}({', '.join(given)})"


def check_non_negative(**values: Any) -> None:
    """Raise ValueError that names the first value that is not a finite number, 0 or more."""
    for name, value in values.items():
        if not (is_number(value) and 0 <= value < math.inf):
            raise ValueError(f"{name} must be a finite number, 0 or more; got {value!r}")


def is_number(value: object) -> bool:
    """Whether a value is a real number; a bool is not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
