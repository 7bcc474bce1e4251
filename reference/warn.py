"""Warnings that name the line of the user's code that called, however deep inside they arise."""

import os
import sys
import warnings
from pathlib import Path

__all__ = ["warn"]

_ROOT = Path(__file__).parents[1]
_PACKAGES = tuple(f"{_ROOT / name}{os.sep}" for name in ("autocnn", "reference"))


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """``warnings.warn`` at the innermost line that is outside of autocnn and reference.

    A number of frames, ``stacklevel``, would be right for one way through the code only. Where all
    frames are inside, as in a thread of ours that starts here, the line of the caller is named.
    """
    frame, level = sys._getframe(1), 2  # 2 is the caller
    while frame and frame.f_code.co_filename.startswith(_PACKAGES):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level if frame else 2)
