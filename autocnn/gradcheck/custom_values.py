"""jax functions whose custom rule computes another value than the function itself.

jax takes the value from `fwd` of a custom_vjp, and from the rule of a custom_jvp, as soon as it
differentiates. A program then trains one function and is evaluated with another, without a word.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["another_value"]

# What two right ways to compute a value may differ by, and the rounding of a number, by the
# narrowest dtype on the way.
ROUNDING = {
    "bf16[": (0.05, 2.0**-8),
    "f16[": (0.01, 2.0**-11),
    "f32[": (1e-5, 2.0**-24),
    "": (1e-9, 2.0**-53),
}
DRAWS = 6  # of rounded arguments
MARGIN = 32  # times what they change: of six draws, one comes nearer to the worst than that


def another_value(
    build: Callable, leaves: list[Any], ys: list[Any], plain: list[Any], noise: float = 0.0
) -> list[tuple[Any, ...]]:
    """An error where outputs under differentiation (`ys`) are not those of the plain call, beyond
    rounding and beyond what two calls of either kind differ by (at least `noise`, relative).

    Each entry is judged by its own size. Where that is not enough, rounded arguments say how much
    rounding inside can change it: sums that cancel lose digits that neither way can keep.
    build() makes the function anew: jax would repeat the trace of the one that it knows.
    """
    import jax

    relative, rounding = _precision(build(), leaves)
    relative = max(relative, noise)
    again = build()(*leaves), jax.vjp(build(), *leaves)[0]
    moved = None
    for k, (y, called, *repeated) in enumerate(zip(ys, plain, *again, strict=True)):
        a, b, *calls = (np.asarray(v, dtype=complex) for v in (y, called, *repeated))
        gap = _gap(a, b)
        spread = max(_spread(b, calls[0]), _spread(a, calls[1]))
        allowed = np.maximum(relative * np.where(np.isfinite(b), np.abs(b), 0.0), 8 * spread)
        if not np.any(gap > allowed):
            continue
        if gap.shape == b.shape:
            moved = _moved(build, leaves, rounding) if moved is None else moved
            allowed = np.maximum(allowed, MARGIN * moved[k])
        if not np.any(gap > allowed):
            continue
        worst = np.argmax(gap - allowed)
        at = tuple(int(i) for i in np.unravel_index(worst, gap.shape))
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


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far apart two outputs are, entry by entry; the same inf or nan is no difference."""
    if a.shape != b.shape:
        return np.full(1, np.inf)
    gap = np.abs(a - b)
    return np.where(np.isnan(gap), np.where(np.isnan(a) == np.isnan(b), 0.0, np.inf), gap)


def _spread(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two calls of one kind."""
    return float(np.max(np.abs(a - b), initial=0.0)) if a.shape == b.shape else np.inf


def _moved(build: Callable, leaves: list[Any], rounding: float) -> list[np.ndarray]:
    """The largest change of each entry of each output, in either kind of call, where the arguments
    are rounded."""
    import jax

    rng = np.random.default_rng(5)
    kinds = (lambda *xs: build()(*xs)), (lambda *xs: jax.vjp(build(), *xs)[0])
    found: list[np.ndarray] = []
    for call in kinds:
        here = [np.asarray(y, dtype=complex) for y in call(*leaves)]
        found = found or [np.zeros(y.shape) for y in here]
        for _ in range(DRAWS):
            near = [x * (1 + rounding * rng.choice([-1.0, 1.0], np.shape(x))) for x in leaves]
            there = [np.asarray(y, dtype=complex) for y in call(*near)]
            found = [
                np.maximum(most, np.nan_to_num(np.abs(y - z), posinf=0.0))
                for most, y, z in zip(found, here, there, strict=True)
            ]
    return found


def _precision(run: Callable, leaves: list[Any]) -> tuple[float, float]:
    """ROUNDING of what the function and its rule compute in."""
    import jax

    try:
        text = str(jax.make_jaxpr(lambda *xs: (run(*xs), jax.vjp(run, *xs)[0]))(*leaves))
    except Exception:  # it branches on values
        return ROUNDING["f32["]
    return next(size for kind, size in ROUNDING.items() if kind in text)
