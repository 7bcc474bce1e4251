"""jax functions whose custom rule computes another value than the function itself.

jax takes the value from `fwd` of a custom_vjp, and from the rule of a custom_jvp, as soon as it
differentiates. A program then trains one function and is evaluated with another, without a word.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["another_value"]

ROUNDING = {"bf16[": 0.05, "f16[": 0.01, "f32[": 1e-5}  # by what the function computes in


def another_value(
    build: Callable, leaves: list[Any], ys: list[Any], plain: list[Any], noise: float = 0.0
) -> list[tuple[Any, ...]]:
    """An error where outputs under differentiation (`ys`) are not those of the plain call, beyond
    rounding and beyond what two calls of either kind differ by (at least `noise`, relative).

    build() makes the function anew: jax would repeat the trace of the one that it knows.
    """
    import jax

    tolerance = max(_tolerance(build(), leaves), noise)
    again = build()(*leaves), jax.vjp(build(), *leaves)[0]
    for k, (y, called, *repeated) in enumerate(zip(ys, plain, *again, strict=True)):
        a, b, *calls = (np.asarray(v, dtype=complex) for v in (y, called, *repeated))
        gap = np.abs(a - b) if a.shape == b.shape else np.array([np.inf])
        gap = np.where(np.isnan(gap), np.where(np.isnan(a) == np.isnan(b), 0.0, np.inf), gap)
        scale = np.max(np.abs(b[np.isfinite(b)]), initial=1e-300)
        spread = max(_spread(b, calls[0]), _spread(a, calls[1]))
        if not np.max(gap, initial=0.0) > max(tolerance * scale, 8 * spread):
            continue
        at = tuple(int(i) for i in np.unravel_index(np.argmax(gap), gap.shape))
        which = f"output {k}" if len(ys) > 1 else "y"
        place = f"{which}[{', '.join(map(str, at))}]" if at else which
        message = (
            f"its custom rule computes another y than the function: {place} is "
            f"{np.asarray(y)[at]:.6g} under differentiation (fwd of a custom_vjp, or the rule of a "
            f"custom_jvp) and {np.asarray(called)[at]:.6g} in a plain call; the gradient was "
            "compared with that of the rule's y"
        )
        return [("error", message, "forward", None)]
    return []


def _spread(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two calls of one kind."""
    return float(np.max(np.abs(a - b), initial=0.0)) if a.shape == b.shape else np.inf


def _tolerance(run: Callable, leaves: list[Any]) -> float:
    """The relative rounding that two ways to compute the function may differ by."""
    import jax

    try:
        text = str(jax.make_jaxpr(run)(*leaves))
    except Exception:  # it branches on values
        return ROUNDING["f32["]
    return next((size for kind, size in ROUNDING.items() if kind in text), 1e-9)
