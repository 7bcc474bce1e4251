"""The scale of images: which value becomes 1, and a word about images that were not scaled."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from reference.warn import warn

__all__ = ["UnscaledImages", "integer_scale", "scaled", "warn_unscaled"]

BYTE = 255
FEW_LEVELS = 64  # integers that reach no further were not made as bytes
DEPTHS = (BYTE, 1023, 4095, 16383, 65535)  # the largest values of 8 to 16 bits
LARGEST, SMALLEST = 10.0, 0.05  # standardized images reach 10 at times, but not on the average
SAMPLE = 256  # images that the scale is judged by


class UnscaledImages(UserWarning):
    """Images have values far from 1, with which networks hardly learn."""


def integer_scale(largest: int) -> int:
    """Return the value that becomes 1, for images of integers of which ``largest`` is the largest.

    255 for bytes; the largest value itself where it is at most 64, such as the 16 of scikit-learn's
    digits, or a mask's 1; above 255, the largest of 10, 12, 14 or 16 bits.
    """
    if largest <= FEW_LEVELS:
        return max(largest, 1)
    return next((depth for depth in DEPTHS if largest <= depth), largest)


def scaled(x: np.ndarray, dtype: DTypeLike, scale: float | None = None) -> tuple[np.ndarray, float]:
    """Return images in [0, 1] as floats, and the value that they were divided by.

    scale: that value; None for ``integer_scale`` of integers, and 1 for floats and booleans.
    ValueError for negative integers, floats that are not finite, and, unless ``scale`` is given,
    for floats beyond about [0, 1] whose values are not those of standardized images.
    """
    if x.dtype.kind == "b":
        return x.astype(dtype), 1
    low, high = float(x.min()), float(x.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("images must be finite; they hold NaN or infinity")
    if scale is not None:
        if isinstance(scale, bool) or not np.isfinite(scale) or scale <= 0:
            raise ValueError(f"scale must be the value that becomes 1, such as 255; got {scale!r}")
        return np.divide(x, scale, dtype=dtype), scale
    if x.dtype.kind in "iu" and low >= 0:
        scale = integer_scale(int(x.max()))
        return np.divide(x, scale, dtype=dtype), scale
    if x.dtype.kind == "f" and ((low >= 0 and high <= 2) or (low < 0 and _is_about_one(x))):
        warn_unscaled(x, "images")  # those that were divided twice
        return x.astype(dtype, copy=False), 1
    advice = f"scale={_likely_scale(high)}" if low >= 0 else "(images - low) / (high - low)"
    raise ValueError(
        f"images must lie in [0, 1]; these reach from {low:g} to {high:g}. Pass "
        + (f"images / {_likely_scale(high)}, or {advice}" if low >= 0 else advice)
    )


def warn_unscaled(x: Any, name: str) -> None:
    """Warn by ``UnscaledImages`` when images (N, ...) are far from the scale of [0, 1].

    Judged by at most 256 images: those that standardization leaves, with a mean square near 1, are
    fine. name: of the images in the message.
    """
    x = np.asarray(x)
    if x.dtype.kind not in "fiu" or x.size == 0 or x.ndim < 2:
        return
    x = x[np.arange(min(len(x), SAMPLE)) * len(x) // min(len(x), SAMPLE)]
    high = float(np.abs(x).max())
    if not np.isfinite(high) or high == 0 or _is_about_one(x):
        return
    if high < 1:
        text = f"{name} reaches {high:.3g} at most: was it divided twice? Pass values in [0, 1]"
    else:
        value = _likely_scale(float(x.max()))
        # 15 may be the largest of a few images whose values go up to 16.
        most, scale = (value, value) if value > FEW_LEVELS else ("the most that it can be", "...")
        text = (
            f"{name} reaches {high:g}, and networks are made for values in about [0, 1]: many do "
            f"not learn from it. Divide it by {most}, or make the data by "
            f"ac.data.from_arrays(images, labels, scale={scale})"
        )
    warn(text, UnscaledImages)


def _is_about_one(x: np.ndarray) -> bool:
    """Whether values are as in [0, 1], or as standardization leaves them."""
    high = float(np.abs(x).max())
    spread = float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
    return high > SMALLEST and (high <= LARGEST / 5 or spread <= LARGEST / 5)


def _likely_scale(high: float) -> int | float:
    return integer_scale(int(high)) if high == int(high) or high > FEW_LEVELS else high
